"""Clustering of unlabelled images into pseudo-identities: one file each.

A recipe names one with its options, ``{dbscan: {eps: 0.6}}``. Its instance is called with features float32 [N, D], rows
of length one, a Tensor or an array, and gives labels int64 [N]: −1 is an outlier, and clusters are 0 … C − 1, the
largest first (`numbered`), so that the order of the files decides nothing but how ties fall.

    labels = check(cluster(features))
    log(describe(labels, pids))
"""

import numpy as np
from sklearn.metrics import adjusted_rand_score

from reidapp.errors import UserError

_GIANT = 0.9  # of the images that are learnt; what is left cannot tell people apart
_BETTER_MODEL = "or start from a model that tells people apart better"


def describe(labels: np.ndarray, truth: np.ndarray | None = None) -> dict[str, float]:
    """What to log of pseudo-labels.

    Args:
        labels: int64 ``[N]``, −1 for outliers.
        truth: int64 ``[N]`` where identities are known, −1 for images whose identity is not.

    Returns:
        ``clusters`` and ``outliers``, counts; ``largest``, the largest cluster's share of the clustered images; with
        the truth ``ari``, the adjusted Rand index (Hubert and Arabie 1985), each outlier being a cluster of its own.
    """
    sizes = np.bincount(labels[labels >= 0])
    result = {
        "clusters": float(np.count_nonzero(sizes)),
        "outliers": float((labels < 0).sum()),
        "largest": float(sizes.max() / sizes.sum()) if sizes.size else 0.0,
    }
    if truth is not None and (truth >= 0).any():
        alone = np.where(labels < 0, labels.max() + 1 + np.arange(len(labels)), labels)
        result["ari"] = float(adjusted_rand_score(truth[truth >= 0], alone[truth >= 0]))
    return result


def check(labels: np.ndarray, outliers_count: bool = False) -> np.ndarray:
    """The labels, if they can be learnt from.

    Args:
        outliers_count: each outlier is learnt as a class of its own, so that a cluster is told from them at least.

    Raises:
        UserError: no cluster, or one that holds nearly everything; the line says what to change.
    """
    found = describe(labels)
    if not found["clusters"]:
        raise UserError(
            f"clustering: no cluster found, all {len(labels)} images are outliers; raise eps, lower min_samples, "
            f"{_BETTER_MODEL}"
        )
    learnt, which = (len(labels), "images") if outliers_count else ((labels >= 0).sum(), "clustered images")
    share = np.bincount(labels[labels >= 0]).max() / learnt
    if share > _GIANT:
        raise UserError(
            f"clustering: one giant cluster holds {share:.0%} of the {which}; lower eps or k1, ask for more clusters, "
            f"{_BETTER_MODEL}"
        )
    return labels


def numbered(labels: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Clusters as 0 … C − 1, the largest first; of two as large, the one nearer to the mean of all features.

    Args:
        labels: int ``[N]``, negative for outliers.
        features: float ``[N, D]``.

    Returns:
        int64 ``[N]``, −1 for outliers.
    """
    result = np.full(len(labels), -1)
    inside = labels >= 0
    _, cluster, sizes = np.unique(labels[inside], return_inverse=True, return_counts=True)
    nearness = np.bincount(cluster, features[inside] @ features.mean(axis=0), len(sizes))
    rank = np.empty(len(sizes), np.int64)
    rank[np.lexsort((-nearness, -sizes))] = np.arange(len(sizes))
    result[inside] = rank[cluster]
    return result
