import math

import pytest
import torch
from torch import Tensor

from tests.training.losses.paired import LABELS, F
from training.losses.triplet_weighted import TripletWeightedLoss


def test_fixed_case() -> None:
    loss = TripletWeightedLoss()(torch.tensor(F, dtype=torch.float64), LABELS)
    assert loss.item() == pytest.approx(0.59629172211, abs=1e-6)


def weighted(distances: list[float], sign: int) -> float:
    weights = [math.exp(sign * d) for d in distances]
    return sum(w * d for w, d in zip(weights, distances, strict=True)) / sum(weights)


def slow(features: Tensor, labels: list[int]) -> float:
    total = 0.0
    for a, anchor in enumerate(labels):
        distances = [(features[a] - other).norm().item() for other in features]
        same = [d for d, label in zip(distances, labels, strict=True) if label == anchor]
        others = [d for d, label in zip(distances, labels, strict=True) if label != anchor]
        if others:
            total += math.log1p(math.exp(weighted(same, 1) - weighted(others, -1)))
    return total / len(labels)


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("labels", [[0, 0, 0, 1, 2, 2, 3], [4, 4, 4, 4], [0, 1, 2, 3], [5]])
def test_agrees_with_a_double_loop_for_any_counts(labels: list[int], normalise: bool) -> None:
    features = torch.randn(len(labels), 6, dtype=torch.float64)
    loss = TripletWeightedLoss(normalise)(features, torch.tensor(labels))
    expected = slow(features / features.norm(dim=1, keepdim=True) if normalise else features, labels)
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_gradient_is_finite_for_one_identity_duplicates_and_far_apart() -> None:
    cases = ((torch.randn(4, 3), [0, 0, 0, 0]), (torch.ones(4, 3), [0, 0, 1, 1]), (1e4 * torch.eye(4), [0, 0, 1, 1]))
    for features, labels in cases:
        features.requires_grad_()
        value = TripletWeightedLoss()(features, torch.tensor(labels))
        value.backward()
        assert value.isfinite()
        assert features.grad is not None
        assert features.grad.isfinite().all()


def test_numeric_gradient() -> None:
    features = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f: TripletWeightedLoss()(f, LABELS), features)


def test_collapse_is_seen() -> None:
    assert "collapsed" in (TripletWeightedLoss().diagnose(torch.ones(6, 16), LABELS) or "")
