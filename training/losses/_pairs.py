"""What the verification losses share: all pairs i < j of a batch."""

import torch
from torch import Tensor, nn

from reidapp.errors import UserError
from training.losses._batch import mean_over


class PairLoss(nn.Module):
    """How the losses of many pairs become one.

    Args:
        reduction: ``mean``, ``sum`` or ``balanced``, ½ (mean over pairs of one identity + mean over the others).

    Raises:
        UserError: unknown reduction.
    """

    needs_pairs = True

    def __init__(self, reduction: str) -> None:
        super().__init__()
        if reduction not in ("mean", "sum", "balanced"):
            raise UserError(f'verification loss: unknown reduction "{reduction}"; known: mean, sum, balanced')
        self.reduction = reduction

    def reduce(self, losses: Tensor, same: Tensor) -> Tensor:
        """Every pair once: losses float [B, B] and whether it is one identity, bool [B, B] → scalar."""
        i, j = torch.triu_indices(len(same), len(same), 1, device=same.device)
        losses, same = losses[i, j], same[i, j]
        if self.reduction == "balanced":
            return (mean_over(losses, same) + mean_over(losses, ~same)) / 2
        return losses.sum() / (max(len(losses), 1) if self.reduction == "mean" else 1)
