import math

import pytest
import torch
from torch import Tensor

from tests.training.losses.classified import LABELS, W, X
from training.losses.cosface import CosFaceLoss
from training.losses.sphere import SphereLoss

GRADIENT = [
    [-0.844799331823, 0.498786446368, 3.403144676284],
    [-0.000237448283, 1.5541346e-05, -0.000156754609],
    [0.014704861773, -0.051770015386, 0.014603861676],
    [-1.466314236698, 0.769951598922, 3.518607670117],
]


def cosface(weight: list[list[float]] | Tensor, scale: float = 30, margin: float = 0.35) -> CosFaceLoss:
    weight = torch.as_tensor(weight, dtype=torch.float64)
    loss = CosFaceLoss(weight.shape[1], weight.shape[0], scale, margin).double()
    loss.weight.data = weight
    return loss


@pytest.mark.parametrize(("margin", "expected"), [(0.35, 4.012096359617), (0.0, 0.041741065674)])
def test_fixed_case(margin: float, expected: float) -> None:
    loss = cosface(W, margin=margin)(torch.tensor(X, dtype=torch.float64), LABELS)
    assert loss.item() == pytest.approx(expected, abs=1e-11)


def test_fixed_gradient() -> None:
    x = torch.tensor(X, dtype=torch.float64, requires_grad=True)
    cosface(W)(x, LABELS).backward()
    torch.testing.assert_close(x.grad, torch.tensor(GRADIENT, dtype=torch.float64), atol=1e-6, rtol=0)


def test_agrees_with_a_double_loop() -> None:
    features, weight = torch.randn(7, 5, dtype=torch.float64), torch.randn(4, 5, dtype=torch.float64)
    labels, total = torch.randint(4, (7,)), 0.0
    for feature, label in zip(features, labels.tolist(), strict=True):
        logits = [30 * (feature @ w / (feature.norm() * w.norm())).item() for w in weight]
        logits[label] -= 30 * 0.35
        total -= logits[label] - math.log(sum(math.exp(z) for z in logits))
    assert cosface(weight)(features, labels).item() == pytest.approx(total / 7, abs=1e-10)


def test_numeric_gradient() -> None:
    x = torch.tensor(X, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: cosface(W)(x, LABELS), x)


def test_without_a_margin_it_is_sphere_softmax() -> None:
    x = torch.randn(4, 3, dtype=torch.float64)
    sphere = SphereLoss(3, 3, 30).double()
    sphere.weight.data = torch.tensor(W, dtype=torch.float64)
    torch.testing.assert_close(cosface(W, margin=0)(x, LABELS), sphere(x, LABELS))
    torch.testing.assert_close(cosface(W, margin=0.35).scores(x), sphere.scores(x))


def test_a_larger_margin_costs_more() -> None:
    x = torch.tensor(X, dtype=torch.float64)
    losses = [cosface(W, margin=m)(x, LABELS).item() for m in (0.0, 0.2, 0.35, 0.5)]
    assert losses == sorted(losses)
