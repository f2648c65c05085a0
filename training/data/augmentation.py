"""Random changes to a batch of crops, on the device that holds them."""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reidapp.errors import UserError
from reidapp.options import BelowOne, Share

_MEAN = (124, 116, 104)  # ImageNet's, as `models.network.Normalise` has it


class Augmentation:
    """Mirror, move and zoom, colour, erase; what is not asked for is not done.

    Args:
        flip: probability of mirroring.
        pad: the classic padding and random crop: how far a crop moves, at most, in whole pixels, as a share of its
            height; black comes in at the border. 10 pixels at a height of 256 are 0.04.
        shift: the same, but the border is repeated. Only one of the two can be asked for.
        zoom: how much it grows or shrinks, at most, for example 0.1.
        colour: strength of brightness, contrast and per-channel changes, for example 0.2.
        erase: probability of random erasing (Zhong et al. 2017): a rectangle of 2 to 40 % of the area, height to width
            0.3 to 3.3, is filled. One that is wider than the image is cut off, where the paper draws again.
        fill: what with: ``noise``, or the ``mean`` colour of ImageNet.

    Raises:
        UserError: an unknown fill, or both pad and shift.
    """

    def __init__(
        self,
        flip: Share = 0.5,
        pad: Share = 0.0,
        shift: Share = 0.0,
        zoom: BelowOne = 0.0,
        colour: Share = 0.0,
        erase: Share = 0.0,
        fill: Literal["noise", "mean"] = "noise",
    ) -> None:
        if fill not in ("noise", "mean"):
            raise UserError(f'augmentation: fill is "{fill}"; noise or mean expected')
        if pad and shift:
            raise UserError("augmentation: pad and shift both move a crop; give one of them")
        self.flip, self.reach, self.zoom, self.colour, self.erase = flip, pad or shift, zoom, colour, erase
        self.fill, self.black = fill, bool(pad)

    def __call__(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Change a batch.

        Args:
            images: uint8 ``[N, H, W, 3]``.
            rng: on the device of the images.

        Returns:
            ``[N, H, W, 3]``, 0 to 255: uint8 on the CPU, float32 elsewhere.
        """
        n, height, width, _ = images.shape
        changes = self._draw(n, height, width, rng)
        return _one_by_one(images, changes) if images.device.type == "cpu" else _at_once(images, changes)

    def _draw(self, n: int, height: int, width: int, rng: torch.Generator) -> "_Changes":
        def uniform(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=rng, device=rng.device)

        margin = round(self.reach * height)
        if self.zoom:
            offset = self.reach * height * (2 * uniform(n, 2) - 1)
        else:
            offset = ((2 * margin + 1) * uniform(n, 2)).floor() - margin

        area = height * width * (0.02 + 0.38 * uniform(n))
        aspect = torch.exp(1.2 * (2 * uniform(n) - 1))  # height to width, 0.3 to 3.3, as often flat as upright
        limit = torch.tensor([height, width], device=rng.device)
        size = torch.stack([area * aspect, area / aspect], 1).sqrt().minimum(limit).round()
        corner = (uniform(n, 2) * (limit - size + 1)).floor()
        erased = uniform(n, 1) < self.erase

        contrast = 1 + self.colour * (2 * uniform(n, 1) - 1)
        filling = torch.tensor(_MEAN, dtype=torch.uint8, device=rng.device).expand(height, width, 3)
        if self.erase and self.fill == "noise":
            filling = torch.randint(256, (height, width, 3), generator=rng, device=rng.device, dtype=torch.uint8)
        return _Changes(
            mirrored=uniform(n) < self.flip,
            scale=1 + self.zoom * (2 * uniform(n) - 1),
            offset=offset,
            margin=None if self.zoom else margin,
            black=self.black,
            contrast=contrast,
            gain=contrast * (1 + 0.3 * self.colour * (2 * uniform(n, 3) - 1)),
            brightness=128 * self.colour * (2 * uniform(n, 1) - 1),
            recoloured=bool(self.colour),
            rectangle=torch.cat([corner, corner + size], 1) * erased,
            filling=filling,
        )


@dataclass(frozen=True)
class _Changes:
    """What happens to each of N images.

    Attributes:
        mirrored: bool [N].
        scale: source pixels per pixel, [N].
        offset: of the source, pixels to the right and down, [N, 2].
        margin: bound of the offsets where they are whole and nothing is scaled, else None.
        black: what comes in at the border is black, not the border repeated.
        contrast, gain, brightness: a pixel v becomes gain · v + (1 − contrast) · mean + brightness; [N, 1], [N, 3] and
            [N, 1].
        recoloured: any does so.
        rectangle: top, left, bottom, right of what is erased, [N, 4]; none where it is empty.
        filling: uint8 [H, W, 3], seen through the rectangle.
    """

    mirrored: Tensor
    scale: Tensor
    offset: Tensor
    margin: int | None
    black: bool
    contrast: Tensor
    gain: Tensor
    brightness: Tensor
    recoloured: bool
    rectangle: Tensor
    filling: Tensor


def _one_by_one(images: Tensor, changes: _Changes) -> Tensor:
    """With OpenCV, which is several times as fast as `_at_once` on a processor (benchmarks/input_pipeline.py)."""
    result = np.empty(images.shape, np.uint8)
    height, width = result.shape[1:3]
    mirrored, offset = changes.mirrored.tolist(), changes.offset.tolist()
    border = cv2.BORDER_CONSTANT if changes.black else cv2.BORDER_REPLICATE
    maps, filling = _pixel_maps(changes, height, width), changes.filling.numpy()
    contrast, gain, brightness = (x.numpy() for x in (changes.contrast, changes.gain, changes.brightness))
    rectangles = changes.rectangle.int().tolist()
    for i, image in enumerate(images.numpy()):
        if changes.margin is None:
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            image = cv2.warpAffine(image, maps[i], (width, height), flags=flags, borderMode=border)
        else:
            if m := changes.margin:
                left, top = (m + int(x) for x in offset[i])
                image = cv2.copyMakeBorder(image, m, m, m, m, border)[top : top + height, left : left + width]
            if mirrored[i]:
                image = cv2.flip(image, 1)
        if changes.recoloured:
            constant = (1 - contrast[i]) * np.mean(cv2.mean(image)[:3]) + brightness[i]
            table = gain[i] * np.arange(256, dtype=np.float32)[:, None] + constant
            image = cv2.LUT(image, (table.clip(0, 255) + 0.5).astype(np.uint8)[None])
        result[i] = image
        top, left, bottom, right = rectangles[i]
        result[i, top:bottom, left:right] = filling[top:bottom, left:right]
    return torch.from_numpy(result)


def _pixel_maps(changes: _Changes, height: int, width: int) -> np.ndarray:
    """[N, 2, 3]: where each pixel (x, y, 1) of the result comes from; scaled and mirrored about the middle."""
    maps = np.zeros((len(changes.scale), 2, 3))
    scale = changes.scale.numpy()
    maps[:, 0, 0], maps[:, 1, 1] = np.where(changes.mirrored.numpy(), -scale, scale), scale
    middle = np.array([width - 1, height - 1]) / 2
    maps[:, :, 2] = changes.offset.numpy() + middle - maps[:, [0, 1], [0, 1]] * middle
    return maps


def _at_once(images: Tensor, changes: _Changes) -> Tensor:
    """All images in a few calls; no call waits for the device."""
    n, height, width, _ = images.shape
    x = images.permute(0, 3, 1, 2).float()  # [N, 3, H, W], channels last in memory
    theta = torch.zeros(n, 2, 3, device=x.device)
    theta[:, 0, 0] = torch.where(changes.mirrored, -changes.scale, changes.scale)
    theta[:, 1, 1] = changes.scale
    theta[:, 0, 2], theta[:, 1, 2] = 2 * changes.offset[:, 0] / width, 2 * changes.offset[:, 1] / height
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    x = F.grid_sample(x, grid, padding_mode="zeros" if changes.black else "border", align_corners=False)

    if changes.recoloured:
        offset = (1 - changes.contrast) * x.mean((1, 2, 3))[:, None] + changes.brightness
        x = (x * changes.gain[:, :, None, None] + offset[:, :, None, None]).clamp(0, 255)

    rows, columns = torch.arange(height, device=x.device), torch.arange(width, device=x.device)
    top, left, bottom, right = changes.rectangle.T[..., None]
    inside = ((rows >= top) & (rows < bottom))[:, :, None] & ((columns >= left) & (columns < right))[:, None]
    return torch.where(inside[..., None], changes.filling.float(), x.permute(0, 2, 3, 1))
