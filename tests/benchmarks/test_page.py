"""The page's benchmark, on a small gallery; that of 200,000 tracklets is in docs/results."""

from pathlib import Path

import pytest

from benchmarks.page import made, measured


@pytest.mark.slow
def test_it_measures_and_scrolls(tmp_path: Path, chromium: Path) -> None:
    gallery, crop = made(tmp_path, 2000)
    assert made(tmp_path, 2000) == (gallery, crop)  # one that is there is used again
    found = measured(gallery, crop, repeats=1, far=6_000, warm_up=False)
    assert {"hits", "1000 hits", "timeline", "browse", "cell, a day", "cell, an hour"} <= found["milliseconds"].keys()
    assert all(milliseconds > 0 for milliseconds in found["milliseconds"].values())
    assert 20 < found["pictures"] <= 200  # a screenful at least; how many more depends on how fast frames follow
    for each in found["scrolling"].values():
        assert each["frames_per_second"] > 1
