import pytest
import torch

from reidapp.errors import UserError
from training.losses.exclusive_sparsity import ExclusiveSparsity

W = [[0.5, 0.0, -0.2, 0.1], [1.0, 0.0, 0.3, -0.4], [-0.5, 0.0, 0.6, 0.2]]
GRADIENT = [[1.0, 0.0, -0.6, 0.6], [2.0, 0.0, 1.4, -1.4], [-1.0, 0.0, 1.6, 1.6]]
LABELS = torch.tensor([0, 1])


def test_fixed_case_with_zeros() -> None:
    weight = torch.tensor(W, dtype=torch.float64, requires_grad=True)
    value = ExclusiveSparsity(4, groups=2)(weight, LABELS)
    value.backward()
    assert value.item() == pytest.approx(2.72, abs=1e-9)
    torch.testing.assert_close(weight.grad, torch.tensor(GRADIENT, dtype=torch.float64), atol=1e-6, rtol=0)


@pytest.mark.parametrize("groups", [1, 4, 12])
def test_agrees_with_a_triple_loop(groups: int) -> None:
    weight, size, total = torch.randn(5, 12, dtype=torch.float64), 12 // groups, 0.0
    for row in weight.tolist():
        for j in range(groups):
            total += sum(abs(w) for w in row[j * size : (j + 1) * size]) ** 2
    assert ExclusiveSparsity(12, groups)(weight, LABELS).item() == pytest.approx(total, abs=1e-9)


def test_weights_compete_within_a_stripe_only() -> None:
    within = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    across = torch.tensor([[1.0, 0.0, 1.0, 0.0]])
    assert ExclusiveSparsity(4, 2)(within, LABELS) == 4
    assert ExclusiveSparsity(4, 2)(across, LABELS) == 2


def test_numeric_gradient() -> None:
    weight = torch.randn(3, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda w: ExclusiveSparsity(8)(w, LABELS), weight)


@pytest.mark.parametrize("groups", [4, 0])
def test_unequal_groups_are_refused(groups: int) -> None:
    with pytest.raises(UserError, match=f"6 columns cannot be cut into {groups} equal groups; set groups"):
        ExclusiveSparsity(6, groups)
