import math

import pytest
import torch
from torch import Tensor

from reidapp.errors import UserError
from tests.training.losses.classified import LABELS, W, X
from training.losses.arcface import ArcFaceLoss
from training.losses.sphere import SphereLoss

FAR = [[-0.8, 0.85, -0.05], [0.3, -0.7, 0.2]]  # the first image: θ > π − m
GRADIENT = [
    [-2.86357441448, -0.137176471515, 4.223918145474],
    [-0.011919246035, -0.003512682145, -0.006307635303],
    [0.000237286191, -0.001957096707, -0.000138245859],
    [-0.950139027012, 0.173097954193, 3.583233811],
]
FALLBACKS = ("plain", "hard", "easy")


def arcface(
    weight: list[list[float]] | Tensor, fallback: str = "hard", scale: float = 30, margin: float = 0.5
) -> ArcFaceLoss:
    weight = torch.as_tensor(weight, dtype=torch.float64)
    loss = ArcFaceLoss(weight.shape[1], weight.shape[0], scale, margin, fallback).double()
    loss.weight.data = weight
    return loss


@pytest.mark.parametrize("fallback", ["plain", "hard"])
def test_fixed_case(fallback: str) -> None:
    x = torch.tensor(X, dtype=torch.float64, requires_grad=True)
    value = arcface(W, fallback)(x, LABELS)
    value.backward()
    assert value.item() == pytest.approx(4.466013346014, abs=1e-11)
    torch.testing.assert_close(x.grad, torch.tensor(GRADIENT, dtype=torch.float64), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("fallback", "expected"), [("plain", 8.717642408353), ("hard", 13.78970020831), ("easy", 10.194255256088)]
)
def test_fixed_case_of_large_angles(fallback: str, expected: float) -> None:
    loss = arcface(W, fallback)(torch.tensor(FAR, dtype=torch.float64), LABELS[:2])
    assert loss.item() == pytest.approx(expected, abs=1e-11)


@pytest.mark.parametrize("fallback", FALLBACKS)
def test_agrees_with_a_double_loop(fallback: str) -> None:
    features, weight = torch.randn(12, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    features[0] = -weight[0] + 0.05  # nearly opposite
    labels, total = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 3, 3]), 0.0
    for feature, label in zip(features, labels.tolist(), strict=True):
        cosines = [(feature @ w / (feature.norm() * w.norm())).item() for w in weight]
        angle = math.acos(cosines[label])
        target = math.cos(angle + 0.5)
        if fallback == "hard" and angle + 0.5 > math.pi:
            target = cosines[label] - 0.5 * math.sin(0.5)
        if fallback == "easy" and cosines[label] <= 0:
            target = cosines[label]
        cosines[label] = target
        total -= 30 * target - math.log(sum(math.exp(30 * c) for c in cosines))
    assert arcface(weight, fallback)(features, labels).item() == pytest.approx(total / 12, abs=1e-9)


@pytest.mark.parametrize("fallback", FALLBACKS)
def test_numeric_gradient(fallback: str) -> None:
    x = torch.tensor([*X, *FAR], dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 1, 2, 0, 0, 1])
    assert torch.autograd.gradcheck(lambda x: arcface(W, fallback)(x, labels), x)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("fallback", FALLBACKS)
def test_gradient_is_finite_on_and_opposite_to_the_own_class(fallback: str, sign: int) -> None:
    x = (sign * torch.eye(3)).requires_grad_()  # the cosine is ±1 to the last bit
    loss = arcface(torch.eye(3), fallback).float()
    loss(x, torch.arange(3)).backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert x.grad.abs().max() < 100


def test_without_a_margin_it_is_sphere_softmax() -> None:
    x = torch.randn(4, 3, dtype=torch.float64)
    sphere = SphereLoss(3, 3, 30).double()
    sphere.weight.data = torch.tensor(W, dtype=torch.float64)
    for fallback in FALLBACKS:
        torch.testing.assert_close(arcface(W, fallback, margin=0)(x, LABELS), sphere(x, LABELS))
    torch.testing.assert_close(arcface(W).scores(x), sphere.scores(x))


def test_hard_falls_with_the_angle_all_the_way() -> None:
    angles = torch.linspace(0, math.pi, 200, dtype=torch.float64)
    x, labels = torch.stack([angles.cos(), angles.sin()], 1), torch.zeros(1, dtype=torch.int64)
    losses = [arcface([[1.0, 0.0], [0.0, -1.0]])(point[None], labels) for point in x]
    others = [30 * point @ torch.tensor([0.0, -1.0], dtype=torch.float64) for point in x]
    targets = [other - torch.expm1(loss).log() for loss, other in zip(losses, others, strict=True)]
    assert (torch.stack(targets).diff() < 0).all()


def test_unknown_fallback_is_refused() -> None:
    with pytest.raises(UserError, match="plain, hard, easy"):
        ArcFaceLoss(3, 3, fallback="soft")
