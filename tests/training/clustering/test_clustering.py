"""What holds for every algorithm, the log line, and labels that cannot be learnt from."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from reidapp.errors import UserError
from reidapp.registry import build, find, names
from training.clustering import _input, check, describe, numbered

People = Callable[..., tuple[np.ndarray, np.ndarray]]
OPTIONS: dict[str, dict[str, Any]] = {"kmeans": {"clusters": 4}, "agglomerative": {"clusters": 4}}


@pytest.fixture(params=names("training.clustering"))
def cluster(request: pytest.FixtureRequest) -> Any:
    name = request.param
    return build(find("training.clustering", name), OPTIONS.get(name), f"clustering.{name}")


def test_labels_are_numbered_by_size(cluster: Any, people: People) -> None:
    x, _ = people([10, 14, 20, 30], noise=0.4)
    features = torch.from_numpy(x).requires_grad_()
    labels = cluster(features)
    assert labels.dtype == np.int64
    assert labels.shape == (74,)
    sizes = np.bincount(labels)
    assert len(sizes) == 4
    assert (np.diff(sizes) <= 0).all()
    np.testing.assert_array_equal(cluster(x), labels)


def test_features_that_cannot_be_clustered(cluster: Any, people: People) -> None:
    x, _ = people([5, 5])
    with pytest.raises(UserError, match="1 image;"):
        cluster(x[:1])
    with pytest.raises(UserError, match="features of all 10 images are equal"):
        cluster(np.repeat(x[:1], 10, axis=0))
    x[3, 2], x[7] = np.nan, np.inf
    with pytest.raises(UserError, match="features of 2 of 10 images are not finite"):
        cluster(torch.from_numpy(x))


def test_numbers_say_size_then_nearness_to_the_mean() -> None:
    x = np.array([[1.0, 0], [1, 0], [0, 1], [0, 1], [0.6, 0.8], [0.6, 0.8], [0.6, 0.8], [-1, 0]])
    labels = np.array([7, 7, 2, 2, 9, 9, 9, -1])
    assert numbered(labels, x).tolist() == [2, 2, 1, 1, 0, 0, 0, -1]  # the mean is (0.35, 0.55)
    assert numbered(np.full(8, -1), x).tolist() == [-1] * 8


def test_description() -> None:
    labels = np.array([0, 0, 0, 1, 1, -1, -1])
    assert describe(labels) == {"clusters": 2, "outliers": 2, "largest": 0.6}
    assert describe(labels, np.array([5, 5, 5, 8, 8, 3, -1]))["ari"] == 1  # the last one is left out
    assert describe(labels, np.array([5, 5, 5, 8, 8, 8, -1]))["ari"] == pytest.approx(
        ari([0, 0, 0, 1, 1, 2], [5] * 3 + [8] * 3)
    )
    assert "ari" not in describe(labels, np.full(7, -1))
    assert describe(np.full(3, -1)) == {"clusters": 0, "outliers": 3, "largest": 0}


def ari(one: list[int], other: list[int]) -> float:
    """Counted over pairs of images: agreement beyond chance."""
    pairs = [(i, j) for i in range(len(one)) for j in range(i)]
    both = sum(one[i] == one[j] and other[i] == other[j] for i, j in pairs)
    a, b = (sum(labels[i] == labels[j] for i, j in pairs) for labels in (one, other))
    expected = a * b / len(pairs)
    return (both - expected) / ((a + b) / 2 - expected)


def test_labels_that_cannot_be_learnt_from() -> None:
    good = np.array([0] * 8 + [1] * 2 + [-1] * 5)
    assert check(good) is good
    with pytest.raises(UserError, match="no cluster found, all 6 images are outliers; raise eps"):
        check(np.full(6, -1))
    with pytest.raises(UserError, match=r"one giant cluster holds 100% .* lower eps"):
        check(np.array([0, 0, 0, -1, -1]))
    with pytest.raises(UserError, match=r"one giant cluster holds 95% .* lower eps"):
        check(np.array([0] * 95 + [1] * 5))


def test_outliers_that_are_classes_can_be_told_from_one_cluster() -> None:
    one = np.array([0] * 9 + [-1])
    assert check(one, outliers_count=True) is one
    with pytest.raises(UserError, match="one giant cluster holds 95% of the images"):
        check(np.array([0] * 95 + [-1] * 5), outliers_count=True)
    with pytest.raises(UserError, match="one giant cluster holds 100% of the clustered images"):
        check(one)


def test_too_little_memory(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_input, "available_memory", lambda: 10_000)
    cluster = find("training.clustering", "dbscan")()
    with pytest.raises(UserError, match=r"10 images need .* lower k1"):
        cluster(people([5, 5])[0])
