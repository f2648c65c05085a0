"""Vectors on a GPU, where Faiss says which rows may be best. Asked for (`reidapp serve --vectors-on-gpu`).

The rows of each derived file are copied there once, as fp16. A flat index on a GPU takes no filter, and one that asked
for more and threw some away would tell by its time of rows that who asks may not see: so a search with a filter is the
processor's, and so are rows that are in no file. What may be best is scored from the shards, and whatever the GPU's
bounds leave open is settled by the processor: hits, scores and ties are those of `ExactIndex`.
"""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np

from reidapp.errors import UserError
from reidapp.gallery.coarse import Coarse
from reidapp.gallery.nearest import AnyPart, ExactIndex, Found, Part, decoded

_MOST = 2_048  # rows that Faiss gives on a GPU
_STEP = 65_536  # rows that are copied together
_ROUNDING = 2.0**-9  # of a score: the query is rounded to fp16 (2⁻¹¹) before sums in float32; the rest is to be sure


class Gpu:
    """The GPU that vectors are copied to. One for all galleries of a server, from any of its threads.

    Raises:
        UserError: Faiss has none.
    """

    def __init__(self) -> None:
        if not hasattr(faiss, "StandardGpuResources") or not faiss.get_num_gpus():
            raise UserError(
                "--vectors-on-gpu: Faiss finds no GPU here; that takes faiss-gpu in place of faiss-cpu, an NVIDIA GPU "
                "and its driver (`reidapp doctor` tells which is missing)"
            )
        self._resources = faiss.StandardGpuResources()
        self.turn = threading.Lock()  # Faiss's memory for one search at a time

    def copy(self, dim: int, blocks: Iterable[np.ndarray]) -> Any:
        """A flat index of inner products, of blocks float32 ``[N, D]``.

        Raises:
            UserError: they do not fit.
        """
        with self.turn:
            index = self._empty(dim)
            try:
                for block in blocks:
                    index.add(block)
            except RuntimeError as error:  # of CUDA, from C++
                raise UserError(f"--vectors-on-gpu: they do not fit there ({str(error).splitlines()[0]})") from error
            return index

    def _empty(self, dim: int) -> Any:
        config = faiss.GpuIndexFlatConfig()
        config.useFloat16 = True
        return faiss.GpuIndexFlatIP(self._resources, dim, config)


class Copies:
    """The copies of one gallery's derived files, by what they are called."""

    def __init__(self, gpu: Gpu) -> None:
        self.gpu = gpu
        self._held: dict[str, Any] = {}

    def of(self, name: str, dim: int, blocks: Iterable[np.ndarray]) -> Any:
        """The copy of a file, made of its blocks where there is none."""
        if name not in self._held:
            self._held[name] = self.gpu.copy(dim, blocks)
        return self._held[name]

    def keep(self, names: Sequence[str]) -> None:
        """Let go of the others."""
        self._held = {name: index for name, index in self._held.items() if name in names}


@dataclass(frozen=True)
class _OnGpu:
    """Rows that follow each other, and what goes through them where the GPU's bounds leave something open."""

    first: int
    index: Any
    turn: threading.Lock
    exact: Sequence[AnyPart]

    def top(self, query: np.ndarray, k: int, kept: np.ndarray | None) -> Found:
        """As `Part.top`, at most 2,048 rows."""
        k = min(k, _MOST, self.index.ntotal)
        with self.turn:
            scores, rows = self.index.search(query[None], k)
        bounds = scores[0] + _ROUNDING * float(np.linalg.norm(query))
        rest = float(bounds[-1]) if k < self.index.ntotal else -np.inf
        return Found(self.first + rows[0], bounds, rest)

    def reaching(self, query: np.ndarray, least: float, kept: np.ndarray | None) -> Found:
        """As `Part.reaching`."""
        found = [part.reaching(query, least, kept) for part in self.exact]
        return Found(np.concatenate([f.rows for f in found]), np.concatenate([f.bounds for f in found]))


class GpuIndex(ExactIndex):
    """An index of which a GPU has a copy.

    Args:
        copies: where it is, or is put.
        names: of the derived files, in the order of ``coded``.
    """

    def __init__(
        self,
        stretches: Sequence[np.ndarray],
        ids: np.ndarray,
        coded: Sequence[tuple[Coarse, np.ndarray]],
        copies: Copies,
        names: Sequence[str],
    ) -> None:
        super().__init__(stretches, ids, coded)
        copies.keep(names)
        first = 0
        self._asked: list[AnyPart] = []
        for name, (_, codes) in zip(names, coded, strict=True):
            rows = range(first, first + len(codes))
            if rows:
                index = copies.of(name, self._stretches[0].shape[1], self._blocks(rows))
                self._asked.append(_OnGpu(first, index, copies.gpu.turn, self._parts_in(rows)))
            first = rows.stop
        self._asked += [part for part in self._parts if part.first >= first]

    def _parts_for(self, kept: np.ndarray | None) -> Sequence[AnyPart]:
        return self._asked if kept is None else self._parts

    def _parts_in(self, rows: range) -> list[Part]:
        return [part for part in self._parts if part.first in rows]

    def _blocks(self, rows: range) -> Iterable[np.ndarray]:
        for start in range(rows.start, rows.stop, _STEP):
            yield decoded(self.stored(np.arange(start, min(start + _STEP, rows.stop))))
