import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from training.losses.triplet_mcp import TripletMCPLoss

LABELS = torch.tensor([0, 0, 1, 1, 2, 2])


def slow(features: Tensor, labels: list[int], tau1: float, tau2: float, beta: float) -> float:
    losses, unit = [], F.normalize(features)
    for a, anchor in enumerate(labels):
        for p, partner in enumerate(labels):
            for n, stranger in enumerate(labels):
                if a != p and partner == anchor != stranger:
                    near, far = ((unit[a] - unit[i]).square().sum().item() for i in (p, n))
                    losses.append(max(near - far, tau1) + beta * max(near, tau2))
    return sum(losses) / max(len(losses), 1)


@pytest.mark.parametrize("options", [(-1.0, 0.01, 0.002), (-0.2, 0.5, 1.0)])
@pytest.mark.parametrize("labels", [[0, 0, 0, 1, 2, 2, 3], [4, 4, 4, 4], [0, 1, 2, 3], [5]])
def test_agrees_with_a_triple_loop_for_any_counts(labels: list[int], options: tuple[float, float, float]) -> None:
    features = torch.randn(len(labels), 6, dtype=torch.float64)
    loss = TripletMCPLoss(*options)(features, torch.tensor(labels))
    assert loss.item() == pytest.approx(slow(features, labels, *options), abs=1e-9)


def test_defaults_are_the_paper_s() -> None:
    loss = TripletMCPLoss()
    assert (loss.tau1, loss.tau2, loss.beta) == (-1.0, 0.01, 0.002)


def test_where_all_is_well_nothing_moves() -> None:
    features = torch.eye(3, dtype=torch.float64)[LABELS].requires_grad_()
    value = TripletMCPLoss()(features, LABELS)
    value.backward()
    assert value.item() == pytest.approx(-1 + 0.002 * 0.01)
    assert features.grad is not None
    assert not features.grad.any()


def test_partners_are_drawn_together_where_strangers_are_far_already() -> None:
    features = torch.eye(3, dtype=torch.float64)[LABELS]
    features[0, 1] = 0.2
    features.requires_grad_()
    TripletMCPLoss()(features, LABELS).backward()
    assert features.grad is not None
    assert features.grad[0, 1] > 0  # a step against it brings image 0 to its partner


def test_gradient_is_finite_for_duplicates() -> None:
    features = torch.ones(6, 3, requires_grad=True)
    TripletMCPLoss()(features, LABELS).backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()


def test_numeric_gradient() -> None:
    features = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f: TripletMCPLoss(beta=0.5)(f, LABELS), features)
