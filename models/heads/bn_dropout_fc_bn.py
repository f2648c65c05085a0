"""The heads of SphereReID (Fan et al. 2018, arXiv 1807.00537)."""

from torch import Tensor, nn

from reidapp.errors import UserError
from reidapp.options import BelowOne, Count

VARIANTS = "ABCD"


class BNDropoutFCBN(nn.Module):
    """Average pooling, then what the paper's networks A to D put between it and the unit sphere.

    A: nothing; B: FC; C: FC, BN; D: BN, dropout, FC, BN. The loss and the embedding scale to length one themselves.

    Args:
        channels: of the feature map.
        dim: D of the linear layer; network A has none, and D = channels.
        dropout: of network D.
        variant: ``A``, ``B``, ``C`` or ``D``; the paper settles on D.

    Shapes: feature map [N, channels, h, w] → ``pooled`` [N, channels], ``features`` [N, D].

    Raises:
        UserError: an unknown variant.
    """

    def __init__(self, channels: int, dim: Count = 1024, dropout: BelowOne = 0.5, variant: str = "D") -> None:
        super().__init__()
        if variant not in tuple(VARIANTS):
            raise UserError(f'head.bn_dropout_fc_bn: unknown variant "{variant}"; known: {", ".join(VARIANTS)}')
        self.dim = channels if variant == "A" else dim
        self.dims = {"pooled": channels, "features": self.dim}
        self.before = nn.Sequential(nn.BatchNorm1d(channels), nn.Dropout(dropout)) if variant == "D" else nn.Identity()
        self.project = nn.Identity() if variant == "A" else _linear(channels, dim)
        self.after = nn.BatchNorm1d(dim) if variant in "CD" else nn.Identity()

    def forward(self, feature_map: Tensor) -> dict[str, Tensor]:
        pooled = feature_map.mean((2, 3))
        return {"pooled": pooled, "features": self.after(self.project(self.before(pooled)))}


def _linear(channels: int, dim: int) -> nn.Linear:
    layer = nn.Linear(channels, dim)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
    nn.init.zeros_(layer.bias)
    return layer
