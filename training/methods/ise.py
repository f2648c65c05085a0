"""Implicit sample extension (ISE, Zhang et al. 2022, arXiv 2204.06892), on top of Cluster-Contrast."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reidapp.options import BelowOne, Count, NotNegative, Positive
from training.data.datasets import Record
from training.losses._memory import cosines
from training.methods._extract import Extract
from training.methods.cluster_contrast import ClusterContrast
from training.recipe import Entry, Schedule


class ISE(ClusterContrast):
    """Support samples at the borders of clusters: a crop's feature f, moved towards the K nearest other clusters c*.

    λ_t = λ0 ln((e − 1) t / T + 1)                        the degree, at step t of T: 0 → λ0
    f̃_k = (f + g λ_t (c*_k − c_y)) / ‖·‖, k = 1 … K       support samples, of the crop's own label y
    L = L_SE + β L_LP

    L_SE is ClusterNCE averaged over crops and support samples, and both move the memory, the crops first. L_LP keeps
    labels, by the batch's support samples: of the crop's own cluster the least alike, f̃⁺, of every other the most, f̃⁻,

    L_LP = −mean_i log( exp(f·f̃⁺/τ') / (exp(f·f̃⁺/τ') + Σ_{c≠y} exp(f·f̃_c⁻/τ')) )

    Gradients reach f, not the memory. At t = 0, or without its parts, this is Cluster-Contrast.

    Args:
        records, clustering, sampler, dims, recipe, camera_norm, together, apart: see `Clustered`.
        schedule: says T.
        memory, momentum, tau: see `ClusterContrast`; hard with 0.2 on Market-1501 in the paper's code.
        neighbours: K; the paper takes 1.
        lambda0: λ0; the paper takes 1.
        pli_gain: g. 1 is the paper's equation. Its code halves λ twice, which is 0.25.
        expansion: whether support samples count in L_SE and the memory (progressive linear interpolation).
        beta: β; 0.1 on Market-1501, 0.01 on MSMT17. 0: no L_LP.
        tau_lp: τ'; the paper's code has 0.6.
    """

    def __init__(
        self,
        records: Sequence[Record],
        clustering: Entry,
        sampler: Mapping[str, Any],
        schedule: Schedule,
        dims: Mapping[str, int],
        recipe: str,
        memory: Literal["seq", "hard", "mean"] = "hard",
        momentum: BelowOne = 0.2,
        tau: Positive = 0.05,
        neighbours: Count = 1,
        lambda0: NotNegative = 1.0,
        pli_gain: NotNegative = 1.0,
        expansion: bool = True,
        beta: NotNegative = 0.1,
        tau_lp: Positive = 0.6,
        camera_norm: bool = False,
        together: Sequence[Sequence[int]] = (),
        apart: Sequence[tuple[int, int]] = (),
    ) -> None:
        super().__init__(
            records, clustering, sampler, dims, recipe, memory, momentum, tau, camera_norm, together, apart
        )
        self.neighbours, self.lambda0, self.pli_gain = neighbours, lambda0, pli_gain
        self.expansion, self.beta, self.tau_lp = expansion, beta, tau_lp
        self._steps = schedule.steps(self.sampler.batch_size, self.sampler.batches)
        self._step = 0

    def epoch(self, rng: np.random.Generator, done: float, extract: Extract) -> Iterator[np.ndarray]:
        self._step = round(done * self._steps)
        return super().epoch(rng, done, extract)

    def loss(self, features: Tensor, batch: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        labels = self.labels[batch]
        shift = self.pli_gain * degree(self._step / self._steps, self.lambda0)
        supports = support_samples(features, labels, self.memory, shift, self.neighbours)
        own = labels.repeat_interleave(len(supports) // len(labels))
        both, both_labels = features, labels
        if self.expansion:
            both, both_labels = torch.cat([features, supports]), torch.cat([labels, own])
        self._seen = both.detach(), both_labels
        expansion = F.cross_entropy(cosines(both, self.memory) / self.tau, both_labels)
        if not self.beta:
            return expansion, {}
        preservation = label_preserving(features, labels, supports, own, self.tau_lp)
        return expansion + self.beta * preservation, {"preservation": preservation.detach()}

    def update(self) -> None:
        super().update()
        self._step += 1


def degree(progress: float, lambda0: float) -> float:
    """λ_t at a share t / T of the run."""
    return lambda0 * math.log((math.e - 1) * progress + 1)


def support_samples(features: Tensor, labels: Tensor, centroids: Tensor, shift: float, neighbours: int) -> Tensor:
    """f̃ of unit features [B, D] of clusters [B], towards the nearest of the others' centroids [C, D].

    Returns:
        [B K, D], a crop's K together; fewer than K where there are no more clusters.
    """
    with torch.no_grad():
        others = cosines(features, centroids).scatter(1, labels[:, None], -torch.inf)
        nearest = others.topk(min(neighbours, len(centroids) - 1), dim=1).indices
    towards = centroids[nearest] - centroids[labels][:, None]
    return F.normalize(features[:, None] + shift * towards, dim=2).flatten(0, 1)


def label_preserving(features: Tensor, labels: Tensor, supports: Tensor, own: Tensor, tau: float) -> Tensor:
    """L_LP of unit features [B, D] with labels [B], by support samples [S, D] with labels [S]."""
    classes, at = labels.unique(return_inverse=True)
    similarity = cosines(features, supports)
    place = torch.searchsorted(classes, own).expand_as(similarity)
    empty = similarity.new_zeros(len(features), len(classes))
    least = empty.scatter_reduce(1, place, similarity, "amin", include_self=False)
    most = empty.scatter_reduce(1, place, similarity, "amax", include_self=False)
    is_own = at[:, None] == torch.arange(len(classes), device=at.device)
    return F.cross_entropy(torch.where(is_own, least, most) / tau, at)
