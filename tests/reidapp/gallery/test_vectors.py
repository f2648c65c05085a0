"""Shards of vectors: what is written and read, and what is missing."""

from pathlib import Path

import numpy as np
import pytest

from reidapp.errors import ReidappError
from reidapp.gallery import vectors
from tests.reidapp.gallery.test_search import DIM, START_MS, add_video, chunk_of, new_gallery, unit


def test_vectors_are_stored_as_they_came_in_half_precision(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    chunks = [unit(rng.normal(size=(3, DIM))), unit(rng.normal(size=(2, DIM)))]
    gallery = new_gallery(tmp_path)
    add_video(gallery, 0, "gate", [chunk_of(n, [(60.0 * n + 1, rows)]) for n, rows in enumerate(chunks)], START_MS)
    (shard,) = (gallery.path / "vectors").rglob("*.f16")
    np.testing.assert_array_equal(vectors.read(shard, 5, DIM), np.concatenate(chunks).astype(np.float16))


def test_a_shard_longer_than_its_rows_is_written_over(tmp_path: Path) -> None:
    """A run was killed after it wrote vectors and before it committed."""
    rng = np.random.default_rng(1)
    first, second = unit(rng.normal(size=(3, DIM))), unit(rng.normal(size=(2, DIM)))
    shard = tmp_path / "day.f16"
    vectors.append(shard, 0, first)
    vectors.append(shard, 3, unit(rng.normal(size=(4, DIM))))  # never committed
    vectors.append(shard, 3, second)
    assert shard.stat().st_size == 5 * DIM * 2
    np.testing.assert_array_equal(vectors.read(shard, 5, DIM), np.concatenate([first, second]).astype(np.float16))


def test_a_shard_that_lost_rows_is_said(tmp_path: Path) -> None:
    shard = tmp_path / "day.f16"
    vectors.append(shard, 0, np.ones((3, DIM), np.float32))
    with pytest.raises(ReidappError, match="5 vectors should be there and 3 are"):
        vectors.read(shard, 5, DIM)
