"""Circle loss (Sun et al. 2020, arXiv 2002.10857), against class weights and among the images of a batch.

A similarity pulls the harder, the farther it is from its optimum: α_p = [1 + m − s_p]₊ for one that should be large,
α_n = [s_n + m]₊ for one that should be small. Both count as constants in the gradient.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.losses._cosine import CosineHead


class CircleLoss(CosineHead):
    """Between features and class weights: sphere softmax with a circular decision boundary.

    L = −mean_i log softmax(z_i)_{y_i},  z_ij = γ α_p (s_ij − 1 + m) for the own class, γ α_n (s_ij − m) for the others,
    s = cos θ

    Args:
        dim: feature dimension D.
        num_classes: identities C in the training set.
        gamma: γ, the scale; re-identification uses 64.
        margin: m; re-identification uses 0.35.

    Shapes: features float [B, D] (any norm), labels int64 [B] in [0, C) → scalar.
    """

    def __init__(self, dim: int, num_classes: int, gamma: float = 64.0, margin: float = 0.35) -> None:
        super().__init__(dim, num_classes)
        self.gamma, self.margin = gamma, margin

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        cosines = self.cosines(features)
        own = F.one_hot(labels, cosines.shape[1]).bool()
        logits = torch.where(own, _wanted(cosines, self.margin), _unwanted(cosines, self.margin))
        return F.cross_entropy(self.gamma * logits, labels)

    def scores(self, features: Tensor) -> Tensor:
        return self.gamma * self.cosines(features)


class PairCircleLoss(nn.Module):
    """Among the images of a batch: every image against all its partners and all strangers.

    L = mean_a log(1 + Σ_n exp(γ α_n (s_an − m)) · Σ_p exp(−γ α_p (s_ap − 1 + m))),  s = cosine of two images

    Identities may have any number of images; one without a partner, or without a stranger, counts as zero. Alone, this
    loss is hard to train from scratch: put it beside one that classifies.

    Args:
        gamma: γ, the scale; the paper uses 128 for re-identification.
        margin: m; the paper uses 0.25.

    Shapes: features float [B, D] (any norm), labels int64 [B] → scalar.
    """

    def __init__(self, gamma: float = 128.0, margin: float = 0.25) -> None:
        super().__init__()
        self.gamma, self.margin = gamma, margin

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        cosines = _cosines(features)
        same = labels[:, None] == labels
        partner = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        pull = torch.where(partner, -self.gamma * _wanted(cosines, self.margin), -torch.inf).logsumexp(1)
        push = torch.where(same, -torch.inf, self.gamma * _unwanted(cosines, self.margin)).logsumexp(1)
        return F.softplus(pull + push).mean()


def _cosines(features: Tensor) -> Tensor:
    """[B, D] → [B, B], at least float32."""
    with torch.autocast(features.device.type, enabled=False):
        features = F.normalize(features if features.dtype.itemsize > 4 else features.float(), dim=1)
        return features @ features.T


def _wanted(similarity: Tensor, margin: float) -> Tensor:
    return F.relu(1 + margin - similarity.detach()) * (similarity - 1 + margin)


def _unwanted(similarity: Tensor, margin: float) -> Tensor:
    return F.relu(similarity.detach() + margin) * (similarity - margin)
