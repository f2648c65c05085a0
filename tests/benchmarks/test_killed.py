"""Indexing killed four times; benchmarks/killed.py does it fifty times, and its result is in docs/results."""

from pathlib import Path

import pytest

from benchmarks.killed import kill_often
from training.data.synthetic.footage import write_footage


@pytest.mark.slow
def test_killed_at_random_it_ends_with_the_same_rows_and_vectors(tmp_path: Path) -> None:
    write_footage(tmp_path / "footage", cameras=1, people=2, seconds=10, seed=1)
    tally = kill_often(tmp_path / "footage", tmp_path, kills=4, seed=8)
    assert tally.wrong == []
    assert tally.kills == 4
    assert tally.between + tally.within >= 3  # at work, not while the libraries are loaded
