"""Supervised training: the identities are known."""

import math
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reidapp import registry
from reidapp.errors import UserError
from reidapp.options import NotNegative
from training.data.datasets import UNLABELLED, Record
from training.data.mixing import CutMix, Mixup
from training.data.samplers import build_sampler
from training.distributed import gather
from training.losses import Classifies, Diagnoses, Remembers
from training.methods._extract import Extract


class Supervised(nn.Module):
    """A weighted sum of losses, each on one of the network's outputs.

    Args:
        records: the crops; a pid of −1 is a person without an identity, whom only some losses look at.
        losses: {name: {on: output, weight: w, and the loss's own options}}. A list under ``on`` makes one loss per
            output, each with its own class weights. Those can be regularised by losses that come after it:
            ``on: identity.features.weight``.
        sampler: see `training.data.samplers.build_sampler`.
        dims: {output of the network: its dimension}.
        weights: {output of the network that is a weight of its head: its columns}, for losses that regularise it.
        recipe: named in errors.
        mixup: α of Mixup; each batch is mixed with itself, for losses that take soft labels.
        cutmix: α of CutMix; with both, every batch is mixed by one of them, taken at random.
    """

    def __init__(
        self,
        records: Sequence[Record],
        losses: Mapping[str, Mapping[str, Any] | None],
        sampler: Mapping[str, Any],
        dims: Mapping[str, int],
        recipe: str,
        weights: Mapping[str, int] = MappingProxyType({}),
        mixup: NotNegative = 0.0,
        cutmix: NotNegative = 0.0,
    ) -> None:
        super().__init__()
        pids = np.array([r.pid for r in records])
        identities = np.unique(pids[pids != UNLABELLED])
        if not len(identities):
            raise UserError("no training image has an identity; supervised recipes learn from labelled crops")
        if len(identities) < 2:
            raise UserError("the training data show one identity only; a re-identification model needs several")
        labels = np.where(pids == UNLABELLED, UNLABELLED, np.searchsorted(identities, pids))
        self.labels, self.classes = torch.from_numpy(labels), len(identities)
        self.sampler = build_sampler(sampler, labels, np.array([r.camid for r in records]), recipe)
        self.dims = dict(dims)
        self.losses = nn.ModuleDict()
        self.on: dict[str, str] = {}
        self.weight: dict[str, float] = {}
        for name, options in losses.items():
            self._add(name, dict(options or {}), weights, recipe)
        if not self.losses:
            raise UserError(f"{recipe}: no loss")
        self.mixing = self._mixing(mixup, cutmix, recipe)
        self._seen: tuple[dict[str, Tensor], Tensor] | None = None

    def epoch(self, rng: np.random.Generator, done: float, extract: Extract) -> Iterator[np.ndarray]:
        """Index batches int [batch_size] of one epoch."""
        return self.sampler.epoch(rng)

    def forward(
        self, network: nn.Module, images: Tensor, batch: Tensor, noise: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum, and its parts (detached) with the training accuracy where a loss classifies."""
        labels = targets = self.labels[batch].to(images.device)
        if self.mixing:
            which = int(torch.randint(len(self.mixing), (), generator=noise, device=noise.device))
            images, targets = self.mixing[which].mix(images, F.one_hot(labels, self.classes).float(), noise)
        outputs = {
            name: gather(output) if name in self.dims else output  # a head's weights are every process's own
            for name, output in self._look(network, images, batch).items()
        }
        labels, targets = gather(labels), gather(targets)
        self._seen = {name: output.detach() for name, output in outputs.items()}, labels
        return self._weighted_sum(outputs, labels, targets)

    def update(self) -> None:
        for key, loss in self.losses.items():
            if isinstance(loss, Remembers):
                loss.update(*self._shown(key, *self._last()))

    def diagnose(self) -> list[str]:
        with torch.no_grad():
            found = [
                loss.diagnose(*self._shown(key, *self._last()))
                for key, loss in self.losses.items()
                if isinstance(loss, Diagnoses)
            ]
        return [text for text in found if text]

    def report(self) -> dict[str, float]:
        return {}

    def _add(self, name: str, options: dict[str, Any], weights: Mapping[str, int], recipe: str) -> None:
        on, weight = options.pop("on", "features"), options.pop("weight", 1.0)
        if not isinstance(weight, int | float) or not 0 <= weight < math.inf:
            raise UserError(f"{recipe}, loss.{name}: weight is {weight}; a number of at least 0 expected")
        loss = registry.find("training.losses", name)
        if getattr(loss, "needs_pairs", False) and not self.sampler.has_pairs:
            raise UserError(
                f"{recipe}, loss.{name}: it compares the images of a batch; "
                "set sampler.identities and sampler.images to 2 or more"
            )
        if not isinstance(on, str | list):
            raise UserError(f"{recipe}, loss.{name}: on is {on}; an output's name, or a list of them, expected")
        columns = {name: weight.shape[1] for name, weight in self._class_weights().items()}
        known = {**self.dims, **weights, **columns}
        for output in [on] if isinstance(on, str) else on:
            key = name if isinstance(on, str) else f"{name}/{output}"
            if output not in known:
                hint = registry.suggestion(output, list(known))
                raise UserError(f'{recipe}, loss.{key}: no output "{output}"{hint}; known: {", ".join(known)}')
            self.on[key], self.weight[key] = output, weight
            self.losses[key] = registry.build(
                loss,
                options,
                f"{recipe}, loss.{name}",
                dim=known[output],
                num_classes=self.classes,
            )

    def _mixing(self, mixup: float, cutmix: float, recipe: str) -> list[Mixup | CutMix]:
        mixing = ([Mixup(mixup)] if mixup else []) + ([CutMix(cutmix)] if cutmix else [])
        hard = [key for key, loss in self.losses.items() if not getattr(loss, "takes_soft_labels", False)]
        if mixing and hard:
            raise UserError(f"{recipe}: mixup and cutmix need losses that take soft labels; {hard[0]} does not")
        if mixing and self.sampler.unlabelled:
            raise UserError(f"{recipe}: mixup and cutmix need people with an identity; take sampler.unlabelled away")
        return mixing

    def _look(self, network: nn.Module, images: Tensor, batch: Tensor) -> dict[str, Tensor]:
        """The network's outputs for this process's part of the batch."""
        outputs: dict[str, Tensor] = network(images)
        return outputs

    def _class_weights(self) -> dict[str, Tensor]:
        """``identity.features.weight``: the class weights of a loss, by its name and the output it is on."""
        found = dict[str, Tensor]()
        for key, loss in self.losses.items():
            weights = [p for name, p in loss.named_parameters() if name.endswith("weight")]
            found |= {f"{key.split('/')[0]}.{self.on[key]}.weight": weight for weight in weights}
        return found

    def _shown(self, key: str, outputs: Mapping[str, Tensor], labels: Tensor) -> tuple[Tensor, Tensor]:
        """What a loss is called with: its output, and the labels; only some losses see people without an identity."""
        output, takes_all = outputs[self.on[key]], getattr(self.losses[key], "takes_unlabelled", False)
        if not self.sampler.unlabelled or takes_all or self.on[key] not in self.dims:
            return output, labels
        known = labels != UNLABELLED
        return output[known], labels[known]

    def _weighted_sum(
        self, outputs: dict[str, Tensor], labels: Tensor, targets: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        outputs = outputs | self._class_weights()
        total, numbers = torch.zeros((), device=labels.device), dict[str, Tensor]()
        for key, loss in self.losses.items():
            value: Tensor = loss(*self._shown(key, outputs, targets))
            total = total + self.weight[key] * value
            numbers[key] = value.detach()
            if "accuracy" not in numbers and isinstance(loss, Classifies):
                with torch.no_grad():
                    shown, own = self._shown(key, outputs, labels)
                    hits = loss.scores(shown).argmax(1) == own
                    numbers["accuracy"] = hits.sum() / (own != UNLABELLED).sum()
        return total, numbers

    def _last(self) -> tuple[dict[str, Tensor], Tensor]:
        assert self._seen is not None, "no batch yet"  # noqa: S101 - the engine's order; for mypy
        outputs, labels = self._seen
        return outputs | self._class_weights(), labels
