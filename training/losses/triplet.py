"""Triplet loss with batch-hard mining (Hermans et al. 2017, arXiv 1703.07737, eq. 5)."""

from typing import Literal

import torch
from torch import Tensor

from reidapp.options import NotNegative
from training.losses._batch import distances
from training.losses._triplet import Triplet


class TripletLoss(Triplet):
    """Every image against its farthest partner and its nearest stranger in the batch.

    L = mean_a max(0, ρ + d_ap − d_an),  d_ap = max over the same identity, d_an = min over the others (Euclidean);
    with a soft margin, mean_a log(1 + exp(d_ap − d_an)).

    Identities may have any number of images. An image without a stranger in its batch counts as zero.

    Args:
        margin: ρ, or ``soft``; BoT uses 0.3.
        normalise: use features of length one. From scratch this collapses: the easiest way to make every farthest
            partner near is one point for everybody, where the loss stays at the margin.

    Shapes: features float [B, D], labels int64 [B] → scalar.
    """

    def __init__(self, margin: NotNegative | Literal["soft"] = 0.3, normalise: bool = False) -> None:
        super().__init__(margin, normalise)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        d = distances(features, self.normalise)
        same = labels[:, None] == labels
        farthest = d.masked_fill(~same, 0.0).amax(1)
        nearest = d.masked_fill(same, torch.inf).amin(1)
        has_stranger = ~same.all(1)
        gap = torch.where(has_stranger, farthest - torch.where(has_stranger, nearest, 0.0), 0.0)
        return torch.where(has_stranger, self.penalty(gap), 0.0).mean()
