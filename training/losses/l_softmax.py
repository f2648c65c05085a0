"""L-Softmax, large-margin softmax (Liu et al. 2016, arXiv 1612.02295, eqs. 4–6)."""

from torch import Tensor

from reidapp.options import NotNegative
from training.losses._psi import MultipleAngleLoss


class LSoftmaxLoss(MultipleAngleLoss):
    """Softmax cross-entropy of a plain classifier w_j · x in which the own class must win with m times its angle.

    L = −mean_i log( exp(f_i) / (exp(f_i) + Σ_{j≠y_i} exp(‖w_j‖‖x_i‖ cos θ_j)) ),
    f_i = ‖w_{y_i}‖‖x_i‖ (λ cos θ_{y_i} + ψ(θ_{y_i})) / (1 + λ),  ψ(θ) = (−1)^k cos(mθ) − 2k on [kπ/m, (k+1)π/m],
    λ = max(λ_min, λ_base (1 + γ t)^−p) after t batches

    Args:
        dim: feature dimension D.
        num_classes: identities C in the training set.
        margin: m, how many times; 1 is plain softmax, the paper uses 2 to 4.
        lambda_base, gamma, power, lambda_min: λ_base, γ, p, λ_min of the annealing; the defaults are the authors' for
            MNIST.

    Shapes: features float [B, D] (their length counts), labels int64 [B] in [0, C) → scalar.

    Raises:
        UserError: margin is not a whole number from 1.
    """

    def __init__(
        self,
        dim: int,
        num_classes: int,
        margin: int = 2,
        lambda_base: NotNegative = 1000.0,
        gamma: NotNegative = 2.5e-5,
        power: NotNegative = 35.0,
        lambda_min: NotNegative = 0.0,
    ) -> None:
        super().__init__(dim, num_classes, margin, lambda_base, gamma, power, lambda_min)

    def lengths(self, features: Tensor) -> Tensor:
        return features.to(self.weight.dtype).norm(dim=1, keepdim=True) * self.weight.norm(dim=1)
