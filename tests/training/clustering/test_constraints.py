"""Clusters agree with what is known of tracklets, whatever they were."""

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
    found = constrained(labels, features, tracklets, [], apart)
    clusters_of = {t: set(found[tracklets == t].tolist()) for t in np.unique(tracklets[tracklets >= 0])}
    assert all(len(clusters) == 1 for clusters in clusters_of.values())
    for one, other in apart:
        if one in clusters_of and other in clusters_of:
            assert clusters_of[one] == {-1} or clusters_of[one] != clusters_of[other]
    sizes = np.bincount(found[found >= 0])
    assert (sizes >= 2).all()
    assert (np.diff(sizes) <= 0).all()
    np.testing.assert_array_equal(constrained(found, features, tracklets, [], apart), found)  # nothing is left to do


@pytest.mark.parametrize("seed", range(20))
def test_no_group_is_split_and_none_stays_outside(seed: int) -> None:
    labels, features, tracklets, apart = drawn(seed)
    rng = np.random.default_rng(seed + 100)
    people = rng.permutation(36)  # some of whom have no crop
    together = [people[start : start + size].tolist() for start, size in ((0, 2), (2, 5), (7, 3))]
    group_of = {id_: group for group in together for id_ in group}
    apart = [(one, other) for one, other in apart if other not in group_of.get(one, ())]
    apart += [(together[0][0], together[1][0])]
    found = constrained(labels, features, tracklets, together, apart)

    def clusters_of(tracklet: int) -> set[int]:
        return set(found[np.isin(tracklets, group_of.get(tracklet, [tracklet]))].tolist())

    for group in together:
        assert len(clusters_of(group[0])) == 1
        assert clusters_of(group[0]) != {-1} or len(np.intersect1d(group, tracklets)) == 1
    for one, other in apart:
        assert clusters_of(one) != clusters_of(other) or clusters_of(one) <= {-1}
    np.testing.assert_array_equal(constrained(found, features, tracklets, together, apart), found)


def test_a_group_outside_of_all_clusters_becomes_one() -> None:
    features = unit(np.random.default_rng(0).normal(size=(8, 4)))
    labels, tracklets = np.array([0, 0, -1, -1, -1, -1, -1, -1]), np.array([0, 0, 1, 2, 3, 4, 5, 5])
    found = constrained(labels, features, tracklets, [[1, 2], [3, 4], [8, 9]], [(1, 3)])
    assert found[0] == found[1] != -1
    assert found[2] == found[3] != -1
    assert found[4] == found[5] != -1
    assert len({found[0], found[2], found[4]}) == 3
    assert found[6:].tolist() == [-1, -1]  # nobody has said that 5 and another are one
    none = np.full(8, -1)
    np.testing.assert_array_equal(constrained(none, features, tracklets, [[1, 2], [3, 4]], []), none)


def test_a_word_about_one_of_a_group_holds_for_all() -> None:
    """Tracklet 9, of which it was said, has no crop any more."""
    features = unit([[1, 0.0], [1, 0.1], [1, 0.2], [1, 0.3]])
    found = constrained(np.zeros(4, int), features, np.array([0, 1, 2, 2]), [[9, 0, 1]], [(2, 9)])
    assert found[0] == found[1] != found[2]
    assert found[2] == found[3]


def test_what_looks_alike_is_two_people_and_what_looks_unlike_is_one() -> None:
    """Two people in the same coat before two cameras: by looks a cluster for each camera, by words one for each."""
    gate, hall = [1, 0.05, 0.0], [0, 0.05, 1.0]
    features, tracklets = unit([gate, gate, gate, gate, hall, hall, hall, hall]), np.repeat(np.arange(4), 2)
    by_looks = np.repeat([0, 1], 4)
    found = constrained(by_looks, features, tracklets, [[0, 2], [1, 3]], [(0, 1)])
    assert found[0] == found[1] == found[4] == found[5] != found[2]
    assert found[2] == found[3] == found[6] == found[7]


@pytest.mark.parametrize("seed", range(5))
def test_permuting_the_crops_changes_nothing(seed: int) -> None:
    labels, features, tracklets, apart = drawn(seed)
    order = np.random.default_rng(seed).permutation(len(labels))
    found = constrained(labels[order], features[order], tracklets[order], [], apart)
    np.testing.assert_array_equal(found, constrained(labels, features, tracklets, [], apart)[order])


def test_labels_that_agree_stay() -> None:
    features = unit(np.random.default_rng(0).normal(size=(40, 8)))
    tracklets = np.repeat(np.arange(10), 4)
    labels = numbered(np.repeat([0, 1, 2, 1, -1], 8), features)
    np.testing.assert_array_equal(constrained(labels, features, tracklets, [], [(0, 2), (1, 5)]), labels)
    np.testing.assert_array_equal(constrained(labels, features, np.full(40, -1), [], [(0, 1)]), labels)


def test_outliers_alone_stay_outliers() -> None:
    features = unit(np.random.default_rng(0).normal(size=(4, 8)))
    assert constrained(np.full(4, -1), features, np.array([0, 0, 1, -1]), [], [(0, 1)]).tolist() == [-1] * 4


def test_a_tracklet_goes_where_most_of_it_is() -> None:
    features = unit(np.random.default_rng(0).normal(size=(9, 4)))
    labels, tracklets = np.array([0, 0, 0, 0, 1, -1, 1, 1, 1]), np.array([0, 0, 0, 1, 1, 1, 2, 2, 1])
    found = constrained(labels, features, tracklets, [], [])
    assert len({*found[tracklets == 1], *found[tracklets == 2]}) == 1
    assert found.min() == 0
    assert found[0] != found[3]


def test_a_split_follows_the_features() -> None:
    """Tracklets 0 and 1 are two people; 2 and 3 look like the one and the other."""
    features = unit([[1, 0.0], [1, 0.1], [0, 1], [0.1, 1], [1, 0.2], [1, 0.3], [0.3, 1], [0.2, 1]])
    found = constrained(np.zeros(8, int), features, np.repeat(np.arange(4), 2), [], [(0, 1)])
    assert found[0] == found[1] == found[4] == found[5] != found[2]
    assert found[2] == found[3] == found[6] == found[7]


def test_a_part_of_one_crop_is_an_outlier() -> None:
    features = unit([[1, 0.0], [1, 0.1], [0, 1]])
    assert constrained(np.zeros(3, int), features, np.array([0, 0, 1]), [], [(0, 1)]).tolist() == [0, 0, -1]
