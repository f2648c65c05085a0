"""Sphere softmax (SphereReID, Fan et al. 2018, arXiv 1807.00537, eq. 6)."""

import torch.nn.functional as F
from torch import Tensor

from reidapp.options import Positive
from training.losses._cosine import CosineHead


class SphereLoss(CosineHead):
    """Cross-entropy over cosines: features and class weights both on the unit sphere.

    L = −mean_i log( exp(s cos θ_{y_i}) / Σ_j exp(s cos θ_j) )

    Args:
        dim: feature dimension D.
        num_classes: identities C in the training set.
        scale: s, the inverse softmax temperature; the paper uses 14.

    Shapes: features float [B, D] (any norm), labels int64 [B] in [0, C) or float [B, C] whose rows sum to one
    → scalar.
    """

    takes_soft_labels = True

    def __init__(self, dim: int, num_classes: int, scale: Positive = 14.0) -> None:
        super().__init__(dim, num_classes)
        self.scale = scale

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(self.scores(features), labels)

    def scores(self, features: Tensor) -> Tensor:
        return self.scale * self.cosines(features)
