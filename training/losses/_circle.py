"""What the two forms of circle loss share: a similarity counts the more, the farther it is from its optimum.

The weight, [1 + m − s]₊ for a similarity s that should be large and [s + m]₊ for one that should be small, is a
constant in the gradient.
"""

import torch.nn.functional as F
from torch import Tensor


def wanted(similarity: Tensor, margin: float) -> Tensor:
    """α_p (s − 1 + m), α_p = [1 + m − s]₊"""
    return F.relu(1 + margin - similarity.detach()) * (similarity - 1 + margin)


def unwanted(similarity: Tensor, margin: float) -> Tensor:
    """α_n (s − m), α_n = [s + m]₊"""
    return F.relu(similarity.detach() + margin) * (similarity - margin)
