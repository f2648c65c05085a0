"""What the losses over cosines share: class weights and features, both on the unit sphere."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CosineHead(nn.Module):
    """One unit vector per identity.

    Args:
        dim: feature dimension D.
        num_classes: identities C in the training set.
    """

    def __init__(self, dim: int, num_classes: int) -> None:
        super().__init__()
        # Only the direction counts, but the length decides how fast an optimizer turns it: short vectors learn fast.
        self.weight = nn.Parameter(nn.init.xavier_normal_(torch.empty(num_classes, dim)))

    def cosines(self, features: Tensor) -> Tensor:
        """cos θ_j between every feature and every class weight: [B, D] → [B, C], at least float32.

        Outside autocast: scaled cosines decide by their third decimal, which bf16 does not have.
        """
        with torch.autocast(features.device.type, enabled=False):
            features = features.to(self.weight.dtype)
            return F.linear(F.normalize(features, dim=1), F.normalize(self.weight, dim=1))
