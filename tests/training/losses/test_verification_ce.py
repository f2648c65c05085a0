import pytest
import torch
from torch import Tensor

from reidapp.errors import UserError
from training.losses.verification_ce import VerificationCELoss

F = [[0.1, 0.2], [0.4, -0.1], [0.3, 0.5], [-0.2, 0.9]]
LABELS = torch.tensor([0, 0, 1, 1])
W, B = [[1.5, 0.7], [-2.0, -1.0]], [-0.2, 0.3]
POSITIVE = [0.677275175099, 1.068085318698]
NEGATIVE = [0.801993770097, 0.420741765567, 0.622345877032, 0.08198078313]
GRADIENT_OF_MEAN = [
    [-0.163705636103, 0.313637684823],
    [0.063049465482, 0.118489860201],
    [0.30821636271, -0.400062735217],
    [-0.2075601922, -0.032064809807],
]


def verification(weight: list[list[float]] | Tensor, bias: list[float] | Tensor, reduction: str) -> VerificationCELoss:
    weight, bias = torch.as_tensor(weight, dtype=torch.float64), torch.as_tensor(bias, dtype=torch.float64)
    loss = VerificationCELoss(weight.shape[1], reduction).double()
    loss.classifier.weight.data, loss.classifier.bias.data = weight, bias
    return loss


@pytest.mark.parametrize(
    ("reduction", "expected"),
    [("sum", 3.672422689623), ("mean", 0.612070448271), ("balanced", sum(POSITIVE) / 4 + sum(NEGATIVE) / 8)],
)
def test_fixed_case(reduction: str, expected: float) -> None:
    loss = verification(W, B, reduction)(torch.tensor(F, dtype=torch.float64), LABELS)
    assert loss.item() == pytest.approx(expected, abs=1e-9)


def test_fixed_gradient() -> None:
    features = torch.tensor(F, dtype=torch.float64, requires_grad=True)
    verification(W, B, "mean")(features, LABELS).backward()
    torch.testing.assert_close(features.grad, torch.tensor(GRADIENT_OF_MEAN, dtype=torch.float64), atol=1e-6, rtol=0)


def slow(features: Tensor, labels: list[int], weight: Tensor, bias: Tensor, reduction: str) -> float:
    positive, negative = [], []
    for i in range(len(labels)):
        for j in range(i + 1, len(labels)):
            p = (weight @ (features[i] - features[j]) ** 2 + bias).softmax(0)
            if labels[i] == labels[j]:
                positive.append(-p[1].log().item())
            else:
                negative.append(-p[0].log().item())
    every = positive + negative
    return {
        "sum": sum(every),
        "mean": sum(every) / max(len(every), 1),
        "balanced": (sum(positive) / max(len(positive), 1) + sum(negative) / max(len(negative), 1)) / 2,
    }[reduction]


@pytest.mark.parametrize("reduction", ["sum", "mean", "balanced"])
@pytest.mark.parametrize("labels", [[0, 0, 0, 1, 2, 2, 3], [4, 4, 4, 4], [0, 1, 2, 3], [5]])
def test_agrees_with_a_double_loop_for_any_counts(labels: list[int], reduction: str) -> None:
    features = torch.randn(len(labels), 6, dtype=torch.float64)
    weight, bias = torch.randn(2, 6, dtype=torch.float64), torch.randn(2, dtype=torch.float64)
    loss = verification(weight, bias, reduction)(features, torch.tensor(labels))
    assert loss.item() == pytest.approx(slow(features, labels, weight, bias, reduction), abs=1e-9)


def test_float32_is_enough_for_near_images_with_large_features() -> None:
    """The expanded square subtracts numbers of a hundred from each other."""
    labels = torch.arange(16) // 4
    features = 3 + torch.randn(4, 512)[labels] + 0.05 * torch.randn(16, 512)
    loss = VerificationCELoss(512)
    torch.nn.init.normal_(loss.classifier.weight, std=0.05)
    weight, bias = loss.classifier.weight.detach().double(), loss.classifier.bias.detach().double()
    expected = slow(features.double(), labels.tolist(), weight, bias, "mean")
    assert loss(features, labels).item() == pytest.approx(expected, rel=1e-4)


def test_numeric_gradients() -> None:
    loss = verification(W, B, "balanced")
    features = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)

    def of(f: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        parameters = {"classifier.weight": weight, "classifier.bias": bias}
        result: Tensor = torch.func.functional_call(loss, parameters, (f, LABELS))
        return result

    assert torch.autograd.gradcheck(of, (features, loss.classifier.weight, loss.classifier.bias))


def test_gradient_of_duplicates_is_finite() -> None:
    features = torch.ones(4, 3, requires_grad=True)
    VerificationCELoss(3)(features, LABELS).backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()


def test_unknown_reduction_is_refused() -> None:
    with pytest.raises(UserError, match='unknown reduction "max"; known: mean, sum, balanced'):
        VerificationCELoss(4, "max")
