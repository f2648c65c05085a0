"""Circle loss with class weights (Sun et al. 2020, arXiv 2002.10857)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from reidapp.options import Positive
from training.losses._circle import unwanted, wanted
from training.losses._cosine import CosineHead


class CircleLoss(CosineHead):
    """Sphere softmax in which every cosine is pulled the harder, the farther it is from its optimum.

    L = −mean_i log( exp(s α_p (c_y − 1 + m)) / (exp(s α_p (c_y − 1 + m)) + Σ_{j≠y} exp(s α_n (c_j − m))) ),
    c = cos θ of image i,  α_p = [1 + m − c_y]₊ and α_n = [c_j + m]₊ without a gradient

    Args:
        dim: feature dimension D.
        num_classes: identities C in the training set.
        scale: s (the paper's γ); re-identification uses 64.
        margin: m; re-identification uses 0.35.

    Shapes: features float [B, D] (any norm), labels int64 [B] in [0, C) → scalar.
    """

    def __init__(self, dim: int, num_classes: int, scale: Positive = 64.0, margin: float = 0.35) -> None:
        super().__init__(dim, num_classes)
        self.scale, self.margin = scale, margin

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        cosines = self.cosines(features)
        own = F.one_hot(labels, cosines.shape[1]).bool()
        logits = torch.where(own, wanted(cosines, self.margin), unwanted(cosines, self.margin))
        return F.cross_entropy(self.scale * logits, labels)

    def scores(self, features: Tensor) -> Tensor:
        return self.scale * self.cosines(features)
