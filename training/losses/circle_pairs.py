"""Circle loss among the images of a batch (Sun et al. 2020, arXiv 2002.10857)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reidapp.options import Positive
from training.losses._batch import collapse
from training.losses._circle import unwanted, wanted


class CirclePairsLoss(nn.Module):
    """Every image against all its partners and all strangers.

    L = mean_a log(1 + Σ_n exp(s α_n (c_an − m)) · Σ_p exp(−s α_p (c_ap − 1 + m))),
    c = cosine of two images,  α_p = [1 + m − c_ap]₊ and α_n = [c_an + m]₊ without a gradient

    Identities may have any number of images. An image without a partner, or without a stranger, counts as zero. Alone,
    this loss is hard to train: put it beside one that classifies.

    Args:
        scale: s (the paper's γ); 128 for re-identification.
        margin: m; 0.25 for re-identification.

    Shapes: features float [B, D] (any norm), labels int64 [B] → scalar.
    """

    needs_pairs = True

    def __init__(self, scale: Positive = 128.0, margin: float = 0.25) -> None:
        super().__init__()
        self.scale, self.margin = scale, margin

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        cosines = _cosines(features)
        same = labels[:, None] == labels
        partner = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        pull = torch.where(partner, -self.scale * wanted(cosines, self.margin), -torch.inf).logsumexp(1)
        push = torch.where(same, -torch.inf, self.scale * unwanted(cosines, self.margin)).logsumexp(1)
        return F.softplus(pull + push).mean()

    def diagnose(self, features: Tensor, labels: Tensor) -> str | None:
        return collapse("circle", features, normalise=True)


def _cosines(features: Tensor) -> Tensor:
    """[B, D] → [B, B], at least float32: the scale is large."""
    with torch.autocast(features.device.type, enabled=False):
        features = F.normalize(features.to(torch.promote_types(features.dtype, torch.float32)), dim=1)
        return features @ features.T
