"""What every loss must do; a new file in training/losses is tested here by itself."""

import copy

import pytest
import torch
from torch import Tensor, nn

from reidapp import registry

DIM = CLASSES = 6  # equal, so that one input serves as features and as logits


@pytest.fixture(params=registry.names("training.losses"))
def loss(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return registry.build(
        registry.find("training.losses", request.param), None, request.param, dim=DIM, num_classes=CLASSES
    )


def batch(*labels: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(len(labels), DIM, requires_grad=True), torch.tensor(labels)


def test_gradient_reaches_the_features(loss: nn.Module) -> None:
    features, labels = batch(0, 0, 0, 1, 2, 2)
    loss(features, labels).backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()
    assert features.grad.abs().sum() > 0


def test_finite_in_bf16(loss: nn.Module) -> None:
    features, labels = batch(0, 0, 1, 1)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(features.bfloat16(), labels)
    value.backward()
    assert value.isfinite()
    assert value.dtype == torch.float32


@pytest.mark.parametrize("labels", [(3,), (2, 2, 2)], ids=["batch of one", "one identity"])
def test_small_batches(loss: nn.Module, labels: tuple[int, ...]) -> None:
    features, targets = batch(*labels)
    value = loss(features, targets)
    value.backward()
    assert value.isfinite()
    assert features.grad is not None
    assert features.grad.isfinite().all()


def test_learns(loss: nn.Module) -> None:
    features, labels = batch(0, 0, 1, 1, 2, 2)
    before = loss(features, labels)
    optimizer = torch.optim.SGD([features, *loss.parameters()], lr=0.05)
    for _ in range(2):
        optimizer.zero_grad()
        loss(features, labels).backward()
        optimizer.step()
    assert loss(features, labels) < before


def test_state_is_saved_and_restored(loss: nn.Module) -> None:
    features, labels = batch(0, 0, 1, 1)
    state, expected = copy.deepcopy(loss.state_dict()), loss(features, labels)
    for parameter in loss.parameters():
        nn.init.normal_(parameter)
    loss.load_state_dict(state)
    torch.testing.assert_close(loss(features, labels), expected)


def test_order_of_the_batch_does_not_matter(loss: nn.Module) -> None:
    features, labels = batch(0, 1, 1, 2, 2, 2)
    order = torch.randperm(6)
    torch.testing.assert_close(loss(features[order], labels[order]), loss(features, labels))
