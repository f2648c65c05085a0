from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from models.backbones._resnet import HalfInstanceNorm, ReidResNet
from models.backbones.resnet18 import ResNet18
from models.backbones.resnet50 import ResNet50
from models.non_local import NonLocal
from reidapp.errors import UserError

IMAGES = torch.rand(2, 3, 64, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.slow
@pytest.mark.parametrize(("cls", "theirs"), [(ResNet18, "resnet18"), (ResNet50, "resnet50")])
def test_torchvisions_weights_give_torchvisions_feature_map(cls: type[ReidResNet], theirs: str) -> None:
    torch.manual_seed(0)
    model = torchvision.models.get_model(theirs)
    model.avgpool = model.fc = nn.Identity()
    net = cls(last_stride=2)
    net.load_state_dict(model.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(net.eval()(IMAGES).flatten(1), model.eval()(IMAGES))


@pytest.mark.slow
@pytest.mark.parametrize("cls", [ResNet18, ResNet50])
def test_the_last_stride_is_all_that_it_changes(cls: type[ReidResNet]) -> None:
    strides = [{n: m.stride for n, m in cls(last).named_modules() if isinstance(m, nn.Conv2d)} for last in (1, 2)]
    changed = {name for name in strides[0] if strides[0][name] != strides[1][name]}
    assert changed == {"layer4.0.downsample.0", "layer4.0.conv1" if cls is ResNet18 else "layer4.0.conv2"}
    net = cls().eval()
    assert net(IMAGES).shape == (2, net.channels, 4, 2)


def test_half_instance_norm() -> None:
    torch.manual_seed(0)
    norm, x = HalfInstanceNorm(6), torch.randn(4, 6, 5, 3)
    y = norm(x)
    for image in range(4):
        for channel in range(3):
            torch.testing.assert_close(y[image, channel], standardised(x[image, channel]))
    for channel in range(3, 6):
        torch.testing.assert_close(y[:, channel], standardised(x[:, channel]))


def standardised(values: Tensor) -> Tensor:
    return (values - values.mean()) / (values.var(correction=0) + 1e-5).sqrt()


def test_ibn_is_in_the_first_three_stages() -> None:
    net = ResNet18(ibn=True)
    found = [name for name, module in net.named_modules() if isinstance(module, HalfInstanceNorm)]
    assert found == [f"layer{stage}.{block}.bn1" for stage in (1, 2, 3) for block in (0, 1)]
    assert {"layer1.0.bn1.IN.weight", "layer1.0.bn1.BN.running_mean"} < set(net.state_dict())


def test_non_local_blocks_stand_where_agw_has_them() -> None:
    found = [name for name, module in ResNet50(non_local=True).named_modules() if isinstance(module, NonLocal)]
    after = {"layer2": (2, 3), "layer3": (3, 4, 5)}
    assert found == [f"{stage}.non_local{block}" for stage, blocks in after.items() for block in blocks]


def test_non_local_blocks_change_nothing_at_first() -> None:
    torch.manual_seed(0)
    plain, extended = ResNet18(), ResNet18(non_local=True)
    extended.load_state_dict(extended.adapt(plain.state_dict()))
    torch.testing.assert_close(extended(IMAGES), plain(IMAGES), atol=0, rtol=0)


@pytest.mark.parametrize("stride", [0, 3, "one"])
def test_other_strides(stride: Any) -> None:
    with pytest.raises(UserError, match="1 or 2 expected"):
        ResNet18(last_stride=stride)
