"""Cluster-Contrast (Dai et al. 2021, arXiv 2103.11568): a memory of one vector per cluster."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reidapp.errors import UserError
from reidapp.options import BelowOne, Positive
from training.data.datasets import Record
from training.losses._memory import cosines, move
from training.methods._clustered import Clustered
from training.methods._extract import Extract
from training.recipe import Entry

RULES = ("seq", "hard", "mean")


class ClusterContrast(Clustered):
    """ClusterNCE: cross-entropy of the cosines to the clusters' vectors c, which an epoch begins as means of features.

    L = −mean_i log( exp(f_iᵀ c_{y_i} / τ) / Σ_k exp(f_iᵀ c_k / τ) ),  f of length one

    After the step c_y ← m c_y + (1 − m) f, brought to length one: ``seq`` with every crop of the batch, one after the
    other; ``hard`` once, with the cluster's crop least like c_y (the paper's first version); ``mean`` once, with the
    mean of the cluster's crops. Clusters and their vectors live for one epoch. Crops outside of all clusters are left
    out of it.

    Args:
        records, clustering, sampler, dims, recipe, camera_norm, together, apart: see `Clustered`.
        memory: ``seq``, ``hard`` or ``mean``.
        momentum: m; 0.1 in the paper's code: the new counts for nine tenths.
        tau: τ; 0.05 in the paper.
    """

    def __init__(
        self,
        records: Sequence[Record],
        clustering: Entry,
        sampler: Mapping[str, Any],
        dims: Mapping[str, int],
        recipe: str,
        memory: Literal["seq", "hard", "mean"] = "seq",
        momentum: BelowOne = 0.1,
        tau: Positive = 0.05,
        camera_norm: bool = False,
        together: Sequence[Sequence[int]] = (),
        apart: Sequence[tuple[int, int]] = (),
    ) -> None:
        super().__init__(records, clustering, sampler, dims, recipe, camera_norm, together, apart)
        if memory not in RULES:
            raise UserError(f'{recipe}, method: memory is "{memory}"; {", ".join(RULES[:-1])} or {RULES[-1]} expected')
        self.rule, self.momentum, self.tau = memory, momentum, tau
        self.register_buffer("memory", torch.empty(0, self.dim), persistent=False)
        self._seen: tuple[Tensor, Tensor] | None = None

    def epoch(self, rng: np.random.Generator, done: float, extract: Extract) -> Iterator[np.ndarray]:
        features = self.look(extract)
        labels = self.use(self.cluster(features[~self.source]))
        self.sampler, self.labels = self.sampler_of(labels), torch.from_numpy(labels).to(self.labels.device)
        self.memory = centroids(features.to(self.memory), self.labels)
        return self.sampler.epoch(rng)

    def loss(self, features: Tensor, batch: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        labels = self.labels[batch]
        self._seen = features.detach(), labels
        return F.cross_entropy(cosines(features, self.memory) / self.tau, labels), {}

    def update(self) -> None:
        assert self._seen is not None, "no batch yet"  # noqa: S101 - the engine's order; for mypy
        update_centroids(self.memory, *self._seen, self.momentum, self.rule)


def centroids(features: Tensor, labels: Tensor) -> Tensor:
    """The mean features [N, D] of each of C classes (−1: none), brought to length one, [C, D]."""
    known = labels >= 0
    sums = features.new_zeros(int(labels.max()) + 1, features.shape[1])
    return F.normalize(sums.index_add_(0, labels[known], features[known]), dim=1)


def update_centroids(memory: Tensor, features: Tensor, labels: Tensor, momentum: float, rule: str) -> None:
    """Move the vectors [C, D], in place, by a batch's unit features [B, D] of classes [B]; see `ClusterContrast`."""
    if rule == "seq":
        move(memory, labels, features, momentum)
    elif rule == "hard":
        hardest = least_alike(cosines(features, memory).gather(1, labels[:, None])[:, 0], labels)
        move(memory, labels[hardest], features[hardest], momentum)
    else:
        classes, own, counts = labels.unique(return_inverse=True, return_counts=True)
        sums = features.new_zeros(len(classes), features.shape[1]).index_add_(0, own, features)
        move(memory, classes, sums / counts[:, None], momentum)


def least_alike(similarity: Tensor, labels: Tensor) -> Tensor:
    """Of each class in labels [B], the place in the batch where the similarity [B] is smallest."""
    order = similarity.argsort(stable=True)
    order = order[labels[order].argsort(stable=True)]
    sorted_labels = labels[order]
    first = torch.ones_like(sorted_labels, dtype=torch.bool)
    first[1:] = sorted_labels[1:] != sorted_labels[:-1]
    return order[first]
