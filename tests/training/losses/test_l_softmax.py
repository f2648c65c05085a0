import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reidapp.errors import UserError
from tests.training.losses.classified import LABELS, W, X
from training.losses.l_softmax import LSoftmaxLoss

GRADIENT = [
    [-0.155498765753, -0.010495746383, 0.105363223368],
    [0.021668019379, 0.00100305686, 0.085712886455],
    [-0.067074043764, 0.047482036303, 0.012099723445],
    [-0.049113534906, -0.258178299628, 0.033367926422],
]


def l_softmax(weight: list[list[float]] | Tensor, m: int, annealing: float = 0.0) -> LSoftmaxLoss:
    """With λ fixed."""
    weight = torch.as_tensor(weight, dtype=torch.float64)
    loss = LSoftmaxLoss(weight.shape[1], weight.shape[0], m, lambda_base=0, lambda_min=annealing).double()
    loss.weight.data = weight
    return loss


@pytest.mark.parametrize(
    ("m", "annealing", "expected"),
    [(1, 0, 0.664232145526), (2, 0, 1.231535361246), (4, 0, 2.878966973617), (2, 5, 0.740247001618)],
)
def test_fixed_case(m: int, annealing: float, expected: float) -> None:
    loss = l_softmax(W, m, annealing)(torch.tensor(X, dtype=torch.float64), LABELS)
    assert loss.item() == pytest.approx(expected, abs=1e-11)


def test_fixed_gradient() -> None:
    x = torch.tensor(X, dtype=torch.float64, requires_grad=True)
    l_softmax(W, 2)(x, LABELS).backward()
    torch.testing.assert_close(x.grad, torch.tensor(GRADIENT, dtype=torch.float64), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("m", "annealing"), [(2, 0.0), (3, 0.5), (4, 5.0)])
def test_agrees_with_a_double_loop(m: int, annealing: float) -> None:
    features, weight = torch.randn(7, 5, dtype=torch.float64), torch.randn(4, 5, dtype=torch.float64)
    labels, total = torch.randint(4, (7,)), 0.0
    for feature, label in zip(features, labels.tolist(), strict=True):
        logits = [(feature @ w).item() for w in weight]
        length = (feature.norm() * weight[label].norm()).item()
        angle = math.acos(logits[label] / length)
        k = int(m * angle / math.pi)
        psi = (-1) ** k * math.cos(m * angle) - 2 * k
        logits[label] = (annealing * logits[label] + length * psi) / (1 + annealing)
        total -= logits[label] - math.log(sum(math.exp(z) for z in logits))
    assert l_softmax(weight, m, annealing)(features, labels).item() == pytest.approx(total / 7, abs=1e-9)


def test_numeric_gradient() -> None:
    loss, x = l_softmax(W, 4, 0.3), torch.tensor(X, dtype=torch.float64, requires_grad=True)
    weight = loss.weight.detach().clone().requires_grad_()

    def call(x: Tensor, weight: Tensor) -> Tensor:
        return torch.func.functional_call(loss, {"weight": weight}, (x, LABELS))

    assert torch.autograd.gradcheck(call, (x, weight))


def test_m_of_one_is_a_plain_classifier() -> None:
    x, weight = torch.randn(6, 5, dtype=torch.float64), torch.randn(3, 5, dtype=torch.float64)
    labels = torch.tensor([0, 0, 1, 2, 2, 2])
    torch.testing.assert_close(l_softmax(weight, 1)(x, labels), F.cross_entropy(x @ weight.T, labels))
    torch.testing.assert_close(l_softmax(weight, 4).scores(x), x @ weight.T)


def test_lambda_falls_with_the_batches_learnt_from_only() -> None:
    loss, x, labels = LSoftmaxLoss(3, 3), torch.tensor(X), LABELS
    before = loss(x, labels)
    assert loss.annealing().item() == pytest.approx(1000)
    torch.testing.assert_close(loss(x, labels), before)
    for _ in range(1000):
        loss.update(x, labels)
    assert loss.annealing().item() == pytest.approx(1000 * (1 + 2.5e-5 * 1000) ** -35, rel=1e-4)
    assert loss(x, labels) > before


@pytest.mark.parametrize("margin", [0, 2.5])
def test_a_margin_that_is_no_count_is_refused(margin: float) -> None:
    with pytest.raises(UserError, match=r"LSoftmaxLoss: margin is .* whole number"):
        LSoftmaxLoss(3, 3, margin=margin)
