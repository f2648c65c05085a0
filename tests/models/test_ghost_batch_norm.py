import copy

import pytest
import torch
from torch import Tensor, nn

from models.ghost_batch_norm import split_batch_norm
from reidapp.errors import UserError

CASES = [(nn.BatchNorm1d(3), (12, 3)), (nn.BatchNorm2d(3), (12, 3, 4, 2))]


@pytest.fixture(params=CASES, ids=["1d", "2d"])
def case(request: pytest.FixtureRequest) -> tuple[nn.Module, Tensor]:
    """A batch norm with parameters and statistics of its own, and a batch whose parts differ."""
    torch.manual_seed(0)
    layer, shape = request.param
    layer = copy.deepcopy(layer).double()
    with torch.no_grad():
        for values in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
            values.uniform_(0.5, 1.5)
    x = torch.randn(shape, dtype=torch.float64)
    return layer, x + torch.arange(len(x)).reshape(-1, *[1] * (x.ndim - 1))


@pytest.mark.parametrize("splits", [2, 3])
def test_it_is_a_batch_norm_for_every_part(case: tuple[nn.Module, Tensor], splits: int) -> None:
    layer, x = case
    processes = [copy.deepcopy(layer) for _ in range(splits)]
    split = split_batch_norm(copy.deepcopy(layer), splits)
    for _ in range(3):
        expected = torch.cat([own(part) for own, part in zip(processes, x.chunk(splits), strict=True)])
        torch.testing.assert_close(split(x), expected)
        x = x + 1
    for name in ("running_mean", "running_var"):
        mean = torch.stack([getattr(own, name) for own in processes]).mean(0)
        torch.testing.assert_close(getattr(split, name), mean)
    assert split.num_batches_tracked == 3


def test_gradients(case: tuple[nn.Module, Tensor]) -> None:
    split = split_batch_norm(case[0], 3)
    values = (case[1].requires_grad_(), split.weight, split.bias)
    assert torch.autograd.gradcheck(
        lambda x, weight, bias: torch.func.functional_call(split, {"weight": weight, "bias": bias}, x), values
    )


def test_one_part_is_the_whole_batch(case: tuple[nn.Module, Tensor]) -> None:
    layer, x = case
    split = split_batch_norm(copy.deepcopy(layer), 1)
    assert torch.equal(split(x), layer(x))
    assert torch.equal(split.running_var, layer.running_var)


def test_evaluation_and_state_dict_are_as_before(case: tuple[nn.Module, Tensor]) -> None:
    layer, x = case
    split = split_batch_norm(copy.deepcopy(layer), 4)
    assert split.state_dict().keys() == layer.state_dict().keys()
    assert torch.equal(split.eval()(x[:5]), layer.eval()(x[:5]))


@pytest.mark.parametrize("size", [10, 4])
def test_a_batch_that_cannot_be_split(case: tuple[nn.Module, Tensor], size: int) -> None:
    with pytest.raises(UserError, match=f"{size} images do not make 4 equal parts of two or more"):
        split_batch_norm(case[0], 4)(case[1][:size])


def test_it_reaches_every_batch_norm_and_nothing_else() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.BatchNorm2d(4), nn.InstanceNorm2d(4)))
    assert split_batch_norm(net, 2) is net
    assert type(net[1][1]) is nn.InstanceNorm2d
    split_batch_norm(net, 3)
    with pytest.raises(UserError, match="3 equal parts"):
        net(torch.randn(4, 3, 2, 2))
    with pytest.raises(UserError, match="0 parts"):
        split_batch_norm(net, 0)


def test_channels_last_stays() -> None:
    x = torch.randn(8, 4, 3, 2).contiguous(memory_format=torch.channels_last)
    assert split_batch_norm(nn.BatchNorm2d(4), 2)(x).is_contiguous(memory_format=torch.channels_last)


def test_half_precision() -> None:
    torch.manual_seed(0)
    layer, x = split_batch_norm(nn.BatchNorm1d(4), 2), torch.randn(32, 4)
    expected = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x.bfloat16()).dtype == torch.bfloat16
        torch.testing.assert_close(layer(x.bfloat16()).float(), expected, atol=0.05, rtol=0.02)
    assert layer.running_mean.dtype == torch.float32
