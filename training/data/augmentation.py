"""Random changes to a batch of crops, on the device, all images at once."""

import torch
import torch.nn.functional as F
from torch import Tensor


class Augmentation:
    """Mirror, move and zoom, colour, erase.

    Args:
        flip: probability of mirroring.
        shift: how far a crop moves, at most, as a share of its height (the border is repeated).
        zoom: how much it grows or shrinks, at most, for example 0.1.
        colour: strength of brightness, contrast and per-channel changes, for example 0.2.
        erase: probability of a rectangle of noise (random erasing, Zhong et al. 2017: 2 to 40 % of the area).
    """

    def __init__(
        self, flip: float = 0.5, shift: float = 0.05, zoom: float = 0.1, colour: float = 0.2, erase: float = 0.4
    ) -> None:
        self.flip, self.shift, self.zoom, self.colour, self.erase = flip, shift, zoom, colour, erase

    def __call__(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Change a batch.

        Args:
            images: uint8 ``[N, H, W, 3]``.
            rng: on the device of the images.

        Returns:
            float32 ``[N, H, W, 3]``, 0 to 255.
        """
        x = images.permute(0, 3, 1, 2).float()  # [N, 3, H, W], channels last in memory
        x = self._move(x, rng)
        x = self._recolour(x, rng)
        x = self._erase(x, rng)
        return x.permute(0, 2, 3, 1)

    def _move(self, x: Tensor, rng: torch.Generator) -> Tensor:
        n, _, height, width = x.shape
        theta = torch.zeros(n, 2, 3, device=x.device)
        scale = 1 + self.zoom * _symmetric(n, rng)
        mirrored = torch.rand(n, generator=rng, device=x.device) < self.flip
        theta[:, 0, 0] = torch.where(mirrored, -scale, scale)
        theta[:, 1, 1] = scale
        theta[:, 0, 2] = 2 * self.shift * height / width * _symmetric(n, rng)
        theta[:, 1, 2] = 2 * self.shift * _symmetric(n, rng)
        grid = F.affine_grid(theta, list(x.shape), align_corners=False)
        return F.grid_sample(x, grid, padding_mode="border", align_corners=False)

    def _recolour(self, x: Tensor, rng: torch.Generator) -> Tensor:
        if not self.colour:
            return x
        n = len(x)
        gain = (1 + self.colour * _symmetric(n, rng)).view(n, 1, 1, 1)
        tint = (1 + 0.3 * self.colour * _symmetric(3 * n, rng)).view(n, 3, 1, 1)
        offset = (1 - gain) * x.mean((1, 2, 3), keepdim=True)  # a gain about the mean changes the contrast
        offset = offset + 128 * self.colour * _symmetric(n, rng).view(n, 1, 1, 1)
        return (x * (gain * tint) + offset).clamp_(0, 255)

    def _erase(self, x: Tensor, rng: torch.Generator) -> Tensor:
        if not self.erase:
            return x
        n, _, height, width = x.shape
        chosen = torch.rand(n, generator=rng, device=x.device) < self.erase
        area = 0.02 + 0.38 * torch.rand(n, generator=rng, device=x.device)
        aspect = torch.exp(1.2 * _symmetric(n, rng))  # height : width, 0.3 to 3.3
        rows = _inside(height, (area * aspect * height * width).sqrt().clamp(max=height), rng)
        columns = _inside(width, (area / aspect * height * width).sqrt().clamp(max=width), rng)
        erased = rows[:, None, :, None] & columns[:, None, None, :] & chosen.view(n, 1, 1, 1)
        noise = 255 * torch.rand(1, x.shape[1], height, width, generator=rng, device=x.device)
        return torch.where(erased, noise, x)


def _symmetric(n: int, rng: torch.Generator) -> Tensor:
    return 2 * torch.rand(n, generator=rng, device=rng.device) - 1


def _inside(length: int, size: Tensor, rng: torch.Generator) -> Tensor:
    """One interval of ``size`` per image at a random place: bool ``[N, length]``."""
    start = torch.rand(len(size), generator=rng, device=size.device) * (length - size)
    at = torch.arange(length, device=size.device)
    return (at >= start[:, None]) & (at < (start + size)[:, None])
