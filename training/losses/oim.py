"""Online instance matching (Xiao et al. 2017, arXiv 1604.01850, eqs. 1–4)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reidapp.options import BelowOne, CountOrNone, Positive
from training.losses._memory import cosines, move


class OIMLoss(nn.Module):
    """Cross-entropy against a memory: one vector v per identity, and the newest people u without an identity.

    L = −mean_i log( exp(v_{y_i}ᵀ x_i / τ) / Z_i ),  Z_i = Σ_j exp(v_jᵀ x_i / τ) + Σ_k exp(u_kᵀ x_i / τ),
    over the labelled images, x of length one

    After the step, image by image in the batch's order: v_y ← γ v_y + (1 − γ) x, brought to length one, or the oldest u
    is replaced by x. Nothing here is learnt by gradient; with p and q an image's probabilities over v and u, its own
    ∂L/∂x is ((p_y − 1) v_y + Σ_{j≠y} p_j v_j + Σ_k q_k u_k) / τ.

    The memory begins as zeros, and a row of zeros adds exp(0) to Z. As published, these count: thousands of them in the
    beginning, which weaken the push away from the other identities. Here they do not, unless ``count_empty``.

    Args:
        dim: feature dimension D.
        num_classes: identities C in the training set.
        queue: how many people without an identity are kept; the paper uses 5000. 0 where everybody has an identity.
        tau: τ; the paper uses 0.1.
        momentum: γ; the paper uses 0.5.
        count_empty: whether rows that have never been filled count in Z, as in the authors' code.

    Shapes: features float [B, D] (any norm), labels int64 [B] in [0, C), −1 for no identity → scalar.
    """

    takes_unlabelled = True
    lut: Tensor
    queue: Tensor
    head: Tensor

    def __init__(
        self,
        dim: int,
        num_classes: int,
        queue: CountOrNone = 5000,
        tau: Positive = 0.1,
        momentum: BelowOne = 0.5,
        count_empty: bool = False,
    ) -> None:
        super().__init__()
        self.tau, self.momentum, self.count_empty = tau, momentum, count_empty
        self.register_buffer("lut", torch.zeros(num_classes, dim))
        self.register_buffer("queue", torch.zeros(queue, dim))
        self.register_buffer("head", torch.zeros((), dtype=torch.int64))  # the oldest of the queue

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        queue = self.queue if self.count_empty else self.queue[self.queue.any(1)]
        memory = torch.cat([self.lut, queue])
        logits = cosines(features, memory) / self.tau
        if not self.count_empty:
            own = labels[:, None] == torch.arange(len(memory), device=labels.device)
            logits = logits.masked_fill(~(own | memory.any(1)), -torch.inf)
        total = F.cross_entropy(logits, labels, ignore_index=-1, reduction="sum")
        return total / (labels >= 0).sum().clamp(min=1)

    def scores(self, features: Tensor) -> Tensor:
        return cosines(features, self.lut) / self.tau

    @torch.no_grad()
    def update(self, outputs: Tensor, labels: Tensor) -> None:
        features = F.normalize(outputs.to(self.lut.dtype), dim=1)
        move(self.lut, labels[labels >= 0], features[labels >= 0], self.momentum)
        self._push(features[labels < 0])

    def _push(self, features: Tensor) -> None:
        size, count = len(self.queue), len(features)
        if size:
            places = (self.head + torch.arange(count, device=features.device)) % size
            self.queue[places[-size:]] = features[-size:]  # of more than the queue holds, the newest
            self.head.copy_((self.head + count) % size)
