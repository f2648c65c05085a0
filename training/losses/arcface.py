"""ArcFace: additive margin on the angle (Deng et al. 2019, arXiv 1801.07698, eq. 3)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from reidapp.errors import UserError
from reidapp.options import NotNegative, Positive
from training.losses._cosine import CosineHead

FALLBACKS = ("plain", "hard", "easy")


class ArcFaceLoss(CosineHead):
    """Sphere softmax in which the own class must win by an angle of m.

    L = −mean_i log( exp(s cos(θ_{y_i} + m)) / (exp(s cos(θ_{y_i} + m)) + Σ_{j≠y_i} exp(s cos θ_j)) )

    The gradient is the true one; the authors' newer code leaves out the factor sin(θ + m) / sin θ.

    Args:
        dim: feature dimension D.
        num_classes: identities C in the training set.
        scale: s; the paper uses 64.
        margin: m in radians; the paper uses 0.5.
        fallback: what stands for cos(θ + m) where that would reward a larger angle, θ > π − m: ``hard`` takes
            cos θ − m sin m, as the authors' first code; ``plain`` nothing else, as the equation. ``easy`` has the
            margin only where cos θ > 0, and cos θ elsewhere.

    Shapes: features float [B, D] (any norm), labels int64 [B] in [0, C) → scalar.

    Raises:
        UserError: an unknown fallback.
    """

    def __init__(
        self, dim: int, num_classes: int, scale: Positive = 64.0, margin: NotNegative = 0.5, fallback: str = "hard"
    ) -> None:
        super().__init__(dim, num_classes)
        if fallback not in FALLBACKS:
            raise UserError(f'arcface: unknown fallback "{fallback}"; known: {", ".join(FALLBACKS)}')
        self.scale, self.margin, self.fallback = scale, margin, fallback

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        cosines, own = self.cosines(features), labels[:, None]
        target = self._with_margin(cosines.gather(1, own))
        return F.cross_entropy(self.scale * cosines.scatter(1, own, target), labels)

    def scores(self, features: Tensor) -> Tensor:
        return self.scale * self.cosines(features)

    def _with_margin(self, cosines: Tensor) -> Tensor:
        """cos(θ + m) without acos, whose derivative is infinite at ±1; √ is kept off zero for the same reason."""
        sines = (1 - cosines.square()).clamp(min=1e-7).sqrt()
        shifted = cosines * math.cos(self.margin) - sines * math.sin(self.margin)
        if self.fallback == "hard":
            beyond = cosines < -math.cos(self.margin)
            return torch.where(beyond, cosines - self.margin * math.sin(self.margin), shifted)
        if self.fallback == "easy":
            return torch.where(cosines > 0, shifted, cosines)
        return shifted
