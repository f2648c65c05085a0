"""Memory-based positive label prediction (MMCL, Wang, Zhang 2020, arXiv 2004.09228)."""

from typing import Literal

import torch
from torch import Tensor

from training.losses._memory import cosines

Reading = Literal["paper", "code"]

_LEAST = 10  # of the authors' code
_ROUNDING = 1e-6  # of float32, by which the similarities of duplicates differ


@torch.no_grad()
def mplp(
    memory: Tensor,
    images: Tensor,
    threshold: float = 0.6,
    reading: Reading = "paper",
    counts_itself: bool = True,
) -> Tensor:
    """Which images show the same person, as far as the memory knows: similar ones, as long as they are so mutually.

    R_i ranks all images by their similarity to image i, itself first, and k_i of them are more similar than t. These
    are gone through in R_i's order: j is kept if i is among the first k_i of R_j, and the first one that fails ends it.

    In the authors' code i may be among the first max(k_i, 10) + 1, and the first neighbour is kept in any case.

    Images that are equally similar to j share a rank, so neither duplicates nor the order of the files matter.

    Args:
        memory: unit vectors float [N, D].
        images: i, int64 [B].
        threshold: t; the paper uses 0.6.
        reading: ``paper``, or ``code``.
        counts_itself: whether j takes the first of the k_i places in its own list; the paper does not say. In the code
            it does not.

    Returns:
        bool [B, N], each image itself included. No more than B × N numbers are held at a time.
    """
    similarities = _from(memory, images)
    counts = (similarities > threshold).sum(1)  # k_i
    reach = counts - 1 + (not counts_itself) if reading == "paper" else counts.clamp(min=_LEAST)
    candidates = similarities.topk(int(counts.max())).indices
    kept = torch.ones_like(counts)
    for place in range(1, candidates.shape[1]):
        going = torch.nonzero((kept == place) & (counts > place)).squeeze(1)
        if not len(going):
            break
        theirs = _from(memory, candidates[going, place])
        rank = (theirs > theirs.gather(1, images[going, None]) + _ROUNDING).sum(1)
        kept[going] += rank <= reach[going]
    if reading == "code":
        kept = kept.clamp(min=2).minimum(counts)
    places = torch.arange(candidates.shape[1], device=memory.device)
    return torch.zeros_like(similarities, dtype=torch.bool).scatter_(1, candidates, places < kept[:, None])


def _from(memory: Tensor, images: Tensor) -> Tensor:
    """Similarities of some images to all, [B, N]; an image is nearest to itself, whatever rounding says."""
    return cosines(memory[images], memory).scatter_(1, images[:, None], torch.inf)
