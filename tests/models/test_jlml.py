"""The backbone and the head of JLML."""

import pytest
import torch
from torch import Tensor, nn

from models.backbones.jlml import JLMLResNet39
from models.heads.jlml import JLML
from models.network import Network
from models.pooling import stripe_means
from reidapp.errors import UserError

SMALL = {"width": 0.25}


def network(backbone: dict[str, object], head: dict[str, object]) -> Network:
    torch.manual_seed(0)
    return Network({"height": 64, "width": 32, "backbone": {"jlml": backbone}, "head": {"jlml": head}})


def images(n: int) -> Tensor:
    return torch.randint(0, 256, (n, 64, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("size", "expected"),
    [((224, 224), (7, 8, 7)), ((256, 128), (8, 8, 4)), ((128, 64), (4, 4, 2)), ((100, 50), (4, 4, 2))],
    ids=str,
)
def test_maps_of_the_papers_and_of_other_sizes(size: tuple[int, int], expected: tuple[int, int, int]) -> None:
    net = JLMLResNet39(**SMALL).eval()
    height, local_height, width = expected
    with torch.inference_mode():
        whole, local = net(torch.zeros(1, 3, *size))
    assert net.channels == (128, 64)
    assert whole.shape == (1, 128, height, width)
    assert local.shape == (1, 64, local_height, width)


def test_thirty_nine_layers_and_five_streams() -> None:
    """On the longest way: 37 convolutions, the linear layer of 512 and the classifier."""
    net = JLMLResNet39()
    kernels = [m for m in net.shared.modules() if isinstance(m, nn.Conv2d)]
    kernels += [m for unit in net.branches[0] for m in unit.residual.modules() if isinstance(m, nn.Conv2d)]
    assert len(kernels) + 2 == 39
    assert len(net.branches[1]) == 4
    assert net.channels == (512, 256)
    assert len([m for m in JLMLResNet39(shared=2).shared.modules() if isinstance(m, nn.Conv2d)]) == 2


def test_a_stripe_s_map_depends_on_this_stripe_only() -> None:
    net = JLMLResNet39(**SMALL, branches=["local"]).eval()
    changed = torch.zeros(1, 3, 128, 32)
    changed[:, :, 40:56] = 1.0  # inside the second stripe, farther from its edges than the shared layer sees
    with torch.inference_mode():
        difference = (net(changed) - net(torch.zeros(1, 3, 128, 32))).abs().sum((0, 1, 3))
    assert difference.shape == (4,)
    assert difference[1] > 0
    assert difference[[0, 2, 3]].sum() == 0


def test_equal_stripes_have_different_streams() -> None:
    net = JLMLResNet39(**SMALL, branches=["local"]).eval()
    with torch.inference_mode():
        rows = net(torch.full((1, 3, 128, 32), 0.5)).mean(3)[0].T
    assert all((rows[i] - rows[j]).abs().max() > 1e-4 for i in range(4) for j in range(i))


@pytest.mark.parametrize(("height", "stripes"), [(8, 4), (8, 1), (6, 4), (7, 3), (2, 4)])
def test_stripe_means(height: int, stripes: int) -> None:
    feature_map = torch.randn(2, 3, height, 5, dtype=torch.float64)
    means = stripe_means(feature_map, stripes)
    for i in range(stripes):
        top, bottom = i * height // stripes, -(-(i + 1) * height // stripes)
        torch.testing.assert_close(means[:, 3 * i : 3 * (i + 1)], feature_map[:, :, top:bottom].mean((2, 3)))


def test_outputs_of_one_shared_map() -> None:
    """Both branches read the map of an ordinary trunk; the weights' columns are in the order of what they multiply."""
    head = JLML(channels=3, dim=5, stripes=2)
    feature_map = torch.randn(4, 3, 6, 2)
    out = head(feature_map)
    biases = [layer.get_parameter("0.bias") for layer in head.embed]
    torch.testing.assert_close(out["global"], feature_map.mean((2, 3)) @ out["global_weight"].T + biases[0])
    top, bottom = feature_map[:, :, :3].mean((2, 3)), feature_map[:, :, 3:].mean((2, 3))
    torch.testing.assert_close(
        out["local"], top @ out["local_weight"][:, :3].T + bottom @ out["local_weight"][:, 3:].T + biases[1]
    )
    torch.testing.assert_close(out["features"], torch.cat([out["global"], out["local"]], 1))
    assert head.dims == {"global": 5, "local": 5, "features": 10}
    assert head.dim == 10


def test_each_branch_learns_from_its_own_loss() -> None:
    net = network(SMALL, {"dim": 8})
    whole, streams = net.backbone.branches
    net(images(4))["global"].square().sum().backward()
    assert all(p.grad is None for p in [*streams.parameters(), *net.head.embed[1].parameters()])
    assert all(p.grad is not None for p in [*whole.parameters(), *net.backbone.shared.parameters()])


def test_sparsity_reaches_the_layer() -> None:
    net = network(SMALL, {"dim": 8})
    out = net(images(2))
    assert net.weights == {name: out[name].shape[1] for name in set(out) - set(net.dims)}
    (out["global_weight"].norm(dim=0).sum() + out["local_weight"].abs().sum()).backward()
    assert all(layer.get_parameter("0.weight").grad is not None for layer in net.head.embed)
    assert all(p.grad is None for p in net.backbone.parameters())


@pytest.mark.parametrize("branch", ["global", "local"])
def test_one_branch_alone(branch: str) -> None:
    net = network(SMALL | {"branches": [branch]}, {"dim": 8, "branches": [branch]})
    out = net(images(3))
    assert net.dims == {branch: 8, "features": 8}
    assert set(out) == {branch, "features", f"{branch}_weight"}
    torch.testing.assert_close(out["features"], out[branch])
    out["features"].square().sum().backward()
    assert all(p.grad is not None for p in net.parameters())  # nothing that is not used


def test_batch_norm() -> None:
    out = JLML(3, dim=5, batch_norm=True)(torch.randn(64, 3, 4, 2))
    torch.testing.assert_close(out["features"].mean(0), torch.zeros(10), atol=1e-5, rtol=0)
    torch.testing.assert_close(out["features"].std(0, correction=0), torch.ones(10), atol=1e-2, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "head", "message"),
    [
        ({"branches": ["locale"]}, {}, r"backbone.jlml: branches \['locale'\]: \[global\], \[local\] or"),
        ({}, {"branches": []}, r"head.jlml: branches \[\]"),
        ({}, {"branches": ["local", "local"]}, "head.jlml: branches"),
        ({}, {"branches": ["global"]}, "head.jlml: only global for a backbone with both"),
        ({}, {"stripes": 0}, "head.jlml: stripes is 0"),
        ({"shared": 0}, {}, "both are at least 1"),
        ({"stripes": 0}, {}, "both are at least 1"),
    ],
)
def test_what_does_not_fit_is_one_clear_line(
    backbone: dict[str, object], head: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        network(backbone, head)
