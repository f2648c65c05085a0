"""Triplet loss with semi-hard mining (FaceNet, Schroff et al. 2015, arXiv 1503.03832, sect. 3.2)."""

from typing import Literal

import torch
from torch import Tensor

from reidapp.options import NotNegative
from training.losses._batch import mean_over, squared_distances
from training.losses._triplet import Triplet, triplets


class TripletSemiHardLoss(Triplet):
    """Every pair of the same identity against the nearest stranger that is farther away than the partner.

    L = mean_{a,p} max(0, α + d²_ap − d²_an),  d²_an = min over the strangers with d²_an > d²_ap;
    with a soft margin, mean log(1 + exp(d²_ap − d²_an)).

    Where all strangers are nearer than the partner, the farthest of them is taken: no pair is lost, and it is the least
    hard one, for the hardest ones draw all features to one point. Where the nearest one is beyond the margin, the pair
    counts as zero. Identities may have any number of images. Mining needs B³ numbers for a moment, 64 MB at B = 256.

    Args:
        margin: α, on squared distances, or ``soft``; the paper uses 0.2.
        normalise: use features of length one, as the paper does.

    Shapes: features float [B, D], labels int64 [B] → scalar.
    """

    def __init__(self, margin: NotNegative | Literal["soft"] = 0.2, normalise: bool = True) -> None:
        super().__init__(margin, normalise)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        squared, candidates = squared_distances(features, self.normalise), triplets(labels)
        stranger = _semi_hard(squared.detach(), candidates)
        return mean_over(self.penalty(squared - squared.gather(1, stranger)), candidates.any(2))


def _semi_hard(squared: Tensor, candidates: Tensor) -> Tensor:
    """The stranger that each pair is held against, int64 [B, B]; of pairs without candidates, any index."""
    negative = squared[:, None, :]
    farther = candidates & (negative > squared[:, :, None])
    nearest = torch.where(farther, negative, torch.inf).argmin(2)
    farthest = torch.where(candidates, negative, -torch.inf).argmax(2)
    return torch.where(farther.any(2), nearest, farthest)
