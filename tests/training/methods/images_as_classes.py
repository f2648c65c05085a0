"""Stand-ins for the methods in which every image begins as a class of its own."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.data.datasets import Record
from training.recipe import Schedule

DIM = 6


class Features(nn.Module):
    """Every image is its own vector."""

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"features": images, "pooled": images}


def build(
    kind: type,
    count: int,
    epochs: int = 20,
    pids: Sequence[int] | None = None,
    sampler: Mapping[str, int] | None = None,
    **options: Any,
) -> Any:
    """A method on images in cameras 1 and 2 by turns."""
    known = range(count) if pids is None else pids
    records = [Record(Path(f"{n}.jpg"), pid, camid=1 + n % 2) for n, pid in enumerate(known)]
    schedule, dims = Schedule(lr=0.1, epochs=epochs), {"features": DIM, "pooled": DIM}
    return kind(records, sampler or {"batch": min(8, count)}, schedule, dims, "recipe r", **options)


def people(count: int, images: int = 4, spread: float = 0.3) -> Tensor:
    """Unit vectors float64 [count · images, D] of at most twelve people far apart, one person's beside each other."""
    rng = torch.Generator().manual_seed(0)
    axes = torch.eye(DIM, dtype=torch.float64)
    centres = torch.cat([axes, -axes])[:count]
    noise = torch.randn(count * images, DIM, generator=rng, dtype=torch.float64)
    return F.normalize(centres.repeat_interleave(images, 0) + spread * noise / DIM**0.5, dim=1)


def showing(features: Tensor) -> Callable[[str], Tensor]:
    """What the engine gives methods to look at all crops with."""
    return lambda name: features.float()


def run(method: Any, features: Tensor, epochs: int, begin: int = 0, of: int | None = None) -> list[float]:
    """Epochs of a network that learns nothing; their mean losses."""
    losses = []
    for epoch in range(begin, epochs):
        batches = list(method.epoch(np.random.default_rng(epoch), epoch / (of or epochs), showing(features)))
        total = 0.0
        for batch in batches:
            images = features[batch].float()
            total += float(method(Features(), images, torch.from_numpy(batch), torch.Generator())[0])
            method.update()
        losses.append(total / len(batches))
    return losses
