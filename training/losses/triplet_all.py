"""Triplet loss over all triplets of a batch (Hermans et al. 2017, arXiv 1703.07737, eq. 6)."""

from typing import Literal

from torch import Tensor

from reidapp.errors import UserError
from reidapp.options import NotNegative
from training.losses._batch import distances, mean_over
from training.losses._triplet import Triplet, triplets


class TripletAllLoss(Triplet):
    """Every image against each of its partners and each stranger.

    L = mean_{a,p,n} max(0, ρ + d_ap − d_an)  (Euclidean); with a soft margin, mean log(1 + exp(d_ap − d_an)).

    Identities may have any number of images. Arrays of B³ numbers are held, 64 MB each at B = 256.

    Args:
        margin: ρ, or ``soft``; the paper tries 0.1 to 1.
        normalise: use features of length one.
        reduction: ``nonzero``, the mean over triplets that violate the margin, or ``mean``, over all. The paper finds
            the first better: most triplets soon count zero, and would wash out the rest.

    Shapes: features float [B, D], labels int64 [B] → scalar.

    Raises:
        UserError: unknown reduction.
    """

    def __init__(
        self, margin: NotNegative | Literal["soft"] = 0.3, normalise: bool = False, reduction: str = "nonzero"
    ) -> None:
        super().__init__(margin, normalise)
        if reduction not in ("nonzero", "mean"):
            raise UserError(f'triplet_all: unknown reduction "{reduction}"; known: nonzero, mean')
        self.reduction = reduction

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        d, counted = distances(features, self.normalise), triplets(labels)
        losses = self.penalty(d[:, :, None] - d[:, None, :])
        if self.reduction == "nonzero":
            counted &= losses > 0
        return mean_over(losses, counted)
