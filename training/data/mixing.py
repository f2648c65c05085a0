"""Mixed images with mixed labels: every image of a batch is mixed with another one of the same batch."""

import torch
from torch import Tensor

from reidapp.errors import UserError


class Mixup:
    """Mixup (Zhang et al. 2018, arXiv 1710.09412): blended images.

    x̃_i = λ x_i + (1 − λ) x_j,  ỹ_i = λ y_i + (1 − λ) y_j,  λ ~ Beta(α, α), one λ and one permutation j for the batch

    Args:
        alpha: α; the paper uses 0.1 to 0.4 on ImageNet and 1 on CIFAR.

    Raises:
        UserError: α is not positive.
    """

    def __init__(self, alpha: float = 0.2) -> None:
        self.alpha = _positive(alpha, "mixup")

    def mix(self, images: Tensor, targets: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Blend a batch.

        Args:
            images: uint8 or float [N, H, W, 3].
            targets: float [N, C], rows summing to one.
            rng: on the device of the images.

        Returns:
            float32 [N, H, W, 3] and float [N, C].
        """
        share = _beta(self.alpha, rng)
        others = torch.randperm(len(images), generator=rng, device=rng.device)
        return torch.lerp(images[others].float(), images.float(), share), torch.lerp(targets[others], targets, share)


class CutMix:
    """CutMix (Yun et al. 2019, arXiv 1905.04899): a rectangle of every image comes from another one.

    λ ~ Beta(α, α); the rectangle, W√(1 − λ) by H√(1 − λ) around a random point, is clipped to the image; then λ is the
    share of the image that is left, and ỹ_i = λ y_i + (1 − λ) y_j. One rectangle and one permutation j for the batch.

    Args:
        alpha: α; the paper uses 1.

    Raises:
        UserError: α is not positive.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = _positive(alpha, "cutmix")

    def mix(self, images: Tensor, targets: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Paste within a batch.

        Args:
            images: uint8 or float [N, H, W, 3].
            targets: float [N, C], rows summing to one.
            rng: on the device of the images.

        Returns:
            as the images, and float [N, C].
        """
        side = (1 - _beta(self.alpha, rng)).sqrt()
        rows, columns = (_interval(length, side, rng) for length in images.shape[1:3])
        pasted = rows[:, None] & columns
        others = torch.randperm(len(images), generator=rng, device=rng.device)
        share = 1 - pasted.float().mean()
        return torch.where(pasted[..., None], images[others], images), torch.lerp(targets[others], targets, share)


def _positive(alpha: float, name: str) -> float:
    if not alpha > 0:
        raise UserError(f"{name}: alpha is {alpha}; it must be above 0")
    return alpha


def _beta(alpha: float, rng: torch.Generator) -> Tensor:
    """λ ~ Beta(α, α), a scalar that stays on its device (`torch.distributions.Beta` takes no generator)."""
    a, b = torch._standard_gamma(torch.full((2,), alpha, dtype=torch.float64, device=rng.device), generator=rng)
    return (a / (a + b)).float()


def _interval(length: int, side: Tensor, rng: torch.Generator) -> Tensor:
    """bool [length]: ``side`` · length whole pixels around a random one."""
    size = (side * length).floor()
    start = torch.randint(length, (), generator=rng, device=rng.device) - (size / 2).floor()
    at = torch.arange(length, device=rng.device)
    return (at >= start) & (at < start + size)
