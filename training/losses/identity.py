"""Identity loss: softmax cross-entropy over the training identities, with label smoothing (BoT, Luo et al. 2019)."""

import torch.nn.functional as F
from torch import Tensor, nn


class IdentityLoss(nn.Module):
    """Cross-entropy of class scores with smoothed labels q = (1 − ε) δ + ε / C.

    L = −mean_i Σ_c q_ic log softmax(z_i)_c

    Args:
        smoothing: ε; BoT uses 0.1.

    Shapes: logits float [B, C], labels int64 [B] in [0, C) → scalar.
    """

    def __init__(self, smoothing: float = 0.1) -> None:
        super().__init__()
        self.smoothing = smoothing

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(self.scores(logits), labels, label_smoothing=self.smoothing)

    def scores(self, logits: Tensor) -> Tensor:
        return logits if logits.dtype.itemsize > 4 else logits.float()  # bf16 sums over many classes lose too much
