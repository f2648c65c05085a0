"""Starting a backbone from weights of elsewhere: ImageNet's, a public file, or an earlier run of one's own."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.run_folder import TRUNK, last_epoch, read_tensors
from reidapp.errors import UserError

IMAGENET = "imagenet"
_WRAPPERS = ("state_dict", "model")
_PREFIXES = ("module.", "backbone.", "base.")
_CLASSIFIERS = ("fc.", "classifier.", "head.", "heads.")


@dataclass(frozen=True)
class Pretrained:
    """What became of a file's entries.

    Attributes:
        source: as it was asked for.
        used, ignored: names in the file.
    """

    source: str
    used: tuple[str, ...]
    ignored: tuple[str, ...]

    def __str__(self) -> str:
        others = f", {len(self.ignored)} left out ({', '.join(self.ignored[:3])}{', …' * (len(self.ignored) > 3)})"
        return f"backbone starts from {self.source}: {len(self.used)} entries used{others * bool(self.ignored)}"


def load_pretrained(backbone: nn.Module, source: str) -> Pretrained:
    """Fill a backbone with weights; all of its own must be there.

    A file may say ``module.``, ``backbone.`` or ``base.`` before its names, and hold a classifier, which is left out.
    Of a training run the last epoch's backbone is taken.

    Args:
        source: ``imagenet`` (torchvision's weights, fetched once), a .safetensors, .pth or .pt file, or a run folder.

    Raises:
        UserError: no such weights, an unreadable file or one with code in it, or weights of another network.
    """
    given = _imagenet(backbone) if source == IMAGENET else _tensors(Path(source))
    bare = _without_prefixes(given)
    chosen = {name: full for name, full in bare.items() if not name.startswith(_CLASSIFIERS)}
    weights = {name: given[full] for name, full in chosen.items()}
    if adapt := getattr(backbone, "adapt", None):
        weights = adapt(weights)
    _check(backbone, weights, source)
    backbone.load_state_dict(weights, strict=False)
    used = tuple(chosen.values())
    return Pretrained(source, used, tuple(name for name in given if name not in set(used)))


def _imagenet(backbone: nn.Module) -> dict[str, Tensor]:
    weights = getattr(backbone, "imagenet", None)
    if weights is None:
        raise UserError(f"pretrained: no {IMAGENET} weights for {type(backbone).__name__}; give a file of weights")
    try:
        tensors: dict[str, Tensor] = weights.get_state_dict(check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:  # no network, an HTTP error; a wrong checksum
        raise UserError(
            f"pretrained: {weights.url} could not be fetched ({error}); download it elsewhere and give the file"
        ) from error
    return tensors


def _tensors(path: Path) -> dict[str, Tensor]:
    if path.is_dir():
        epoch = last_epoch(path)
        if epoch is None:
            raise UserError(f"pretrained: {path}: no finished epoch of a training run in this folder")
        return read_tensors(epoch / TRUNK)
    if not path.is_file():
        raise UserError(f'pretrained: {path}: no such file; "{IMAGENET}", a file or a run folder expected')
    return read_tensors(path) if path.suffix == ".safetensors" else _unpickle(path)


def _unpickle(path: Path) -> dict[str, Tensor]:
    try:
        content: Any = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # zip, pickle and OS errors alike; a pickle with code in it is refused, never run
        raise UserError(
            f"pretrained: {path}: not read: not a plain file of tensors ({type(error).__name__}); "
            "save its state_dict alone, or as .safetensors"
        ) from error
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    return {k: v for k, v in content.items() if isinstance(v, Tensor)} if isinstance(content, Mapping) else {}


def _without_prefixes(names: Mapping[str, Any]) -> dict[str, str]:
    """{name without prefixes: name in the file}; where some names have a prefix, the others are of something else."""
    chosen = {name: name for name in names}
    for prefix in _PREFIXES:
        chosen = {name.removeprefix(prefix): full for name, full in chosen.items() if name.startswith(prefix)} or chosen
    return chosen


def _check(backbone: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    own = backbone.state_dict()
    # Old files do not count batches, and nothing needs the count.
    wrong = [f"{k} is missing" for k in own if k not in weights and not k.endswith("num_batches_tracked")]
    wrong += [f"{k} is unknown" for k in weights if k not in own]
    wrong += [
        f"{k} is {_shape(weights[k])}, not {_shape(own[k])}"
        for k in own
        if k in weights and weights[k].shape != own[k].shape
    ]
    if wrong:
        raise UserError(
            f"pretrained: {source}: weights of another network ({len(wrong)} do not fit, the first: {wrong[0]})"
        )


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a number"
