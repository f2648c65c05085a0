"""What can be wrong with features before they are clustered."""

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from reidapp.errors import UserError


def checked(features: Tensor | np.ndarray) -> np.ndarray:
    """Features as a float32 array [N, D].

    Raises:
        UserError: fewer than two images, a value that is not finite, or all images equal.
    """
    x = torch.as_tensor(features).detach().float().cpu().contiguous().numpy()
    if len(x) < 2:
        raise UserError(f"clustering: {len(x)} image; give it a folder with at least some dozens of them")
    if not np.isfinite(x).all():
        bad = int((~np.isfinite(x)).any(axis=1).sum())
        raise UserError(f"clustering: features of {bad} of {len(x)} images are not finite; lower the learning rate")
    if np.ptp(x, axis=0).max() < 1e-6:
        raise UserError(
            f"clustering: the features of all {len(x)} images are equal; check that the images differ, or start from "
            "another model"
        )
    return x


def need_memory(needed: float, images: int, advice: str) -> None:
    """Say before the work begins that it cannot be held in memory.

    Raises:
        UserError: fewer bytes are available than needed.
    """
    if needed > (available := available_memory()):
        raise UserError(
            f"clustering: {images} images need {needed / 1e9:.1f} GB of memory and {available / 1e9:.1f} GB are free; "
            f"{advice}"
        )


def available_memory() -> float:
    """Bytes; without end on systems that do not tell as Linux does."""
    information = Path("/proc/meminfo")
    if not information.exists():
        return math.inf
    fields = dict(line.split(":") for line in information.read_text().splitlines())
    return 1024.0 * int(fields["MemAvailable"].split()[0])
