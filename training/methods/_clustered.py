"""What methods share that cluster the crops anew before each epoch, and learn from the clusters."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reidapp import registry
from reidapp.errors import UserError
from training.clustering import check, describe
from training.clustering._constraints import constrained
from training.data.datasets import NO_CAMERA, NO_TRACKLET, UNLABELLED, Record
from training.data.samplers import IdentitySampler, JoinedSampler
from training.distributed import from_first, gather
from training.methods._extract import Extract
from training.recipe import Entry

_BATCHES = {"identities": 16, "images": 16, "batches": 200}  # Cluster-Contrast's, where a recipe says nothing


class Clustered(nn.Module):
    """Clusters of the crops as classes, in batches of P clusters with K crops each, and a loss against a memory.

    An epoch is a method's own: features (`look`), clusters (`cluster`), what they are used for (`use`, `sampler_of`).
    A crop's identity is looked at for the log alone (ARI). The exception are ``source`` records: their identities are
    classes like the clusters, and every batch is half of them.

    Args:
        records: the crops.
        clustering: {name: options}, see `training.clustering`.
        sampler: options of `IdentitySampler`; P = K = 16 and 200 batches an epoch where it says nothing.
        dims: {output of the network: its dimension}.
        recipe: named in errors.
        camera_norm: crops are clustered by features with the batch-norm statistics of their camera.
        together, apart: groups of tracklets that are of one person, and pairs that are of two. Clusters split no group
            and no tracklet, and hold no such pair (`training.clustering._constraints`), where the crops have tracklets.

    Raises:
        UserError: one crop, ``camera_norm`` without cameras, source data without identities; in an epoch, features or
            clusters that teach nothing (`training.clustering`).
    """

    takes_source = True
    outliers_count = False  # as classes of their own
    memory: Tensor
    labels: Tensor

    def __init__(
        self,
        records: Sequence[Record],
        clustering: Entry,
        sampler: Mapping[str, Any],
        dims: Mapping[str, int],
        recipe: str,
        camera_norm: bool = False,
        together: Sequence[Sequence[int]] = (),
        apart: Sequence[tuple[int, int]] = (),
    ) -> None:
        super().__init__()
        ((name, options),) = clustering.items()
        kind = registry.find("training.clustering", name)
        self.clustering = registry.build(kind, options, f"{recipe}, method.clustering.{name}")
        self.source = np.array([r.source for r in records])
        self.pids = np.array([r.pid for r in records])
        if (~self.source).sum() < 2:
            raise UserError(f"{recipe}: {(~self.source).sum()} training image; clusters need several")
        if UNLABELLED in self.pids[self.source]:
            raise UserError(f"{recipe}: some crops of --source have no identity; give these data as --data")
        self.cameras = np.array([r.camid for r in records])
        self.tracklets = np.array([r.tracklet for r in records])[~self.source]
        self.together, self.apart = together, apart
        if camera_norm and (self.cameras[~self.source] == NO_CAMERA).all():
            raise UserError(f"{recipe}: camera_norm needs cameras, and no crop's name or folder says one; take it away")
        self.camera_norm, self.dim, self.recipe = camera_norm, dims["features"], recipe
        self._options = {**_BATCHES, **sampler}
        if not self._options["batches"]:
            raise UserError(f"{recipe}: how many clusters there will be is not known; say sampler.batches=200, or so")
        self._found: dict[str, float] = {}
        self.sampler = self.sampler_of(self.join(np.zeros((~self.source).sum(), np.int64)))
        self.register_buffer("labels", torch.zeros(len(records), dtype=torch.int64), persistent=False)

    def forward(
        self, network: nn.Module, images: Tensor, batch: Tensor, noise: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        features = F.normalize(gather(network(images)["features"]).to(self.memory.dtype), dim=1)
        return self.loss(features, gather(batch.to(images.device)))

    def loss(self, features: Tensor, batch: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of unit features [B, D] of the crops of indices [B], and numbers for the log."""
        raise NotImplementedError

    def diagnose(self) -> list[str]:
        return []

    def report(self) -> dict[str, float]:
        return self._found

    def look(self, extract: Extract) -> Tensor:
        """Features of all crops, [N, D], of length one."""
        features = extract("features", self.cameras) if self.camera_norm else extract("features")
        return F.normalize(features, dim=1)

    def cluster(self, features: Tensor) -> np.ndarray:
        """Clusters of the target's crops, by their features [·, D]; the same in all processes."""
        return self.constrain(from_first(self.clustering(features)), features)

    def constrain(self, clusters: np.ndarray, features: Tensor) -> np.ndarray:
        """Clusters of the target's crops that agree with what is known; as they are, where no tracklet is."""
        if (self.tracklets == NO_TRACKLET).all():
            return clusters
        return constrained(clusters, features.float().cpu().numpy(), self.tracklets, self.together, self.apart)

    def use(self, clusters: np.ndarray) -> np.ndarray:
        """Say of what use clusters are, in the log or by an error, and `join` them."""
        self._found = describe(check(clusters, self.outliers_count), self.pids[~self.source])
        return self.join(clusters)

    def join(self, clusters: np.ndarray) -> np.ndarray:
        """Classes of all crops, int64 [N]: the target's clusters, then the source's identities; −1 for none."""
        labels = np.empty(len(self.pids), np.int64)
        labels[~self.source] = clusters
        labels[self.source] = clusters.max() + 1 + np.unique(self.pids[self.source], return_inverse=True)[1]
        return labels

    def sampler_of(self, labels: np.ndarray) -> IdentitySampler | JoinedSampler:
        """Batches of crops by their classes, of which −1 is none; with a source, half of each."""

        def of(chosen: np.ndarray, **changes: int) -> IdentitySampler:
            own, options = np.where(chosen, labels, UNLABELLED), {**self._options, **changes}
            where = f"{self.recipe}, sampler"
            sampler: IdentitySampler = registry.build(IdentitySampler, options, where, labels=own, cameras=self.cameras)
            return sampler

        whole = of(labels != UNLABELLED)
        if not self.source.any():
            return whole
        if whole.identities % 2:
            raise UserError(f"{self.recipe}: half of a batch is of --source; make sampler.identities an even number")
        return JoinedSampler(*(of(part, identities=whole.identities // 2) for part in (~self.source, self.source)))
