import math

import pytest
import torch

from tests.training.losses.classified import LABELS, W, X
from training.losses.sphere import SphereLoss

GRADIENT_X = [
    [-0.082789148578, 0.049861460114, 0.337427755182],
    [-5.9183644e-05, 1.2000886e-05, -4.2026257e-05],
    [0.000421982407, -0.001475180769, 0.0004225683],
    [-0.18237245987, 0.095971743039, 0.436789097294],
]
GRADIENT_W = [
    [0.716474518728, 0.640576487687, 0.033392239668],
    [-0.637732066586, -0.92226530142, -0.334990210765],
    [-0.000464288247, -0.004316241003, 0.001175103653],
]


def sphere(weight: list[list[float]] | torch.Tensor, scale: float = 14) -> SphereLoss:
    weight = torch.as_tensor(weight, dtype=torch.float64)
    loss = SphereLoss(weight.shape[1], weight.shape[0], scale).double()
    loss.weight.data = weight
    return loss


def test_fixed_case() -> None:
    loss, x = sphere(W), torch.tensor(X, dtype=torch.float64, requires_grad=True)
    value = loss(x, LABELS)
    value.backward()
    assert value.item() == pytest.approx(0.137975692883, abs=1e-11)
    torch.testing.assert_close(x.grad, torch.tensor(GRADIENT_X, dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(loss.weight.grad, torch.tensor(GRADIENT_W, dtype=torch.float64), atol=1e-6, rtol=0)


def test_agrees_with_a_double_loop() -> None:
    features, weight = torch.randn(7, 5, dtype=torch.float64), torch.randn(4, 5, dtype=torch.float64)
    labels, total = torch.randint(4, (7,)), 0.0
    for feature, label in zip(features, labels.tolist(), strict=True):
        cosines = [(feature @ w / (feature.norm() * w.norm())).item() for w in weight]
        total -= 14 * cosines[label] - math.log(sum(math.exp(14 * c) for c in cosines))
    assert sphere(weight)(features, labels).item() == pytest.approx(total / 7, abs=1e-10)


def test_numeric_gradient() -> None:
    features, weight = torch.randn(4, 3, dtype=torch.float64), torch.tensor(W, dtype=torch.float64)

    def value(features: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(sphere(W), {"weight": weight}, (features, LABELS))

    assert torch.autograd.gradcheck(value, (features.requires_grad_(), weight.requires_grad_()))


def test_lengths_do_not_matter() -> None:
    x = torch.tensor(X, dtype=torch.float64)
    scaled = x * torch.tensor([[0.1], [3.0], [50.0], [1.0]])
    assert sphere(W)(scaled, LABELS).item() == pytest.approx(sphere(W)(x, LABELS).item(), abs=1e-12)


def test_nearer_to_the_own_class_is_better() -> None:
    x = torch.tensor(X, dtype=torch.float64)
    nearer = x + 0.3 * torch.tensor(W, dtype=torch.float64)[LABELS]
    assert sphere(W)(nearer, LABELS) < sphere(W)(x, LABELS)
