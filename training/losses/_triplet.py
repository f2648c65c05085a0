"""What the triplet losses share."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reidapp.errors import UserError
from training.losses._batch import collapse


class Triplet(nn.Module):
    """The margin, and the eye on the way in which these losses fail.

    Args:
        margin: ρ, or ``soft``.
        normalise: use features of length one.

    Raises:
        UserError: another word for a margin.
    """

    needs_pairs = True

    def __init__(self, margin: float | str, normalise: bool) -> None:
        super().__init__()
        if isinstance(margin, str) and margin != "soft":
            raise UserError(f'triplet loss: the margin is a number or "soft", not "{margin}"')
        self.margin, self.normalise = margin, normalise

    def penalty(self, gap: Tensor) -> Tensor:
        """max(0, ρ + gap), or log(1 + exp(gap)) with a soft margin; gap = d_ap − d_an."""
        return F.softplus(gap) if self.margin == "soft" else F.relu(gap + float(self.margin))

    def diagnose(self, features: Tensor, labels: Tensor) -> str | None:
        return collapse("triplet", features, self.normalise, 1.0 if self.margin == "soft" else float(self.margin))


def triplets(labels: Tensor) -> Tensor:
    """Which (a, p, n) are an image, another of the same identity, and a stranger: int64 [B] → bool [B, B, B]."""
    same = labels[:, None] == labels
    partner = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return partner[:, :, None] & ~same[:, None, :]
