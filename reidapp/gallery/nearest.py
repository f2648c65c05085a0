"""Exact nearest rows by inner product: a pass over coarse codes, then the stored rows of all that could be among them.

A score is the float32 nearest to the inner product of the query and the stored fp16 row. It depends neither on threads
nor on codes or filters, and rows with the same score are ordered by their ids.

    1  Faiss finds the rows with the highest bounds in each part (codes, or fp16 rows that have none): `Part.top`
    2  they are scored, from the highest bound down, until the next bound is below the k-th best score t
    3  a part whose other rows may reach t gives all that do (`Part.reaching`), which are scored too

A row that is never scored has a bound, and so a score, below t, which is no more than the k-th best of all.

With `Centring` the rows of step 1 are scored so, and rows that may reach the k-th best of these are looked for by their
plain inner products: none is below (shift + t · length) of the row, and so not below the least of these.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import faiss
import numpy as np

from reidapp.gallery.coarse import Coarse
from reidapp.gallery.seals import Seals

_PART = 131_072  # rows at most
_SHORT = 20_000  # rows that are not worth a second thread
_FEW = 8_192  # rows that are scored without a pass before
_TOP = 1_024  # rows of all parts together, beside as many as are asked for of each
_AT_ONCE = 1_024  # rows that are scored together
_BLOCK = 8_192  # rows decoded together
_KINDS = faiss.ScalarQuantizer
_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_threads = ThreadPoolExecutor(_CORES, "search", initializer=lambda: faiss.omp_set_num_threads(1))


@dataclass(frozen=True)
class Nearest:
    """The best rows for one query, best first: float32 ``[k]`` and int64 ``[k]``; fewer if no more are."""

    scores: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True)
class Centring:
    """Scores without cameras' means, see `camera_means`: (q·x − shift) / length.

    Attributes:
        shift: float64 ``[rows]``, the query's inner products with the means.
        length: float32 ``[rows]``, above 0: of rows without the means.
    """

    shift: np.ndarray
    length: np.ndarray

    def of(self, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """What inner products of rows, or their bounds, become."""
        return np.asarray((values - self.shift[rows]) / self.length[rows])

    def reached(self, score: float) -> np.ndarray:
        """The inner product with which each row has a score: float64 ``[rows]``."""
        return self.shift + score * self.length


class ExactIndex:
    """One state of a gallery's vectors. It never changes; a gallery that has grown gets another.

    Args:
        stretches: fp16 ``[rows, D]`` each, memory-mapped; the index's rows are numbered through them.
        ids: uint64 ``[rows]``.
        coded: codes of the first rows: uint8 ``[N, width]``, one after the other, each ending where a stretch does.
        seals: ask before rows are read, and know them by the same numbers; None for rows that are as they are.

    Raises:
        ReidappError: of rows without codes, some are not as they were committed.
    """

    def __init__(
        self,
        stretches: Sequence[np.ndarray],
        ids: np.ndarray,
        coded: Sequence[tuple[Coarse, np.ndarray]] = (),
        seals: Seals | None = None,
    ) -> None:
        self._stretches = list(stretches)
        self._firsts = np.cumsum([0, *(len(stretch) for stretch in stretches)])
        self._ids = ids
        self._seals = seals
        self._parts: list[Part] = []
        done = 0
        for coarse, codes in coded:
            self._parts += _parts(done, codes, coarse)
            done += len(codes)
        for first, stretch in zip(self._firsts.tolist(), stretches, strict=False):
            if first >= done:
                self._parts += _parts(first, stretch, None)
        if seals:
            seals.check(np.arange(done, len(ids)))  # each search goes through all of these

    def __len__(self) -> int:
        return len(self._ids)

    def search(
        self, query: np.ndarray, k: int, kept: np.ndarray | None = None, centring: Centring | None = None
    ) -> Nearest:
        """The k best rows.

        Args:
            query: float32 ``[D]``.
            kept: bool ``[rows]``, those that may be found; None for all.
            centring: what scores are, if not inner products.
        """
        count = len(self._ids) if kept is None else int(np.count_nonzero(kept))
        kept = None if count == len(self._ids) else kept
        k = min(k, count)
        if k < 1:
            return Nearest(np.empty(0, np.float32), np.empty(0, np.int64))
        if count <= _FEW:
            rows = np.arange(count) if kept is None else np.flatnonzero(kept)
            return self._best(query, k, [Found(rows, np.full(count, np.inf))], centring)
        found = self._top(query, k + self._more, kept)
        if centring:
            return self._centred(query, k, kept, centring, found)
        best = self._best(query, k, found)
        least = float(best.scores[-1]) if len(best.rows) == k else -np.inf
        if max(each.rest for each in found) < least:
            return best
        return self._best(query, k, self._reaching(query, least, kept, found))

    def stored(self, rows: np.ndarray) -> np.ndarray:
        """The vectors of rows: fp16 ``[N, D]``.

        Raises:
            ReidappError: they are not as they were committed.
        """
        if self._seals:
            self._seals.check(rows)
        return self._read(rows)

    def _read(self, rows: np.ndarray) -> np.ndarray:
        """As `stored`, of rows that have been looked at."""
        where = np.searchsorted(self._firsts, rows, "right") - 1
        order = np.argsort(where, kind="stable")
        found = np.empty((len(rows), self._stretches[0].shape[1]), np.float16)
        for some in np.split(order, np.flatnonzero(np.diff(where[order])) + 1) if len(rows) else ():
            at = int(where[some[0]])
            found[some] = self._stretches[at].take(rows[some] - self._firsts[at], axis=0)
        return found

    def _parts_for(self, kept: np.ndarray | None) -> Sequence["AnyPart"]:
        """Parts in which the best of the kept rows are."""
        return self._parts

    @property
    def _more(self) -> int:
        """Rows that a part gives beyond those asked for, since its bounds may put others before the best.

        Too few cost a pass over all its rows by NumPy, many times as slow as the first; too many next to nothing.
        """
        return max(16, _TOP // len(self._parts))

    def _top(self, query: np.ndarray, wanted: int, kept: np.ndarray | None) -> list["Found"]:
        """So many of the kept rows with the highest bounds, of each part."""
        return list(_threads.map(lambda part: part.top(query, wanted, kept), self._parts_for(kept)))

    def _reaching(
        self, query: np.ndarray, least: float, kept: np.ndarray | None, found: Sequence["Found"]
    ) -> list["Found"]:
        """All kept rows whose bound is ``least`` or more; of each part some are found."""

        def all_of(part: AnyPart, had: Found) -> Found:
            return part.reaching(query, least, kept) if had.rest >= least else had

        return list(_threads.map(all_of, self._parts_for(kept), found))

    def _centred(
        self, query: np.ndarray, k: int, kept: np.ndarray | None, centring: Centring, found: Sequence["Found"]
    ) -> Nearest:
        """The best by centred scores; found are those with the highest inner products."""
        best = self._best(query, k, [Found(each.rows, np.full(len(each.rows), np.inf)) for each in found], centring)
        score = np.nextafter(best.scores[-1], np.float32(-np.inf)) if len(best.rows) == k else -np.inf
        reached = centring.reached(float(score))
        least = float((reached if kept is None else reached[kept]).min())
        reaching = []
        for each in self._reaching(query, least, kept, found):
            bounds = centring.of(each.bounds, each.rows)
            reaching.append(Found(each.rows[bounds >= score], bounds[bounds >= score]))
        return self._best(query, k, reaching, centring)

    def _best(self, query: np.ndarray, k: int, found: Sequence["Found"], centring: Centring | None = None) -> Nearest:
        """The best of rows whose bounds are known."""
        bounds, rows = np.concatenate([f.bounds for f in found]), np.concatenate([f.rows for f in found])
        order = np.argsort(-bounds)
        bounds, rows = bounds[order], rows[order]
        error = 0.0 if centring else float_error(query)
        near = np.empty(0, np.float32)
        step = max(k, _AT_ONCE)
        reach = len(rows)
        while len(near) < reach:
            some = rows[len(near) : min(len(near) + step, reach)]
            near = np.concatenate([near, self._scored(query, some, centring) if centring else self._near(query, some)])
            reach = int(np.searchsorted(-bounds, error - _least(near, k), "right"))
            step *= 4
        rows = rows[: len(near)][near >= _least(near, k) - 2 * error]
        scores = self._scored(query, rows, centring)
        order = np.lexsort((self._ids[rows], -scores))[:k]
        return Nearest(scores[order], rows[order])

    def _scored(self, query: np.ndarray, rows: np.ndarray, centring: Centring | None) -> np.ndarray:
        """Scores of rows: float32 ``[N]``."""
        products = self.stored(rows).astype(np.float64) @ query.astype(np.float64)
        return (centring.of(products, rows) if centring else products).astype(np.float32)

    def _near(self, query: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Scores of rows, no further off than `float_error`: float32 ``[N]``."""
        if self._seals:
            self._seals.check(rows)  # those of all pieces together
        pieces = np.array_split(rows, min(_CORES * -(-len(rows) // _BLOCK), -(-len(rows) // 256)))
        return np.concatenate(list(_threads.map(lambda some: _scores(self._read(some), query), pieces)))


@dataclass(frozen=True)
class Found:
    """Rows and bounds of their scores; no other row of the part has a score above ``rest``."""

    rows: np.ndarray
    bounds: np.ndarray
    rest: float = -np.inf


class AnyPart(Protocol):
    """Rows that one thread goes through."""

    def top(self, query: np.ndarray, k: int, kept: np.ndarray | None) -> Found:
        """As `Part.top`."""

    def reaching(self, query: np.ndarray, least: float, kept: np.ndarray | None) -> Found:
        """As `Part.reaching`."""


@dataclass(frozen=True)
class Part:
    """Rows that follow each other: their codes, or the fp16 rows themselves where ``coarse`` is None."""

    first: int
    codes: np.ndarray
    coarse: Coarse | None

    def top(self, query: np.ndarray, k: int, kept: np.ndarray | None) -> Found:
        """The kept rows with the highest bounds, k at least if there are as many."""
        weights, factor, offset = self._weigh(query)
        count, parameters = len(self.codes), None
        if kept is not None:
            mask = kept[self.first : self.first + count]
            count = int(np.count_nonzero(mask))
            # Faiss passes over the others unread, so that a search takes no longer for what is in them: who may see
            # some cameras learns nothing of the rest, and a filter does not slow it down.
            bits = np.packbits(mask, bitorder="little")
            selector = faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg, arg-type]
            parameters = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
        if not count:
            return Found(np.empty(0, np.int64), np.empty(0))
        k = min(k, count)
        values, found = _view(self.codes, self._kind).search(weights[None], k, params=parameters)
        bounds = values[0] * factor + offset
        return Found(self.first + found[0], bounds, float(bounds[-1]) if k < count else -np.inf)

    def reaching(self, query: np.ndarray, least: float, kept: np.ndarray | None) -> Found:
        """All kept rows whose bound is ``least`` or more."""
        weights, factor, offset = self._weigh(query)
        decode = _KINDS(self.codes.shape[1], self._kind).decode
        blocks = [self.codes[i : i + _BLOCK] for i in range(0, len(self.codes), _BLOCK)]
        # Not by BLAS, which has threads of its own: those of several parts would wait for one another.
        products = [np.einsum("ij,j->i", decode(block.view(np.uint8)), weights) for block in blocks]
        bounds = np.concatenate(products) * factor + offset
        reached = bounds >= least
        if kept is not None:
            reached &= kept[self.first : self.first + len(reached)]
        return Found(self.first + np.flatnonzero(reached), bounds[reached])

    @property
    def _kind(self) -> int:
        return _KINDS.QT_8bit_direct_signed if self.coarse else _KINDS.QT_fp16

    def _weigh(self, query: np.ndarray) -> tuple[np.ndarray, float, float]:
        return self.coarse.weigh(query) if self.coarse else (query, 1.0, float_error(query))


def _parts(first: int, codes: np.ndarray, coarse: Coarse | None) -> Iterator[Part]:
    number = max(-(-len(codes) // _PART), _CORES if len(codes) > _SHORT else 1)
    borders = np.linspace(0, len(codes), number + 1).astype(int).tolist()
    for start, stop in pairwise(borders):
        yield Part(first + start, codes[start:stop], coarse)


def decoded(stored: np.ndarray) -> np.ndarray:
    """fp16 ``[N, D]`` as float32, many times faster than numpy does it."""
    rows: np.ndarray = _KINDS(stored.shape[1], _KINDS.QT_fp16).decode(stored.view(np.uint8))
    return rows


def _view(codes: np.ndarray, kind: int) -> faiss.IndexScalarQuantizer:
    """A Faiss index that reads rows where they lie; the array must outlive it."""
    index = faiss.IndexScalarQuantizer(codes.shape[1], kind, faiss.METRIC_INNER_PRODUCT)
    raw = codes.reshape(-1).view(np.uint8)
    owner = index.codes.owner  # type: ignore[attr-defined]
    index.codes = faiss.MaybeOwnedVectorUInt8.create_view(faiss.swig_ptr(raw), raw.size, owner)  # type: ignore[attr-defined]
    index.ntotal = len(codes)
    return index


def _scores(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Inner products as Faiss sums them, in the rows' order."""
    values, places = _view(vectors, _KINDS.QT_fp16).search(query[None], len(vectors))
    scores = np.empty(len(vectors), np.float32)
    scores[places[0]] = values[0]
    return scores


def float_error(query: np.ndarray) -> float:
    """More than a float32 sum of D products with a row about 1 long can be off."""
    return float(len(query) * 2.0**-23 * np.linalg.norm(query))


def _least(scores: np.ndarray, k: int) -> float:
    """The k-th best score, or −∞ where there are fewer."""
    return float(np.partition(scores, len(scores) - k)[len(scores) - k]) if len(scores) >= k else -np.inf
