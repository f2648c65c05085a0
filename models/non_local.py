"""Non-local blocks (Wang et al. 2018, arXiv 1711.07971) as AGW uses them (Ye et al. 2021, arXiv 2001.04193)."""

from torch import Tensor, nn


class NonLocal(nn.Module):
    """Every position looks at every other: z_i = x_i + BN(W (1/N) Σ_j (θ(x_i)·φ(x_j)) g(x_j)), N positions.

    The last batch norm starts with weight zero, so the block starts as the identity. θ, φ and g have half the
    channels, as in both papers; AGW's released code divides a number by itself and has 1 channel.

    Args:
        channels: C of the feature map.

    Shapes: feature map [N, C, h, w] → the same.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.theta, self.phi, self.g = (nn.Conv2d(channels, channels // 2, 1) for _ in range(3))
        self.expand = nn.Conv2d(channels // 2, channels, 1)
        self.norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        theta, phi, g = (layer(x).flatten(2) for layer in (self.theta, self.phi, self.g))
        similarity = theta.transpose(1, 2) @ phi / phi.shape[2]
        gathered = (g @ similarity.transpose(1, 2)).unflatten(2, x.shape[2:])
        return x + self.norm(self.expand(gathered))
