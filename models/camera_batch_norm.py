"""Batch norm with each camera's own statistics, which takes what the camera does to a picture out of the features."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

FEWEST = 16  # crops of a camera that has statistics of its own; each counts at every place of its feature maps
_BATCH = 256
_OPTIONS = {"momentum": None, "splits": 1}  # of a batch norm that averages over whole batches


def look(network: nn.Module, images: np.ndarray, output: Callable[[Tensor], Tensor]) -> Tensor:
    """What a network makes of images, in evaluation mode.

    Args:
        network: is left in evaluation mode.
        images: uint8 [N, H, W, 3] RGB, N ≥ 1.
        output: calls the network: [B, H, W, 3] on its device → [B, D].

    Returns:
        float32 [N, D], on the CPU.
    """
    network.eval()
    starts = range(0, len(images), _BATCH)
    with torch.no_grad():
        return torch.cat([output(_there(network, images[at : at + _BATCH])).float().cpu() for at in starts])


def look_by_camera(
    network: nn.Module, images: np.ndarray, cameras: np.ndarray, output: Callable[[Tensor], Tensor]
) -> Tensor:
    """As `look`, with the batch norms' statistics of each image's camera.

    Images of a camera with fewer than `FEWEST`, or of an unknown one (below 0), are looked at with the network's own.

    Args:
        cameras: int [N].
    """
    names, counts = np.unique(cameras, return_counts=True)
    own = names[(names >= 0) & (counts >= FEWEST)]
    found: dict[int, Tensor] = {}
    for camera in own:
        rows = np.flatnonzero(cameras == camera)
        parts = -(-len(rows) // _BATCH)
        # Every so many-th image: neighbours in a folder are often one person.
        with statistics_of(network, [images[rows[part::parts]] for part in range(parts)]):
            found |= dict(zip(rows.tolist(), look(network, images[rows], output), strict=True))
    rest = np.flatnonzero(~np.isin(cameras, own))
    if len(rest):
        found |= dict(zip(rest.tolist(), look(network, images[rest], output), strict=True))
    return torch.stack([found[row] for row in range(len(images))])


@contextmanager
def statistics_of(network: nn.Module, batches: Sequence[np.ndarray]) -> Iterator[None]:
    """While it lasts, batch norms normalise by the statistics of these images; weights are not touched.

    The mean over the batches of what each is normalised by in training, layer after layer; so they should be of about
    one size, each a sample of all. Afterwards the network has its own statistics again, and is in evaluation mode.

    Args:
        batches: uint8 [B, H, W, 3] RGB each, B ≥ 2.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, _BatchNorm)]
    options = [{name: vars(layer)[name] for name in _OPTIONS.keys() & vars(layer)} for layer in layers]
    states = [{name: tensor.clone() for name, tensor in layer.state_dict().items()} for layer in layers]
    network.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.train()
        vars(layer).update({name: value for name, value in _OPTIONS.items() if name in vars(layer)})
    try:
        with torch.no_grad():
            for images in batches:
                network(_there(network, images))
        network.eval()
        yield
    finally:
        network.eval()
        for layer, own, state in zip(layers, options, states, strict=True):
            vars(layer).update(own)
            layer.load_state_dict(state)


def _there(network: nn.Module, images: np.ndarray) -> Tensor:
    return torch.from_numpy(images).to(next(network.parameters()).device)
