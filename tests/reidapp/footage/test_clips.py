from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from reidapp.errors import UserError
from reidapp.footage.clips import write_clip
from reidapp.footage.decoding import frames, probe


def write(path: Path, codec: str, height: int = 91, width: int = 121) -> None:
    """Ten seconds, 10 frames a second, which become brighter."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=10, options={"g": "20", "x265-params": "log-level=error"})
        stream.height, stream.width, stream.pix_fmt = height // 2 * 2, width // 2 * 2, "yuv420p"
        for number in range(100):
            image = np.full((height // 2 * 2, width // 2 * 2, 3), 20 + 2 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode())


@pytest.mark.parametrize("codec", ["libx265", "mpeg4", "libx264"])
def test_a_clip_has_the_frames_of_its_time_and_plays_everywhere(tmp_path: Path, codec: str) -> None:
    write(source := tmp_path / "source.mp4", codec)
    write_clip(source, clip := tmp_path / "clip.mp4", 3.0, 5.0)
    assert probe(clip).codec == "h264"
    shown = list(frames(clip, 0, 100, None))
    assert [frame.time_s for frame in shown] == pytest.approx(np.arange(20) / 10, abs=1e-3)
    for number, frame in enumerate(shown):
        assert frame.image.mean() == pytest.approx(20 + 2 * (30 + number), abs=4)
    assert sorted(tmp_path.iterdir()) == [clip, source]


def test_what_is_shown_can_be_changed(tmp_path: Path) -> None:
    write(source := tmp_path / "source.mp4", "libx264")
    write_clip(source, clip := tmp_path / "clip.mp4", 0, 1, lambda frame: np.full_like(frame.image, 200))
    assert all(abs(frame.image.mean() - 200) < 4 for frame in frames(clip, 0, 10, None))


def test_frames_of_one_moment_are_one(tmp_path: Path) -> None:
    """As a damaged header says it: `benchmarks/fuzz/videos.py` found that no clip could be made."""
    write(source := tmp_path / "source.mp4", "libx264")
    ticks, more = ((10_240 * times).to_bytes(4, "big") for times in (1, 20_000))  # a second has
    source.write_bytes(source.read_bytes().replace(ticks, more))
    assert probe(source).frame_rate == pytest.approx(200_000)
    write_clip(source, clip := tmp_path / "clip.mp4", 0, 1)
    assert 0 < len(list(frames(clip, 0, 1, None))) < 100


def test_a_time_without_frames_leaves_no_file(tmp_path: Path) -> None:
    write(source := tmp_path / "source.mp4", "libx264")
    with pytest.raises(UserError, match="no frame in it between"):
        write_clip(source, tmp_path / "clip.mp4", 50, 60)
    assert sorted(tmp_path.iterdir()) == [source]
