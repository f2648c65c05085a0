"""JLML-ResNet39 (Li, Zhu, Gong 2017, "Person Re-Identification by Deep Joint Learning of Multi-Loss Classification",
IJCAI)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from reidapp.errors import UserError

BRANCHES = ("global", "local")
_THINNEST = 1 / 16


class JLMLResNet39(nn.Module):
    """A trimmed ResNet-50 of two branches over shared low layers: the whole picture, and horizontal stripes of it.

    The global branch has four stages of three bottlenecks; the local one a stream of half its widths for every stripe,
    with weights of its own. Every stage halves height and width. The layer table is from memory, the number of
    shared layers is 1 or 2 by different accounts of the paper.

    Stripes have equal heights; those of a map that they do not divide overlap by a row or more.

    Args:
        width: multiplier of all channel counts.
        shared: 3×3 convolutions before the branches part; the first has stride 2.
        stripes: m, as in the head.
        branches: which to build, ``global``, ``local`` or both, as in the head.

    Shapes: images float [N, 3, H, W] → global map [N, 512 width, ⌈H/32⌉, ⌈W/32⌉] and local map [N, 256 width, h,
    ⌈W/32⌉], the stripes' maps one below the other, h = m ⌈H/32m⌉; ``channels`` are those of both in this order. With
    one branch there is one map, and ``channels`` is a number.

    Raises:
        UserError: an unknown branch, or none; no shared layer, or no stripe; a width that
            leaves a layer without channels.
    """

    channels: int | tuple[int, int]

    def __init__(
        self, width: float = 1.0, shared: int = 1, stripes: int = 4, branches: Sequence[str] = BRANCHES
    ) -> None:
        super().__init__()
        check_branches(branches, "backbone.jlml")
        if shared < 1 or stripes < 1:
            raise UserError(f"backbone.jlml: shared is {shared} and stripes {stripes}; both are at least 1")
        if width < _THINNEST:
            raise UserError(f"backbone.jlml: width is {width}; from {_THINNEST} on, every layer has a channel")
        widths = [int(c * width) for c in (32, 64, 128, 256)]
        halves = [c // 2 for c in widths]
        low = widths[0]
        self.shared = nn.Sequential(
            convolution(3, low, 3, stride=2), *(convolution(low, low, 3) for _ in range(shared - 1))
        )
        self.branches = nn.ModuleList()
        if "global" in branches:
            self.branches.append(stream(low, widths))
        if "local" in branches:
            self.branches.append(StripeStreams(low, halves, stripes))
        both = 2 * widths[-1], 2 * halves[-1]
        self.channels = both if len(branches) == 2 else both[BRANCHES.index(branches[0])]
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        low = self.shared(images)
        maps = tuple(branch(low) for branch in self.branches)
        return maps if len(maps) == 2 else maps[0]


class StripeStreams(nn.ModuleList):
    """A stream per stripe: [N, C, h, w] → the streams' maps, one below the other."""

    def __init__(self, channels_in: int, widths: Sequence[int], stripes: int) -> None:
        super().__init__(stream(channels_in, widths) for _ in range(stripes))

    def forward(self, feature_map: Tensor) -> Tensor:
        height = feature_map.shape[2]
        rows = -(-height // len(self))
        starts = [i * (height - rows) // max(1, len(self) - 1) for i in range(len(self))]
        maps = [own(feature_map[:, :, start : start + rows]) for own, start in zip(self, starts, strict=True)]
        return torch.cat(maps, dim=2)


class Bottleneck(nn.Module):
    """Residual unit [c, c, 2c]: y = ReLU(x + W₃ W₂ W₁ x) with kernels of 1, 3 and 1, each with batch norm."""

    def __init__(self, channels_in: int, middle: int, stride: int) -> None:
        super().__init__()
        out = 2 * middle
        self.residual = nn.Sequential(
            convolution(channels_in, middle, 1),
            convolution(middle, middle, 3, stride),
            convolution(middle, out, 1, activate=False),
        )
        same = stride == 1 and channels_in == out
        self.shortcut = nn.Identity() if same else convolution(channels_in, out, 1, stride, activate=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.residual(x) + self.shortcut(x))


def stream(channels_in: int, widths: Sequence[int]) -> nn.Sequential:
    """Stages of three bottlenecks, each of which begins with stride 2."""
    units = []
    for middle in widths:
        for stride in (2, 1, 1):
            units.append(Bottleneck(channels_in, middle, stride))
            channels_in = 2 * middle
    return nn.Sequential(*units)


def convolution(channels_in: int, channels_out: int, size: int, stride: int = 1, activate: bool = True) -> nn.Module:
    """Convolution, batch norm and, if asked for, ReLU."""
    layers = [
        nn.Conv2d(channels_in, channels_out, size, stride, padding=size // 2, bias=False),
        nn.BatchNorm2d(channels_out),
    ]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if activate else []))


def check_branches(branches: Sequence[str], where: str) -> None:
    """Raises `UserError` unless these are ``global``, ``local`` or both."""
    if sorted(branches) not in (["global"], ["local"], ["global", "local"]):
        raise UserError(f"{where}: branches {branches}: [global], [local] or [global, local] expected")
