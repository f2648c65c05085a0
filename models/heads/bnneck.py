"""BNNeck (BoT, Luo et al. 2019, arXiv 1903.07071)."""

from torch import Tensor, nn


class BNNeck(nn.Module):
    """Average pooling, an optional linear layer, then batch norm without bias (BoT, Luo et al. 2019).

    Args:
        channels: of the feature map.
        dim: D; without it the pooled vector is taken as it is and D = channels.

    Shapes: feature map [N, channels, h, w] → ``pooled`` [N, channels], ``features`` [N, D].
    """

    def __init__(self, channels: int, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim or channels
        self.dims = {"pooled": channels, "features": self.dim}
        self.project = nn.Linear(channels, dim, bias=False) if dim else nn.Identity()
        self.neck = nn.BatchNorm1d(self.dim)
        self.neck.bias.requires_grad_(False)

    def forward(self, feature_map: Tensor) -> dict[str, Tensor]:
        pooled = feature_map.mean((2, 3))
        return {"pooled": pooled, "features": self.neck(self.project(pooled))}
