"""What the losses share whose class vectors are a memory: unit vectors that are moved after a step, not learnt."""

import torch
import torch.nn.functional as F
from torch import Tensor


def cosines(features: Tensor, memory: Tensor) -> Tensor:
    """xᵀv of features of any length and the rows of a memory, [B, D] × [N, D] → [B, N], at least float32.

    Outside autocast: divided by a τ of 0.1, what bf16 rounds off is ten times as large.
    """
    with torch.autocast(features.device.type, enabled=False):
        return F.linear(F.normalize(features.to(memory.dtype), dim=1), memory)


@torch.no_grad()
def move(memory: Tensor, rows: Tensor, features: Tensor, momentum: float) -> None:
    """v ← γ v + (1 − γ) x, brought to length one: image by image, in the batch's order.

    All first images of a row at once, then all second ones, …: the same as one after the other.

    Args:
        memory: [N, D], changed in place.
        rows: int64 [B], which vector every image moves.
        features: x, [B, D], of length one.
        momentum: γ.
    """
    turn = (rows[:, None] == rows).tril(-1).sum(1)
    for now in range(int(turn.max()) + 1 if len(turn) else 0):
        at = rows[turn == now]
        memory[at] = F.normalize(momentum * memory[at] + (1 - momentum) * features[turn == now], dim=1)
