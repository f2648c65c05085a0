import pytest
import torch

from training.losses.group_sparsity import GroupSparsity

W = [[0.5, 0.0, -0.2, 0.1], [1.0, 0.0, 0.3, -0.4], [-0.5, 0.0, 0.6, 0.2]]
GRADIENT = [
    [0.408248290464, 0.0, -0.285714285714, 0.218217890236],
    [0.816496580928, 0.0, 0.428571428571, -0.872871560944],
    [-0.408248290464, 0.0, 0.857142857143, 0.436435780472],
]
LABELS = torch.tensor([0, 1])


def test_fixed_case_with_a_column_of_zeros() -> None:
    weight = torch.tensor(W, dtype=torch.float64, requires_grad=True)
    value = GroupSparsity()(weight, LABELS)
    value.backward()
    assert value.item() == pytest.approx(2.383002440887, abs=1e-9)
    torch.testing.assert_close(weight.grad, torch.tensor(GRADIENT, dtype=torch.float64), atol=1e-6, rtol=0)


def test_of_the_transpose_it_sums_over_rows() -> None:
    assert GroupSparsity()(torch.tensor(W).double().T, LABELS).item() == pytest.approx(2.471982321085, abs=1e-6)


def test_agrees_with_a_double_loop() -> None:
    weight = torch.randn(5, 7, dtype=torch.float64)
    total = sum(sum(w**2 for w in column) ** 0.5 for column in weight.T.tolist())
    assert GroupSparsity()(weight, LABELS).item() == pytest.approx(total, abs=1e-9)


def test_useless_columns_vanish_before_useful_ones_do() -> None:
    """A regression on two of six features: with the norm, the other four columns become small."""
    features, true = torch.randn(200, 6), torch.zeros(3, 6)
    true[:, :2] = 1.0
    weight = torch.full((3, 6), 0.5, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        ((features @ (weight - true).T).square().mean() + 0.2 * GroupSparsity()(weight, LABELS)).backward()
        optimizer.step()
    lengths = weight.detach().norm(dim=0)
    assert lengths[:2].min() > 1
    assert lengths[2:].max() < 0.05


def test_numeric_gradient() -> None:
    weight = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda w: GroupSparsity()(w, LABELS), weight)
