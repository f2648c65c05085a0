import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.training.losses.classified import LABELS, W, X
from training.losses.a_softmax import ASoftmaxLoss

GRADIENT = [
    [-0.585705313361, -0.281562901661, 0.348734518374],
    [-0.427764864419, 0.372151744532, 0.282845150412],
    [-0.135140579172, 0.487153634543, -0.199411633872],
    [-0.418807398761, -0.54772152458, -0.043859460508],
]


def a_softmax(
    weight: list[list[float]] | Tensor, m: int = 4, annealing: float = 0.0, scale: float | None = None
) -> ASoftmaxLoss:
    """With λ fixed."""
    weight = torch.as_tensor(weight, dtype=torch.float64)
    loss = ASoftmaxLoss(weight.shape[1], weight.shape[0], m, scale, lambda_base=0, lambda_min=annealing).double()
    loss.weight.data = weight
    return loss


@pytest.mark.parametrize(
    ("annealing", "scale", "expected"),
    [(0, None, 2.673636804512), (5, None, 0.960741990554), (5, 30.0, 3.562542927691)],
)
def test_fixed_case(annealing: float, scale: float | None, expected: float) -> None:
    loss = a_softmax(W, 4, annealing, scale)(torch.tensor(X, dtype=torch.float64), LABELS)
    assert loss.item() == pytest.approx(expected, abs=1e-11)


def test_fixed_gradient() -> None:
    x = torch.tensor(X, dtype=torch.float64, requires_grad=True)
    a_softmax(W)(x, LABELS).backward()
    torch.testing.assert_close(x.grad, torch.tensor(GRADIENT, dtype=torch.float64), atol=1e-6, rtol=0)


@pytest.mark.parametrize("scale", [None, 20.0])
def test_agrees_with_a_double_loop(scale: float | None) -> None:
    features, weight = torch.randn(7, 5, dtype=torch.float64), torch.randn(4, 5, dtype=torch.float64)
    labels, total = torch.randint(4, (7,)), 0.0
    for feature, label in zip(features, labels.tolist(), strict=True):
        length = scale or feature.norm().item()
        cosines = [(feature @ w / (feature.norm() * w.norm())).item() for w in weight]
        k = int(3 * math.acos(cosines[label]) / math.pi)
        psi = (-1) ** k * math.cos(3 * math.acos(cosines[label])) - 2 * k
        logits = [length * c for c in cosines]
        logits[label] = length * (0.5 * cosines[label] + psi) / 1.5
        total -= logits[label] - math.log(sum(math.exp(z) for z in logits))
    assert a_softmax(weight, 3, 0.5, scale)(features, labels).item() == pytest.approx(total / 7, abs=1e-9)


@pytest.mark.parametrize("scale", [None, 5.0])
def test_numeric_gradient(scale: float | None) -> None:
    loss, x = a_softmax(W, 4, 0.3, scale), torch.tensor(X, dtype=torch.float64, requires_grad=True)
    weight = loss.weight.detach().clone().requires_grad_()

    def call(x: Tensor, weight: Tensor) -> Tensor:
        return torch.func.functional_call(loss, {"weight": weight}, (x, LABELS))

    assert torch.autograd.gradcheck(call, (x, weight))


def test_scores_have_no_margin_and_no_weight_lengths() -> None:
    x = torch.tensor(X, dtype=torch.float64)
    expected = x @ F.normalize(torch.tensor(W, dtype=torch.float64), dim=1).T
    torch.testing.assert_close(a_softmax(W).scores(x), expected)
    torch.testing.assert_close(a_softmax(5 * torch.tensor(W)).scores(x), expected, atol=1e-6, rtol=0)


def test_lambda_schedule() -> None:
    loss = ASoftmaxLoss(3, 3)
    for step, expected in ((0, 1000.0), (100, 76.923076923077), (10000, 5.0)):
        loss.step.fill_(step)
        assert loss.annealing().item() == pytest.approx(expected, rel=1e-6)
