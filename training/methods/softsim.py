"""SoftSim (Lin et al. 2020, arXiv 2004.03547): every image is a class, and a little of those of its neighbours."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reidapp.errors import UserError
from reidapp.options import BelowOne, Count, NotNegative, Positive, Share
from training.data.datasets import NO_CAMERA, UNLABELLED, Record
from training.losses._memory import cosines
from training.methods._extract import Extract
from training.methods._images import ImagesAsClasses, output
from training.recipe import Schedule

_BLOCK = 1 << 24  # similarities that are held at a time


class SoftSim(ImagesAsClasses):
    """Classification of images against a memory, with labels that are softened by the most similar images.

    L = −mean_i [ λ log p_i(i) + (1 − λ)/k Σ_{j∈N_i} log p_i(j) ],  p_i = softmax(V x_i / τ)

    N_i are the k nearest images, found anew at the beginning of every epoch. Distances are 1 − cosine, the mean over
    the outputs in ``compare``, and grow by ``camera`` for images of the same camera: those of others show more.

    The paper could not be read: what is here was written from memory. k, λ and ``camera`` are uncertain, and so is how
    often neighbours are found and when they begin. It also compares parts of the body:
    ``head: jlml`` and ``compare: [global, local]`` do that.

    Args:
        k: neighbours.
        own: λ, the weight of an image's own class.
        tau: τ.
        camera: what images of one camera are further apart by; nothing where cameras are not known.
        first: share of the run in which an image has its own class only.
        compare: outputs of the network that distances are of.
        momentum: γ of the memory.
        records, sampler, schedule, dims, recipe, on: see `ImagesAsClasses`.

    Raises:
        UserError: no such output, or a run that ends before there are neighbours.
    """

    cameras: Tensor

    def __init__(
        self,
        records: Sequence[Record],
        sampler: Mapping[str, Any],
        schedule: Schedule,
        dims: Mapping[str, int],
        recipe: str,
        on: str = "features",
        k: Count = 8,
        own: Share = 0.6,
        tau: Positive = 0.1,
        camera: NotNegative = 0.02,
        first: BelowOne = 0.25,
        compare: Sequence[str] = ("pooled",),
        momentum: BelowOne = 0.5,
    ) -> None:
        super().__init__(records, sampler, schedule, dims, recipe, on, momentum)
        self.compare = [output(name, dims, f"{recipe}, method.softsim: compare") for name in compare]
        if not self.compare:
            raise UserError(f"{recipe}, method.softsim: compare is empty; name an output of the network")
        if not self.epochs_from(first):
            raise UserError(
                f"{recipe}: too short a run: it ends before there are neighbours, {first:.0%} from its beginning; "
                "give more schedule.epochs, or method.softsim.first=0"
            )
        self.k, self.own, self.tau, self.camera, self.first = k, own, tau, camera, first
        self.register_buffer("cameras", torch.tensor([record.camid for record in records]), persistent=False)
        self.neighbours: Tensor | None = None

    def epoch(self, rng: np.random.Generator, done: float, extract: Extract) -> Iterator[np.ndarray]:
        if done >= self.first:
            views = [self.look(extract, name) for name in self.compare]
            self.neighbours = nearest(views, self.cameras, self.k, self.camera)
        return super().epoch(rng, done, extract)

    def loss(self, features: Tensor, batch: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        logits = cosines(features, self.memory) / self.tau
        if self.neighbours is None:
            return F.cross_entropy(logits, batch), {}
        return softened(logits, batch, self.neighbours[batch], self.own), {}

    def report(self) -> dict[str, float]:
        """Which share of the neighbours shows the same person, where that is known."""
        known = self.identities != UNLABELLED
        if self.neighbours is None or not known.any():
            return {}
        near = self.identities[self.neighbours.cpu().numpy()[known]]
        return {"right_neighbours": float((near == self.identities[known][:, None]).mean())}


def softened(logits: Tensor, labels: Tensor, neighbours: Tensor, own: float) -> Tensor:
    """Cross-entropy of logits [B, N] with λ on the label [B] and (1 − λ)/k on each of its neighbours [B, k]."""
    log_p = logits.log_softmax(1)
    return -(own * log_p.gather(1, labels[:, None]).mean() + (1 - own) * log_p.gather(1, neighbours).mean())


def nearest(views: Sequence[Tensor], cameras: Tensor, k: int, camera: float) -> Tensor:
    """The k nearest other images, int64 [N, k], or all others where there are fewer; in blocks.

    Args:
        views: unit vectors [N, ·], one per output that distances are the mean over.
        cameras: int64 [N].
        camera: added where two images are of the same, known camera.
    """
    count = len(cameras)
    found = []
    for rows in torch.arange(count, device=cameras.device).split(max(1, _BLOCK // count)):
        similarities = torch.stack([view[rows] @ view.T for view in views]).mean(0)
        same = (cameras[rows, None] == cameras) & (cameras != NO_CAMERA)
        similarities = (similarities - camera * same).scatter_(1, rows[:, None], -torch.inf)
        found.append(similarities.topk(min(k, count - 1)).indices)
    return torch.cat(found)
