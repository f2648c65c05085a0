import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.cluster
import torch
from scipy.sparse import csr_array
from sklearn.metrics import adjusted_rand_score

from reidapp.errors import UserError
from training.clustering import _graph
from training.clustering.dbscan import DBSCAN, density

People = Callable[..., tuple[np.ndarray, np.ndarray]]


@pytest.fixture
def cases(shared: Path) -> dict[str, Any]:
    return json.loads((shared / "reference" / "method_cases.json").read_text())


def slow_jaccard(x: np.ndarray, k1: int, k2: int) -> np.ndarray:
    """Cluster-Contrast's distance with sets and loops, dense; neighbours k1 in all, equally near ones by index."""
    x = x.astype(float)
    count = len(x)
    distances = np.array([[max(2 - 2 * float(a @ b), 0) for b in x] for a in x])
    order = [sorted(range(count), key=lambda j: (j != i, round(distances[i, j], 6), j))[:k1] for i in range(count)]

    def reciprocal(i: int, k: int) -> set[int]:
        return {j for j in order[i][: k + 1] if i in order[j][: k + 1]}

    weights = np.zeros((count, count))
    for i in range(count):
        found = own = reciprocal(i, k1)
        for candidate in own:
            more = reciprocal(candidate, int(np.around(k1 / 2)))
            if len(more & own) > 2 / 3 * len(more):
                found = found | more
        for j in found:
            weights[i, j] = np.exp(-distances[i, j])
        weights[i] /= weights[i].sum()
    weights = np.array([weights[order[i][:k2]].mean(axis=0) for i in range(count)])
    overlap = np.array([[np.minimum(a, b).sum() for b in weights] for a in weights])
    return np.maximum(1 - overlap / (2 - overlap), 0)


def same_partition(one: np.ndarray, other: np.ndarray) -> bool:
    """Equal outliers, and equal clusters whatever their numbers."""
    pairs = set(zip(one.tolist(), other.tolist(), strict=True))
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) and ((one < 0) == (other < 0)).all()


def sklearn_labels(distances: np.ndarray, eps: float, min_samples: int) -> np.ndarray:
    return sklearn.cluster.DBSCAN(eps=eps, min_samples=min_samples, metric="precomputed").fit_predict(distances)


def test_fixed_case_on_a_line(cases: dict[str, Any]) -> None:
    case = cases["dbscan"]["inputs"]
    points = np.array(case["points_1d"])
    graph = dense_graph(np.abs(points[:, None] - points))
    labels = density(graph, case["eps"], case["min_samples"])
    np.testing.assert_array_equal(labels, cases["dbscan"]["expected"]["labels"])


def test_fixed_case_on_jaccard_distance(cases: dict[str, Any]) -> None:
    x = np.array(cases["k_reciprocal"]["inputs"]["x"])
    expected = np.array(cases["k_reciprocal"]["expected"]["dbscan_on_jaccard(eps0.6,min2)"])
    assert same_partition(DBSCAN(eps=0.6, min_samples=2, k1=4, k2=2)(x), expected)


def dense_graph(distances: np.ndarray) -> csr_array:
    """All distances, zeros stored."""
    return csr_array((distances.ravel(), np.indices(distances.shape).reshape(2, -1)), distances.shape)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("k1", "k2"), [(30, 6), (8, 3), (5, 1), (200, 9)])
def test_agrees_with_loops_and_scikit_learn(people: People, seed: int, k1: int, k2: int) -> None:
    x, _ = people([1, 2, 3, 5, 8, 12, 20, 9], noise=0.3 + 0.3 * seed, seed=seed)
    distances = slow_jaccard(x, k1, k2)
    for eps in (0.3, 0.6, 0.9):
        cluster = DBSCAN(eps=eps, k1=k1, k2=k2)
        graph = cluster.graph(x, eps)
        stored = np.full(distances.shape, np.inf)
        stored[graph.tocoo().coords] = graph.data
        np.testing.assert_allclose(stored, np.where(distances <= eps, distances, np.inf), atol=1e-6)
        assert same_partition(cluster(x), sklearn_labels(distances, eps, 4))


def test_border_images_go_where_scikit_learn_puts_them() -> None:
    rng = np.random.default_rng(0)
    contested = 0
    for _ in range(200):
        points = rng.uniform(0, 4, 40)
        distances = np.abs(points[:, None] - points)
        expected = sklearn_labels(distances, 0.2, 5)
        np.testing.assert_array_equal(density(dense_graph(distances), 0.2, 5), expected)
        core = (distances <= 0.2).sum(axis=1) >= 5
        contested += sum(len(set(expected[core & (row <= 0.2)])) > 1 for row in distances[~core])
    assert contested > 10


def test_one_graph_serves_several_eps(people: People) -> None:
    x, _ = people([4, 6, 9, 14, 20, 30], noise=1.0)
    cluster = DBSCAN()
    graph = cluster.graph(x, 0.62)
    clusters = set()
    for eps in (0.35, 0.5, 0.62):
        expected = DBSCAN(eps=eps)(x)
        assert same_partition(density(graph, eps, 4), expected)
        clusters.add(tuple(expected))
    assert len(clusters) == 3


def test_order_of_files_decides_nothing(people: People) -> None:
    x, _ = people([3, 6, 9, 9, 9, 14, 20, 30], noise=0.6)
    order = np.random.default_rng(1).permutation(len(x))
    labels = DBSCAN()(x)
    assert labels.max() > 3
    np.testing.assert_array_equal(DBSCAN()(x[order]), labels[order])


def test_duplicates_share_a_cluster(people: People) -> None:
    x, pids = people([2] * 6)
    labels = DBSCAN()(np.repeat(x, 12, axis=0))
    assert adjusted_rand_score(np.repeat(pids, 12), labels) == 1
    x[:] = np.repeat(x[:2], 6, axis=0)
    assert sorted(DBSCAN()(x)) == [0] * 6 + [1] * 6


def test_finds_people(people: People) -> None:
    x, pids = people([8, 10, 12, 20, 30], noise=0.4)
    assert adjusted_rand_score(pids, DBSCAN()(torch.from_numpy(x))) == 1
    assert adjusted_rand_score(pids, DBSCAN(eps=0.3, metric="cosine")(x)) == 1


def test_fewer_images_than_neighbours(people: People) -> None:
    x, _ = people([3, 3], noise=0.1)
    assert same_partition(DBSCAN()(x), sklearn_labels(slow_jaccard(x, 30, 6), 0.6, 4))
    assert DBSCAN()(x[:2]).tolist() == [-1, -1]


@pytest.mark.parametrize("eps", [0.1, 0.3, 0.7])
def test_cosine_agrees_with_scikit_learn(people: People, eps: float) -> None:
    x, _ = people([1, 5, 9, 700], noise=0.8)  # more than one block
    expected = sklearn.cluster.DBSCAN(eps=eps, min_samples=4, metric="cosine").fit_predict(x.astype(float))
    assert same_partition(DBSCAN(eps=eps, metric="cosine")(x), expected)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_the_way_of_the_gpu_finds_the_same_graph(people: People, monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    x, _ = people([1, 2, 30, 50, 400], noise=0.8, dim=64)
    monkeypatch.setattr(_graph, "_gpu", lambda: None)
    expected = DBSCAN().graph(x, 0.6)
    monkeypatch.setattr(_graph, "_gpu", lambda: torch.device(device))
    monkeypatch.setattr(_graph, "_VALUES", 10_000)  # several blocks
    found = DBSCAN().graph(x, 0.6)
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_allclose(found.data, expected.data, atol=1e-5)


def test_options_that_cannot_work(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="eps 1 makes everything a neighbour"):
        DBSCAN(eps=1.0)
    with pytest.raises(UserError, match='unknown metric "euclidean"'):
        DBSCAN(metric="euclidean")  # type: ignore[arg-type]
    monkeypatch.setattr(_graph, "_CROWD", 20)
    with pytest.raises(UserError, match="images have over 20 neighbours within cosine distance 1; lower eps"):
        DBSCAN(eps=1.0, metric="cosine")(people([60])[0])
