import math

import pytest
import torch
from torch import Tensor

from reidapp.errors import UserError
from tests.training.losses.paired import LABELS, F
from training.losses.triplet import TripletLoss

GRADIENT = [
    [-0.158660789673, 0.565841968947, -0.330589656261],
    [-0.082665698731, -0.323997155438, 0.381163350549],
    [-0.106600358152, -0.106600358152, 0.071066905472],
    [0.182849643371, -0.020481783769, -0.14731619058],
    [-0.012615169298, -0.037845508005, -0.051241572652],
    [0.177692372594, -0.076917163527, 0.076917163583],
]


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (TripletLoss(0.3), 0.505834714405),
        (TripletLoss("soft"), 0.823299510715),
        (TripletLoss(0.3, normalise=True), 0.797248849947),
    ],
)
def test_fixed_case(loss: TripletLoss, expected: float) -> None:
    assert loss(torch.tensor(F, dtype=torch.float64), LABELS).item() == pytest.approx(expected, abs=1e-6)


def test_fixed_gradient() -> None:
    features = torch.tensor(F, dtype=torch.float64, requires_grad=True)
    TripletLoss(0.3)(features, LABELS).backward()
    torch.testing.assert_close(features.grad, torch.tensor(GRADIENT, dtype=torch.float64), atol=1e-6, rtol=0)


def slow(features: Tensor, labels: Tensor, margin: float | str) -> float:
    total = 0.0
    for a, anchor in enumerate(labels.tolist()):
        distances = [(features[a] - other).norm().item() for other in features]
        same = [d for d, label in zip(distances, labels.tolist(), strict=True) if label == anchor]
        others = [d for d, label in zip(distances, labels.tolist(), strict=True) if label != anchor]
        if others:
            gap = max(same) - min(others)
            total += math.log1p(math.exp(gap)) if margin == "soft" else max(0.0, gap + float(margin))
    return total / len(labels)


@pytest.mark.parametrize("margin", [0.3, "soft"])
@pytest.mark.parametrize("labels", [[0, 0, 0, 1, 2, 2, 3], [4, 4, 4, 4], [0, 1, 2, 3], [5]])
def test_agrees_with_a_double_loop_for_any_counts(labels: list[int], margin: float | str) -> None:
    features = torch.randn(len(labels), 6, dtype=torch.float64)
    loss = TripletLoss(margin)(features, torch.tensor(labels))
    assert loss.item() == pytest.approx(slow(features, torch.tensor(labels), margin), abs=1e-6)


@pytest.mark.parametrize("margin", [0.3, "soft"])
def test_gradient_is_finite_for_one_identity_and_for_duplicates(margin: float | str) -> None:
    for features, labels in ((torch.randn(4, 3), [0, 0, 0, 0]), (torch.ones(4, 3), [0, 0, 1, 1])):
        features.requires_grad_()
        TripletLoss(margin)(features, torch.tensor(labels)).backward()
        assert features.grad is not None
        assert features.grad.isfinite().all()


def test_numeric_gradient() -> None:
    features = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f: TripletLoss("soft")(f, LABELS), features)


def test_collapse_is_seen() -> None:
    same_for_all = torch.ones(8, 16) + 1e-4 * torch.randn(8, 16)
    labels = torch.arange(8) // 2
    assert "has collapsed (all features nearly equal)" in (TripletLoss().diagnose(same_for_all, labels) or "")
    assert TripletLoss().diagnose(torch.randn(8, 16), labels) is None


def test_shrinking_is_seen() -> None:
    """All distances far below the margin, though the features differ as much as ever among each other."""
    features, labels = torch.randn(8, 16), torch.arange(8) // 2
    for margin in (0.3, "soft"):
        assert "shrunk" in (TripletLoss(margin).diagnose(1e-3 * features, labels) or "")
    assert TripletLoss(1e-3).diagnose(1e-3 * features, labels) is None


def test_unknown_margin_is_refused() -> None:
    with pytest.raises(UserError, match='the margin is a number or "soft", not "hard"'):
        TripletLoss("hard")
