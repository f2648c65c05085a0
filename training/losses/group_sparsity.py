"""Group LASSO: the ℓ2,1 norm of a weight (JLML, Li et al., IJCAI 2017, for its global branch)."""

import torch
from torch import Tensor, nn


class GroupSparsity(nn.Module):
    """Draws whole columns of a weight to zero: the feature dimensions that no output needs.

    L = Σ_i ‖w^i‖₂,  w^i = column i, all weights of feature dimension i

    The gradient of a column of zeros is taken as zero. Plain gradient steps make columns small, never exactly zero.
    JLML's weight of this loss is not known for sure; the order of 5e-4 is remembered.

    Shapes: weight float [D_out, D_in], labels (not used) → scalar.
    """

    def forward(self, weight: Tensor, labels: Tensor) -> Tensor:
        weight = weight.to(torch.promote_types(weight.dtype, torch.float32))
        return torch.linalg.vector_norm(weight, dim=0).sum()
