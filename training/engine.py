"""The training loop."""

import math
import platform
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import reidapp
from models.device import pick_device
from models.network import Network, only_entry
from models.run_folder import CLASSIFIER, OPTIMIZER, TRUNK, last_epoch, load_weights, read_optimizer
from reidapp import registry
from reidapp.errors import ReidappError, UserError
from training.data.augmentation import Augmentation
from training.data.cache import decode
from training.data.datasets import Record, load_dataset
from training.progress import Notes, bar
from training.recipe import Recipe, Schedule
from training.run_writer import RunWriter

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}
_CHECK_EVERY = 20  # steps between looks at the loss: each look waits for the device


@dataclass(frozen=True)
class TrainResult:
    """What a training run came to.

    Attributes:
        run: its folder.
        images: training images seen, in all epochs together.
        seconds: of this call.
        loss, accuracy: means over the last epoch; accuracy is None for losses that do not classify.
        warnings: what went wrong without stopping the run.
    """

    run: Path
    epochs: int
    images: int
    seconds: float
    loss: float
    accuracy: float | None
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"run": str(self.run)}

    def __str__(self) -> str:
        accuracy = "" if self.accuracy is None else f", training accuracy {self.accuracy:.1%}"
        length = f"{self.epochs} epochs, {self.images} images, {self.seconds:.0f} s"
        return f"{self.run}: {length}, loss {self.loss:.3f}{accuracy}"


def train(
    recipe: Recipe,
    data: str,
    out: Path,
    *,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    quiet: bool = False,
) -> TrainResult:
    """Train a recipe's network.

    Every epoch draws from generators seeded by (seed, epoch), so a resumed run repeats what an uninterrupted one does.
    Ctrl-C leaves the last finished epoch in the run folder.

    Args:
        data: ``KIND:DIR``; its training part is used.
        out: the run folder.
        device: ``auto`` (CUDA if it is there), ``cpu``, ``cuda``, ``cuda:1``.
        resume: continue the run in ``out``, which must be of the same recipe, data and seed.
        quiet: no progress bar; warnings are still shown.

    Raises:
        UserError: bad recipe, data or folder.
        ReidappError: the loss is no longer a number.
    """
    began, notes = time.monotonic(), Notes()
    place = pick_device(device)
    torch.manual_seed(seed)
    network = Network(recipe.network())
    augment = registry.build(Augmentation, recipe.augmentation, f"{recipe.where}, augmentation")
    dataset = load_dataset(data)
    if not dataset.train:
        raise UserError(f"data {data}: no training images")
    method = _method(recipe, dataset.train, network)  # before anything is written: a misspelt key leaves no folder
    writer = RunWriter(out, _facts(recipe, data, seed), recipe.to_yaml(), resume)

    with bar("reading images", len(dataset.train), notes.console, quiet) as advance:
        crops = decode(dataset.train, network.height, network.width, out, lambda count: advance(count, ""))
    if skipped := dataset.skipped + crops.skipped:
        notes.warn(f"{len(skipped)} images left out: " + "; ".join(f"{path}: {why}" for path, why in skipped[:5]))
        method = _method(recipe, crops.records, network)
    pixels = torch.from_numpy(crops.images)

    network.to(place).to(memory_format=torch.channels_last)
    method.to(place)
    optimizer = _optimizer(recipe, nn.ModuleList([network, method]))
    steps, epochs = _length(recipe.schedule, method.batch_size, method.steps_per_epoch)
    done = _restore(out, network, method, optimizer) if resume else 0
    step = min(done * method.steps_per_epoch, steps)
    means = writer.last_means()

    with (
        _keeping(writer, notes),
        bar("training", steps * method.batch_size, notes.console, quiet, step * method.batch_size) as advance,
    ):
        for epoch in range(done + 1, epochs + 1):
            order, noise = _generators(seed, epoch, place)
            sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), device=place))
            first_step = step
            network.train()
            for batch in islice(method.epoch(order), steps - step):
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(recipe.schedule, step / steps)
                images = augment(pixels[batch].to(place), noise)
                with torch.autocast(place.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
                    outputs = network(images)
                    loss, parts = method.loss(outputs, batch)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

                step += 1
                for name, value in {"loss": loss.detach(), **parts}.items():
                    sums[name] += value
                if step % _CHECK_EVERY == 0:
                    _check_finite(sums["loss"], step, epoch, out)
                advance(len(batch), _summary(epoch, epochs, means))

            _check_finite(sums["loss"], step, epoch, out)
            means = {name: float(total) / (step - first_step) for name, total in sums.items()}
            for text in method.diagnose(outputs, batch):
                notes.warn(text, f"epoch {epoch}: ")
            writer.log(epoch, step, means | {"lr": optimizer.param_groups[0]["lr"]})
            writer.save(epoch, network, method, {"optimizer": optimizer.state_dict(), "epoch": epoch})

    seconds = time.monotonic() - began
    images_seen = steps * method.batch_size
    return TrainResult(out, epochs, images_seen, seconds, means["loss"], means.get("accuracy"), notes.warnings)


def learning_rate(schedule: Schedule, progress: float) -> float:
    """The rate at a point of the run.

    Args:
        progress: share of the steps that are done, 0 to 1.
    """
    if progress < schedule.warmup:
        return schedule.lr * (0.01 + 0.99 * progress / schedule.warmup)
    falling = (progress - schedule.warmup) / (1 - schedule.warmup)
    return schedule.lr * (schedule.final + (1 - schedule.final) * 0.5 * (1 + math.cos(math.pi * falling)))


def _summary(epoch: int, epochs: int, means: Mapping[str, float]) -> str:
    numbers = [f"{name} {means[name]:.3f}" for name in ("loss", "accuracy") if name in means]
    return "  ".join([f"epoch {epoch}/{epochs}", *numbers])


def _length(schedule: Schedule, batch_size: int, steps_per_epoch: int) -> tuple[int, int]:
    """Steps and epochs of the whole run; the last epoch may be cut short by a budget in images."""
    steps = math.ceil(schedule.images / batch_size) if schedule.images else schedule.epochs * steps_per_epoch
    return steps, math.ceil(steps / steps_per_epoch)


@contextmanager
def _keeping(writer: RunWriter, notes: Notes) -> Iterator[None]:
    """Closes the log however training ends, and tells after Ctrl-C what is there."""
    try:
        yield
    except KeyboardInterrupt:
        kept = last_epoch(writer.run)
        notes.warn(
            f"interrupted; {kept} is kept, and resuming goes on from it" if kept else "interrupted; nothing kept"
        )
        raise
    finally:
        writer.close()


def _method(recipe: Recipe, records: Sequence[Record], network: Network) -> Any:
    return registry.build(
        registry.find("training.methods", recipe.method),
        None,
        f"{recipe.where}, method",
        pids=[r.pid for r in records],
        losses=recipe.loss,
        sampler=recipe.sampler,
        dims=network.dims,
        recipe=recipe.where,
    )


def _generators(seed: int, epoch: int, device: torch.device) -> tuple[np.random.Generator, torch.Generator]:
    """The randomness of one epoch: its order, and the changes to its images (dropout follows torch's own)."""
    order = np.random.default_rng((seed, epoch))
    torch.manual_seed(int(order.integers(2**62)))
    return order, torch.Generator(device).manual_seed(int(order.integers(2**62)))


def _optimizer(recipe: Recipe, modules: nn.Module) -> torch.optim.Optimizer:
    """Weight decay acts on matrices and kernels; biases and batch norm's scales are left alone."""
    name, options = only_entry(recipe.optimizer, f"{recipe.where}, optimizer")
    if name not in OPTIMIZERS:
        hint = registry.suggestion(name, list(OPTIMIZERS))
        raise UserError(f'{recipe.where}: unknown optimizer "{name}"{hint}; known: {", ".join(OPTIMIZERS)}')
    if "lr" in options:
        raise UserError(f"{recipe.where}, optimizer.{name}: the rate belongs under schedule.lr")
    trained = [p for p in modules.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1]},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    where = f"{recipe.where}, optimizer.{name}"
    built: torch.optim.Optimizer = registry.build(
        OPTIMIZERS[name], options, where, params=groups, lr=recipe.schedule.lr
    )
    return built


def _restore(run: Path, network: nn.Module, method: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Take up the last epoch of a run; returns its number, 0 if there is none."""
    folder = last_epoch(run)
    if folder is None:
        return 0
    load_weights(network, folder / TRUNK)
    load_weights(method, folder / CLASSIFIER)
    state = read_optimizer(folder / OPTIMIZER)
    optimizer.load_state_dict(state["optimizer"])
    return int(state["epoch"])


def _facts(recipe: Recipe, data: str, seed: int) -> dict[str, Any]:
    """What is needed to repeat a run, with ``reidapp train RUN/recipe.yaml``, its data and its seed."""
    versions = {"reidapp": reidapp.__version__, "python": platform.python_version(), "torch": torch.__version__}
    return {
        "recipe": recipe.model_dump(),
        "data": data,
        "seed": seed,
        "network": recipe.network(),
        "versions": versions,
    }


def _check_finite(loss: Tensor, step: int, epoch: int, run: Path) -> None:
    if math.isfinite(float(loss)):
        return
    kept = last_epoch(run)
    good = f"the last good checkpoint is {kept}" if kept else "no epoch was finished before"
    raise ReidappError(
        f"training stopped at step {step} (epoch {epoch}): the loss is not a number; {good}. Try a lower schedule.lr"
    )
