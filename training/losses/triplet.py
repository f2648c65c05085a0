"""Triplet loss with batch-hard mining (Hermans et al. 2017, arXiv 1703.07737, eq. 5)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TripletLoss(nn.Module):
    """Every image against its farthest partner and its nearest stranger in the batch.

    L = mean_a max(0, ρ + d_ap − d_an),  d_ap = max over the same identity, d_an = min over the others (Euclidean);
    with a soft margin, mean_a log(1 + exp(d_ap − d_an)).

    Identities may have any number of images. An image without a stranger in its batch counts as zero.

    Args:
        margin: ρ, or ``soft``.
        normalise: use features of length one. From scratch this collapses: the easiest way to make every farthest
            partner near is one point for everybody, where the loss stays at the margin.

    Shapes: features float [B, D], labels int64 [B] → scalar.
    """

    def __init__(self, margin: float | str = 0.3, normalise: bool = False) -> None:
        super().__init__()
        if isinstance(margin, str) and margin != "soft":
            raise ValueError(f'margin is a number or "soft", not "{margin}"')
        self.margin, self.normalise = margin, normalise

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        distances = self._distances(features)
        same = labels[:, None] == labels[None, :]
        farthest = distances.masked_fill(~same, 0.0).amax(1)
        nearest = distances.masked_fill(same, torch.inf).amin(1)
        has_stranger = ~same.all(1)
        gap = torch.where(has_stranger, farthest - torch.where(has_stranger, nearest, 0.0), 0.0)
        loss = F.softplus(gap) if self.margin == "soft" else F.relu(gap + float(self.margin))
        return torch.where(has_stranger, loss, 0.0).mean()

    def diagnose(self, features: Tensor, labels: Tensor) -> str | None:
        """Says so when all features have become one point."""
        features = features.detach()
        spread, size = self._distances(features).mean(), 1.0 if self.normalise else features.float().norm(dim=1).mean()
        if spread > 0.02 * size:
            return None
        advice = "put it on features behind a batch norm, with a small weight beside a loss that classifies"
        return f"the triplet loss has collapsed (all features nearly equal); {advice}"

    def _distances(self, features: Tensor) -> Tensor:
        """Euclidean, [B, B], at least float32; √ is kept off zero, where its gradient is infinite."""
        with torch.autocast(features.device.type, enabled=False):
            features = features if features.dtype.itemsize > 4 else features.float()
            if self.normalise:
                features = F.normalize(features, dim=1)
            squares = features.square().sum(1)
            squared = squares[:, None] + squares[None, :] - 2 * features @ features.T
            return squared.clamp(min=1e-12).sqrt()
