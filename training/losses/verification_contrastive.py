"""Verification loss in its contrastive form (Hadsell et al. 2006; as in Ye et al. 2021, without the ½)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from reidapp.errors import UserError
from training.losses._batch import collapse, root, squared_distances
from training.losses._pairs import PairLoss


class VerificationContrastiveLoss(PairLoss):
    """Pairs of one identity are drawn together, the others are pushed to a distance of ρ.

    L_ij = δ_ij d_ij² + (1 − δ_ij) max(0, ρ − d_ij)²  (Euclidean), over all pairs i < j of the batch

    Args:
        margin: ρ; the sources leave it open. At length one, d = 1 is an angle of 60° and √2 one of 90°, which not all
            identities can keep from each other.
        normalise: use features of length one, for search compares angles; then ρ must be below 2, the largest distance.
        reduction: ``mean``, ``sum`` or ``balanced``, ½ (mean over pairs of one identity + mean over the others). In a
            batch of 16 identities × 4 images only one pair in 21 is of one identity.

    Shapes: features float [B, D], labels int64 [B] → scalar.

    Raises:
        UserError: a margin that no pair can keep, or none; unknown reduction.
    """

    def __init__(self, margin: float = 1.0, normalise: bool = True, reduction: str = "mean") -> None:
        super().__init__(reduction)
        if margin <= 0 or (normalise and margin >= 2):
            allowed = "between 0 and 2, for the features have length one" if normalise else "above 0"
            raise UserError(f"verification_contrastive: margin {margin} must be {allowed}")
        self.margin, self.normalise = margin, normalise

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        squared = squared_distances(features, self.normalise)
        same = labels[:, None] == labels
        return self.reduce(torch.where(same, squared, F.relu(self.margin - root(squared)).square()), same)

    def diagnose(self, features: Tensor, labels: Tensor) -> str | None:
        return collapse("contrastive", features, self.normalise, self.margin)
