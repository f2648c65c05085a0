"""Center loss (Wen et al. 2016), as in BoT (Luo et al. 2019, arXiv 1903.07071)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reidapp.options import NotNegative


class CenterLoss(nn.Module):
    """Features are drawn to the centre of their identity.

    L = (1/B) Σ_i ‖x_i − c_{y_i}‖²

    After the step, as BoT's SGD with a rate of its own does, whatever the weight of this loss:
    c_k ← c_k − rate · ∂L/∂c_k = c_k + (2 rate / B) Σ_{i: y_i = k} (x_i − c_k).

    The centres begin as zeros. BoT draws them from a standard normal, which pulls every identity to an arbitrary point
    until its centre has come to it.

    Args:
        dim: feature dimension D.
        num_classes: identities C in the training set.
        rate: of the centres; BoT uses 0.5. From 1 on, a batch of one identity throws its centre off.

    Shapes: features float [B, D], labels int64 [B] in [0, C) → scalar.
    """

    centres: Tensor

    def __init__(self, dim: int, num_classes: int, rate: NotNegative = 0.5) -> None:
        super().__init__()
        self.rate = rate
        self.register_buffer("centres", torch.zeros(num_classes, dim))

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        return (features.to(self.centres.dtype) - self.centres[labels]).square().sum(1).mean()

    @torch.no_grad()
    def update(self, outputs: Tensor, labels: Tensor) -> None:
        own = F.one_hot(labels, len(self.centres)).to(self.centres.dtype)
        away = outputs.to(self.centres.dtype) - self.centres[labels]
        self.centres += 2 * self.rate / len(labels) * own.T @ away  # `index_add_` is not repeatable on a GPU
