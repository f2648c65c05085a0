"""An inverted file: a search looks only into the cells of space that a query is nearest to. Opt-in, and measured.

The rows of a derived file belong to the nearest of about √N centroids (spherical k-means). How many cells a search
looks into is found when the file is made: so many that, with some of its rows as queries, the wanted share of the rows
nearest to them is found. Where that takes more than an eighth of all cells the file is searched exactly, as are rows
that are in no file.

So is a search with a filter. Cells would lose the few rows that it keeps, and the time it takes to look for more would
tell of rows that who asks may not see. What cells give is scored as `ExactIndex` does it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import faiss
import numpy as np

from reidapp.gallery.coarse import Coarse
from reidapp.gallery.nearest import CORES, AnyPart, ExactIndex, Found, Part

RECALL = "recall"  # the setting: the share that approximate searches are to find; without it they are exact

_NEAREST = 80  # rows that a search asks for, as for 20 hits
_QUERIES = 200
_MOST = 1 / 8  # of all cells; looking into more is no faster than looking at all codes
_POINTS = 40  # rows that a centroid is made of
_ROUNDS = 10  # of k-means
_STEP = 2_048  # rows looked at together


@dataclass(frozen=True)
class Cells:
    """The cells of some rows.

    Attributes:
        centroids: float32 ``[C, D]``, of length one.
        order: uint32 ``[rows]``, the rows cell after cell.
        starts: uint64 ``[C + 1]``, where each cell begins in it, and the end.
        probes: cells that a search looks into; 0: it looks at all rows.
        wanted, recall: the share of the nearest rows that was to be found, and that was.
    """

    centroids: np.ndarray
    order: np.ndarray
    starts: np.ndarray
    probes: int
    wanted: float
    recall: float

    @classmethod
    def fitted(
        cls,
        rows: int,
        vectors_of: Callable[[np.ndarray], np.ndarray],
        wanted: float,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> "Cells":
        """
        Args:
            vectors_of: unit vectors float32 ``[N, D]`` of rows int64 ``[N]``.
            wanted: share of the nearest rows that searches are to find, above 0, at most 1.
            progress: called with rows done and rows.
        """
        number = max(1, round(rows**0.5))
        centroids = _centroids(vectors_of(_evenly(rows, _POINTS * number)), number)
        asked = _evenly(rows, _QUERIES)
        queries = vectors_of(asked)
        cells, near = np.empty(rows, np.uint32), _Nearest.none(len(asked))
        for first in range(0, rows, _STEP):
            some = np.arange(first, min(first + _STEP, rows))
            vectors = vectors_of(some)
            cells[some] = np.argmax(vectors @ centroids.T, axis=1)
            # A query's own row would be found by any cells.
            near = near.with_others(np.where(asked[:, None] == some, -np.inf, queries @ vectors.T), some)
            progress(int(some[-1]) + 1, rows)
        order = np.argsort(cells, kind="stable").astype(np.uint32)
        starts = np.searchsorted(cells[order], np.arange(number + 1)).astype(np.uint64)
        probes, recall = _measured(queries @ centroids.T, near, cells, wanted)
        return cls(centroids, order, starts, probes, wanted, recall)

    def probed(self, query: np.ndarray, turn: int = 0, turns: int = 1) -> np.ndarray:
        """The rows in the cells that a query ``[D]`` is nearest to, int64; or of each ``turns``-th of them."""
        order = np.argsort(-(self.centroids @ query), kind="stable")[: self.probes]
        chosen = [slice(*self.starts[cell : cell + 2].tolist()) for cell in order[turn::turns].tolist()]
        found = [self.order[some] for some in chosen]
        return np.concatenate([np.empty(0, np.uint32), *found]).astype(np.int64)


@dataclass(frozen=True)
class _Nearest:
    """The rows nearest to each of Q queries, in no order: scores and rows ``[Q, ≤ 80]``."""

    scores: np.ndarray
    rows: np.ndarray

    @classmethod
    def none(cls, queries: int) -> "_Nearest":
        return cls(np.empty((queries, 0), np.float32), np.empty((queries, 0), np.int64))

    def with_others(self, scores: np.ndarray, rows: np.ndarray) -> "_Nearest":
        """With other rows int64 ``[N]`` and their scores ``[Q, N]``."""
        scores = np.hstack([self.scores, scores])
        rows = np.hstack([self.rows, np.broadcast_to(rows, (len(scores), len(rows)))])
        best = np.argpartition(-scores, min(_NEAREST, scores.shape[1]) - 1, axis=1)[:, :_NEAREST]
        return _Nearest(np.take_along_axis(scores, best, 1), np.take_along_axis(rows, best, 1))


def _measured(similarity: np.ndarray, near: _Nearest, cells: np.ndarray, wanted: float) -> tuple[int, float]:
    """How many cells have to be looked into, and what share of the nearest rows is in them.

    Args:
        similarity: of queries to centroids, ``[Q, C]``.
        cells: of each row.
    """
    ranks = np.argsort(np.argsort(-similarity, axis=1, kind="stable"), axis=1)
    reached = np.take_along_axis(ranks, cells[near.rows].astype(np.int64), 1)[np.isfinite(near.scores)]
    if not len(reached):
        return 0, 1.0
    probes = int(np.sort(reached)[int(np.ceil(wanted * len(reached))) - 1]) + 1
    recall = float(np.mean(reached < probes))
    return (probes, recall) if probes <= _MOST * similarity.shape[1] else (0, 1.0)


def _centroids(sample: np.ndarray, number: int) -> np.ndarray:
    options = {"niter": _ROUNDS, "seed": 0, "spherical": True, "min_points_per_centroid": 1}
    kmeans = faiss.Kmeans(sample.shape[1], number, **options)
    kmeans.train(sample)
    return np.asarray(kmeans.centroids)


def _evenly(rows: int, most: int) -> np.ndarray:
    """At most so many of the rows, from first to last."""
    return np.linspace(0, rows - 1, min(rows, most)).astype(np.int64)


@dataclass(frozen=True)
class _Probed:
    """The rows in some of the cells that a query is nearest to: what one thread goes through."""

    first: int
    codes: np.ndarray
    coarse: Coarse
    cells: Cells
    turn: int

    def top(self, query: np.ndarray, k: int, kept: np.ndarray | None) -> Found:
        """Of all that are probed, as `Part.top`."""
        return self._found(query, lambda part: part.top(query, k, None))

    def reaching(self, query: np.ndarray, least: float, kept: np.ndarray | None) -> Found:
        """Of all that are probed, as `Part.reaching`."""
        return self._found(query, lambda part: part.reaching(query, least, None))

    def _found(self, query: np.ndarray, by: Callable[[Part], Found]) -> Found:
        rows = self.cells.probed(query, self.turn, CORES)
        if not len(rows):
            return Found(rows, np.empty(0))
        found = by(Part(0, self.codes[rows], self.coarse))
        return replace(found, rows=self.first + rows[found.rows])


class IvfIndex(ExactIndex):
    """An index that looks into cells where no rows are filtered out, and is exact otherwise.

    Args:
        cells: of each of ``coded``, where it has some.
    """

    def __init__(
        self,
        stretches: Sequence[np.ndarray],
        ids: np.ndarray,
        coded: Sequence[tuple[Coarse, np.ndarray]],
        cells: Sequence[Cells | None],
    ) -> None:
        super().__init__(stretches, ids, coded)
        first, probed = 0, list[range]()
        self._looked_at: list[AnyPart] = []
        for (coarse, codes), each in zip(coded, cells, strict=True):
            if each and each.probes:
                self._looked_at += [_Probed(first, codes, coarse, each, turn) for turn in range(CORES)]
                probed.append(range(first, first + len(codes)))
                self.recall = min(each.recall, self.recall or 1.0)
            first += len(codes)
        self._looked_at += [part for part in self._parts if not any(part.first in some for some in probed)]

    def _parts_for(self, kept: np.ndarray | None) -> Sequence[AnyPart]:
        return self._looked_at if kept is None else self._parts
