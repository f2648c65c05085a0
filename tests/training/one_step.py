"""One training step in float64, in however many processes this is started; the first one writes what came of it.

python one_step.py LOSSES OUT.safetensors
"""

import json
import sys

import numpy as np
import torch
from safetensors.torch import save_file

from models.ghost_batch_norm import split_batch_norm
from models.network import Network
from training.data.datasets import Record
from training.data.samplers import split
from training.distributed import average_gradients, average_statistics, join, leave, parallel
from training.methods.supervised import Supervised

DESCRIPTION = {"height": 32, "width": 16, "backbone": {"osnet": {"width": 0.25}}, "head": {"bnneck": {"dim": 8}}}
PIDS = [1, 1, 1, 2, 2, 4, 5, 5, 9, -1, -1]  # gaps, unequal counts, nobody


def main(losses: str, out: str) -> None:
    team = join("cpu")
    torch.manual_seed(0)
    network = Network(DESCRIPTION).double().train()
    records = [Record(f"{number}.jpg", pid) for number, pid in enumerate(PIDS)]  # type: ignore[arg-type]
    sampler = {"identities": 4, "images": 2, "unlabelled": 2}
    method = Supervised(records, json.loads(losses), sampler, network.dims, "recipe").double()
    split_batch_norm(network, 2 // team.world)
    images = torch.rand(len(PIDS), 32, 16, 3, dtype=torch.float64) * 255

    batch = next(method.epoch(np.random.default_rng(0), 0.0, None))  # type: ignore[arg-type]
    # One process sees the parts one after the other, as batch norm is told to.
    parts = [split(batch, method.sampler, 2, rank) for rank in ([0, 1] if team.world == 1 else [team.rank])]
    part = torch.from_numpy(np.concatenate(parts))
    trained = parallel(network, team)
    loss, numbers = method(trained, images[part], part, torch.Generator())
    loss.backward()
    method.update()
    average_gradients(method.parameters())
    average_statistics(network)
    found = {f"gradient.{name}": p.grad for name, p in network.named_parameters() if p.grad is not None}
    found |= {f"method gradient.{name}": p.grad for name, p in method.named_parameters() if p.grad is not None}
    found |= {f"buffer.{name}": b for name, b in [*network.named_buffers(), *method.named_buffers()]}
    found |= {f"number.{name}": number for name, number in {"loss": loss.detach(), **numbers}.items()}
    if team.first:
        save_file({name: tensor.contiguous() for name, tensor in found.items()}, out)
    leave()


if __name__ == "__main__":
    main(*sys.argv[1:])
