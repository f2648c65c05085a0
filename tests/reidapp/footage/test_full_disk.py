"""A full disk while footage is indexed: nothing is lost but time."""

from pathlib import Path

import pytest

from tests import small_disk
from tests.small_gallery import FPS, SHIRTS, Walk, frame_at, write_video


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of each shirt, twice."""
    folder = tmp_path_factory.mktemp("footage")
    for number, shirt in enumerate([*SHIRTS, *SHIRTS]):
        walks = [Walk(shirt, 0, 2, 0.2 + 0.05 * number, 0.6)]
        path = folder / f"gate_2026-03-02_10-0{number}-00.mp4"
        write_video(path, [frame_at(walks, i / FPS) for i in range(2 * FPS)])
    return folder


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_with_room_it_goes_on_to_the_same_rows(footage: Path, tmp_path: Path) -> None:
    end = small_disk.run("tests.reidapp.footage.full_disk", footage, tmp_path)
    full = [run for run in end["runs"] if run["code"]]
    for run in full:
        (line,) = [line for line in run["said"] if line.startswith("reidapp:")]
        assert run["said"][-1] == line
        assert run["code"] == 1
        assert str(tmp_path / "small/gallery") in line
        assert "run the same command again" in line
        assert small_disk.kind() == "Limit" or "the disk is full; make room there" in line
    done = [run["videos"] for run in full]
    assert done == sorted(done)
    assert len(set(done)) > 2  # before the first, and between some
    assert [fault for run in end["runs"] for fault in run["faults"]] == []
    assert (end["code"], end["same"]) == (0, True)
