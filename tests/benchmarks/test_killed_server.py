"""A server killed in one state; benchmarks/killed_server.py does it in seven, and its result is in docs/results."""

import random
import zipfile
from pathlib import Path

import pytest

from benchmarks.killed_server import Tally, _is_whole, kill
from tests.small_gallery import make_crowd


@pytest.mark.slow
def test_a_server_killed_with_its_job_leaves_nothing_half_and_the_next_one_does_it(tmp_path: Path) -> None:
    make_crowd(tmp_path / "crowd", people=4, shots=2).engine.dispose()
    tally = Tally()
    kill(tmp_path / "crowd/gallery", tmp_path / "killed", "back-up", random.Random(0), tally, with_job=True)
    assert tally.wrong == []
    assert tally.kills == {"back-up": 1}


def test_half_an_archive_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    file = tmp_path / "case.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("hits.csv", "1")
        archive.writestr("manifest.sha256", f"{'0' * 64}  hits.csv\n")
    assert not _is_whole(file)
    file.write_bytes(file.read_bytes()[:40])
    assert not _is_whole(file)
