"""Losses of images that belong to several classes at once (MMCL, Wang, Zhang 2020, arXiv 2004.09228)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def mmcl(scores: Tensor, positives: Tensor, delta: float = 5.0, hard: float = 0.01) -> Tensor:
    """Memory-based multi-label classification loss: squared differences of cosines from 1 and from −1.

    L = mean_i [ δ/|P_i| Σ_{p∈P_i} (1 − s_ip)² + 1/|N_i| Σ_{q∈N_i} (1 + s_iq)² ]

    P_i are the image's classes, N_i the hard share of the others: those with the highest scores, one at least. For
    s = vᵀx, image i's ∂L/∂x is, before the mean, 2δ/|P| Σ_p (s_p − 1) v_p + 2/|N| Σ_q (s_q + 1) v_q, which does not
    vanish between.

    Args:
        scores: s, cosines float [B, C].
        positives: bool [B, C], at least one in every row.
        delta: δ; the paper uses 5.
        hard: |N_i| as a share of the classes that are not the image's; the paper uses 0.01.
    """
    others = (~positives).sum(1)
    counts = (hard * others).long().clamp(min=1).minimum(others)  # a hundredth of a few classes would be none
    chosen = scores.detach().masked_fill(positives, -torch.inf).topk(int(counts.max())).indices
    counted = torch.arange(chosen.shape[1], device=scores.device) < counts[:, None]
    push = torch.where(counted, (1 + scores.gather(1, chosen)).square(), 0.0).sum(1) / counts.clamp(min=1)
    pull = torch.where(positives, (1 - scores).square(), 0.0).sum(1) / positives.sum(1)
    return (delta * pull + push).mean()


def mcl(scores: Tensor, positives: Tensor, tau: float = 0.1) -> Tensor:
    """Multi-label classification loss, a logistic one per class; what the paper compares MMCL with.

    L = mean_i Σ_j log(1 + exp(−y_ij s_ij / τ)),  y_ij = 1 for the image's classes, −1 for the others

    With a small τ its gradient vanishes wherever |s| is above 0.25.

    Args:
        scores: s, cosines float [B, C].
        positives: bool [B, C].
        tau: τ.
    """
    signed = torch.where(positives, scores, -scores)
    return F.softplus(-signed / tau).sum(1).mean()
