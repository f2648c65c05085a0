from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from reidapp.errors import UserError
from training.clustering.kmeans import KMeans

People = Callable[..., tuple[np.ndarray, np.ndarray]]


def test_finds_people_and_leaves_nobody_out(people: People) -> None:
    x, pids = people([40, 20, 10], noise=0.2)
    labels = KMeans(clusters=3)(x)
    assert adjusted_rand_score(pids, labels) == 1
    np.testing.assert_array_equal(np.bincount(labels), [40, 20, 10])  # the largest first
    assert labels.dtype == np.int64


def test_everybody_is_in_the_cluster_whose_centre_is_nearest(people: People) -> None:
    x, _ = people([30] * 8, noise=1.0)
    labels = KMeans(clusters=5, iterations=100)(x)
    centres = np.array([x[labels == c].mean(axis=0) for c in range(5)])
    nearest = [min(range(5), key=lambda c: ((row - centres[c]) ** 2).sum()) for row in x]
    np.testing.assert_array_equal(labels, nearest)


def test_same_seed_same_clusters_in_any_order(people: People) -> None:
    x, _ = people([30] * 8, noise=1.0)
    order = np.random.default_rng(1).permutation(len(x))
    labels = KMeans(clusters=6)(x)
    np.testing.assert_array_equal(KMeans(clusters=6)(x), labels)
    np.testing.assert_array_equal(KMeans(clusters=6)(x[order]), labels[order])
    assert any((KMeans(clusters=6, seed=seed)(x) != labels).any() for seed in (1, 2, 3))


def test_more_clusters_than_there_are_images(people: People) -> None:
    x, _ = people([4, 4])
    assert sorted(KMeans(clusters=8)(x)) == list(range(8))
    assert KMeans(clusters=6)(np.repeat(x[:2], 4, axis=0)).max() == 1
    with pytest.raises(UserError, match="8 images for 9 clusters; ask for fewer"):
        KMeans(clusters=9)(x)
