"""What every loss must do; a new file in training/losses is tested here by itself, with every class in it."""

import copy
import importlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reidapp import registry
from training.losses import Classifies, Diagnoses, Remembers

DIM = CLASSES = 8


def _classes() -> Iterator[type[nn.Module]]:
    for stem in registry.names("training.losses"):
        module = importlib.import_module(f"training.losses.{stem}")
        for cls in vars(module).values():
            if inspect.isclass(cls) and issubclass(cls, nn.Module) and cls.__module__ == module.__name__:
                yield cls


LOSSES = list(_classes())


def build(cls: type[nn.Module]) -> Any:
    """As a recipe without options does."""
    return registry.build(cls, None, cls.__name__, dim=DIM, num_classes=CLASSES)


@pytest.fixture(params=LOSSES, ids=lambda cls: cls.__name__)
def loss(request: pytest.FixtureRequest) -> Any:
    """One that remembers has seen a batch, for an empty memory teaches nothing."""
    torch.manual_seed(0)
    loss = build(request.param)
    if isinstance(loss, Remembers):
        loss.update(torch.randn(CLASSES, DIM), torch.arange(CLASSES))
    return loss


def those_that(condition: Callable[[type], bool]) -> pytest.MarkDecorator:
    chosen = [cls for cls in LOSSES if condition(cls)]
    return pytest.mark.parametrize("loss", chosen, indirect=True, ids=lambda cls: cls.__name__)


those_that_remember = those_that(lambda cls: issubclass(cls, Remembers))
those_that_classify = those_that(lambda cls: issubclass(cls, Classifies))
those_that_diagnose = those_that(lambda cls: issubclass(cls, Diagnoses))
those_with_soft_labels = those_that(lambda cls: getattr(cls, "takes_soft_labels", False))
those_with_unlabelled = those_that(lambda cls: getattr(cls, "takes_unlabelled", False))


def batch(*labels: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(len(labels), DIM, requires_grad=True), torch.tensor(labels)


@those_that_diagnose
def test_a_collapse_is_said(loss: Any) -> None:
    features, labels = batch(0, 0, 1, 1, 2, 2)
    assert loss.diagnose(features, labels) is None
    assert "has collapsed (all features nearly equal)" in loss.diagnose(torch.ones_like(features), labels)


def test_what_compares_by_distance_can_collapse() -> None:
    silent = {cls.__name__ for cls in LOSSES if getattr(cls, "needs_pairs", False) and not issubclass(cls, Diagnoses)}
    assert silent == {"VerificationCELoss"}  # it learns how far apart is apart


def learn(loss: Any, features: Tensor, labels: Tensor, steps: int, lr: float) -> None:
    optimizer = torch.optim.Adam([features, *loss.parameters()], lr)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(features, labels).backward()
        optimizer.step()
        if isinstance(loss, Remembers):
            loss.update(features.detach(), labels)


def assert_finite_gradients(loss: Any, features: Tensor) -> None:
    for tensor in (features, *loss.parameters()):
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()


def test_gradient_reaches_the_features(loss: Any) -> None:
    features, labels = batch(0, 0, 0, 1, 2, 2)
    loss(features, labels).backward()
    assert_finite_gradients(loss, features)
    assert features.grad is not None
    assert features.grad.abs().sum() > 0


def test_in_bf16_only_the_features_are_rounded(loss: Any) -> None:
    features, labels = batch(0, 0, 1, 1)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(features.bfloat16(), labels)
    value.backward()
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(features.bfloat16().float(), labels))
    assert_finite_gradients(loss, features)


@pytest.mark.parametrize("labels", [(3,), (2, 2, 2)], ids=["batch of one", "one identity"])
def test_small_batches(loss: Any, labels: tuple[int, ...]) -> None:
    features, targets = batch(*labels)
    value = loss(features, targets)
    value.backward()
    assert value.isfinite()
    assert_finite_gradients(loss, features)


def test_learns(loss: Any) -> None:
    features, labels = batch(0, 0, 1, 1, 2, 2)
    before = loss(features, labels).item()
    learn(loss, features, labels, steps=3, lr=0.01)
    assert loss(features, labels) < before


def test_order_of_the_batch_does_not_matter(loss: Any) -> None:
    features, labels = batch(0, 1, 1, 2, 2, 2)
    order = torch.randperm(6)
    torch.testing.assert_close(loss(features[order], labels[order]), loss(features, labels))


def test_evaluating_changes_nothing(loss: Any) -> None:
    features, labels = batch(0, 0, 1, 1)
    state = copy.deepcopy(loss.state_dict())
    loss(features, labels).backward()
    torch.testing.assert_close(loss.state_dict(), state, atol=0, rtol=0)


def test_state_is_saved_and_restored(loss: Any) -> None:
    features, labels = batch(0, 0, 1, 1)
    learn(loss, features, labels, steps=2, lr=0.01)
    other = build(type(loss))
    other.load_state_dict(loss.state_dict())
    torch.testing.assert_close(other(features, labels), loss(features, labels))


@those_that_classify
def test_scores_name_the_identity_that_was_learnt(loss: Any) -> None:
    features, labels = batch(0, 0, 3, 3, 5, 5)
    learn(loss, features, labels, steps=30, lr=0.1)
    with torch.autocast("cpu", torch.bfloat16):
        scores = loss.scores(features)
    assert scores.shape == (6, CLASSES)
    assert scores.dtype == torch.float32
    assert torch.equal(scores.argmax(1), labels)


@those_that_remember
def test_update_is_repeatable_and_all_of_it_is_saved(loss: Any) -> None:
    features, labels = batch(0, 1, 1, 2)
    before, other = copy.deepcopy(loss.state_dict()), build(type(loss))
    other.load_state_dict(before)
    for memory in (loss, other):
        memory.update(features.detach(), labels)
    after = loss.state_dict()
    assert any(not torch.equal(after[key], before[key]) for key in before)
    torch.testing.assert_close(other.state_dict(), after, atol=0, rtol=0)
    torch.testing.assert_close(other(features, labels), loss(features, labels))


@those_that_remember
def test_update_leaves_what_is_learnt_alone(loss: Any) -> None:
    features, labels = batch(0, 1, 1, 2)
    loss(features, labels).backward()
    tensors = [features, *loss.parameters()]
    before = [(tensor.detach().clone(), tensor.grad.clone()) for tensor in tensors]
    loss.update(features.detach(), labels)
    torch.testing.assert_close([(tensor.detach(), tensor.grad) for tensor in tensors], before, atol=0, rtol=0)
    assert not any(buffer.requires_grad for buffer in loss.buffers())


@those_with_soft_labels
def test_soft_labels(loss: Any) -> None:
    features, one = batch(0, 0, 1, 1, 2, 5)
    other = one.flip(0)
    one_hot = F.one_hot(one, CLASSES).float()
    torch.testing.assert_close(loss(features, one_hot), loss(features, one))
    mixed = 0.3 * one_hot + 0.7 * F.one_hot(other, CLASSES)
    expected = 0.3 * loss(features, one) + 0.7 * loss(features, other)
    torch.testing.assert_close(loss(features, mixed), expected)


@those_with_unlabelled
def test_some_without_an_identity(loss: Any) -> None:
    features, labels = batch(0, -1, 1, 1, -1)
    learn(loss, features, labels, steps=2, lr=0.01)
    assert loss(features, labels).isfinite()
    assert_finite_gradients(loss, features)


@those_with_unlabelled
def test_all_without_an_identity(loss: Any) -> None:
    features, labels = batch(-1, -1)
    value = loss(features, labels)
    value.backward()
    assert value == 0
    assert_finite_gradients(loss, features)
