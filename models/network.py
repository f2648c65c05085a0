"""A network: pictures in, named features out. A plain dictionary describes it, so a run folder can rebuild it."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reidapp import registry
from reidapp.errors import UserError
from reidapp.imaging import resize

# {"height": 128, "width": 64, "backbone": {"osnet": {"width": 0.25}}, "head": {"bnneck": {}}}
Description = Mapping[str, Any]


class Network(nn.Module):
    """Preprocessing, backbone and head in one module, so that training, evaluation and export cannot disagree.

    With ``projection: P`` in the description, a linear layer that is fitted after training (`training.her`) follows
    ``features`` in the embedding, and D = P.

    Shapes: images uint8 (or float, 0 to 255, after augmentation) [N, H, W, 3] RGB → a dictionary of vectors [N, ·]:
    ``pooled`` (before the neck) and ``features`` (after it), as the head names them.
    """

    def __init__(self, description: Description) -> None:
        super().__init__()
        self.description = dict(description)
        self.height: int = description["height"]
        self.width: int = description["width"]
        name, options = only_entry(description["backbone"], "backbone")
        self.normalise = Normalise()
        self.backbone = registry.build(
            registry.find("models.backbones", name),
            options,
            f"backbone.{name}",
            image_size=(self.height, self.width),
        )
        self.head = _build_head(description["head"], self.backbone.channels, f"backbone.{name}")
        self.dim: int = description.get("projection", self.head.dim)
        self.projection: nn.Module = (
            nn.Linear(self.head.dim, self.dim, bias=False) if "projection" in description else nn.Identity()
        )
        self.dims: dict[str, int] = self.head.dims
        self.weights: dict[str, int] = getattr(self.head, "weights", {})  # outputs that are weights, and their columns

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return self.head(self.backbone(self.normalise(images)))

    def embed(self, images: Tensor) -> Tensor:
        """Embeddings float [N, D], rows of length one."""
        return F.normalize(self.projection(self(images)["features"].float()), dim=1)

    @torch.inference_mode()
    def embed_crops(self, crops: Sequence[np.ndarray], batch: int = 64) -> np.ndarray:
        """RGB uint8 crops of any sizes → float32 [N, D], as `reidapp.embedding.Embedder.embed`."""
        device = next(self.parameters()).device
        parts = [np.empty((0, self.dim), np.float32)]
        for start in range(0, len(crops), batch):
            images = np.stack([resize(crop, self.height, self.width) for crop in crops[start : start + batch]])
            parts.append(self.embed(torch.from_numpy(images).to(device)).cpu().numpy())
        return np.concatenate(parts)


class Normalise(nn.Module):
    """Pixels 0 to 255, [N, H, W, 3] → [N, 3, H, W] with about zero mean and unit variance (ImageNet's statistics).

    The result has channels-last strides: the permutation costs nothing.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        rgb_mean, rgb_deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        self.register_buffer("mean", 255 * torch.tensor(rgb_mean), persistent=False)
        self.register_buffer("scale", 1 / (255 * torch.tensor(rgb_deviation)), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        # By rows of 3 W numbers and in place: on the CPU, many times faster than by three channels with intermediates.
        width = images.shape[2]
        rows = images.flatten(2).to(self.mean.dtype, copy=True)
        rows = rows.sub_(self.mean.repeat(width)).mul_(self.scale.repeat(width))
        return rows.view(images.shape).permute(0, 3, 1, 2)


def only_entry(entry: str | Mapping[str, Any], where: str) -> tuple[str, dict[str, Any]]:
    """``"osnet"`` or ``{"osnet": {"width": 0.25}}`` → name and options."""
    if isinstance(entry, str):
        return entry, {}
    if len(entry) != 1:
        raise UserError(f"{where}: exactly one entry expected, not {', '.join(entry) or 'none'}")
    ((name, options),) = entry.items()
    return name, dict(options or {})


def _build_head(entry: str | Mapping[str, Any], channels: int | tuple[int, int], backbone: str) -> Any:
    name, options = only_entry(entry, "head")
    head = registry.find("models.heads", name)
    if isinstance(channels, tuple) and inspect.signature(head).parameters["channels"].annotation is int:
        raise UserError(f"head.{name} takes one feature map, and {backbone} gives two; choose another head or backbone")
    return registry.build(head, options, f"head.{name}", channels=channels)
