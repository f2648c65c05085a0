"""Batch norm over parts of a batch, as several GPUs would each see one (ghost batch norm, Hoffer et al. 2017)."""

from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reidapp.errors import UserError

M = TypeVar("M", bound=nn.Module)


def split_batch_norm(module: M, splits: int) -> M:
    """Make every batch norm in ``module`` normalise ``splits`` equal parts of a training batch by themselves.

    Published batch sizes are often those of several GPUs under DataParallel: Cluster-Contrast's 256 images are four
    times 64 to its batch norms, and one GPU needs ``splits`` = 4 to train the same network. Parameters, state dict and
    evaluation stay as they are. Works in place.

    Raises:
        UserError: ``splits`` is below 1.
    """
    if splits < 1:
        raise UserError(f"batch norm: {splits} parts of a batch; 1 (the whole batch) or more expected")
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.__class__ = SplitBatchNorm1d if isinstance(layer, nn.BatchNorm1d) else SplitBatchNorm2d
            vars(layer)["splits"] = splits
    return module


def check_splits(images: int, splits: int) -> None:
    """
    Raises:
        UserError: so many images do not make so many equal parts that a batch norm can normalise.
    """
    if splits > 1 and (images % splits or images < 2 * splits):
        raise UserError(
            f"batch norm: {images} images do not make {splits} equal parts of two or more; "
            f"choose a batch size that is a multiple of {splits}"
        )


class _Split(nn.modules.batchnorm._BatchNorm):
    """Parts are contiguous along the batch, x = [x_1; …; x_s], each normalised with its own mean and variance.

    Every part moves a copy of the running statistics, which become the copies' mean: what processes that normalise
    by themselves agree on when they average.

    Shapes: [N, C] or [N, C, H, W], N a multiple of ``splits`` with two images or more for each part.

    Raises:
        UserError: such a batch cannot be split.
    """

    splits: int
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.splits == 1:
            return super().forward(x)
        check_splits(len(x), self.splits)
        means, variances = (s.repeat(self.splits, 1) for s in (self.running_mean, self.running_var))
        parts = [
            F.batch_norm(part, mean, variance, self.weight, self.bias, True, self.momentum, self.eps)
            for part, mean, variance in zip(x.chunk(self.splits), means, variances, strict=True)
        ]
        self.running_mean.copy_(means.mean(0))
        self.running_var.copy_(variances.mean(0))
        self.num_batches_tracked.add_(1)
        return torch.cat(parts)


class SplitBatchNorm1d(_Split, nn.BatchNorm1d):
    """`nn.BatchNorm1d` over parts of the batch."""


class SplitBatchNorm2d(_Split, nn.BatchNorm2d):
    """`nn.BatchNorm2d` over parts of the batch."""
