"""OSNet (Zhou et al. 2019, "Omni-Scale Feature Learning for Person Re-Identification", arXiv 1905.00953)."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from reidapp.errors import UserError

_THINNEST = 1 / 64


class OSNet(nn.Module):
    """Omni-scale network: every block looks at its input with receptive fields of 3, 5, 7 and 9 and learns the mix.

    Args:
        width: multiplier β of all channel counts; the paper has 1.0, 0.75, 0.5 and 0.25.

    Shapes: images float [N, 3, H, W] → features [N, channels, H/16, W/16]; ``channels`` is 512 β.

    Raises:
        UserError: a width that leaves a layer without channels.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        if width < _THINNEST:
            raise UserError(f"backbone.osnet: width is {width}; from {_THINNEST} on, every layer has a channel")
        c1, c2, c3, c4 = (int(c * width) for c in (64, 256, 384, 512))
        self.channels = c4
        self.stem = nn.Sequential(
            nn.Conv2d(3, c1, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(c1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        self.stages = nn.Sequential(
            OmniScaleBlock(c1, c2),
            OmniScaleBlock(c2, c2),
            Transition(c2),
            OmniScaleBlock(c2, c3),
            OmniScaleBlock(c3, c3),
            Transition(c3),
            OmniScaleBlock(c3, c4),
            OmniScaleBlock(c4, c4),
            pointwise(c4, c4),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        return self.stages(self.stem(images))

    def adapt(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights in the naming of torchreid, whose public files these are, for this network."""
        return {_from_torchreid(name): tensor for name, tensor in weights.items()}


class OmniScaleBlock(nn.Module):
    """Bottleneck with four streams of 1 to 4 light convolutions: y = ReLU(x + W₂ Σ_t G(x_t) ⊙ x_t), fig. 4b.

    The gate G is one small network for all streams ("unified aggregation gate").
    """

    def __init__(self, channels_in: int, channels_out: int, reduction: int = 4) -> None:
        super().__init__()
        middle = channels_out // reduction
        self.reduce = pointwise(channels_in, middle)
        self.streams = nn.ModuleList(
            nn.Sequential(*(LightConv(middle) for _ in range(depth))) for depth in (1, 2, 3, 4)
        )
        self.gate = ChannelGate(middle)
        self.expand = pointwise(middle, channels_out, activate=False)
        self.shortcut = (
            nn.Identity() if channels_in == channels_out else pointwise(channels_in, channels_out, activate=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        reduced = self.reduce(x)
        mixed = sum(self.gate(stream(reduced)) for stream in self.streams)
        return torch.relu(self.expand(mixed) + self.shortcut(x))


class LightConv(nn.Sequential):
    """Lite 3×3 convolution: pointwise, then depthwise 3×3, then batch norm and ReLU (fig. 3b)."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )


class ChannelGate(nn.Module):
    """x ⊙ σ(MLP(mean over positions of x)): one weight per channel, from a hidden layer of a sixteenth as many."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.squeeze = nn.Conv2d(channels, hidden, 1)
        self.excite = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.relu(self.squeeze(x.mean((2, 3), keepdim=True)))
        return x * torch.sigmoid(self.excite(weights))


class Transition(nn.Sequential):
    """Pointwise convolution, then 2×2 average pooling."""

    def __init__(self, channels: int) -> None:
        super().__init__(pointwise(channels, channels), nn.AvgPool2d(2))


def pointwise(channels_in: int, channels_out: int, activate: bool = True) -> nn.Sequential:
    """1×1 convolution, batch norm and, if asked for, ReLU."""
    layers = [nn.Conv2d(channels_in, channels_out, 1, bias=False), nn.BatchNorm2d(channels_out)]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if activate else []))


def _from_torchreid(name: str) -> str:
    """``conv3.0.conv2b.1.bn.weight`` → ``stages.3.streams.1.1.2.weight``; own names stay as they are."""
    name = re.sub(r"^conv1\.", "stem.", name)
    name = re.sub(r"^conv([2-4])\.(\d)\.", lambda m: f"stages.{3 * int(m[1]) + int(m[2]) - 6}.", name)
    name = re.sub(r"^conv5\.", "stages.8.", name)
    name = re.sub(r"\.conv2a\.", ".conv2a.0.", name)
    name = re.sub(r"\.conv2([a-d])\.", lambda m: f".streams.{'abcd'.index(m[1])}.", name)
    name = re.sub(r"\.gate\.fc([12])\.", lambda m: f".gate.{('squeeze', 'excite')[int(m[1]) - 1]}.", name)
    name = re.sub(r"(\.streams\.\d\.\d)\.(conv1|conv2|bn)\.", lambda m: f"{m[1]}.{_LIGHT.index(m[2])}.", name)
    name = re.sub(r"\.(conv1|conv3|downsample)\.", lambda m: f".{_POINTWISE[m[1]]}.", name)
    return re.sub(r"\.(conv|bn)\.", lambda m: f".{('conv', 'bn').index(m[1])}.", name)


_LIGHT = ("conv1", "conv2", "bn")
_POINTWISE = {"conv1": "reduce", "conv3": "expand", "downsample": "shortcut"}
