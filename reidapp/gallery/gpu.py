"""Vectors on a GPU, where Faiss says which rows may be best. Asked for (`reidapp serve --vectors-on-gpu`).

The rows of each derived file are copied there once, as fp16. A flat index on a GPU takes no filter, and one that asked
for more and threw some away would tell by its time of rows that who asks may not see: so a search with a filter is the
processor's, and so are rows that are in no file. What may be best is scored from the shards, and whatever the GPU's
bounds leave open is settled by the processor, as is all that the GPU cannot do: hits, scores and ties are those of
`ExactIndex`.
"""

import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np

from reidapp.errors import UserError
from reidapp.gallery.coarse import Coarse
from reidapp.gallery.nearest import AnyPart, ExactIndex, Found, decoded
from reidapp.gallery.seals import Seals

_MOST = 2_048  # rows that Faiss gives on a GPU
_MORE = 1_024  # rows beyond those asked for, of each file: what is left open costs a pass over all its rows
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
        self._turn = threading.Lock()  # Faiss's memory there is for one thread at a time

    def copy(self, dim: int, blocks: Iterable[np.ndarray]) -> Any:
        """A flat index of inner products, of blocks float32 ``[N, D]``.

        Raises:
            RuntimeError: of CUDA, where they do not fit.
        """
        with self._turn:
            index = self._empty(dim)
        for block in blocks:
            with self._turn:
                index.add(block)
        return index

    def search(self, index: Any, query: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Scores and rows of the k best, best first.

        Raises:
            RuntimeError: of CUDA.
        """
        with self._turn:
            scores, rows = index.search(query[None], k)
        return scores[0], rows[0]

    def _empty(self, dim: int) -> Any:
        config = faiss.GpuIndexFlatConfig()
        config.useFloat16 = True
        return faiss.GpuIndexFlatIP(self._resources, dim, config)


class Copies:
    """The copies of one gallery's derived files.

    Args:
        gpu: where they are.
    """

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self._held: dict[str, Any] = {}
        self._refused: set[str] = set()
        self._begun = False

    def hold(self, files: dict[str, Iterable[np.ndarray]], dim: int) -> None:
        """Hold copies of these files and of no others; what is no longer wanted goes first.

        Args:
            files: {name: its blocks float32 ``[N, D]``}. A name stands for what is in a file.

        Raises:
            UserError: they do not fit, and nothing was held before; later the processor searches what does not fit.
        """
        self._held = {name: index for name, index in self._held.items() if name in files}
        self._refused &= files.keys()
        for name in files.keys() - self._held.keys() - self._refused:
            try:
                self._held[name] = self._gpu.copy(dim, files[name])
            except RuntimeError as error:
                if not self._begun:
                    raise UserError(f"--vectors-on-gpu: the vectors do not fit there ({_first_line(error)})") from error
                self._give_up(name, error)
        self._begun = True

    def search(self, name: str, query: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray] | None:
        """As `Gpu.search`; None where there is no copy, or no longer."""
        index = self._held.get(name)
        if index is None:
            return None
        try:
            return self._gpu.search(index, query, k)
        except RuntimeError as error:
            self._give_up(name, error)
            return None

    def _give_up(self, name: str, error: RuntimeError) -> None:
        self._refused.add(name)
        self._held.pop(name, None)
        logging.getLogger(__name__).warning(
            "vectors are searched by the processor, the GPU does not: %s", _first_line(error)
        )


def _first_line(error: RuntimeError) -> str:
    return (str(error).splitlines() or ["no reason given"])[0]


@dataclass(frozen=True)
class _OnGpu:
    """The rows of a file: a GPU's copy of them, and the parts that go through them where it leaves something open."""

    name: str
    rows: range
    copies: Copies
    exact: Sequence[AnyPart]

    def top(self, query: np.ndarray, k: int, kept: np.ndarray | None) -> Found:
        """As `Part.top`, at most 2,048 rows."""
        k = min(k, _MOST, len(self.rows))
        if (found := self.copies.search(self.name, query, k)) is None:
            parts = [part.top(query, k, kept) for part in self.exact]
            return Found(*_joined(parts), max(part.rest for part in parts))
        bounds = found[0] + _ROUNDING * float(np.linalg.norm(query))
        rest = float(bounds[-1]) if k < len(self.rows) else -np.inf
        return Found(self.rows.start + found[1], bounds, rest)

    def reaching(self, query: np.ndarray, least: float, kept: np.ndarray | None) -> Found:
        """As `Part.reaching`."""
        return Found(*_joined([part.reaching(query, least, kept) for part in self.exact]))


def _joined(found: Sequence[Found]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([each.rows for each in found]), np.concatenate([each.bounds for each in found])


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
        seals: Seals | None = None,
    ) -> None:
        super().__init__(stretches, ids, coded, seals)
        ends = np.cumsum([0, *(len(codes) for _, codes in coded)]).tolist()
        files = {name: range(*ends[n : n + 2]) for n, name in enumerate(names) if ends[n] < ends[n + 1]}
        if files:
            copies.hold({name: self._blocks(rows) for name, rows in files.items()}, self._stretches[0].shape[1])
        self._asked: list[AnyPart] = [
            _OnGpu(name, rows, copies, [part for part in self._parts if part.first in rows])
            for name, rows in files.items()
        ]
        self._asked += [part for part in self._parts if part.first >= ends[-1]]

    def _parts_for(self, kept: np.ndarray | None) -> Sequence[AnyPart]:
        return self._asked if kept is None else self._parts

    @property
    def _more(self) -> int:
        return _MORE

    def _blocks(self, rows: range) -> Iterable[np.ndarray]:
        for start in range(rows.start, rows.stop, _STEP):
            yield decoded(self.stored(np.arange(start, min(start + _STEP, rows.stop))))
