"""What L-Softmax and A-Softmax share: ψ, which demands a multiple of the angle, and how it is phased in."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from reidapp.errors import UserError
from training.losses._cosine import CosineHead


def psi(cosines: Tensor, m: int) -> Tensor:
    """ψ(θ) = (−1)^k cos(mθ) − 2k on [kπ/m, (k+1)π/m]: cos(mθ), made to fall all the way from θ = 0 to π.

    cos(mθ) is a polynomial of cos θ, so that the derivative is exact and finite where that of acos is not. k only
    says which piece θ lies on, and has none.

    Args:
        cosines: cos θ, float, any shape.
        m: 1, 2, 3, …
    """
    previous, multiple = torch.ones_like(cosines), cosines
    for _ in range(m - 1):
        previous, multiple = multiple, 2 * cosines * multiple - previous
    angles = cosines.detach().clamp(-1, 1).acos()
    k = (angles * (m / math.pi)).floor().clamp(max=m - 1)
    return (1 - 2 * (k % 2)) * multiple - 2 * k


class MultipleAngleLoss(CosineHead):
    """Cross-entropy whose logits are r (λ cos θ + ψ(θ)) / (1 + λ) for a feature's own class, r cos θ for the others.

    λ = max(λ_min, λ_base (1 + γ t)^−p) falls with the number t of batches seen: with the whole margin from the start,
    training diverges. A subclass says what r is.
    """

    step: Tensor

    def __init__(
        self, dim: int, num_classes: int, margin: int, lambda_base: float, gamma: float, power: float, lambda_min: float
    ) -> None:
        super().__init__(dim, num_classes)
        if margin < 1 or margin != int(margin):
            raise UserError(f"{type(self).__name__}: margin is {margin}; give a whole number from 1, for example 4")
        self.margin, self.lambda_base, self.gamma = int(margin), lambda_base, gamma
        self.power, self.lambda_min = power, lambda_min
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        cosines, own = self.cosines(features), labels[:, None]
        target, weight = cosines.gather(1, own), self.annealing()
        target = (weight * target + psi(target, self.margin)) / (1 + weight)
        return F.cross_entropy(self.lengths(features) * cosines.scatter(1, own, target), labels)

    def scores(self, features: Tensor) -> Tensor:
        return self.lengths(features) * self.cosines(features)

    def update(self, outputs: Tensor, labels: Tensor) -> None:
        self.step += 1

    def annealing(self) -> Tensor:
        """λ of this step."""
        return (self.lambda_base * (1 + self.gamma * self.step) ** -self.power).clamp(min=self.lambda_min)

    def lengths(self, features: Tensor) -> Tensor | float:
        """r of every feature and class, [B, D] → [B, C], or what broadcasts to it."""
        raise NotImplementedError
