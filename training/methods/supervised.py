"""Supervised training: the identities are known."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from reidapp import registry
from reidapp.errors import UserError
from training.data.samplers import IdentitySampler
from training.losses import Classifies, Diagnoses


class Supervised(nn.Module):
    """A weighted sum of losses, each on one of the network's outputs.

    ``logits`` are the features through a bias-free linear classifier, which belongs to the training set and so lives
    here, not in the network.

    Args:
        pids: int [N], the identity of every crop; any numbers.
        losses: {name: {on: output, weight: w, and the loss's own options}}.
        sampler: options of `IdentitySampler`.
        dims: {output of the network: its dimension}.
        recipe: named in errors.
    """

    def __init__(
        self,
        pids: Sequence[int],
        losses: Mapping[str, Mapping[str, Any] | None],
        sampler: Mapping[str, Any],
        dims: Mapping[str, int],
        recipe: str,
    ) -> None:
        super().__init__()
        identities, labels = np.unique(pids, return_inverse=True)
        if len(identities) < 2:
            raise UserError("the training data show one identity only; a re-identification model needs several")
        self.labels = torch.from_numpy(labels)
        self.sampler = registry.build(IdentitySampler, sampler, f"{recipe}, sampler", labels=labels)
        self.on: dict[str, str] = {}
        self.weight: dict[str, float] = {}
        self.classifier: nn.Linear | None = None
        self.losses = nn.ModuleDict()
        for name, given in losses.items():
            options = dict(given or {})
            on, weight = options.pop("on", "features"), options.pop("weight", 1.0)
            if on == "logits":
                self.classifier = self.classifier or _classifier(dims["features"], len(identities))
            elif on not in dims:
                known = [*dims, "logits"]
                raise UserError(f'{recipe}, loss.{name}: no output "{on}"{registry.suggestion(on, known)}')
            self.on[name], self.weight[name] = on, float(weight)
            self.losses[name] = registry.build(
                registry.find("training.losses", name),
                options,
                f"{recipe}, loss.{name}",
                dim=dims.get(on, len(identities)),
                num_classes=len(identities),
            )
        if not self.losses:
            raise UserError(f"{recipe}: no loss")

    def epoch(self, rng: np.random.Generator) -> Iterator[Tensor]:
        """Index batches int64 [P·K] of one epoch."""
        return (torch.from_numpy(batch) for batch in self.sampler.epoch(rng))

    @property
    def batch_size(self) -> int:
        return self.sampler.identities * self.sampler.images

    @property
    def steps_per_epoch(self) -> int:
        return self.sampler.batches

    def loss(self, outputs: dict[str, Tensor], batch: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum, and its parts (detached) with the training accuracy where a loss classifies."""
        labels = self._labels(outputs, batch)
        total, parts = torch.zeros((), device=labels.device), dict[str, Tensor]()
        for name, loss in self.losses.items():
            value: Tensor = loss(self._output(outputs, name), labels)
            total = total + self.weight[name] * value
            parts[name] = value.detach()
            if "accuracy" not in parts and isinstance(loss, Classifies):
                with torch.no_grad():
                    best = loss.scores(self._output(outputs, name)).argmax(1)
                parts["accuracy"] = (best == labels).float().mean()
        return total, parts

    def diagnose(self, outputs: dict[str, Tensor], batch: Tensor) -> list[str]:
        """What is wrong with training, if anything."""
        labels = self._labels(outputs, batch)
        with torch.no_grad():
            found = [
                loss.diagnose(self._output(outputs, name), labels)
                for name, loss in self.losses.items()
                if isinstance(loss, Diagnoses)
            ]
        return [text for text in found if text]

    def _labels(self, outputs: dict[str, Tensor], batch: Tensor) -> Tensor:
        return self.labels[batch].to(next(iter(outputs.values())).device)

    def _output(self, outputs: dict[str, Tensor], loss: str) -> Tensor:
        on = self.on[loss]
        return self.classifier(outputs["features"]) if on == "logits" and self.classifier else outputs[on]


def _classifier(dim: int, num_classes: int) -> nn.Linear:
    layer = nn.Linear(dim, num_classes, bias=False)
    nn.init.normal_(layer.weight, std=0.001)  # as BoT: the first logits are near zero
    return layer
