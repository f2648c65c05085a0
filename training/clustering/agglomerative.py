"""Agglomerative clustering: the two nearest clusters are merged, again and again (average linkage: Sokal 1958)."""

from typing import Literal

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from torch import Tensor

from reidapp.errors import UserError
from reidapp.options import Count, Positive
from training.clustering import numbered
from training.clustering._graph import jaccard_graph
from training.clustering._input import checked, need_memory

_BELOW_ONE = float(np.nextafter(1, 0))
_ROWS = 512  # cosines of so many images with all others at a time


class Agglomerative:
    """Merges clusters until there are few enough, or until the nearest two are farther apart than eps.

    average: D(A, B) = mean of d(a, b) over a ∈ A, b ∈ B;   single: D(A, B) = min of d(a, b)

    An image that is merged with no other is an outlier. Average linkage makes compact clusters; single linkage follows
    chains, and one image between two people joins them.

    It needs every distance: 8 N² bytes, 0.8 GB for 10,000 images and 3.2 GB for 20,000, and time that grows as N²; for
    more images take DBSCAN.

    Args:
        clusters: how many to leave, those of a single image included; either this or eps.
        eps: farthest distance of clusters that are merged.
        linkage: ``average`` or ``single``.
        metric: ``jaccard``, on k-reciprocal neighbours as for DBSCAN, or ``cosine`` for 1 − cosine.
        k1, k2: of the Jaccard distance; Cluster-Contrast uses 30 and 6.

    Raises:
        UserError: both of clusters and eps, or neither; fewer images than clusters; too little memory.
    """

    def __init__(
        self,
        clusters: Count | None = None,
        eps: Positive | None = None,
        linkage: Literal["average", "single"] = "average",
        metric: Literal["jaccard", "cosine"] = "jaccard",
        k1: Count = 30,
        k2: Count = 6,
    ) -> None:
        if (clusters is None) == (eps is None):
            raise UserError("clustering agglomerative: give either clusters or eps")
        if linkage not in ("average", "single"):
            raise UserError(f'clustering agglomerative: unknown linkage "{linkage}"; known: average, single')
        if metric not in ("jaccard", "cosine"):
            raise UserError(f'clustering agglomerative: unknown metric "{metric}"; known: jaccard, cosine')
        self.clusters, self.eps, self.linkage, self.metric, self.k1, self.k2 = clusters, eps, linkage, metric, k1, k2

    def __call__(self, features: Tensor | np.ndarray) -> np.ndarray:
        x = checked(features)
        if self.clusters and len(x) < self.clusters:
            raise UserError(f"clustering agglomerative: {len(x)} images for {self.clusters} clusters; ask for fewer")
        need_memory(8 * len(x) ** 2, len(x), "use dbscan, which needs far less")
        merges = linkage(self._distances(x), self.linkage)
        criterion = ("maxclust", self.clusters) if self.clusters else ("distance", self.eps)
        labels = fcluster(merges, criterion[1], criterion[0])
        return numbered(np.where(np.bincount(labels)[labels] > 1, labels, -1), x)

    def _distances(self, x: np.ndarray) -> np.ndarray:
        """Of all pairs i < j, row by row: float64 ``[N(N − 1)/2]``."""
        count = len(x)
        before = np.arange(count) * (2 * count - np.arange(count) - 3) // 2 - 1  # of pair (i, j), with j on top
        if self.metric == "jaccard":
            near = jaccard_graph(x, _BELOW_ONE, self.k1, self.k2).tocoo()
            row, column = near.coords
            upper = row < column
            distances = np.ones(count * (count - 1) // 2)  # images that share no neighbour are 1 apart
            distances[before[row[upper]] + column[upper]] = near.data[upper]
            return distances
        distances = np.empty(count * (count - 1) // 2)
        for start in range(0, count, _ROWS):
            for i, cosines in enumerate(x[start : start + _ROWS] @ x.T, start):
                distances[before[i] + i + 1 : before[i] + count] = 1 - cosines[i + 1 :]
        return np.maximum(distances, 0, out=distances)
