import pytest
import torch
from torch import Tensor

from reidapp.errors import UserError
from training.losses.verification_contrastive import VerificationContrastiveLoss

F = [[0.1, 0.2], [0.4, -0.1], [0.3, 0.5], [-0.2, 0.9]]
LABELS = torch.tensor([0, 0, 1, 1])
GRADIENT_OF_SUM = [
    [-0.142750563814, 1.401912518961],
    [0.536961620279, -0.22176972192],
    [0.575518065593, -1.909510748965],
    [-0.96972912228, 0.729367951979],
]
POSITIVE, NEGATIVE = [0.18, 0.41], [0.193111795926, 0.001476303062, 0.036757995152, 0.0]


@pytest.mark.parametrize(
    ("reduction", "expected"),
    [("sum", 0.82134609414), ("mean", 0.13689101569), ("balanced", sum(POSITIVE) / 4 + sum(NEGATIVE) / 8)],
)
def test_fixed_case(reduction: str, expected: float) -> None:
    loss = VerificationContrastiveLoss(0.8, normalise=False, reduction=reduction)
    assert loss(torch.tensor(F, dtype=torch.float64), LABELS).item() == pytest.approx(expected, abs=1e-9)


def test_fixed_gradient() -> None:
    features = torch.tensor(F, dtype=torch.float64, requires_grad=True)
    VerificationContrastiveLoss(0.8, normalise=False, reduction="sum")(features, LABELS).backward()
    torch.testing.assert_close(features.grad, torch.tensor(GRADIENT_OF_SUM, dtype=torch.float64), atol=1e-6, rtol=0)


def slow(features: Tensor, labels: list[int], margin: float, reduction: str) -> float:
    positive, negative = [], []
    for i in range(len(labels)):
        for j in range(i + 1, len(labels)):
            d = (features[i] - features[j]).norm().item()
            if labels[i] == labels[j]:
                positive.append(d**2)
            else:
                negative.append(max(0.0, margin - d) ** 2)
    every = positive + negative
    return {
        "sum": sum(every),
        "mean": sum(every) / max(len(every), 1),
        "balanced": (sum(positive) / max(len(positive), 1) + sum(negative) / max(len(negative), 1)) / 2,
    }[reduction]


@pytest.mark.parametrize("reduction", ["sum", "mean", "balanced"])
@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("labels", [[0, 0, 0, 1, 2, 2, 3], [4, 4, 4, 4], [0, 1, 2, 3], [5]])
def test_agrees_with_a_double_loop_for_any_counts(labels: list[int], normalise: bool, reduction: str) -> None:
    features = torch.randn(len(labels), 6, dtype=torch.float64)
    loss = VerificationContrastiveLoss(1.5, normalise, reduction)(features, torch.tensor(labels))
    seen = features / features.norm(dim=1, keepdim=True) if normalise else features
    assert loss.item() == pytest.approx(slow(seen, labels, 1.5, reduction), abs=1e-6)


def test_partners_in_one_place_and_strangers_beyond_the_margin_are_well() -> None:
    assert VerificationContrastiveLoss()(torch.eye(2)[LABELS], LABELS) == 0


@pytest.mark.parametrize("normalise", [True, False])
def test_gradient_is_finite_for_duplicates(normalise: bool) -> None:
    features = torch.ones(4, 3, requires_grad=True)
    VerificationContrastiveLoss(normalise=normalise)(features, LABELS).backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()


@pytest.mark.parametrize("reduction", ["sum", "mean", "balanced"])
def test_numeric_gradient(reduction: str) -> None:
    features = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda f: VerificationContrastiveLoss(1.9, reduction=reduction)(f, LABELS), features
    )


def test_bad_options_are_refused() -> None:
    with pytest.raises(UserError, match=r"margin 2\.0 must be between 0 and 2, for the features have length one"):
        VerificationContrastiveLoss(2.0)
    with pytest.raises(UserError, match="margin 0 must be above 0"):
        VerificationContrastiveLoss(0, normalise=False)
    with pytest.raises(UserError, match='unknown reduction "max"; known: mean, sum, balanced'):
        VerificationContrastiveLoss(reduction="max")
    VerificationContrastiveLoss(5.0, normalise=False)
