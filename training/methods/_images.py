"""What the methods share in which every image begins as a class of its own (MMCL, BUC, SoftSim)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reidapp import registry
from reidapp.errors import UserError
from training.data.datasets import Record
from training.data.samplers import build_sampler
from training.distributed import gather
from training.losses._memory import move
from training.methods._extract import Extract
from training.recipe import Schedule


class ImagesAsClasses(nn.Module):
    """A memory with a unit vector v per class, moved after every step: v ← γ v + (1 − γ) x for an image's x and class.

    Identities are never learnt from; `report` measures against them where they are known. A subclass says what the
    loss is, and what becomes of the classes.

    Args:
        records: the N crops.
        sampler: ``{batch: B}``; an epoch shows every image once.
        schedule: of the recipe.
        dims: {output of the network: its dimension}.
        recipe: named in errors.
        on: the output of the network that is learnt.
        momentum: γ.

    Attributes:
        labels: the class of every image, int64 [N], each its own to begin with.
        memory: float [N, D]; rows of classes that no image has shown yet are zero.
        identities: int [N], −1 where not known.

    Raises:
        UserError: one image, a batch of anything but single images, or no such output.
    """

    labels: Tensor
    memory: Tensor

    def __init__(
        self,
        records: Sequence[Record],
        sampler: Mapping[str, Any],
        schedule: Schedule,
        dims: Mapping[str, int],
        recipe: str,
        on: str,
        momentum: float,
    ) -> None:
        super().__init__()
        count = len(records)
        if count < 2:
            raise UserError(f"{recipe}: one training image only; every image is told from the others, so give several")
        if "batch" not in sampler:
            raise UserError(f"{recipe}, sampler: every image is a class of its own here; give sampler='{{batch: 32}}'")
        self.recipe, self.on, self.momentum = recipe, output(on, dims, f"{recipe}, method: on"), momentum
        self.identities = np.array([record.pid for record in records])
        self.sampler = build_sampler(sampler, np.arange(count), np.array([r.camid for r in records]), recipe)
        steps = schedule.steps(self.sampler.batch_size, self.sampler.batches)
        self._begins = np.arange(0, steps, self.sampler.batches) / steps  # of the epochs, as shares of the run
        self.register_buffer("labels", torch.arange(count))
        self.register_buffer("memory", torch.zeros(count, dims[on]))
        self._seen: tuple[Tensor, Tensor] | None = None

    def epoch(self, rng: np.random.Generator, done: float, extract: Extract) -> Iterator[np.ndarray]:
        """Index batches int [batch_size] of one epoch."""
        if done == 0:
            self.look(extract, self.on)
        return self.sampler.epoch(rng)

    def forward(
        self, network: nn.Module, images: Tensor, batch: Tensor, noise: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        features, batch = gather(network(images)[self.on]), gather(batch.to(images.device))
        self._seen = features.detach(), batch
        return self.loss(features, batch)

    def loss(self, features: Tensor, batch: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Of features float [B, D] of any length, of the images int64 [B]; and numbers for the log."""
        raise NotImplementedError

    def update(self) -> None:
        assert self._seen is not None, "no batch yet"  # noqa: S101 - the engine's order; for mypy
        features, batch = self._seen
        move(self.memory, self.labels[batch], F.normalize(features.to(self.memory.dtype), dim=1), self.momentum)

    def diagnose(self) -> list[str]:
        return []

    def report(self) -> dict[str, float]:
        return {}

    def look(self, extract: Extract, name: str) -> Tensor:
        """An output of the network for all images, of length one, [N, D] on the memory's device.

        Raises:
            UserError: they are no numbers, or all the same.
        """
        features = F.normalize(extract(name).to(self.memory), dim=1)
        if not features.isfinite().all():
            raise UserError(f"{self.recipe}: the network gives no numbers (NaN); start from another model")
        if (features - features[0]).abs().max() < 1e-6:
            raise UserError(
                f"{self.recipe}: all {len(features)} images look the same to the network; give other images, or start "
                "from a better model"
            )
        return features

    def epochs_from(self, share: float) -> int:
        """How many epochs begin at a share of the run or later."""
        return int((self._begins >= share).sum())


def output(name: str, dims: Mapping[str, int], where: str) -> str:
    """An output of the network by its name.

    Raises:
        UserError: no such output.
    """
    if name not in dims:
        hint = registry.suggestion(name, list(dims))
        raise UserError(f'{where}: no output "{name}"{hint}; known: {", ".join(dims)}')
    return name
