"""Several processes, one training run: started by ``torchrun``, one process per GPU.

Every process sees its part of a batch. The outputs of all parts are put together again before the losses, so each
process computes the same loss on the whole batch, and makes the same update of banks and class weights. Mining and
memories are then what they are in one process.
"""

import inspect
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from models.device import pick_device

# Renamed in torch 2.13, which warns about the old name.
_NAMES = inspect.signature(DistributedDataParallel).parameters
_SYNC_BUFFERS = "forward_sync_buffers" if "forward_sync_buffers" in _NAMES else "broadcast_buffers"

T = TypeVar("T")


@dataclass(frozen=True)
class Team:
    """The processes of a run, seen from one of them.

    Attributes:
        rank: 0 to world − 1; the first one writes the run folder and talks to the user.
        world: how many there are.
        device: where this one computes.
    """

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        return self.rank == 0


def join(device: str) -> Team:
    """The team that ``torchrun`` has started, or one process alone.

    Args:
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``; under ``torchrun``, each process takes a GPU of its own.
    """
    place = pick_device(device)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return Team(0, 1, place)
    if place.type == "cuda":
        place = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(place)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if place.type == "cuda" else "gloo")
    return Team(dist.get_rank(), world, place)


def leave() -> None:
    """Wait for the others, then end the team."""
    wait()
    if dist.is_initialized():
        dist.destroy_process_group()


def wait() -> None:
    """Until the others have come here too."""
    if dist.is_initialized():
        dist.barrier()


def first_here() -> bool:
    """Whether this is the first process of the run on its machine, or alone."""
    return not dist.is_initialized() or int(os.environ.get("LOCAL_RANK", dist.get_rank())) == 0


def parallel(network: nn.Module, team: Team) -> nn.Module:
    """The network with gradients averaged over the team.

    A recipe need not use all of a network's outputs, so parameters may go without a gradient, the same ones at every
    step. Running statistics are left alone during an epoch; `average_statistics` joins them.
    """
    if team.world == 1:
        return network
    ids = [team.device.index] if team.device.type == "cuda" else None
    options: dict[str, Any] = {"device_ids": ids, "static_graph": True, _SYNC_BUFFERS: False}
    return DistributedDataParallel(network, **options)


def gather(part: Tensor) -> Tensor:
    """The whole batch, [world · B, …], from every process's part [B, …], in the order of the ranks.

    The gradient of a loss that every process computes on the whole batch comes out right once it is averaged over the
    processes, as `parallel` does.
    """
    return _Gather.apply(part) if dist.is_initialized() else part


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        parts = [torch.empty_like(part) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, part.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        own = gradients[0].chunk(dist.get_world_size())[dist.get_rank()]
        return dist.get_world_size() * own  # averaging divides by it again


def from_first(value: T) -> T:
    """The first process's value in place of everyone's own: GPUs need not agree on the last digit."""
    if not dist.is_initialized():
        return value
    values = [value]
    dist.broadcast_object_list(values)
    return values[0]


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """For parameters outside `parallel`, whose gradients are equal already but for a GPU's order of summation."""
    if dist.is_initialized():
        for parameter in parameters:
            if parameter.grad is not None:
                _average(parameter.grad)


def average_statistics(network: nn.Module) -> None:
    """Make batch norm's running statistics the mean over the processes."""
    if dist.is_initialized():
        for buffer in network.buffers():
            if buffer.is_floating_point():
                _average(buffer)


def _average(tensor: Tensor) -> None:
    dist.all_reduce(tensor)
    tensor /= dist.get_world_size()
