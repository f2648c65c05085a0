import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from training.losses.triplet_semi_hard import TripletSemiHardLoss


def slow(features: Tensor, labels: list[int], margin: float | str) -> float:
    losses = []
    for a, anchor in enumerate(labels):
        squared = [(features[a] - other).square().sum().item() for other in features]
        strangers = [d for d, label in zip(squared, labels, strict=True) if label != anchor]
        for p, partner in enumerate(labels):
            if strangers and a != p and partner == anchor:
                farther = [d for d in strangers if d > squared[p]]
                gap = squared[p] - (min(farther) if farther else max(strangers))
                losses.append(math.log1p(math.exp(gap)) if margin == "soft" else max(0.0, gap + float(margin)))
    return sum(losses) / max(len(losses), 1)


@pytest.mark.parametrize("margin", [0.2, "soft"])
@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("labels", [[0, 0, 0, 1, 2, 2, 3], [4, 4, 4, 4], [0, 1, 2, 3], [5]])
def test_agrees_with_a_double_loop_for_any_counts(labels: list[int], normalise: bool, margin: float | str) -> None:
    features = torch.randn(len(labels), 6, dtype=torch.float64)
    loss = TripletSemiHardLoss(margin, normalise)(features, torch.tensor(labels))
    expected = slow(F.normalize(features) if normalise else features, labels, margin)
    assert loss.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("strangers", "expected"),
    [
        ((-1.05, -1.08, -0.5, -3.0), 1 - 1.05**2 + 0.2),  # the nearest of those that are farther than the partner
        ((-0.3, -0.6, -0.1), 1 - 0.6**2 + 0.2),  # none is: the farthest
        ((-0.5, -3.0), 0.0),  # that one is beyond the margin, and the harder one at 0.5 is left alone
    ],
)
def test_which_stranger_is_taken(strangers: tuple[float, ...], expected: float) -> None:
    """The image at 0 has its partner at 1 and strangers on the other side, all of them far from the partner."""
    places = torch.tensor([[0.0], [1.0], *([s] for s in strangers)], dtype=torch.float64)
    labels = torch.tensor([0, 0, *range(1, len(strangers) + 1)])
    assert TripletSemiHardLoss(0.2, normalise=False)(places, labels).item() == pytest.approx(expected / 2, abs=1e-9)


def test_gradient_moves_only_the_triplet() -> None:
    places = torch.tensor([[0.0], [1.0], [-1.05], [-0.5]], dtype=torch.float64, requires_grad=True)
    TripletSemiHardLoss(0.2, normalise=False)(places, torch.tensor([0, 0, 1, 2])).backward()
    assert places.grad is not None
    assert places.grad[:, 0].tolist() == pytest.approx([-1 - 1.05, 1.0, 1.05, 0.0])


def test_gradient_is_finite_for_duplicates() -> None:
    features = torch.ones(4, 3, requires_grad=True)
    TripletSemiHardLoss()(features, torch.tensor([0, 0, 1, 1])).backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()


def test_numeric_gradient() -> None:
    features = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    assert torch.autograd.gradcheck(lambda f: TripletSemiHardLoss("soft")(f, labels), features)
