"""BUC, bottom-up clustering (Lin et al., AAAI 2019): every image is a cluster, and now and then the nearest merge."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import scipy.sparse
import torch
import torch.nn.functional as F
from pydantic import Field
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree
from torch import Tensor

from reidapp.errors import UserError
from reidapp.options import BelowOne, NotNegative, Positive
from training.clustering import describe
from training.data.datasets import Record
from training.losses._memory import cosines
from training.methods._extract import Extract
from training.methods._images import ImagesAsClasses, output
from training.recipe import Schedule

_BLOCK = 1 << 24  # distances that are held at a time


class BUC(ImagesAsClasses):
    """Repelled loss against one vector per cluster, and merging as in single linkage, which spares large clusters.

    L = −mean_i log( exp(v_{y_i}ᵀ x_i / τ) / Σ_c exp(v_cᵀ x_i / τ) )

    D(A, B) = min_{a∈A, b∈B} ‖x_a − x_b‖² + λ (|A| + |B|),  x of length one

    At each of the merges, equally spread over the run's second part, a share mp of N pairs is joined, the smallest D
    first; sizes are those before the merge, and a pair that is one cluster by then does not count. The memory begins
    anew as zeros, which count in the sum as published. There are 1/mp − 1 merges, which leave that share of N clusters,
    and two at least. The authors pick the best merge by the test set's labels; here the last one is the result.

    Their first figures came from a fault: images of an identity stand beside each other in the list of files, and so
    did what was merged. Here the order of the files has no part in it.

    Args:
        merge: mp; the paper uses 0.05.
        first: share of the run before the first merge; the code has 20 of 58 epochs, then 2 for each merge.
        penalty: λ, on the size of clusters; the code uses 0.005.
        squared: as in the code; the paper writes the distance without the square.
        tau: τ; the paper uses 0.1.
        momentum: γ of the memory; the code has 0.5.
        compare: the output of the network that distances are of.
        records, sampler, schedule, dims, recipe, on: see `ImagesAsClasses`.

    Raises:
        UserError: no such output, or fewer epochs than merges.
    """

    merges: Tensor

    def __init__(
        self,
        records: Sequence[Record],
        sampler: Mapping[str, Any],
        schedule: Schedule,
        dims: Mapping[str, int],
        recipe: str,
        on: str = "features",
        merge: Annotated[float, Field(gt=0, le=0.5)] = 0.05,
        first: BelowOne = 0.344,
        penalty: NotNegative = 0.005,
        squared: bool = True,
        tau: Positive = 0.1,
        momentum: BelowOne = 0.5,
        compare: str = "pooled",
    ) -> None:
        super().__init__(records, sampler, schedule, dims, recipe, on, momentum)
        self.compare = output(compare, dims, f"{recipe}, method.buc: compare")
        self.pairs = max(1, int(merge * len(records)))  # joined by each merge
        self.planned = min(int(1 / merge) - 1, -(-(len(records) - 2) // self.pairs))
        if self.planned > (left := self.epochs_from(first)):
            raise UserError(
                f"{recipe}: too short a run: each of {self.planned} merges begins an epoch, and after the first "
                f"{first:.0%} of the run there is room for {left}; give more schedule.epochs, or a larger "
                "method.buc.merge"
            )
        self.first, self.penalty, self.squared, self.tau = first, penalty, squared, tau
        self.register_buffer("merges", torch.zeros((), dtype=torch.int64))  # done so far

    def epoch(self, rng: np.random.Generator, done: float, extract: Extract) -> Iterator[np.ndarray]:
        left = self.epochs_from(self.first)
        due = 1 + (left - self.epochs_from(done)) * self.planned // left if done >= self.first else 0
        if self.merges < min(due, self.planned):
            features = self.look(extract, self.compare)
            pairs = min(self.pairs, int(self.labels.max()) - 1)
            self.labels.copy_(merged(features, self.labels, pairs, self.penalty, self.squared))
            self.memory.zero_()
            self.merges += 1
        return super().epoch(rng, done, extract)

    def loss(self, features: Tensor, batch: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        memory = self.memory[: int(self.labels.max()) + 1]
        return F.cross_entropy(cosines(features, memory) / self.tau, self.labels[batch]), {}

    def report(self) -> dict[str, float]:
        return describe(self.labels.cpu().numpy(), self.identities)


def merged(features: Tensor, labels: Tensor, pairs: int, penalty: float, squared: bool = True) -> Tensor:
    """Labels [N], numbered from 0, after joining pairs of clusters, the smallest D first (see `BUC`).

    Exact, and in blocks. Joining every cluster with its nearest one leaves half of them at most, so what that takes
    bounds D, and few pairs are below.

    Args:
        features: of length one, float [N, D].
        labels: clusters from 0, int64 [N].
        pairs: how many are joined; at most half as many as there are clusters.
        penalty: λ.
        squared: distances are squared.
    """
    blocks = list(torch.arange(len(labels), device=labels.device).split(max(1, _BLOCK // len(labels))))
    nearest = []
    for rows in blocks:
        smallest = _criterion(features, labels, rows, penalty, squared).min(1)
        nearest.append(_pairs(smallest.values, labels[rows], labels[smallest.indices]))
    joints = _joints(np.concatenate(nearest), pairs)
    for rows in blocks:
        criterion = _criterion(features, labels, rows, penalty, squared)
        row, column = (criterion <= joints[-1, 0]).nonzero().T
        below = _pairs(criterion[row, column], labels[rows[row]], labels[column])
        joints = _joints(np.concatenate([joints, below]), pairs)
    clusters = int(labels.max()) + 1
    graph = scipy.sparse.coo_array((np.ones(len(joints)), joints[:, 1:].T.astype(int)), shape=(clusters, clusters))
    return torch.from_numpy(connected_components(graph, directed=False)[1]).to(labels)[labels]


def _criterion(features: Tensor, labels: Tensor, rows: Tensor, penalty: float, squared: bool) -> Tensor:
    """D, before the minimum, of the images in rows [B] and all images, [B, N]; infinite within a cluster."""
    distances = (features[rows] @ features.T).mul_(-2).add_(2).clamp_(min=0)
    sizes = penalty * labels.bincount()[labels].to(features)
    criterion = (distances if squared else distances.sqrt_()).add_(sizes).add_(sizes[rows, None])
    return criterion.masked_fill_(labels[rows, None] == labels, torch.inf)


def _pairs(criterion: Tensor, one: Tensor, other: Tensor) -> np.ndarray:
    """[E, 3]: D and two clusters, the lower one first."""
    return torch.stack([criterion.double(), one.minimum(other).double(), one.maximum(other).double()], 1).cpu().numpy()


def _joints(pairs: np.ndarray, count: int) -> np.ndarray:
    """Which of the pairs [E, 3] join clusters that are not one by then, smallest first: the first ones of Kruskal's."""
    clusters = int(pairs[:, 2].max()) + 1
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    pairs = pairs[np.unique(pairs[:, 1] * clusters + pairs[:, 2], return_index=True)[1]]  # the smallest of each two
    # Scipy takes a weight of zero for no edge.
    graph = scipy.sparse.coo_array((1 + pairs[:, 0], pairs[:, 1:].T.astype(int)), shape=(clusters, clusters))
    tree = minimum_spanning_tree(graph).tocoo()
    joints = np.stack([tree.data - 1, tree.row, tree.col], 1)
    return joints[np.argsort(joints[:, 0], kind="stable")[:count]]
