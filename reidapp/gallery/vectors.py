"""Embeddings on disk: append-only raw fp16 shards, one per model and UTC day.

A shard may be longer than its committed rows (a run was killed between writing and the commit); the database says how
many rows count, and the next append writes over the rest.

A block is the rows of one chunk. The database has its sha256, and what is read of it counts once that holds: damage on
the disk, or a shard of somebody else's, would otherwise find the wrong people without a word.
"""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import numpy as np

from reidapp import files
from reidapp.errors import ReidappError
from reidapp.gallery.schema import Block

DAMAGED = "0" * 64
"""In place of the sha256 of a block that `gallery repair` is to make anew: no bytes have it."""
UNKNOWN = ""
"""In place of the sha256 of a block of which `gallery repair` could make a part alone, since pictures are lost."""


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


def read_block(gallery: Path, block: Block, dim: int) -> np.ndarray:
    """The rows of a block, memory-mapped: fp16 ``[rows, dim]``.

    Raises:
        ReidappError: they are not all there, or not as they were committed.
    """
    path = shard_path(gallery, block.model_id, block.day)
    found = read(path, block.first_row + block.rows, dim)[block.first_row :]
    if not is_block(found, block.sha256):
        raise not_as_committed(path, block.first_row, block.rows)
    return found


def is_block(rows: np.ndarray, sha256: str) -> bool:
    """Whether rows are those that were committed, by their sha256 or its beginning."""
    return sha256 == UNKNOWN or hashlib.sha256(rows.data).hexdigest().startswith(sha256)


def not_as_committed(path: Path, first_row: int, rows: int) -> ReidappError:
    """What to say of a block whose sha256 does not hold."""
    return ReidappError(
        f"{path}: rows {first_row} to {first_row + rows - 1} are not the vectors that were written there; "
        "`reidapp gallery verify` says what else is damaged, `reidapp gallery repair` makes them anew"
    )
