"""BNNeck (BoT, Luo et al. 2019, arXiv 1903.07071)."""

from torch import Tensor, nn

from models.pooling import build_pool
from reidapp.options import BelowOne, Count


class BNNeck(nn.Module):
    """Pooling, an optional linear layer, batch norm without bias (BoT, Luo et al. 2019), and dropout if asked for.

    Args:
        channels: of the feature map.
        dim: D; without it the pooled vector is taken as it is and D = channels.
        pool: ``average`` (BoT), or ``gem``, whose exponent is learnt from 3 on (AGW, Cluster-Contrast).
        scale: whether the batch norm learns a scale per feature, as in the papers. Without one it is 1, and losses
            on distances (triplets above all) cannot make themselves small by shrinking all of them.
        dropout: share of the features that training sets to zero; the papers have none.

    Shapes: feature map [N, channels, h, w] → ``pooled`` [N, channels], ``features`` [N, D].
    """

    def __init__(
        self,
        channels: int,
        dim: Count | None = None,
        pool: str = "average",
        scale: bool = True,
        dropout: BelowOne = 0.0,
    ) -> None:
        super().__init__()
        self.dim = dim or channels
        self.dims = {"pooled": channels, "features": self.dim}
        self.pool = build_pool(pool, "head.bnneck")
        self.project = nn.Linear(channels, dim, bias=False) if dim else nn.Identity()
        self.neck = nn.BatchNorm1d(self.dim)
        self.neck.weight.requires_grad_(scale)
        self.neck.bias.requires_grad_(False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, feature_map: Tensor) -> dict[str, Tensor]:
        pooled = self.pool(feature_map)
        return {"pooled": pooled, "features": self.dropout(self.neck(self.project(pooled)))}
