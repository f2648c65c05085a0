import math

import pytest
import torch

from training.losses._psi import psi

THETAS = [0.0, 0.3, 0.785398163397, 1.0, 1.7, 2.5, 3.14159265359]
TABLE = {
    2: [1.0, 0.82533561491, 0.0, -0.416146836547, -1.033201807421, -2.283662185463, -3.0],
    3: [1.0, 0.621609968271, -0.707106781187, -0.9899924966, -2.377977742713, -3.653364682165, -5.0],
    4: [1.0, 0.362357754477, -1.0, -1.346356379136, -3.13060250965, -5.160928470924, -7.0],
}


@pytest.mark.parametrize("m", TABLE)
def test_fixed_table(m: int) -> None:
    cosines = torch.tensor(THETAS, dtype=torch.float64).cos()
    torch.testing.assert_close(psi(cosines, m), torch.tensor(TABLE[m], dtype=torch.float64), atol=1e-6, rtol=0)


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5])
def test_agrees_with_the_pieces(m: int) -> None:
    thetas = torch.linspace(0.001, math.pi - 0.001, 57, dtype=torch.float64)
    expected = [(-1) ** (k := int(m * t / math.pi)) * math.cos(m * t) - 2 * k for t in thetas.tolist()]
    torch.testing.assert_close(psi(thetas.cos(), m), torch.tensor(expected, dtype=torch.float64), atol=1e-9, rtol=0)


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5])
def test_falls_without_a_jump(m: int) -> None:
    values = psi(torch.linspace(0, math.pi, 2001).cos(), m)
    steps = values.diff()
    assert (steps <= 1e-6).all()
    assert steps.abs().max() < 1.01 * m * math.pi / 2000


@pytest.mark.parametrize("m", [1, 2, 4])
def test_gradient_is_the_true_one_and_finite_at_the_ends(m: int) -> None:
    inside = torch.tensor([-0.99, -0.4, 0.1, 0.8, 0.999], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda c: psi(c, m), inside)
    ends = torch.tensor([-1.0000001, -1.0, 1.0, 1.0000001], requires_grad=True)
    psi(ends, m).sum().backward()
    assert ends.grad is not None
    torch.testing.assert_close(ends.grad, torch.full((4,), float(m * m)), atol=1e-3, rtol=0)
