"""Searches read a block of vectors only after its sha256 held: `Seals` knows which did."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from reidapp.gallery import vectors

_GROUPS = os.cpu_count() or 1


class Block(NamedTuple):
    """Where a chunk's vectors are (`schema.Block`); the digest is the beginning of the sha256."""

    chunk: str
    day: str
    first_row: int
    rows: int
    digest: str
    video: str


class Seals:
    """The blocks of an index's rows. Each is looked at when the first of its rows is read, and not again.

    A search of many rows reads few of them (their codes tell which), so it waits for few blocks: all of them, a
    gigabyte per million rows, would take longer than opening a gallery may. With camera normalisation the first search
    reads all.

    Args:
        folder: of the shards.
        shards: {day: fp16 ``[rows, D]``}, as they are mapped.
        blocks: in the rows' order.
        held: chunks whose blocks have been looked at; others are added.
    """

    def __init__(self, folder: Path, shards: Mapping[str, np.ndarray], blocks: Sequence[Block], held: set[str]) -> None:
        self._folder = folder
        self._shards = shards
        self._blocks = blocks
        self._held = held
        self._ends = np.cumsum([block.rows for block in blocks])
        self._new = np.array([block.chunk not in held for block in blocks], bool)

    def check(self, rows: np.ndarray) -> None:
        """Before rows are read, see to it that they are as they were committed.

        Raises:
            ReidappError: they are not; with the shard, and what to do.
        """
        of = np.searchsorted(self._ends, rows, "right")
        new = np.unique(of[self._new[of]])
        if len(new):
            groups = np.array_split(new, min(_GROUPS, len(new)))
            # hashlib lets go of the GIL. Threads of a moment: a forked process has none of those that were kept.
            with ThreadPoolExecutor(len(groups), "sha256") as threads:
                for some, unsound in threads.map(self._looked_at, groups):
                    if unsound:
                        path = self._folder / f"{unsound.day}.f16"
                        raise vectors.not_as_committed(path, unsound.first_row, unsound.rows)
                    self._held.update(self._blocks[place].chunk for place in some.tolist())
                    self._new[some] = False

    def _looked_at(self, places: np.ndarray) -> tuple[np.ndarray, Block | None]:
        """Blocks, and the first of them that is not as it was committed."""
        for block in map(self._blocks.__getitem__, places.tolist()):
            rows = self._shards[block.day][block.first_row : block.first_row + block.rows]
            if not vectors.is_block(rows, block.digest):
                return places, block
        return places, None
