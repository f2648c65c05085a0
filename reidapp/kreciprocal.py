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

from collections.abc import Iterator

import numpy as np
from scipy.sparse import csc_array, csr_array

_BLOCK = 256  # rows × everything at a time; for 20,000 images 20 MB
_PAIRS = 64  # rows at a time where each of its pairs takes 24 bytes


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
    """The k nearest of each row, itself first, then by distance and by index.

    No partition of whole rows: the k-th largest of some hundred column groups' maxima is a bound below which nothing
    can be among the k nearest, and hardly more than k candidates remain to be sorted.

    Args:
        embeddings: float ``[N, D]``, rows of length one.

    Returns:
        indices int32 ``[N, min(k, N)]``; the squared Euclidean distance to the farthest of all, float ``[N]``.
    """
    count = len(embeddings)
    k = min(k, count)
    groups = min(count, max(128, 4 * k))
    in_groups = count // groups * groups
    indices, farthest = np.empty((count, k), np.int32), np.empty(count, embeddings.dtype)
    for start in range(0, count, _BLOCK):
        cosines = embeddings[start : start + _BLOCK] @ embeddings.T
        rows = np.arange(len(cosines))
        farthest[start + rows] = 2 - 2 * cosines.min(axis=1)
        cosines[rows, start + rows] = np.inf
        largest = cosines[:, :in_groups].reshape(len(rows), -1, groups).max(axis=1)
        bound = np.partition(largest, groups - k, axis=1)[:, groups - k, None]
        row, column = np.divmod(np.flatnonzero(cosines >= bound), count)
        order = np.lexsort((column, -cosines[row, column], row))
        first = np.searchsorted(row, rows)  # the order leaves the rows where they were
        indices[start + rows] = column[order][first[:, None] + np.arange(k)]
    return indices, np.maximum(farthest, np.finfo(farthest.dtype).tiny)


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
        first = all_.indptr[part.indices]
        length = all_.indptr[part.indices + 1] - first
        # Each entry (i, l) of the part meets all entries of column l, which lie side by side.
        at = np.arange(length.sum()) + np.repeat(first - np.cumsum(length) + length, length)
        smaller = np.minimum(np.repeat(part.data, length), all_.data[at])
        row = np.repeat(np.arange(part.shape[0]), np.diff(part.indptr))
        cell = np.repeat(row * count, length) + all_.indices[at]
        result[start : start + _PAIRS] = np.bincount(cell, smaller, part.shape[0] * count).reshape(-1, count)
    return result


def jaccard(overlap: np.ndarray) -> np.ndarray:
    """J from t; rows of V sum to one, so t lies in [0, 1]. What rounding puts below zero is zero."""
    return np.maximum(1 - overlap / (2 - overlap), 0)


def jaccard_blocks(weights: csr_array, farthest: float) -> Iterator[csr_array]:
    """J of all pairs at most ``farthest`` < 1 apart, some rows at a time; a row's own zero is among them."""
    by_column = weights.tocsc()
    least = 2 * (1 - farthest) / (2 - farthest)
    for start in range(0, weights.shape[0], _PAIRS):
        overlap = overlaps(weights[start : start + _PAIRS], by_column)
        row, column = np.nonzero(overlap >= least)
        yield csr_array((jaccard(overlap[row, column]), (row, column)), overlap.shape)


def _mutual(indices: np.ndarray) -> csr_array:
    near = _neighbourhood(indices, np.int32)
    return near.multiply(near.T.tocsr()).tocsr()


def _neighbourhood(indices: np.ndarray, dtype: type | np.dtype) -> csr_array:
    """Neighbour lists ``[N, k]`` as a matrix ``[N, N]`` of ones."""
    count, k = indices.shape
    matrix = csr_array((np.ones(indices.size, dtype), indices.flatten(), k * np.arange(count + 1)), (count, count))
    matrix.sort_indices()  # in place: the lists were copied
    return matrix
