"""What the losses that compare the images of a batch with each other share."""

import torch
import torch.nn.functional as F
from torch import Tensor


def squared_distances(features: Tensor, normalise: bool = False) -> Tensor:
    """Squared Euclidean, [B, D] → [B, B], at least float32 and never negative.

    Outside autocast: near images differ by less than the rounding of bf16.

    Args:
        normalise: of the features brought to length one.
    """
    with torch.autocast(features.device.type, enabled=False):
        features = features.to(torch.promote_types(features.dtype, torch.float32))
        if normalise:
            features = F.normalize(features, dim=1)
        squares = features.square().sum(1)
        return (squares[:, None] + squares - 2 * features @ features.T).clamp(min=0)


def root(squared: Tensor) -> Tensor:
    """√, kept off zero, where its gradient is infinite."""
    return squared.clamp(min=1e-12).sqrt()


def distances(features: Tensor, normalise: bool = False) -> Tensor:
    """Euclidean, [B, D] → [B, B], at least float32."""
    return root(squared_distances(features, normalise))


def collapse(loss: str, features: Tensor, normalise: bool, margin: float = 0.0) -> str | None:
    """Says so when all features have become one point, or have shrunk until no distance comes near the margin.

    Args:
        loss: what it is called.
        normalise: see `squared_distances`.
    """
    features = features.detach()
    spread = distances(features, normalise).mean()
    size = 1.0 if normalise else features.float().norm(dim=1).mean()
    if spread <= 0.02 * size:
        what = "all features nearly equal"
    elif spread <= 0.1 * margin:
        what = "all features have shrunk"
    else:
        return None
    advice = "put it on features behind a batch norm without a scale (bnneck: {scale: false}), or lower schedule.lr"
    return f"the {loss} loss has collapsed ({what}); {advice}"


def mean_over(losses: Tensor, counted: Tensor) -> Tensor:
    """The mean of those that count, and zero where none does."""
    return torch.where(counted, losses, 0.0).sum() / counted.sum().clamp(min=1)
