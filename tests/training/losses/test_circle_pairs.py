import math

import pytest
import torch

from tests.training.losses.paired import LABELS, F
from training.losses.circle_pairs import CirclePairsLoss


def test_fixed_case() -> None:
    loss = CirclePairsLoss(scale=64)(torch.tensor(F, dtype=torch.float64), LABELS)
    assert loss.item() == pytest.approx(108.029175688367, abs=1e-10)


@pytest.mark.parametrize("labels", [[0, 0, 0, 1, 2, 2, 3], [4, 4, 4, 4], [0, 1, 2, 3], [5]])
def test_value_and_gradient_agree_with_a_double_loop_for_any_counts(labels: list[int]) -> None:
    features = torch.randn(len(labels), 6, dtype=torch.float64, requires_grad=True)
    total = features.sum() * 0
    for a, anchor in enumerate(labels):
        partners, strangers = features.new_zeros(()), features.new_zeros(())
        for b, other in enumerate(labels):
            cosine = features[a] @ features[b] / (features[a].norm() * features[b].norm())
            if anchor != other:
                strangers = strangers + torch.exp(16 * max(0.0, cosine.item() + 0.25) * (cosine - 0.25))
            elif a != b:
                partners = partners + torch.exp(-16 * max(0.0, 1.25 - cosine.item()) * (cosine - 0.75))
        total = total + torch.log(1 + strangers * partners) / len(labels)
    value = CirclePairsLoss(scale=16)(features, torch.tensor(labels))
    torch.testing.assert_close(value, total)
    torch.testing.assert_close(torch.autograd.grad(value, features), torch.autograd.grad(total, features))


def test_lengths_do_not_matter() -> None:
    features = torch.randn(6, 4, dtype=torch.float64)
    scaled = features * torch.tensor([[0.1], [3.0], [50.0], [1.0], [2.0], [0.5]])
    torch.testing.assert_close(CirclePairsLoss()(scaled, LABELS), CirclePairsLoss()(features, LABELS))


def test_what_is_good_enough_is_left_alone() -> None:
    features = torch.eye(3, dtype=torch.float64).repeat_interleave(2, 0)
    assert CirclePairsLoss()(features, LABELS).item() < math.exp(-7)


def test_duplicates_have_a_finite_gradient() -> None:
    features = torch.ones(4, 3, requires_grad=True)
    CirclePairsLoss()(features, torch.tensor([0, 0, 1, 1])).backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()
