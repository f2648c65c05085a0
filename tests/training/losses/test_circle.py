import math

import pytest
import torch
from torch import Tensor

from tests.training.losses.classified import LABELS, W, X
from training.losses.circle import CircleLoss


def circle(weight: list[list[float]] | Tensor) -> CircleLoss:
    weight = torch.as_tensor(weight, dtype=torch.float64)
    loss = CircleLoss(weight.shape[1], weight.shape[0], scale=64, margin=0.25).double()
    loss.weight.data = weight
    return loss


def test_fixed_case() -> None:
    loss = circle(W)(torch.tensor(X, dtype=torch.float64), LABELS)
    assert loss.item() == pytest.approx(37.704064610861, abs=1e-10)


def test_value_and_gradient_agree_with_a_double_loop() -> None:
    features, weight = torch.randn(7, 5, dtype=torch.float64, requires_grad=True), torch.randn(4, 5).double()
    labels, total = torch.randint(4, (7,)), torch.zeros(())
    for feature, label in zip(features, labels.tolist(), strict=True):
        logits = []
        for c, w in enumerate(weight):
            cosine = feature @ w / (feature.norm() * w.norm())
            if c == label:
                logits.append(64 * max(0.0, 1.25 - cosine.item()) * (cosine - 0.75))
            else:
                logits.append(64 * max(0.0, cosine.item() + 0.25) * (cosine - 0.25))
        total = total - torch.log(logits[label].exp() / sum(z.exp() for z in logits)) / 7
    value = circle(weight)(features, labels)
    torch.testing.assert_close(value, total)
    torch.testing.assert_close(torch.autograd.grad(value, features), torch.autograd.grad(total, features))


def test_what_is_good_enough_is_left_alone() -> None:
    features = torch.eye(3, dtype=torch.float64)
    assert circle(torch.eye(3))(features, torch.arange(3)).item() < math.exp(-7)


def test_lengths_do_not_matter() -> None:
    x = torch.tensor(X, dtype=torch.float64)
    scaled = x * torch.tensor([[0.1], [3.0], [50.0], [1.0]])
    torch.testing.assert_close(circle(W)(scaled, LABELS), circle(W)(x, LABELS))
