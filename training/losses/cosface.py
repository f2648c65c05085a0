"""Additive margin on the cosine: AM-Softmax (Wang et al. 2018, arXiv 1801.05599, eq. 6), CosFace (arXiv 1801.09414)."""

import torch.nn.functional as F
from torch import Tensor

from reidapp.options import NotNegative, Positive
from training.losses._cosine import CosineHead


class CosFaceLoss(CosineHead):
    """Sphere softmax in which the own class must win by m.

    L = −mean_i log( exp(s (cos θ_{y_i} − m)) / (exp(s (cos θ_{y_i} − m)) + Σ_{j≠y_i} exp(s cos θ_j)) )

    Args:
        dim: feature dimension D.
        num_classes: identities C in the training set.
        scale: s; AM-Softmax uses 30, CosFace 64.
        margin: m; 0.35 in both.

    Shapes: features float [B, D] (any norm), labels int64 [B] in [0, C) → scalar.
    """

    def __init__(self, dim: int, num_classes: int, scale: Positive = 30.0, margin: NotNegative = 0.35) -> None:
        super().__init__(dim, num_classes)
        self.scale, self.margin = scale, margin

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        cosines = self.cosines(features)
        own = F.one_hot(labels, cosines.shape[1]).to(cosines.dtype)
        return F.cross_entropy(self.scale * (cosines - self.margin * own), labels)

    def scores(self, features: Tensor) -> Tensor:
        return self.scale * self.cosines(features)
