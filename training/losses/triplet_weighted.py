"""Weighted regularised triplet loss (AGW, Ye et al. 2021, arXiv 2001.04193)."""

import torch
from torch import Tensor

from training.losses._batch import distances
from training.losses._triplet import Triplet


class TripletWeightedLoss(Triplet):
    """Every image against all its partners and all strangers of the batch, the harder the heavier; without a margin.

    L = mean_a log(1 + exp(Σ_p w_ap d_ap − Σ_n w_an d_an)),  w_ap = softmax_p(d_ap), w_an = softmax_n(−d_an) (Euclidean)

    As in the authors' code, the image counts among its own partners. Identities may have any number of images. An image
    without a stranger in its batch counts as zero.

    Args:
        normalise: use features of length one; AGW does not.

    Shapes: features float [B, D], labels int64 [B] → scalar.
    """

    def __init__(self, normalise: bool = False) -> None:
        super().__init__("soft", normalise)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        d = distances(features, self.normalise)
        same = labels[:, None] == labels
        has_stranger = ~same.all(1)
        excluded = same & has_stranger[:, None]  # a row that does not count keeps all: a softmax of nothing is NaN
        partner = (d.masked_fill(~same, -torch.inf).softmax(1) * d).sum(1)
        stranger = ((-d).masked_fill(excluded, -torch.inf).softmax(1) * d).sum(1)
        return torch.where(has_stranger, self.penalty(partner - stranger), 0.0).mean()
