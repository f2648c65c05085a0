"""Verification loss in its cross-entropy form (Zheng et al. 2016, arXiv 1611.05666)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.losses._pairs import PairLoss


class VerificationCELoss(PairLoss):
    """A linear classifier of squared differences says whether two images show one identity.

    L_ij = −δ_ij log p_1 − (1 − δ_ij) log p_0,  p = softmax(W f_ij + b) ∈ ℝ²,  f_ij = (f_i − f_j)² element by element,
    over all pairs i < j of the batch

    Args:
        dim: feature dimension D.
        reduction: ``mean``, ``sum`` or ``balanced``, ½ (mean over pairs of one identity + mean over the others). In a
            batch of 16 identities × 4 images only one pair in 21 is of one identity.

    Shapes: features float [B, D], labels int64 [B] → scalar.

    Raises:
        UserError: unknown reduction.
    """

    def __init__(self, dim: int, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.classifier = nn.Linear(dim, 2)
        nn.init.normal_(self.classifier.weight, std=0.001)  # squares may be large: the first scores are near zero
        nn.init.zeros_(self.classifier.bias)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        same = labels[:, None] == labels
        losses = -self._scores(features).log_softmax(0)
        return self.reduce(torch.where(same, losses[1], losses[0]), same)

    def _scores(self, features: Tensor) -> Tensor:
        """W f_ij + b, [B, D] → [2, B, B], at least float32.

        w·(f_i − f_j)² = w·f_i² + w·f_j² − 2 (w ∘ f_i)·f_j needs no [B, B, D], 256 MB at B = 256 and D = 1024. Outside
        autocast: the terms cancel.
        """
        weight, bias = self.classifier.weight, self.classifier.bias
        with torch.autocast(features.device.type, enabled=False):
            features = features.to(weight.dtype)
            own = F.linear(features.square(), weight, bias / 2).T
            return own[:, :, None] + own[:, None, :] - 2 * (weight[:, None, :] * features) @ features.T
