import math

import pytest
import torch
from torch import Tensor

from reidapp.errors import UserError
from tests.training.losses.paired import LABELS, F
from training.losses.triplet_all import TripletAllLoss


@pytest.mark.parametrize(("reduction", "expected"), [("mean", 0.313439534846), ("nonzero", 0.501503255754)])
def test_fixed_case(reduction: str, expected: float) -> None:
    loss = TripletAllLoss(0.3, reduction=reduction)(torch.tensor(F, dtype=torch.float64), LABELS)
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def slow(features: Tensor, labels: list[int], margin: float | str, reduction: str) -> float:
    losses = []
    for a, anchor in enumerate(labels):
        for p, partner in enumerate(labels):
            for n, stranger in enumerate(labels):
                if a != p and partner == anchor != stranger:
                    gap = ((features[a] - features[p]).norm() - (features[a] - features[n]).norm()).item()
                    losses.append(math.log1p(math.exp(gap)) if margin == "soft" else max(0.0, gap + float(margin)))
    count = sum(loss > 0 for loss in losses) if reduction == "nonzero" else len(losses)
    return sum(losses) / max(count, 1)


@pytest.mark.parametrize("reduction", ["mean", "nonzero"])
@pytest.mark.parametrize("margin", [0.3, "soft"])
@pytest.mark.parametrize("labels", [[0, 0, 0, 1, 2, 2, 3], [4, 4, 4, 4], [0, 1, 2, 3], [5]])
def test_agrees_with_a_triple_loop_for_any_counts(labels: list[int], margin: float | str, reduction: str) -> None:
    features = torch.randn(len(labels), 6, dtype=torch.float64)
    loss = TripletAllLoss(margin, reduction=reduction)(features, torch.tensor(labels))
    assert loss.item() == pytest.approx(slow(features, labels, margin, reduction), abs=1e-6)


def test_easy_triplets_do_not_wash_out_the_hard_one() -> None:
    labels = torch.arange(8) // 2
    features = 10.0 * torch.eye(4, dtype=torch.float64)[labels]
    features[0] = features[2]  # one image sits among strangers
    mean, nonzero = (TripletAllLoss(0.3, reduction=r)(features, labels).item() for r in ("mean", "nonzero"))
    assert nonzero > 3 * mean


@pytest.mark.parametrize("reduction", ["mean", "nonzero"])
def test_gradient_is_finite_for_duplicates_and_without_violations(reduction: str) -> None:
    for features in (torch.ones(6, 3), 100.0 * torch.eye(3)[LABELS]):
        features.requires_grad_()
        TripletAllLoss(reduction=reduction)(features, LABELS).backward()
        assert features.grad is not None
        assert features.grad.isfinite().all()


@pytest.mark.parametrize("normalise", [False, True])
def test_numeric_gradient(normalise: bool) -> None:
    features = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f: TripletAllLoss("soft", normalise)(f, LABELS), features)


def test_unknown_reduction_is_refused() -> None:
    with pytest.raises(UserError, match='unknown reduction "sum"; known: nonzero, mean'):
        TripletAllLoss(reduction="sum")
