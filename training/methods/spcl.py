"""Self-paced contrastive learning (SpCL, Ge et al. 2020, arXiv 2006.02713): a memory of crops, clustered or not."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reidapp.errors import UserError
from reidapp.options import BelowOne, Positive, Share
from training.clustering import check, numbered
from training.clustering._input import checked
from training.clustering.dbscan import DBSCAN, density
from training.data.datasets import Record
from training.distributed import from_first
from training.losses._memory import cosines, move
from training.methods._clustered import Clustered
from training.methods._extract import Extract
from training.methods.cluster_contrast import centroids
from training.recipe import Entry


class SpCL(Clustered):
    """Every crop has a vector v in the memory; a class is a cluster, or a crop outside of all clusters.

    z_c = mean_{j∈c} fᵀ v_j / τ,  L = −mean_i log( exp(z_{y_i}) / Σ_c exp(z_c) ),  f of length one

    After the step v_i ← m v_i + (1 − m) f_i, brought to length one, image by image. The first features fill the memory;
    after that it is what is clustered. An identity of the source is a class with one vector.

    Only reliable clusters are believed. Let A(i) be the crops in i's cluster, also at a tighter and at a looser eps. A
    cluster's independence is its crops' best |A ∩ A_loose| / |A ∪ A_loose|; where it is below what the ``keep`` best
    had in the first epoch, the cluster is dissolved. Of the others, those crops stay that have their cluster's best
    |A ∩ A_tight| / |A ∪ A_tight|, the compactness. Who has no cluster is a class of one.

    Args:
        records, sampler, dims, recipe, camera_norm, together, apart: see `Clustered`; camera_norm is for the first
            features. In place of a cluster, a group of the sampler may be K crops outside of all clusters.
        clustering: DBSCAN; the paper has eps 0.6.
        gap: between eps and the tighter and looser one; the paper has 0.02.
        keep: share of the first epoch's clusters that are independent; the paper has 0.9. Its code keeps one cluster
            more, as far as is remembered.
        momentum: m; the paper has 0.2.
        tau: τ; the paper has 0.05.
    """

    outliers_count = True
    classes: Tensor
    rows: Tensor
    threshold: Tensor

    def __init__(
        self,
        records: Sequence[Record],
        clustering: Entry,
        sampler: Mapping[str, Any],
        dims: Mapping[str, int],
        recipe: str,
        gap: Positive = 0.02,
        keep: Share = 0.9,
        momentum: BelowOne = 0.2,
        tau: Positive = 0.05,
        camera_norm: bool = False,
        together: Sequence[Sequence[int]] = (),
        apart: Sequence[tuple[int, int]] = (),
    ) -> None:
        super().__init__(records, clustering, sampler, dims, recipe, camera_norm, together, apart)
        if not isinstance(self.clustering, DBSCAN) or gap >= self.clustering.eps:
            raise UserError(f"{recipe}, method: clustering by dbscan, with an eps above gap, expected")
        if self.clustering.metric == "jaccard" and self.clustering.eps + gap >= 1:
            raise UserError(f"{recipe}, method: at eps + gap everything is a neighbour; Jaccard needs a sum below 1")
        self.gap, self.keep, self.momentum, self.tau = gap, keep, momentum, tau
        self.register_buffer("rows", torch.from_numpy(self.join(np.arange((~self.source).sum()))), persistent=False)
        self.register_buffer("memory", torch.zeros(int(self.rows.max()) + 1, self.dim))
        self.register_buffer("threshold", torch.zeros((), dtype=torch.float64))
        self.register_buffer("classes", torch.zeros_like(self.rows[: len(self.memory)]), persistent=False)
        self._seen: tuple[Tensor, Tensor] | None = None

    def epoch(self, rng: np.random.Generator, done: float, extract: Extract) -> Iterator[np.ndarray]:
        if done == 0:
            self.memory.copy_(centroids(self.look(extract), self.rows.cpu()))
        vectors = self.memory[: (~self.source).sum()]
        clusters = self.reliable(vectors, first=done == 0)
        labels = self.use(self.constrain(from_first(clusters), vectors))
        outside, next_ = rng.permutation(np.flatnonzero(labels < 0)), labels.max() + 1
        groups, classes = labels.copy(), labels.copy()
        groups[outside] = next_ + np.arange(len(outside)) // self.sampler.group
        classes[outside] = next_ + np.arange(len(outside))
        self.sampler = self.sampler_of(groups)
        self.classes[self.rows] = torch.from_numpy(classes).to(self.rows.device)
        return self.sampler.epoch(rng)

    def loss(self, features: Tensor, batch: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        rows = self.rows[batch]
        self._seen = rows, features.detach()
        means = class_means(self.memory, self.classes)
        return F.cross_entropy(cosines(features, means) / self.tau, self.classes[rows]), {}

    def update(self) -> None:
        assert self._seen is not None, "no batch yet"  # noqa: S101 - the engine's order; for mypy
        move(self.memory, *self._seen, self.momentum)

    def reliable(self, features: Tensor, first: bool) -> np.ndarray:
        """Clusters of features [N, D] that are reliable; in the first epoch they set the threshold."""
        x, eps, least = checked(features), self.clustering.eps, self.clustering.min_samples
        graph = self.clustering.graph(x, eps + self.gap)
        tight, clusters, loose = (density(graph, at, least) for at in (eps - self.gap, eps, eps + self.gap))
        independence = best(overlap(check(clusters, self.outliers_count), loose), clusters)
        if first:
            self.threshold.fill_(float(np.sort(independence)[-max(1, round(self.keep * len(independence)))]))
        compactness = overlap(clusters, tight)
        stays = (independence[clusters] >= float(self.threshold)) & (
            compactness == best(compactness, clusters)[clusters]
        )
        labels = np.where(stays & (clusters >= 0), clusters, -1)
        lonely = np.bincount(labels[labels >= 0], minlength=clusters.max() + 1) < 2
        return numbered(np.where(lonely[labels], -1, labels), x)


def class_means(memory: Tensor, classes: Tensor) -> Tensor:
    """The mean vector [C, D] of every class, of a memory [M, D] of classes [M]; not of length one."""
    counts = classes.bincount()
    sums = memory.new_zeros(len(counts), memory.shape[1]).index_add_(0, classes, memory)
    return sums / counts[:, None]


def overlap(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """|A(i) ∩ B(i)| / |A(i) ∪ B(i)|, [N], of the clusters that i is in, by two clusterings int [N]; −1: i alone."""
    a, b = (np.where(labels < 0, labels.max() + 1 + np.arange(len(labels)), labels) for labels in (one, other))
    _, at, counts = np.unique(a * (b.max() + 1) + b, return_inverse=True, return_counts=True)
    both = counts[at]
    return both / (np.bincount(a)[a] + np.bincount(b)[b] - both)


def best(values: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """The largest of the values [N] in every cluster, [C], of clusters int [N]."""
    largest = np.zeros(clusters.max() + 1)
    np.maximum.at(largest, clusters[clusters >= 0], values[clusters >= 0])
    return largest
