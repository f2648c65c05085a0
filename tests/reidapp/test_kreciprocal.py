import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reidapp.kreciprocal import (
    Reranking,
    encode,
    expand,
    jaccard,
    jaccard_graph,
    nearest,
    overlaps,
    pair_distances,
    reciprocal_sets,
)


@pytest.fixture
def case(shared: Path) -> dict[str, Any]:
    return json.loads((shared / "reference" / "method_cases.json").read_text())["k_reciprocal"]


@pytest.mark.parametrize(("k2", "name"), [(2, "rerank_zhong"), (1, "rerank_zhong_k2_1")])
def test_fixed_case_of_reranking(case: dict[str, Any], k2: int, name: str) -> None:
    x = np.array(case["inputs"]["x"])
    found = Reranking(x[:3], x[3:], k1=4, k2=k2, lambda_value=0.3).distances(slice(None))
    np.testing.assert_allclose(found, case["expected"][name], atol=1e-10)


def test_fixed_case_of_clustering(case: dict[str, Any]) -> None:
    weights = clustering_weights(np.array(case["inputs"]["x"]), k1=4, k2=2)
    np.testing.assert_allclose(weights.toarray()[0], case["expected"]["V_row0_spcl"], atol=1e-10)
    found = jaccard(overlaps(weights, weights.tocsc()))
    np.testing.assert_allclose(found, case["expected"]["jaccard_spcl"], atol=1e-10)


def clustering_weights(x: np.ndarray, k1: int, k2: int):  # type: ignore[no-untyped-def]
    indices, _ = nearest(x, k1)  # k1 columns, as in Cluster-Contrast
    sets = reciprocal_sets(indices, k1)
    return expand(encode(sets, pair_distances(x, sets)), indices, k2)


def slow(query: np.ndarray, gallery: np.ndarray, k1: int, k2: int, lambda_value: float) -> np.ndarray:
    """The paper's equations with sets and loops over everything."""
    x = np.concatenate([query, gallery])
    distances = np.array([[((a - b) ** 2).sum() for b in x] for a in x])
    distances /= distances.max(axis=1, keepdims=True)
    ranking = np.array([sorted(range(len(x)), key=lambda j: (j != i, distances[i, j], j)) for i in range(len(x))])

    def reciprocal(i: int, k: int) -> set[int]:
        return {j for j in ranking[i, : k + 1] if i in ranking[j, : k + 1]}

    weights = np.zeros((len(x), len(x)))
    for i in range(len(x)):
        found = own = reciprocal(i, k1)
        for candidate in own:
            more = reciprocal(candidate, int(np.around(k1 / 2)))
            if 3 * len(more & own) > 2 * len(more):
                found = found | more
        for j in found:
            weights[i, j] = np.exp(-distances[i, j])
        weights[i] /= weights[i].sum()
    weights = np.array([weights[ranking[i, :k2]].mean(axis=0) for i in range(len(x))])
    overlap = np.array([[np.minimum(a, b).sum() for b in weights] for a in weights])
    final = (1 - lambda_value) * (1 - overlap / (2 - overlap)) + lambda_value * distances
    return final[: len(query), len(query) :]


@pytest.mark.slow
@pytest.mark.parametrize(("k1", "k2"), [(20, 6), (7, 3), (5, 1), (3, 9), (90, 6)])
def test_agrees_with_loops(k1: int, k2: int) -> None:
    rng = np.random.default_rng(k1)
    x = people(rng, [1, 2, 30, 5, 9, 14, 9], 8)
    query, gallery = x[::6], np.delete(x, np.s_[::6], axis=0)
    found = Reranking(query, gallery, k1=k1, k2=k2, lambda_value=0.2)
    expected = slow(query, gallery, k1, k2, 0.2)
    np.testing.assert_allclose(found.distances(slice(None)), expected, atol=1e-12)
    np.testing.assert_allclose(found.distances(slice(2, 5)), expected[2:5], atol=1e-12)
    np.testing.assert_allclose(found.distances(np.array([7, 0])), expected[[7, 0]], atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("tile", [2048, 256, 149, 599])
def test_nearest_are_those_of_a_full_sort(monkeypatch: pytest.MonkeyPatch, tile: int) -> None:
    rng = np.random.default_rng(0)
    x = people(rng, [40] * 15, 12)  # the images of a person lie side by side
    monkeypatch.setattr("reidapp.kreciprocal._TILE", tile)
    for k in (1, 6, 50, 600):
        indices, farthest = nearest(x, k)
        distances = ((x[:, None] - x) ** 2).sum(axis=2)
        np.fill_diagonal(distances, -1)
        np.testing.assert_array_equal(indices, np.argsort(distances, axis=1, kind="stable")[:, :k])
        np.testing.assert_allclose(farthest, distances.max(axis=1), atol=1e-12)


def test_what_float32_cannot_tell_apart_is_as_float64_has_it() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(96) + 1e-3 * rng.standard_normal((300, 96))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    exact = x.astype(np.float64) @ x.astype(np.float64).T
    np.fill_diagonal(exact, np.inf)
    by_float32 = np.argsort(-(x @ x.T), axis=1, kind="stable")[:, :10]
    expected = np.argsort(-exact, axis=1, kind="stable")[:, :10]
    assert (by_float32 != expected).mean() > 0.05
    assert (nearest(x, 10)[0] == expected).all()


def test_each_is_its_own_nearest_among_duplicates() -> None:
    x = np.repeat(people(np.random.default_rng(0), [3, 3], 4), 30, axis=0)
    indices, _ = nearest(x, 8)
    np.testing.assert_array_equal(indices[:, 0], np.arange(len(x)))
    assert [len(set(row)) for row in indices] == [8] * len(x)
    sets = reciprocal_sets(indices, 7)
    assert (sets.diagonal() == 1).all()
    assert np.isfinite(Reranking(x[:10], x[10:]).distances(slice(None))).all()


def test_weights_are_distributions_and_jaccard_a_symmetric_distance() -> None:
    weights = clustering_weights(people(np.random.default_rng(0), [1, 4, 12, 12], 6), k1=6, k2=3)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    distances = jaccard(overlaps(weights, weights.tocsc()))
    np.testing.assert_allclose(distances, distances.T, atol=1e-12)
    np.testing.assert_allclose(np.diagonal(distances), 0, atol=1e-12)
    assert distances.min() >= 0
    assert distances.max() == 1


@pytest.mark.parametrize("farthest", [0.3, 0.6, 0.95])
def test_graph_holds_all_pairs_that_are_near_enough(farthest: float) -> None:
    x = people(np.random.default_rng(0), [40] * 5, 6)
    x[50:60] = x[50]  # distances of zero that are not a row's own
    weights = clustering_weights(x, k1=20, k2=4)
    expected = jaccard(overlaps(weights, weights.tocsc()))
    graph = jaccard_graph(weights, farthest)
    assert (graph != graph.T).nnz == 0
    assert (graph.diagonal() == 0).all()
    stored = np.full(expected.shape, np.inf)
    stored[graph.tocoo().coords] = graph.data
    np.testing.assert_allclose(stored, np.where(expected <= farthest, expected, np.inf), atol=1e-12)
    assert np.isinf(stored).any()


def test_one_person_alone() -> None:
    x = people(np.random.default_rng(0), [3], 4)
    assert Reranking(x[:1], x[1:]).distances(slice(None)).shape == (1, 2)
    same = np.ones((6, 4)) / 2
    np.testing.assert_allclose(Reranking(same[:2], same[2:]).distances(slice(None)), 0, atol=1e-12)


def people(rng: np.random.Generator, counts: list[int], dim: int) -> np.ndarray:
    """Unit rows scattered about a centre per person."""
    centres = np.repeat(rng.normal(size=(len(counts), dim)), counts, axis=0)
    x = centres + 0.7 * rng.normal(size=centres.shape)
    return x / np.linalg.norm(x, axis=1, keepdims=True)
