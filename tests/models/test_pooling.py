import pytest
import torch

from models.pooling import AveragePool, GeM, build_pool
from reidapp.errors import UserError


def test_the_fixed_case() -> None:
    x = torch.tensor(
        [[[0.6098, 1.4576], [1.4256, 0.0004], [0.2298, 0.0426]], [[0.0566, 1.015], [1.6562, 1.4358], [1.485, 1.458]]],
        dtype=torch.float64,
    )
    expected = torch.tensor([[1.012784818181, 1.354878539258]], dtype=torch.float64)
    torch.testing.assert_close(GeM().double()(x[None]), expected, atol=1e-6, rtol=0)


def test_between_mean_and_maximum() -> None:
    x = torch.rand(3, 5, 4, 2, dtype=torch.float64)
    torch.testing.assert_close(GeM(p=1.0)(x), AveragePool()(x), atol=1e-6, rtol=0)
    torch.testing.assert_close(GeM(p=500.0)(x), x.amax((2, 3)), atol=1e-2, rtol=0)


def test_gradients() -> None:
    pool = GeM().double()
    x = torch.rand(2, 3, 4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, p: torch.func.functional_call(pool, {"p": p}, x), (x, pool.p))


def test_a_map_of_zeros_has_finite_gradients() -> None:
    pool, x = GeM(), torch.zeros(2, 3, 4, 2, requires_grad=True)
    pool(x).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert pool.p.grad is not None
    assert pool.p.grad.isfinite().all()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_half_precision(scale: float) -> None:
    x = (scale * torch.rand(2, 3, 16, 8)).bfloat16()
    pooled = GeM()(x)
    assert pooled.dtype == torch.bfloat16
    torch.testing.assert_close(pooled.float(), GeM()(x.float()), atol=1e-6, rtol=1e-2)


def test_unknown_pools() -> None:
    with pytest.raises(UserError, match=r'^head: unknown pool "gemm"; did you mean "gem"'):
        build_pool("gemm", "head")
