"""Exclusive group LASSO: the ℓ1,2 norm of a weight (JLML, Li et al., IJCAI 2017, for its local branch)."""

import torch
from torch import Tensor, nn

from reidapp.errors import UserError
from reidapp.options import Count


class ExclusiveSparsity(nn.Module):
    """Makes the weights with which an output reads one stripe compete, so that few of each stripe stay.

    L = Σ_i Σ_{j=1..m} ‖w_j^i‖₁²,  w_j^i = the weights of output i for stripe j: row i, block j of m equal blocks

    The gradient of a zero is taken as zero. Plain gradient steps make weights small, never exactly zero. JLML's weight
    of this loss is not known for sure; the order of 5e-4 is remembered.

    Args:
        dim: D_in, the columns of the weight.
        groups: m, the number of stripes; the paper uses 4.

    Shapes: weight float [D_out, D_in], D_in = m times the stripe's dimension, labels (not used) → scalar.

    Raises:
        UserError: D_in cannot be divided into equal groups.
    """

    def __init__(self, dim: int, groups: Count = 4) -> None:
        super().__init__()
        if groups < 1 or dim % groups:
            raise UserError(
                f"exclusive_sparsity: {dim} columns cannot be cut into {groups} equal groups; "
                "set groups to the number of stripes"
            )
        self.groups = groups

    def forward(self, weight: Tensor, labels: Tensor) -> Tensor:
        weight = weight.to(torch.promote_types(weight.dtype, torch.float32))
        return weight.unflatten(1, (self.groups, -1)).abs().sum(2).square().sum()
