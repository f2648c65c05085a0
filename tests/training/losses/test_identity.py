import pytest
import torch

from tests.training.losses.classified import LABELS, W, X
from training.losses.identity import IdentityLoss


def identity(weight: list[list[float]] | torch.Tensor, smoothing: float, bias: bool = False) -> IdentityLoss:
    weight = torch.as_tensor(weight, dtype=torch.float64)
    loss = IdentityLoss(weight.shape[1], weight.shape[0], smoothing, bias).double()
    loss.classifier.weight.data = weight
    return loss


@pytest.mark.parametrize(("smoothing", "expected"), [(0.0, 0.664232145526), (0.1, 0.718898812193)])
def test_fixed_case(smoothing: float, expected: float) -> None:
    loss = identity(W, smoothing)(torch.tensor(X, dtype=torch.float64), LABELS)
    assert loss.item() == pytest.approx(expected, abs=1e-11)


@pytest.mark.parametrize("bias", [False, True])
def test_agrees_with_a_double_loop(bias: bool) -> None:
    features, weight = torch.randn(9, 4, dtype=torch.float64), torch.randn(5, 4, dtype=torch.float64)
    labels, loss, total = torch.randint(5, (9,)), identity(weight, 0.1, bias), 0.0
    shift = torch.zeros(5, dtype=torch.float64)
    if bias:
        shift = loss.classifier.bias.data = torch.randn(5, dtype=torch.float64)
    for feature, label in zip(features, labels.tolist(), strict=True):
        logits = [(w @ feature + b).item() for w, b in zip(weight, shift, strict=True)]
        norm = sum(torch.tensor(z).exp().item() for z in logits)
        for c, z in enumerate(logits):
            target = (0.9 if c == label else 0.0) + 0.1 / len(logits)
            total -= target * (z - torch.tensor(norm).log().item())
    assert loss(features, labels).item() == pytest.approx(total / len(labels), abs=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_numeric_gradient(smoothing: float) -> None:
    features, weight = torch.randn(6, 3, dtype=torch.float64), torch.tensor(W, dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 0, 0, 1])

    def value(features: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(identity(W, smoothing), {"classifier.weight": weight}, (features, labels))

    assert torch.autograd.gradcheck(value, (features.requires_grad_(), weight.requires_grad_()))


def test_starts_undecided() -> None:
    loss = IdentityLoss(64, 10, bias=True)
    torch.testing.assert_close(loss.scores(torch.randn(4, 64)), torch.zeros(4, 10), atol=0.1, rtol=0)
    assert not loss.classifier.bias.any()
