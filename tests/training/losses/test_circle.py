import math

import pytest
import torch
from torch import Tensor

from reidapp import registry
from training.losses.circle import CircleLoss, PairCircleLoss

X = [[0.5, -1.2, 0.3], [-0.7, 0.4, 1.1], [1.3, 0.2, -0.6], [-0.9, -0.8, -0.2]]
W = [[0.8, -0.9, 0.1], [0.5, -0.6, 0.7], [1.1, -0.2, -0.3]]
LABELS = torch.tensor([0, 1, 2, 0])
F = [[0.2, 0.1, -0.3], [0.5, -0.2, 0.1], [-0.4, 0.3, 0.2], [-0.1, 0.6, 0.0], [0.3, 0.4, -0.5], [0.0, -0.5, 0.4]]


def circle(weight: list[list[float]] | Tensor) -> CircleLoss:
    weight = torch.as_tensor(weight, dtype=torch.float64)
    loss = CircleLoss(weight.shape[1], weight.shape[0], gamma=64, margin=0.25).double()
    loss.weight.data = weight
    return loss


def cosine(a: Tensor, b: Tensor) -> Tensor:
    return a @ b / (a.norm() * b.norm())


def wanted(similarity: Tensor, margin: float) -> Tensor:
    return max(0.0, 1 + margin - similarity.item()) * (similarity - (1 - margin))


def unwanted(similarity: Tensor, margin: float) -> Tensor:
    return max(0.0, similarity.item() + margin) * (similarity - margin)


def test_fixed_cases() -> None:
    of_classes = circle(W)(torch.tensor(X, dtype=torch.float64), LABELS)
    assert of_classes.item() == pytest.approx(37.704064610861, abs=1e-10)
    of_pairs = PairCircleLoss(gamma=64)(torch.tensor(F, dtype=torch.float64), torch.tensor([0, 0, 1, 1, 2, 2]))
    assert of_pairs.item() == pytest.approx(108.029175688367, abs=1e-10)


def test_classes_agree_with_a_double_loop() -> None:
    features, weight = torch.randn(7, 5, dtype=torch.float64, requires_grad=True), torch.randn(4, 5).double()
    labels, total = torch.randint(4, (7,)), torch.zeros(())
    for feature, label in zip(features, labels.tolist(), strict=True):
        logits = []
        for c, w in enumerate(weight):
            similarity = cosine(feature, w)
            logits.append(64 * (wanted if c == label else unwanted)(similarity, 0.25))
        total = total - torch.log(logits[label].exp() / sum(z.exp() for z in logits)) / 7
    value = circle(weight)(features, labels)
    torch.testing.assert_close(value, total)
    torch.testing.assert_close(torch.autograd.grad(value, features), torch.autograd.grad(total, features))


@pytest.mark.parametrize("labels", [[0, 0, 0, 1, 2, 2, 3], [4, 4, 4, 4], [0, 1, 2, 3], [5]])
def test_pairs_agree_with_a_double_loop_for_any_counts(labels: list[int]) -> None:
    features = torch.randn(len(labels), 6, dtype=torch.float64, requires_grad=True)
    total = features.sum() * 0
    for a, anchor in enumerate(labels):
        partners, strangers = [], []
        for b, other in enumerate(labels):
            similarity = cosine(features[a], features[b])
            if a != b and anchor == other:
                partners.append(torch.exp(-16 * wanted(similarity, 0.25)))
            elif anchor != other:
                strangers.append(torch.exp(16 * unwanted(similarity, 0.25)))
        total = total + torch.log(1 + torch.as_tensor(sum(strangers) * sum(partners))) / len(labels)
    value = PairCircleLoss(gamma=16)(features, torch.tensor(labels))
    torch.testing.assert_close(value, total)
    torch.testing.assert_close(torch.autograd.grad(value, features), torch.autograd.grad(total, features))


def test_lengths_do_not_matter() -> None:
    features, labels = torch.randn(6, 4, dtype=torch.float64), torch.tensor([0, 0, 1, 1, 2, 2])
    scaled = features * torch.tensor([[0.1], [3.0], [50.0], [1.0], [2.0], [0.5]])
    torch.testing.assert_close(PairCircleLoss()(scaled, labels), PairCircleLoss()(features, labels))


def test_what_is_good_enough_is_left_alone() -> None:
    features = torch.eye(3, dtype=torch.float64).repeat_interleave(2, 0)
    assert PairCircleLoss()(features, torch.tensor([0, 0, 1, 1, 2, 2])).item() < math.exp(-7)
    assert circle(torch.eye(3))(features[::2], torch.arange(3)).item() < math.exp(-7)


def test_duplicates_have_a_finite_gradient() -> None:
    features = torch.ones(4, 3, requires_grad=True)
    PairCircleLoss()(features, torch.tensor([0, 0, 1, 1])).backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()


def test_names_in_a_recipe() -> None:
    assert registry.find("training.losses", "circle") is CircleLoss
    assert registry.find("training.losses", "PairCircleLoss") is PairCircleLoss
