"""A-Softmax (SphereFace, Liu et al. 2017, arXiv 1704.08063, eq. 7)."""

from torch import Tensor

from reidapp.options import NotNegative, Positive
from training.losses._psi import MultipleAngleLoss


class ASoftmaxLoss(MultipleAngleLoss):
    """L-Softmax with class weights of length one: only angles tell the classes apart.

    L = −mean_i log( exp(f_i) / (exp(f_i) + Σ_{j≠y_i} exp(‖x_i‖ cos θ_j)) ),
    f_i = ‖x_i‖ (λ cos θ_{y_i} + ψ(θ_{y_i})) / (1 + λ),  ψ(θ) = (−1)^k cos(mθ) − 2k on [kπ/m, (k+1)π/m],
    λ = max(λ_min, λ_base (1 + γ t)^−p) after t batches

    The gradient is the true one; the authors' code rescales it.

    Args:
        dim: feature dimension D.
        num_classes: identities C in the training set.
        margin: m, how many times the angle counts; the paper uses 4.
        scale: a number s brings every feature to this length; none keeps ‖x‖, as the paper.
        lambda_base, gamma, power, lambda_min: λ_base, γ, p, λ_min of the annealing; the defaults are the authors'.

    Shapes: features float [B, D], labels int64 [B] in [0, C) → scalar.

    Raises:
        UserError: margin is not a whole number from 1.
    """

    def __init__(
        self,
        dim: int,
        num_classes: int,
        margin: int = 4,
        scale: Positive | None = None,
        lambda_base: NotNegative = 1000.0,
        gamma: NotNegative = 0.12,
        power: NotNegative = 1.0,
        lambda_min: NotNegative = 5.0,
    ) -> None:
        super().__init__(dim, num_classes, margin, lambda_base, gamma, power, lambda_min)
        self.scale = scale

    def lengths(self, features: Tensor) -> Tensor | float:
        return features.to(self.weight.dtype).norm(dim=1, keepdim=True) if self.scale is None else self.scale
