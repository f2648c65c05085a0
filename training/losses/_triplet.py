"""What the triplet losses share."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reidapp.errors import UserError
from training.losses._batch import distances


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
        """Says so when all features have become one point, or have shrunk until no distance reaches the margin."""
        features = features.detach()
        spread = distances(features, self.normalise).mean()
        size = 1.0 if self.normalise else features.float().norm(dim=1).mean()
        if spread <= 0.02 * size:
            what = "all features nearly equal"
        elif spread <= 0.1 * (1.0 if self.margin == "soft" else float(self.margin)):
            what = "all features have shrunk"
        else:
            return None
        advice = "put it on features behind a batch norm without a scale (bnneck: {scale: false}), or lower schedule.lr"
        return f"the triplet loss has collapsed ({what}); {advice}"


def triplets(labels: Tensor) -> Tensor:
    """Which (a, p, n) are an image, another of the same identity, and a stranger: int64 [B] → bool [B, B, B]."""
    same = labels[:, None] == labels
    partner = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return partner[:, :, None] & ~same[:, None, :]
