"""From a feature map to vectors: average pooling, of all of it or of stripes, and generalised mean pooling."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reidapp import registry
from reidapp.errors import UserError


class AveragePool(nn.Module):
    """f_c = mean over positions of x_c. Shapes: feature map [N, C, h, w] → [N, C]."""

    def forward(self, feature_map: Tensor) -> Tensor:
        return feature_map.mean((2, 3))


class GeM(nn.Module):
    """Generalised mean pooling (Radenović et al. 2018, arXiv 1711.02512, eq. 4), with a trainable exponent.

    f_c = (mean over positions of max(x_c, ε)^p)^(1/p): p = 1 is the average, p → ∞ the maximum.

    Args:
        p: the exponent at the start; re-identification (AGW, Cluster-Contrast) starts with 3.
        eps: ε, which keeps the power defined.

    Shapes: feature map [N, C, h, w] → [N, C] of the same dtype. Powers of half-precision maps are taken in float32.
    """

    def __init__(self, p: float = 3.0, eps: float = 1e-6) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor([p]))
        self.eps = eps

    def forward(self, feature_map: Tensor) -> Tensor:
        x = feature_map.to(torch.promote_types(feature_map.dtype, torch.float32))
        pooled = x.clamp(min=self.eps).pow(self.p).mean((2, 3)).pow(1 / self.p)
        return pooled.to(feature_map.dtype)


POOLS: dict[str, type[nn.Module]] = {"average": AveragePool, "gem": GeM}


def build_pool(name: str, where: str) -> nn.Module:
    """The pooling of that name.

    Raises:
        UserError: no such pooling.
    """
    if name not in POOLS:
        hint = registry.suggestion(name, list(POOLS))
        raise UserError(f'{where}: unknown pool "{name}"{hint}; known: {", ".join(POOLS)}')
    return POOLS[name]()


def stripe_means(feature_map: Tensor, stripes: int) -> Tensor:
    """[N, C, h, w] → [N, m C]: the mean of each of m stripes, from top to bottom."""
    return F.adaptive_avg_pool2d(feature_map, (stripes, 1)).squeeze(3).transpose(1, 2).flatten(1)
