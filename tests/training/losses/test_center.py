import pytest
import torch

from tests.training.losses.paired import LABELS, F
from training.losses.center import CenterLoss

CENTRES = [[-0.3471, -0.179, -0.5747], [-0.8818, -0.7177, -0.2737], [0.4727, -0.3327, 0.9472]]


def with_centres(rate: float = 0.5) -> CenterLoss:
    loss = CenterLoss(3, 3, rate).double()
    loss.centres.copy_(torch.tensor(CENTRES))
    return loss


def test_fixed_case() -> None:
    loss = CenterLoss(3, 3).double()
    loss.centres = torch.tensor(CENTRES, dtype=torch.float64)
    assert loss(torch.tensor(F, dtype=torch.float64), LABELS).item() == pytest.approx(1.458746046667, abs=1e-9)


def test_agrees_with_a_loop_for_any_counts() -> None:
    loss, features, labels = with_centres(), torch.randn(7, 3, dtype=torch.float64), [0, 0, 0, 0, 2, 2, 1]
    total = sum((x - loss.centres[y]).square().sum().item() for x, y in zip(features, labels, strict=True))
    assert loss(features, torch.tensor(labels)).item() == pytest.approx(total / 7, abs=1e-9)


@pytest.mark.parametrize("rate", [0.5, 0.1])
def test_update_is_a_gradient_step_on_the_centres(rate: float) -> None:
    loss, features, labels = with_centres(rate), torch.randn(7, 3, dtype=torch.float64), torch.tensor([0] * 4 + [2] * 3)
    centres = loss.centres.clone().requires_grad_()
    (features - centres[labels]).square().sum(1).mean().backward()
    assert centres.grad is not None
    loss.update(features, labels)
    torch.testing.assert_close(loss.centres, (centres - rate * centres.grad).detach(), atol=1e-12, rtol=0)


def test_centres_come_to_the_means_and_those_of_the_absent_stay() -> None:
    loss, features = with_centres(), torch.tensor(F, dtype=torch.float64)
    for _ in range(100):
        loss.update(features[:4], LABELS[:4])
    torch.testing.assert_close(loss.centres[:2], torch.stack([features[:2].mean(0), features[2:4].mean(0)]))
    assert torch.equal(loss.centres[2], with_centres().centres[2])


def test_update_takes_bf16() -> None:
    loss = CenterLoss(3, 3)
    loss.update(torch.tensor(F).bfloat16(), LABELS)
    assert loss.centres.dtype == torch.float32
    assert loss.centres.any()


def test_numeric_gradient() -> None:
    features = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f: with_centres()(f, LABELS), features)
