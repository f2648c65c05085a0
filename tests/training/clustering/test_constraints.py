"""Clusters agree with what tracking knows, whatever they were."""

import numpy as np
import pytest

from training.clustering import numbered
from training.clustering._constraints import constrained


def unit(rows: object) -> np.ndarray:
    x = np.asarray(rows, np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[tuple[int, int]]]:
    """Random clusters of random tracklets, some crops of none, and many pairs that are apart."""
    rng = np.random.default_rng(seed)
    features, labels = unit(rng.normal(size=(120, 8))), rng.integers(-1, 5, 120)
    tracklets = rng.integers(-1, 30, 120)
    pairs = {(int(min(p)), int(max(p))) for p in rng.integers(0, 40, (rng.integers(1, 150), 2)) if p[0] != p[1]}
    return labels, features, tracklets, sorted(pairs)


@pytest.mark.parametrize("seed", range(20))
def test_no_tracklet_is_split_and_no_cluster_holds_a_pair(seed: int) -> None:
    labels, features, tracklets, apart = drawn(seed)
    found = constrained(labels, features, tracklets, apart)
    clusters_of = {t: set(found[tracklets == t].tolist()) for t in np.unique(tracklets[tracklets >= 0])}
    assert all(len(clusters) == 1 for clusters in clusters_of.values())
    for one, other in apart:
        if one in clusters_of and other in clusters_of:
            assert clusters_of[one] == {-1} or clusters_of[one] != clusters_of[other]
    sizes = np.bincount(found[found >= 0])
    assert (sizes >= 2).all()
    assert (np.diff(sizes) <= 0).all()
    np.testing.assert_array_equal(constrained(found, features, tracklets, apart), found)  # nothing is left to do


@pytest.mark.parametrize("seed", range(5))
def test_permuting_the_crops_changes_nothing(seed: int) -> None:
    labels, features, tracklets, apart = drawn(seed)
    order = np.random.default_rng(seed).permutation(len(labels))
    found = constrained(labels[order], features[order], tracklets[order], apart)
    np.testing.assert_array_equal(found, constrained(labels, features, tracklets, apart)[order])


def test_labels_that_agree_stay() -> None:
    features = unit(np.random.default_rng(0).normal(size=(40, 8)))
    tracklets = np.repeat(np.arange(10), 4)
    labels = numbered(np.repeat([0, 1, 2, 1, -1], 8), features)
    np.testing.assert_array_equal(constrained(labels, features, tracklets, [(0, 2), (1, 5)]), labels)
    np.testing.assert_array_equal(constrained(labels, features, np.full(40, -1), [(0, 1)]), labels)


def test_outliers_alone_stay_outliers() -> None:
    features = unit(np.random.default_rng(0).normal(size=(4, 8)))
    assert constrained(np.full(4, -1), features, np.array([0, 0, 1, -1]), [(0, 1)]).tolist() == [-1] * 4


def test_a_tracklet_goes_where_most_of_it_is() -> None:
    features = unit(np.random.default_rng(0).normal(size=(9, 4)))
    labels, tracklets = np.array([0, 0, 0, 0, 1, -1, 1, 1, 1]), np.array([0, 0, 0, 1, 1, 1, 2, 2, 1])
    found = constrained(labels, features, tracklets, [])
    assert len({*found[tracklets == 1], *found[tracklets == 2]}) == 1
    assert found.min() == 0
    assert found[0] != found[3]


def test_a_split_follows_the_features() -> None:
    """Tracklets 0 and 1 are two people; 2 and 3 look like the one and the other."""
    features = unit([[1, 0.0], [1, 0.1], [0, 1], [0.1, 1], [1, 0.2], [1, 0.3], [0.3, 1], [0.2, 1]])
    found = constrained(np.zeros(8, int), features, np.repeat(np.arange(4), 2), [(0, 1)])
    assert found[0] == found[1] == found[4] == found[5] != found[2]
    assert found[2] == found[3] == found[6] == found[7]


def test_a_part_of_one_crop_is_an_outlier() -> None:
    features = unit([[1, 0.0], [1, 0.1], [0, 1]])
    assert constrained(np.zeros(3, int), features, np.array([0, 0, 1]), [(0, 1)]).tolist() == [0, 0, -1]
