"""Embeddings on disk: append-only raw fp16 shards, one per model and UTC day.

A shard may be longer than its committed rows (a run was killed between writing and the commit); the database says how
many rows count, and the next append writes over the rest.
"""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import numpy as np

from reidapp import files
from reidapp.errors import ReidappError


def shard_path(gallery: Path, model_id: str, day: str) -> Path:
    """The file of a shard."""
    return gallery / "vectors" / model_id[:16] / f"{day}.f16"


def append(path: Path, committed_rows: int, embeddings: np.ndarray) -> str:
    """Write rows behind the committed ones and flush them to the disk.

    Args:
        embeddings: float ``[N, D]``; stored as fp16.

    Returns:
        sha256 of the bytes written.

    Raises:
        ReidappError: the committed rows are not all there.
    """
    read(path, committed_rows, embeddings.shape[1])
    data = np.ascontiguousarray(embeddings, dtype="<f2").tobytes()
    files.make_folder(path.parent)
    new = not path.exists()
    with path.open("w+b" if new else "r+b") as file:
        file.truncate(committed_rows * embeddings.shape[1] * 2)
        file.seek(0, os.SEEK_END)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    if new:
        files.flush_folder(path.parent)
    return hashlib.sha256(data).hexdigest()


def read(path: Path, rows: int, dim: int) -> np.ndarray:
    """The first ``rows`` rows of a shard, memory-mapped: fp16 ``[rows, dim]``.

    Raises:
        ReidappError: the file is missing or shorter than the database says.
    """
    size = 0
    with suppress(FileNotFoundError), path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size  # of a share, this is what is there now, and a path's what was lately
    if size < rows * dim * 2:
        there = size // (2 * dim)
        raise ReidappError(
            f"{path}: {rows} vectors should be there and {there} are; `reidapp gallery repair` makes them anew"
        )
    if not rows:
        return np.empty((0, dim), np.float16)
    return np.memmap(path, dtype="<f2", mode="r", shape=(rows, dim))
