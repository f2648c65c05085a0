"""k-reciprocal neighbours, sparse: re-ranking (Zhong et al. 2017, arXiv 1701.08398), and distances to cluster by.

An image is described by its k-reciprocal neighbours: those it has among its k nearest and that have it among theirs.
Two images of one person share most of them, so the overlap of two such sets tells more than the distance alone.

    N(i, k)   the k + 1 nearest of i, itself first
    R(i, k) = { j ∈ N(i, k) : i ∈ N(j, k) }
    R*(i)   = R(i, k1) ∪ { R(c, k1/2) : c ∈ R(i, k1), |R(c, k1/2) ∩ R(i, k1)| > ⅔ |R(c, k1/2)| }        (eq. 4)
    V_ij    = exp(−d_ij) / Σ_l exp(−d_il) for j in R*(i), else 0; then the mean of V over the k2 nearest  (eq. 7, 11)
    t_ij    = Σ_l min(V_il, V_jl),  J_ij = 1 − t_ij / (2 − t_ij)                                         (eq. 10)
    d*_ij   = (1 − λ) J_ij + λ d_ij                                                                     (eq. 12)

V has some 50 to 150 entries in a row of N, so nothing here is N × N. The steps are functions of their own: clustering
finds neighbours on a GPU and needs no λ. Cosines come from embeddings whose rows have length one.
"""

from collections import deque
from typing import Literal

import numpy as np
from scipy.sparse import csc_array, csr_array
from scipy.sparse.csgraph import connected_components

_TILE = 2048  # rows and columns of cosines at a time: 16 MB
_PAIRS = 64  # rows at a time where each of its pairs takes 24 bytes
_CLOSE = 4  # neighbours, the image itself included, that tell in which order to go through the images
_ROWS = 512  # at a time, where only partners take memory
_LEFT_OUT = 0.35  # of the overlap that pairs must have, so much of each of the two rows may be left out at first
_ITSELF = 2.0  # in place of a row's cosine with itself: more than any
_ROUNDING = 16  # cosines closer than so many units in the last place may be in either order: these are made again


class Reranking:
    """Distances of queries to a gallery after k-reciprocal re-ranking, some rows at a time.

    As the authors' code has it, neighbours are sought among queries and gallery together, and d is the squared
    Euclidean distance divided by the largest of its row.

    Args:
        query, gallery: float ``[Q, D]`` and ``[G, D]``, rows of length one.
        k1: neighbours that may be reciprocal; the paper uses 20.
        k2: neighbours that V is averaged over; the paper uses 6, and 1 leaves V as it is.
        lambda_value: λ, the weight of the distance itself; the paper uses 0.3.
    """

    def __init__(
        self, query: np.ndarray, gallery: np.ndarray, k1: int = 20, k2: int = 6, lambda_value: float = 0.3
    ) -> None:
        everything = np.concatenate([query, gallery])
        indices, self._farthest = nearest(everything, max(k1 + 1, k2))
        sets = reciprocal_sets(indices, k1)
        distances = pair_distances(everything, sets) / np.repeat(self._farthest, np.diff(sets.indptr))
        weights = expand(encode(sets, distances), indices, k2)
        self._of_query = weights[: len(query)]
        self._of_gallery = weights[len(query) :].tocsc()
        self._query, self._gallery, self._lambda = query, gallery, lambda_value
        self._options = f"k1 {k1}, k2 {k2}, λ {lambda_value:g}"

    def __str__(self) -> str:
        return f"k-reciprocal re-ranking ({self._options})"

    def distances(self, rows: slice | np.ndarray) -> np.ndarray:
        """d* of some queries to the whole gallery: float ``[rows, G]``."""
        distances = np.maximum(2 - 2 * (self._query[rows] @ self._gallery.T), 0)
        distances /= self._farthest[: len(self._query)][rows, None]
        overlap = overlaps(self._of_query[rows], self._of_gallery)
        return (1 - self._lambda) * jaccard(overlap) + self._lambda * distances


def nearest(embeddings: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of each row, itself first, then by distance and by index, as float64 has them.

    Cosines are symmetric: a tile of them serves its rows and its columns, and those below the diagonal are never made.
    What float32 cannot tell apart is computed again in float64: one neighbour more or less changes whole sets.

    Args:
        embeddings: float ``[N, D]``, rows of length one.

    Returns:
        indices int32 ``[N, min(k, N)]``; the squared Euclidean distance to the farthest of all, float ``[N]``.
    """
    count = len(embeddings)
    k = min(k, count)
    indices, lowest = np.empty((count, k), np.int32), np.empty(count, embeddings.dtype)
    starts = range(0, count, _TILE)
    waiting = deque(_Candidates(slice(start, min(start + _TILE, count)), k, embeddings) for start in starts)
    while waiting:
        mine = waiting.popleft()
        rows = embeddings[mine.rows]
        cosines = rows @ rows.T
        np.fill_diagonal(cosines, _ITSELF)
        mine.add(cosines, mine.rows)
        for other in waiting:
            cosines = rows @ embeddings[other.rows].T
            mine.add(cosines, other.rows)
            other.add(cosines.T, mine.rows)
        indices[mine.rows], lowest[mine.rows] = mine.nearest(), mine.lowest
    return indices, np.maximum(2 - 2 * lowest, np.finfo(lowest.dtype).tiny)


class _Candidates:
    """What may be among the k nearest of some rows, while the columns go by in tiles.

    The k-th largest of some hundred column groups' maxima is a bound below which nothing can be among the k nearest. It
    rises as columns go by, and hardly more than k candidates remain to be sorted in the end.
    """

    def __init__(self, rows: slice, k: int, embeddings: np.ndarray) -> None:
        count, groups = rows.stop - rows.start, max(128, 4 * k)
        self.rows = rows
        self.lowest = np.full(count, np.inf, embeddings.dtype)
        self._k = k
        self._embeddings = embeddings
        self._rounding = _ROUNDING * np.finfo(embeddings.dtype).eps
        self._largest = np.full((count, groups), -np.inf, embeddings.dtype)
        self._found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def add(self, cosines: np.ndarray, columns: slice) -> None:
        """Cosines ``[rows, columns]``, contiguous by rows or by columns."""
        count, groups = self._largest.shape
        whole = cosines.shape[1] // groups * groups
        if whole:
            in_groups = cosines[:, :whole].reshape(count, -1, groups)
            np.maximum(self._largest, in_groups.max(axis=1), out=self._largest)
        rest = self._largest[:, : cosines.shape[1] - whole]
        np.maximum(rest, cosines[:, whole:], out=rest)
        np.minimum(self.lowest, cosines.min(axis=1), out=self.lowest)
        self._bound = np.partition(self._largest, groups - self._k, axis=1)[:, groups - self._k] - self._rounding
        order: Literal["C", "F"] = "C" if cosines.flags.c_contiguous else "F"  # of memory: a copy would cost more
        above = np.flatnonzero((cosines >= self._bound[:, None]).ravel(order))
        row, column = np.unravel_index(above, cosines.shape, order)
        self._found.append((row.astype(np.int32), (columns.start + column).astype(np.int32), cosines[row, column]))

    def nearest(self) -> np.ndarray:
        """Indices of columns, ``[rows, k]``."""
        row, column, cosine = (np.concatenate(parts) for parts in zip(*self._found, strict=True))
        still = cosine >= self._bound[row]
        row, column, cosine = row[still], column[still], cosine[still].astype(np.float64)
        order = np.lexsort((column, -cosine, row))
        row, column, cosine = row[order], column[order], cosine[order]
        unsure = np.flatnonzero((row[1:] == row[:-1]) & (cosine[:-1] - cosine[1:] < self._rounding))
        unsure = np.union1d(unsure, unsure + 1)
        for part in np.split(unsure, range(_TILE, len(unsure), _TILE)):
            one, other = self._embeddings[self.rows][row[part]], self._embeddings[column[part]]
            cosine[part] = np.einsum("ij,ij->i", one, other, dtype=np.float64)
        order = np.lexsort((column, -cosine, row))
        first = np.searchsorted(row, np.arange(len(self._largest)))
        return column[order][first[:, None] + np.arange(self._k)]


def reciprocal_sets(indices: np.ndarray, k1: int) -> csr_array:
    """R* of each row, as a pattern of ones.

    Args:
        indices: int ``[N, ≥ k1]``, neighbours in order, each row's own index first. With k1 + 1 columns this is the
            paper's; Cluster-Contrast and its relatives look at k1 columns only.
        k1: neighbours that may be reciprocal.

    Returns:
        int32 ``[N, N]``; every row holds itself.
    """
    reciprocal = _mutual(indices[:, : k1 + 1])
    half = _mutual(indices[:, : round(k1 / 2) + 1])  # halves go to the even number, as in the authors' code
    size = np.diff(half.indptr)
    common = (reciprocal @ half).multiply(reciprocal).tocsr()
    common.data = (3 * common.data > 2 * size[common.indices]).astype(np.int32)
    common.eliminate_zeros()
    sets = (reciprocal + common @ half).tocsr()
    sets.sort_indices()
    sets.data[:] = 1
    return sets


def pair_distances(embeddings: np.ndarray, pattern: csr_array) -> np.ndarray:
    """Squared Euclidean distances of the pairs in a pattern, in its order: float ``[entries]``."""
    cosines = np.empty(pattern.nnz, embeddings.dtype)
    for row, (start, stop) in enumerate(zip(pattern.indptr[:-1], pattern.indptr[1:], strict=True)):
        cosines[start:stop] = embeddings[pattern.indices[start:stop]] @ embeddings[row]
    return np.maximum(2 - 2 * cosines, 0)


def encode(sets: csr_array, distances: np.ndarray) -> csr_array:
    """V: the softmax of −d over each row of R*.

    Args:
        sets: ``[N, N]`` of `reciprocal_sets`.
        distances: float ``[entries]``, of the pairs in ``sets``.
    """
    weights = np.exp(-distances)
    weights /= np.repeat(np.add.reduceat(weights, sets.indptr[:-1]), np.diff(sets.indptr))
    return csr_array((weights, sets.indices, sets.indptr), sets.shape)


def expand(weights: csr_array, indices: np.ndarray, k2: int) -> csr_array:
    """Query expansion: the mean of V over the k2 nearest of each row, itself included."""
    if k2 == 1:
        return weights
    return (_neighbourhood(indices[:, :k2], weights.dtype) @ weights / min(k2, indices.shape[1])).tocsr()


def overlaps(some: csr_array, all_: csc_array) -> np.ndarray:
    """t of some rows of V with all of them.

    Args:
        some: ``[R, N]``, rows of V.
        all_: ``[M, N]``, V by columns.

    Returns:
        float64 ``[R, M]``.
    """
    count = all_.shape[0]
    result = np.empty((some.shape[0], count))
    for start in range(0, some.shape[0], _PAIRS):
        part = some[start : start + _PAIRS]
        row, column, smaller = _meetings(part, all_)
        met = np.bincount(row * count + column, smaller, part.shape[0] * count)
        result[start : start + _PAIRS] = met.reshape(part.shape[0], count)
    return result


def jaccard(overlap: np.ndarray) -> np.ndarray:
    """J from t; rows of V sum to one, so t lies in [0, 1]. What rounding puts below zero is zero."""
    return np.maximum(1 - overlap / (2 - overlap), 0)


def side_by_side(indices: np.ndarray) -> np.ndarray:
    """An order of the images in which those of one person mostly are neighbours: int ``[N]``.

    What is done with a row touches the rows of its neighbours. In this order they are in the processor's cache.

    Args:
        indices: int ``[N, k]``, neighbours in order, each row's own index first.
    """
    _, person = connected_components(_mutual(indices[:, :_CLOSE]), directed=False)
    return np.argsort(person, kind="stable")


def jaccard_graph(weights: csr_array, farthest: float) -> csr_array:
    """J of all pairs at most ``farthest`` < 1 apart.

    Only pairs that share an entry of V are looked at, and each once: the cost grows as their number does. Most entries
    are small, and what they add to t is bounded by their sum. So pairs are sought by the large entries alone, and t is
    computed of those pairs that may still be near enough.

    Args:
        weights: ``[N, N]``, V; fastest in the order of `side_by_side`.

    Returns:
        float64 ``[N, N]``, symmetric; zeros are stored too, and every row has its own.
    """
    least = 2 * (1 - farthest) / (2 - farthest) * (1 - 1e-6)  # of t; rounding is left to J itself
    row, column = _pairs_that_share(_largest(weights, 1 - _LEFT_OUT * least), least - 2 * _LEFT_OUT * least)
    distance = np.empty(len(row))
    for start in range(0, len(row), _TILE):
        part = slice(start, start + _TILE)
        distance[part] = jaccard(weights[row[part]].minimum(weights[column[part]]).sum(axis=1, dtype=np.float64))
    kept = distance <= farthest
    return symmetric_graph(row[kept], column[kept], distance[kept], weights.shape[0])


def _largest(weights: csr_array, share: float) -> csr_array:
    """Of each row, which sums to one, its largest entries, which sum to at least ``share``."""
    row = np.repeat(np.arange(weights.shape[0]), np.diff(weights.indptr))
    order = np.argsort(row - 0.5 * weights.data)  # row by row, the largest first
    before = np.cumsum(weights.data[order], dtype=np.float64) - weights.data[order]
    before -= before[weights.indptr[:-1]][row]  # sums within the row
    kept = np.sort(order[before < share])
    starts = np.searchsorted(kept, weights.indptr)
    return csr_array((weights.data[kept], weights.indices[kept], starts), weights.shape)


def _pairs_that_share(weights: csr_array, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of rows whose t may be ``least`` or more, each once: the lower indices, the higher ones.

    min(a, b) ≤ √(ab): a product of sparse matrices, which is compiled, bounds t from above, and not by far.
    """
    roots = csr_array((np.sqrt(weights.data), weights.indices, weights.indptr), weights.shape)
    by_column = roots.T.tocsr()
    pairs = []
    for start in range(0, weights.shape[0], _ROWS):
        bound = roots[start : start + _ROWS] @ by_column
        near = np.flatnonzero(bound.data >= least)
        row, column = start + np.searchsorted(bound.indptr, near, side="right") - 1, bound.indices[near]
        once = row < column
        pairs.append((row[once], column[once]))
    row, column = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    return row, column


def symmetric_graph(row: np.ndarray, column: np.ndarray, distance: np.ndarray, count: int) -> csr_array:
    """A matrix ``[N, N]`` of pairs that are given once, their mirror images, and a stored zero for every row."""
    own = np.arange(count)
    entries = np.concatenate([distance, distance, np.zeros(count)])
    places = np.concatenate([row, column, own]), np.concatenate([column, row, own])
    return csr_array((entries, places), (count, count))


def _meetings(some: csr_array, all_: csc_array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each entry (i, l) of some rows meets those of column l: i, the other row, the smaller."""
    begin = all_.indptr[some.indices]
    length = all_.indptr[some.indices + 1] - begin
    at = np.arange(length.sum()) + np.repeat(begin - np.cumsum(length) + length, length)  # side by side in a column
    row = np.repeat(np.arange(some.shape[0]), np.diff(some.indptr))
    return np.repeat(row, length), all_.indices[at], np.minimum(np.repeat(some.data, length), all_.data[at])


def _mutual(indices: np.ndarray) -> csr_array:
    near = _neighbourhood(indices, np.int32)
    return near.multiply(near.T.tocsr()).tocsr()


def _neighbourhood(indices: np.ndarray, dtype: type | np.dtype) -> csr_array:
    """Neighbour lists ``[N, k]`` as a matrix ``[N, N]`` of ones."""
    count, k = indices.shape
    matrix = csr_array((np.ones(indices.size, dtype), indices.flatten(), k * np.arange(count + 1)), (count, count))
    matrix.sort_indices()  # in place: the lists were copied
    return matrix
