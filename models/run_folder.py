"""What a training run leaves behind, and how to read it.

RUN/run.json                  the recipe as it was used, data, seed, versions, the network's description
RUN/epoch-012/                the last epoch; of older ones those that the recipe keeps (``keep_every``)
    trunk.safetensors         the network
    classifier.safetensors    what only training needs: class weights, banks
    optimizer.pt              for resuming
RUN/log.jsonl                 one line per epoch
RUN/left_out.txt              the images that were not used, and why, if there are any

Wherever a run is read, ``RUN`` means its last epoch, and ``RUN/epoch-012`` that one.
"""

import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from models.network import Network
from reidapp.errors import UserError

FACTS = "run.json"
LEFT_OUT = "left_out.txt"
RECIPE = "recipe.yaml"
TRUNK = "trunk.safetensors"
CLASSIFIER = "classifier.safetensors"
OPTIMIZER = "optimizer.pt"
_EPOCH = re.compile(r"epoch-(\d+)")


def read_facts(run: Path) -> dict[str, Any]:
    """The contents of ``run.json``.

    Raises:
        UserError: the folder is not a training run.
    """
    run = folder_of(run)
    try:
        facts: dict[str, Any] = json.loads((run / FACTS).read_text("utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{run}: not a training run (no {FACTS} in it)") from error
    except ValueError as error:
        raise UserError(f"{run / FACTS}: damaged ({error})") from error
    return facts


def folder_of(run: Path) -> Path:
    """``RUN`` of ``RUN/epoch-012``, and of itself."""
    return run.parent if is_epoch(run) else run


def last_epoch(run: Path) -> Path | None:
    """The folder of the last epoch that was saved completely."""
    return max(epochs(run), key=epoch_number, default=None)


def epochs(run: Path) -> list[Path]:
    """The folders of the epochs that were saved completely; ``run`` itself if it is one."""
    found = [run] if is_epoch(run) else sorted(run.glob("epoch-*"))
    return [path for path in found if is_epoch(path) and path.is_dir()]


def is_epoch(path: Path) -> bool:
    """Whether it is called like an epoch of a run."""
    return _EPOCH.fullmatch(path.name) is not None


def epoch_number(epoch: Path) -> int:
    """12 of ``RUN/epoch-012``."""
    return int(epoch.name.removeprefix("epoch-"))


def load_network(run: Path) -> Network:
    """The network of a run, or of one of its epochs, in evaluation mode."""
    description = read_facts(run)["network"]
    epoch = last_epoch(run)
    if epoch is None and is_epoch(run):
        kept = ", ".join(path.name for path in epochs(run.parent))
        raise UserError(f"{run}: no such epoch; those of this run: {kept or 'none'}")
    if epoch is None:
        raise UserError(f"{run}: no epoch of this run was finished; train again")
    network = Network(description)
    load_weights(network, epoch / TRUNK)
    return network.eval()


def load_weights(module: nn.Module, path: Path) -> None:
    """Fill a module from a safetensors file.

    Raises:
        UserError: unreadable, or of another network.
    """
    weights = read_tensors(path)
    own = module.state_dict()
    wrong = [k for k in own if k not in weights or weights[k].shape != own[k].shape] + [
        k for k in weights if k not in own
    ]
    if wrong:
        raise UserError(f"{path}: weights of another network ({len(wrong)} do not fit, the first: {wrong[0]})")
    module.load_state_dict(weights)


def read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: not readable as safetensors ({error})") from error


def read_optimizer(path: Path) -> dict[str, Any]:
    """The optimizer's state; a pickle with code in it is refused, never run."""
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # zip, pickle and OS errors alike: the file is no state of an optimizer
        raise UserError(f"{path}: not a saved optimizer ({type(error).__name__}); train again") from error
    if not isinstance(state, dict) or not {"optimizer", "scaler", "epoch"} <= state.keys():
        raise UserError(f"{path}: not a saved optimizer (something else is in it); train again")
    return state
