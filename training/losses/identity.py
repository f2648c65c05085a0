"""Identity loss: softmax cross-entropy over the training identities, with label smoothing (BoT, Luo et al. 2019)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reidapp.options import BelowOne


class IdentityLoss(nn.Module):
    """A linear classifier z = W x + b and its cross-entropy with smoothed labels q = (1 − ε) δ + ε / C.

    L = −mean_i Σ_c q_ic log softmax(z_i)_c

    Args:
        dim: feature dimension D.
        num_classes: identities C in the training set.
        smoothing: ε; BoT uses 0.1.
        bias: whether there is a b; BoT has none, for its features come from a batch norm without a shift.

    Shapes: features float [B, D], labels int64 [B] in [0, C) or float [B, C] whose rows sum to one → scalar.
    """

    takes_soft_labels = True

    def __init__(self, dim: int, num_classes: int, smoothing: BelowOne = 0.1, bias: bool = False) -> None:
        super().__init__()
        self.smoothing = smoothing
        self.classifier = nn.Linear(dim, num_classes, bias)
        nn.init.normal_(self.classifier.weight, std=0.001)  # as BoT: the first logits are near zero
        if bias:
            nn.init.zeros_(self.classifier.bias)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(self.scores(features), labels, label_smoothing=self.smoothing)

    def scores(self, features: Tensor) -> Tensor:
        """Outside autocast: bf16 sums over many classes lose too much."""
        with torch.autocast(features.device.type, enabled=False):
            return self.classifier(features.to(self.classifier.weight.dtype))
