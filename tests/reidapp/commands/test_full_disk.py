"""A full disk: one line from every command that writes, nothing half made, and the same command works with room."""

from pathlib import Path

import pytest

from tests import small_disk
from tests.training.conftest import write_crops


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_with_room_the_same_command_works(tmp_path: Path) -> None:
    write_crops(tmp_path / "crops/bounding_box_train", range(1, 5), cameras=2, images=2)
    runs = small_disk.run("tests.reidapp.commands.full_disk", tmp_path / "crops", tmp_path)
    for run in runs:
        command = " ".join(run["command"])
        assert run["code"] == 1, run
        (line,) = [line for line in run["said"] if line.startswith("reidapp:")]
        assert run["said"][-1] == line, command
        assert str(tmp_path) in line, command
        assert small_disk.kind() == "Limit" or str(tmp_path / "small") in line, command
        assert small_disk.kind() == "Limit" or "the disk is full; make room there" in line, command
        assert run["faults"] == [], command
        assert run["again"] == 0, command
        # Of a copy, what is not called by its name yet; of a run, its log; in the gallery, locks and SQLite's own.
        assert [
            path for path in run["left"] if not path.startswith(("copy.new", "restored.new", "run", "gallery/"))
        ] == []
    if small_disk.kind() == "Tmpfs":
        told = " ".join(runs[-1]["said"])
        assert "epoch-001 is kept" in told
        assert "--resume" in told
        assert not any("epoch-002" in path for path in runs[-1]["left"])
