"""What the tests of clustering methods share: crops that are their own features, and clusters that are known."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.data.datasets import Record
from training.recipe import Schedule

DBSCAN: Mapping[str, Any] = {"dbscan": {"eps": 0.2, "metric": "cosine"}}
SAMPLER = {"identities": 4, "images": 4, "each": "identities", "batches": 3}


class Same(nn.Module):
    """Every image is its own feature."""

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"features": images}


def people(count: int = 6, each: int = 8, dim: int = 16, noise: float = 0.05, seed: int = 0) -> Tensor:
    """Features [count · each, dim] that lie in narrow clusters, one after the other."""
    rng = torch.Generator().manual_seed(seed)
    centres = F.normalize(torch.randn(count, dim, generator=rng), dim=1).repeat_interleave(each, 0)
    return F.normalize(centres + noise * torch.randn(centres.shape, generator=rng), dim=1)


def build(kind: type, count: int = 48, source: Sequence[int] = (), dim: int = 16, **options: Any) -> Any:
    """A method for so many unlabelled crops, and source crops of the given identities."""
    records = [Record(Path(f"{n}.jpg"), n // 8, camid=n % 3) for n in range(count)]
    records += [Record(Path(f"s{n}.jpg"), pid, source=True) for n, pid in enumerate(source)]
    facts: dict[str, Any] = {"sampler": SAMPLER, "clustering": DBSCAN, "dims": {"features": dim}, "recipe": "recipe r"}
    if kind.__name__ == "ISE":
        facts["schedule"] = Schedule(lr=1e-3, epochs=10)
    return kind(records, **(facts | options)).double()


def begin(method: Any, features: Tensor, done: float = 0.0, seed: int = 0) -> list[np.ndarray]:
    """Its batches of an epoch."""
    return list(method.epoch(np.random.default_rng(seed), done, lambda output, cameras=None: features))


def step(method: Any, features: Tensor, batch: np.ndarray) -> tuple[Tensor, Tensor]:
    """The loss of a batch and its gradient; then the update."""
    shown = features[batch].double().requires_grad_()
    loss, _ = method(Same(), shown, torch.from_numpy(batch), torch.Generator())
    loss.backward()
    method.update()
    assert shown.grad is not None
    return loss.detach(), shown.grad
