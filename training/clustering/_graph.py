"""Which images are near each other, as sparse matrices; neighbours are sought on the GPU where there is one."""

import numpy as np
import torch
from scipy.sparse import csr_array

from reidapp import kreciprocal
from reidapp.errors import UserError
from training.clustering._input import need_memory

_VALUES = 1 << 27  # on the GPU at a time: 512 MB
_ROWS = 512  # cosines of so many images with all others at a time
_CROWD = 2000  # neighbours on average, beyond which a threshold separates nobody, and the graph would fill the memory
_BYTES_PER_NEIGHBOUR = 200  # that Jaccard distances take; benchmarks/clustering.py


def jaccard_graph(features: np.ndarray, farthest: float, k1: int, k2: int) -> csr_array:
    """k-reciprocal Jaccard distances up to ``farthest`` < 1, as Cluster-Contrast has them.

    Neighbours are k1 in all, each image itself among them; one fewer than in re-ranking's paper. Distances are squared
    Euclidean, and there is no λ; the equations are in `reidapp.kreciprocal`.

    Args:
        features: float32 ``[N, D]``, rows of length one.

    Returns:
        float64 ``[N, N]``, symmetric; zeros are stored too, and every row has its own.
    """
    need_memory(_BYTES_PER_NEIGHBOUR * k1 * len(features), len(features), "lower k1 or take fewer images")
    return jaccard_of_neighbours(features, nearest(features, k1), farthest, k1, k2)


def jaccard_of_neighbours(features: np.ndarray, indices: np.ndarray, farthest: float, k1: int, k2: int) -> csr_array:
    """The same from known neighbours, int ``[N, k1]``: what is left costs as N does."""
    order = kreciprocal.side_by_side(indices)
    place = np.argsort(order)
    indices = place[indices[order]]
    sets = kreciprocal.reciprocal_sets(indices, k1)
    weights = kreciprocal.expand(kreciprocal.encode(sets, pair_distances(features[order], sets)), indices, k2)
    return kreciprocal.jaccard_graph(weights, farthest)[place][:, place]


def cosine_graph(features: np.ndarray, farthest: float) -> csr_array:
    """1 − cosine of all pairs up to ``farthest``, in the same form.

    Raises:
        UserError: images have more than 2,000 neighbours on average.
    """
    count = len(features)
    blocks, pairs = [], 0
    for start in range(0, count, _ROWS):
        distances = np.maximum(1 - features[start : start + _ROWS] @ features[start:].T, 0)
        row, column = np.nonzero(np.triu(distances <= farthest, 1))
        blocks.append((start + row, start + column, distances[row, column]))
        pairs += len(row)
        if 2 * pairs > _CROWD * count:
            raise UserError(
                f"clustering: images have over {_CROWD:,} neighbours within cosine distance {farthest:g}; lower eps"
            )
    row, column, distance = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    return kreciprocal.symmetric_graph(row, column, distance, count)


def nearest(features: np.ndarray, k: int) -> np.ndarray:
    """The k nearest of each row, itself first: int32 ``[N, min(k, N)]``. On a GPU ties fall in any order."""
    if not (gpu := _gpu()):
        return kreciprocal.nearest(features, k)[0]
    everything = torch.from_numpy(features).to(gpu)
    count = len(features)
    indices = np.empty((count, min(k, count)), np.int32)
    rows = max(1, _VALUES // count)
    for start in range(0, count, rows):
        cosines = everything[start : start + rows] @ everything.T
        cosines.diagonal(start).fill_(torch.inf)
        indices[start : start + rows] = cosines.topk(indices.shape[1]).indices.cpu()
    return indices


def pair_distances(features: np.ndarray, pattern: csr_array) -> np.ndarray:
    """Squared Euclidean distances of the pairs in a pattern, in its order: float ``[entries]``."""
    if not (gpu := _gpu()):
        return kreciprocal.pair_distances(features, pattern)
    everything = torch.from_numpy(features).to(gpu)
    row, column = (torch.from_numpy(part).to(gpu) for part in pattern.tocoo().coords)
    pairs = max(1, _VALUES // features.shape[1])
    cosines = [
        (everything[some] * everything[others]).sum(dim=1)
        for some, others in zip(row.split(pairs), column.split(pairs), strict=True)
    ]
    return (2 - 2 * torch.cat(cosines)).clamp(min=0).cpu().numpy()


def _gpu() -> torch.device | None:
    return torch.device("cuda") if torch.cuda.is_available() else None
