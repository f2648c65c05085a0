"""What ResNets of all depths share."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torchvision.models import WeightsEnum
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from models.non_local import NonLocal
from reidapp.errors import UserError


class ReidResNet(ResNet):
    """ResNet (He et al. 2016, arXiv 1512.03385) up to its last feature map, with torchvision's names of parameters.

    Args:
        last_stride: of layer4; 1 doubles the map's height and width (PCB, BoT), 2 is ImageNet's.
        ibn: IBN-a (Pan et al. 2018, arXiv 1807.09441): the first norm of every block in layer1 to layer3 is half
            instance norm, half batch norm. Names are those of the paper's released weights.
        non_local: AGW's non-local blocks, after each of the last two blocks of layer2 and the last three of layer3.

    Shapes: images float [N, 3, H, W] → features [N, channels, H/16, W/16], or H/32 and W/32 with ``last_stride`` 2.

    Raises:
        UserError: ``last_stride`` is neither 1 nor 2.
    """

    layer2: nn.Sequential
    layer3: nn.Sequential

    block: ClassVar[type[BasicBlock] | type[Bottleneck]]
    depths: ClassVar[tuple[int, int, int, int]]
    imagenet: ClassVar[WeightsEnum]

    def __init__(self, last_stride: int = 1, ibn: bool = False, non_local: bool = False) -> None:
        if last_stride not in (1, 2):
            raise UserError(f"backbone: last_stride {last_stride}: 1 or 2 expected")
        super().__init__(self.block, list(self.depths), num_classes=1)
        self.channels: int = self.fc.in_features
        del self.avgpool, self.fc
        first = self.layer4[0]
        for convolution in (first.conv1, first.conv2, first.downsample[0]):
            if convolution.stride == (2, 2):
                convolution.stride = (last_stride, last_stride)
        if ibn:
            for block in [*self.layer1, *self.layer2, *self.layer3]:
                block.bn1 = HalfInstanceNorm(block.bn1.num_features)
        if non_local:
            self.layer2 = _with_non_local(self.layer2, 128 * self.block.expansion, last=2)
            self.layer3 = _with_non_local(self.layer3, 256 * self.block.expansion, last=3)

    def forward(self, images: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    def adapt(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights of a plain ResNet for this one: its non-local blocks stay as they are."""
        return {name: tensor for name, tensor in self.state_dict().items() if ".non_local" in name} | dict(weights)


class HalfInstanceNorm(nn.Module):
    """Instance norm of the first half of the channels, batch norm of the others. Shapes: [N, C, h, w] → the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.IN = nn.InstanceNorm2d(channels // 2, affine=True)
        self.BN = nn.BatchNorm2d(channels - channels // 2)

    def forward(self, x: Tensor) -> Tensor:
        by_instance, by_batch = x.split((self.IN.num_features, self.BN.num_features), dim=1)
        return torch.cat((self.IN(by_instance), self.BN(by_batch)), dim=1)


def _with_non_local(stage: nn.Sequential, channels: int, last: int) -> nn.Sequential:
    """The same blocks under the same names, each of the ``last`` ones followed by a non-local block."""
    blocks = OrderedDict[str, nn.Module]()
    for index, block in enumerate(stage):
        blocks[str(index)] = block
        if index >= len(stage) - last:
            blocks[f"non_local{index}"] = NonLocal(channels)
    return nn.Sequential(blocks)
