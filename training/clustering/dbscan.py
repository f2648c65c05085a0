"""DBSCAN (Ester et al. 1996) on k-reciprocal Jaccard distance, as Cluster-Contrast has it (arXiv 2103.11568)."""

from typing import Literal

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from reidapp.errors import UserError
from reidapp.options import Count, Positive
from training.clustering import numbered
from training.clustering._graph import cosine_graph, jaccard_graph
from training.clustering._input import checked


class DBSCAN:
    """Clusters are where images lie dense; what lies alone is an outlier.

    A core image has min_samples within eps, itself included. Core images within eps of each other share a cluster, and
    an image within eps of a core image belongs to it; to the one whose core image comes first, as in scikit-learn,
    where it is near several clusters. Labels are scikit-learn's on the dense distances, but for their numbers.

    `graph` finds the distances and `density` clusters them, so that one graph up to the largest eps serves several:

        graph = cluster.graph(checked(features), 0.62)
        tight, normal, loose = (density(graph, eps, 4) for eps in (0.58, 0.6, 0.62))

    Args:
        eps: farthest distance of neighbours; Cluster-Contrast uses 0.6 for all data sets, below 1 for Jaccard.
        min_samples: neighbours of a core image, itself included; the paper uses 4.
        k1: nearest images that may be reciprocal neighbours, the image itself included; the paper uses 30.
        k2: nearest images that neighbour weights are averaged over; the paper uses 6.
        metric: ``jaccard``, or ``cosine`` for 1 − cosine, where k1 and k2 have no meaning.

    Memory: about 200 · k1 bytes per image with Jaccard, 32 per pair within eps with cosine; nothing is N × N.
    """

    def __init__(
        self,
        eps: Positive = 0.6,
        min_samples: Count = 4,
        k1: Count = 30,
        k2: Count = 6,
        metric: Literal["jaccard", "cosine"] = "jaccard",
    ) -> None:
        if metric not in ("jaccard", "cosine"):
            raise UserError(f'clustering dbscan: unknown metric "{metric}"; known: jaccard, cosine')
        if metric == "jaccard" and eps >= 1:
            raise UserError(f"clustering dbscan: eps {eps:g} makes everything a neighbour; Jaccard needs one below 1")
        self.eps, self.min_samples, self.k1, self.k2, self.metric = eps, min_samples, k1, k2, metric

    def __call__(self, features: Tensor | np.ndarray) -> np.ndarray:
        x = checked(features)
        return numbered(density(self.graph(x, self.eps), self.eps, self.min_samples), x)

    def graph(self, features: np.ndarray, farthest: float) -> csr_array:
        """Distances up to ``farthest``: float64 ``[N, N]``, sparse and symmetric."""
        if self.metric == "cosine":
            return cosine_graph(features, farthest)
        return jaccard_graph(features, farthest, self.k1, self.k2)


def density(graph: csr_array, eps: float, min_samples: int) -> np.ndarray:
    """DBSCAN of distances that are known up to eps.

    Args:
        graph: ``[N, N]``, symmetric; zeros stored, and one for every row itself. What is not stored is farther.

    Returns:
        labels int64 ``[N]``, −1 for outliers; clusters in the order of their first core image.
    """
    count = graph.shape[0]
    near = graph.data <= eps
    row, column = np.repeat(np.arange(count), np.diff(graph.indptr))[near], graph.indices[near]
    core = np.bincount(row, minlength=count) >= min_samples
    row, column = row[core[column]], column[core[column]]
    inner = core[row]
    links = csr_array((np.ones(inner.sum(), np.int8), (row[inner], column[inner])), (count, count))
    _, component = connected_components(links, directed=False)
    _, first, cluster = np.unique(component[core], return_index=True, return_inverse=True)
    none = count
    labels = np.full(count, none)
    labels[core] = np.argsort(np.argsort(first))[cluster]
    np.minimum.at(labels, row[~inner], labels[column[~inner]])
    labels[labels == none] = -1
    return labels
