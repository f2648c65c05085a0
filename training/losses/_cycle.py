"""Cycle association (CycAs, Wang et al. 2020, arXiv 2007.07577): from one frame's people to another's and back."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def cycle(similarities: Tensor, delta: float = 0.5, epsilon: float = 0.5) -> Tensor:
    """How much of everybody in the first frame comes back to whom, by the second: rows that sum to one, [K₁, K₁].

    A = softmax(T(K₂) S) softmax(T(K₁) Sᵀ),  T(K) = ln[(δ(K − 1) + 1) / (1 − δ)] / ε

    T makes up for the number of people: who is more similar by ε than K − 1 others, has a probability larger by δ.

    Args:
        similarities: S, cosines float [K₁, K₂].
        delta, epsilon: δ, ε; the paper uses 0.5 for both (from memory).
    """
    there, back = ((_temperature(s.shape[1], delta, epsilon) * s).softmax(1) for s in (similarities, similarities.T))
    return there @ back


def cycle_loss(similarities: Tensor, margin: float = 0.5, delta: float = 0.5, epsilon: float = 0.5) -> Tensor:
    """Everybody should come back to himself rather than to anybody else, by a margin.

    L = mean_i max(0, max_{j≠i} A_ij − A_ii + m)

    Frames need not show the same people: a way begins in the frame that shows fewer, all of whom the other one may
    show; of those in the larger frame, some could not come back. One person alone always comes back: zero.

    Args:
        similarities: S, cosines float [K₁, K₂], one row and one column at least.
        margin: m; the paper uses 0.5 (from memory).
        delta, epsilon: see `cycle`.
    """
    if len(similarities) > similarities.shape[1]:
        similarities = similarities.T
    a = cycle(similarities, delta, epsilon)
    self_ = torch.eye(len(a), dtype=torch.bool, device=a.device)
    return F.relu(a.masked_fill(self_, -torch.inf).amax(1) - a.diagonal() + margin).mean()


def _temperature(count: int, delta: float, epsilon: float) -> float:
    return math.log((delta * (count - 1) + 1) / (1 - delta)) / epsilon
