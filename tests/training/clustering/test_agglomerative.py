from collections.abc import Callable

import numpy as np
import pytest
import sklearn.cluster
from sklearn.metrics import adjusted_rand_score

from reidapp.errors import UserError
from training.clustering import _input
from training.clustering.agglomerative import Agglomerative
from training.clustering.dbscan import DBSCAN

People = Callable[..., tuple[np.ndarray, np.ndarray]]


def distances(x: np.ndarray, metric: str) -> np.ndarray:
    if metric == "cosine":
        return np.maximum(1 - x.astype(float) @ x.astype(float).T, 0)
    graph = DBSCAN(k1=10, k2=3).graph(x, 1 - 1e-12).tocoo()
    result = np.ones((len(x), len(x)))
    result[graph.coords] = graph.data
    return result


@pytest.mark.slow
@pytest.mark.parametrize("linkage", ["average", "single"])
@pytest.mark.parametrize("metric", ["jaccard", "cosine"])
def test_agrees_with_scikit_learn(people: People, metric: str, linkage: str) -> None:
    x, _ = people([1, 2, 5, 9, 14, 21, 600], noise=0.6)  # more than one block
    for option in ({"eps": 0.3}, {"clusters": 12}):
        reference = sklearn.cluster.AgglomerativeClustering(
            n_clusters=option.get("clusters"),
            distance_threshold=option.get("eps"),
            metric="precomputed",
            linkage=linkage,
        ).fit_predict(distances(x, metric))
        sizes = np.bincount(reference)[reference]
        labels = Agglomerative(**option, linkage=linkage, metric=metric, k1=10, k2=3)(x)  # type: ignore[arg-type]
        np.testing.assert_array_equal(labels < 0, sizes == 1)
        assert adjusted_rand_score(reference[sizes > 1], labels[sizes > 1]) == 1


def test_finds_people_in_any_order(people: People) -> None:
    x, pids = people([6, 10, 15, 25], noise=0.4)
    order = np.random.default_rng(1).permutation(len(x))
    labels = Agglomerative(clusters=4)(x)
    assert adjusted_rand_score(pids, labels) == 1
    np.testing.assert_array_equal(np.bincount(labels), [25, 15, 10, 6])
    np.testing.assert_array_equal(Agglomerative(clusters=4)(x[order]), labels[order])


def test_bad_input(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    x, _ = people([4, 4])
    for options in ({}, {"clusters": 3, "eps": 0.5}):
        with pytest.raises(UserError, match="either clusters or eps"):
            Agglomerative(**options)  # type: ignore[arg-type]
    with pytest.raises(UserError, match='unknown linkage "ward"; known: average, single'):
        Agglomerative(eps=0.5, linkage="ward")  # type: ignore[arg-type]
    with pytest.raises(UserError, match='unknown metric "l2"; known: jaccard, cosine'):
        Agglomerative(eps=0.5, metric="l2")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="8 images for 9 clusters; ask for fewer"):
        Agglomerative(clusters=9)(x)
    monkeypatch.setattr(_input, "available_memory", lambda: 500)
    with pytest.raises(UserError, match=r"8 images need .* GB are free; use dbscan"):
        Agglomerative(clusters=2)(x)
