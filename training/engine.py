"""The training loop."""

import inspect
import math
import platform
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import reidapp
from models.camera_batch_norm import look, look_by_camera
from models.ghost_batch_norm import check_splits, split_batch_norm
from models.network import Network
from models.onnx_weights import load_onnx
from models.pretrained import load_pretrained
from models.run_folder import (
    CLASSIFIER,
    LEFT_OUT,
    OPTIMIZER,
    TRUNK,
    last_epoch,
    load_network,
    load_weights,
    read_facts,
    read_optimizer,
)
from reidapp import files, registry
from reidapp.errors import ReidappError, UserError
from training.data.augmentation import Augmentation
from training.data.cache import decode
from training.data.datasets import UNLABELLED, Dataset, Record, load_datasets
from training.data.samplers import split
from training.distributed import Team, average_statistics, from_first, join, leave, parallel
from training.optimization import Optimization, build_optimizer
from training.progress import Notes
from training.recipe import Recipe
from training.run_writer import RunWriter

_CHECK_EVERY = 20  # steps between looks at the loss: each look waits for the device
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


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
        epochs = f"{self.epochs} epoch{'s' if self.epochs > 1 else ''}"
        length = f"{epochs}, {self.images} images, {self.seconds:.0f} s"
        return f"{self.run}: {length}, loss {self.loss:.3f}{accuracy}"


def train(
    recipe: Recipe,
    data: str | Sequence[str],
    out: Path,
    *,
    source: Sequence[str] = (),
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    quiet: bool = False,
    lines: bool = False,
) -> TrainResult:
    """Train a recipe's network.

    Every epoch draws from generators seeded by (seed, epoch), so a resumed run repeats what an uninterrupted one does.
    Ctrl-C leaves the last finished epoch in the run folder. Under ``torchrun``, all processes train one network.

    Args:
        data: ``KIND:DIR``, or several; their training parts are used.
        out: the run folder.
        source: labelled data besides, ``KIND:DIR`` each, for methods that learn from unlabelled crops.
        device: ``auto`` (CUDA if it is there), ``cpu``, ``cuda``, ``cuda:1``.
        resume: continue the run in ``out``, which must be of the same recipe, data and seed.
        quiet: no progress bar; warnings are still shown.
        lines: progress and warnings as JSON (`training.progress`).

    Raises:
        UserError: bad recipe, data or folder.
        ReidappError: the loss, or a weight, is no longer a number.
    """
    began, team = time.monotonic(), join(device)
    notes, quiet = Notes(silent=not team.first, lines=lines), quiet or not team.first
    specs = [data] if isinstance(data, str) else list(data)
    with _keeping(out, notes):
        run = _set_up(recipe, specs, list(source), out, seed, resume, team, notes, quiet)
    sampler, optimization = run.method.sampler, run.optimization
    steps = recipe.schedule.steps(sampler.batch_size, sampler.batches)
    epochs = math.ceil(steps / sampler.batches)
    done = _restore(out, optimization, run.method) if resume else 0
    step = min(done * sampler.batches, steps)
    means = run.writer.last_means()
    if done == epochs:
        notes.say(f"{out}: was finished already; nothing is left to train")
    images, images_done = steps * sampler.batch_size, step * sampler.batch_size

    with (
        _keeping(out, notes),
        closing(run.writer),
        notes.bar("training", images, quiet, images_done) as advance,
    ):
        advance(0, _summary(done, epochs, means))
        for epoch in range(done + 1, epochs + 1):
            last = min(epoch * sampler.batches, steps)
            with _stopped_in(epoch, out):
                means = _epoch(run, epoch, range(step, last), steps, advance) | run.method.report()
            advance(0, _summary(epoch, epochs, means))
            step = last
            for text in run.method.diagnose():
                notes.warn(text, f"epoch {epoch}: ")
            average_statistics(run.network)
            if optimization.average is not None:
                average_statistics(optimization.model)
            weights = [*optimization.model.state_dict().values(), *run.method.state_dict().values()]
            _check_finite("a weight", weights, step, epoch, out)
            run.writer.log(epoch, step, means)
            run.writer.save(epoch, optimization.model, run.method, optimization.state_dict() | {"epoch": epoch})
    leave()
    seconds = time.monotonic() - began
    return TrainResult(out, epochs, images, seconds, means["loss"], means.get("accuracy"), notes.warnings)


def check(recipe: Recipe) -> None:
    """Build all that a recipe names, for people who are not there. Nothing is read, but for a run that it starts from.

    Raises:
        UserError: as `train`, for what is wrong with the recipe.
    """
    network = _network(recipe, None, Notes(silent=True)) if recipe.start else Network(recipe.network())
    split_batch_norm(network, recipe.bn_split)
    registry.build(Augmentation, recipe.augmentation, f"{recipe.where}, augmentation")
    method = _method(recipe, Dataset(_made_up(recipe.sampler)), network)
    check_splits(method.sampler.batch_size, recipe.bn_split)
    build_optimizer(recipe, network, method)


def _made_up(sampler: Mapping[str, Any]) -> Iterator[Record]:
    """Crops enough for any sampler: two people at a time before each of four cameras, of two data sets."""
    people = min(max([64, *(value for value in sampler.values() if isinstance(value, int))]), 4096)
    for pid in range(people):
        for number in range(16):
            moment, camera = divmod(number, 4)
            yield Record(Path(), pid, camera, pid // 2 % 2, time_s=pid // 2 * 1000 + moment / 100)
    if sampler.get("unlabelled"):
        yield from (Record(Path(), UNLABELLED, 0) for _ in range(people))


@dataclass(frozen=True)
class _Run:
    """What an epoch needs. ``trained`` is the network as the loop calls it: in several processes, compiled."""

    recipe: Recipe
    folder: Path
    seed: int
    team: Team
    network: Network
    trained: Any
    method: Any
    augment: Augmentation
    optimization: Optimization
    pixels: np.ndarray
    writer: RunWriter


def _set_up(
    recipe: Recipe,
    specs: list[str],
    source: list[str],
    out: Path,
    seed: int,
    resume: bool,
    team: Team,
    notes: Notes,
    quiet: bool,
) -> _Run:
    """Build and check everything, then read the images; nothing is written before the checks are passed."""
    torch.manual_seed(seed)
    network = _network(recipe, out if resume and last_epoch(out) else None, notes)
    split_batch_norm(network, recipe.bn_split)
    augment = registry.build(Augmentation, recipe.augmentation, f"{recipe.where}, augmentation")
    dataset = load_datasets(specs, source)
    if not dataset.train:
        raise UserError(f"data {dataset.spec}: no training images")
    method = _method(recipe, dataset, network)
    for remark in dataset.remarks if hasattr(method, "together") else ():
        notes.say(remark)
    own = split(np.arange(method.sampler.batch_size), method.sampler, team.world, team.rank)
    check_splits(len(own), recipe.bn_split)
    build_optimizer(recipe, network, method)
    if late := [milestone for milestone in recipe.schedule.milestones if milestone >= recipe.schedule.epochs]:
        notes.warn(
            f"schedule.milestones: {late} are not reached in {recipe.schedule.epochs} epochs; change them too, or give "
            "schedule.images, which stretches or shortens the whole schedule"
        )
    facts = _facts(recipe, network, specs, source, seed)
    writer = RunWriter(out, facts, recipe.to_yaml(), resume, team.first, recipe.keep_every)

    try:
        with notes.bar("reading images", len(dataset.train), quiet) as advance:
            crops = decode(dataset.train, network.height, network.width, out, advance)
        if not crops.records:
            path, why = crops.skipped[0]
            raise UserError(
                f"data {dataset.spec}: none of the {len(crops.skipped)} images can be read "
                f"(the first: {path.name}: {why})"
            )
        if skipped := dataset.skipped + crops.skipped:
            notes.warn_left_out(skipped, out / LEFT_OUT)
            writer.left_out(skipped)
            dataset.train = crops.records
            method = _method(recipe, dataset, network)
    except (ReidappError, OSError, KeyboardInterrupt):
        writer.discard()
        raise

    network.to(team.device).to(memory_format=torch.channels_last)
    method.to(team.device)
    optimization = Optimization(recipe, network, method, team.device)
    trained: Any = parallel(network, team)
    if recipe.compile:
        trained = torch.compile(trained)
    return _Run(recipe, out, seed, team, network, trained, method, augment, optimization, crops.images, writer)


def _epoch(run: _Run, epoch: int, steps: range, of: int, advance: Callable[[int], None]) -> dict[str, float]:
    """Train for one epoch.

    Args:
        steps, of: its steps, of so many in the whole run.
        advance: called with the images done since the last call.

    Returns:
        the means of what was measured.
    """
    recipe, method, device = run.recipe, run.method, run.team.device
    order, noise = _generators(run.seed, epoch, run.team)
    sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), device=device))
    batches = method.epoch(order, steps.start / of, _extractor(run.network, run.pixels))
    run.network.train()
    for step, batch in zip(steps, batches, strict=False):
        part = split(batch, method.sampler, run.team.world, run.team.rank)
        chosen = torch.from_numpy(run.pixels[part])  # NumPy gathers from a memory map faster than torch
        images = run.augment(chosen.to(device), noise)
        with torch.autocast(device.type, _DTYPES[recipe.precision], recipe.precision != "float32"):
            loss, numbers = method(run.trained, images, torch.from_numpy(part), noise)

        place = (step - steps.start) % recipe.accumulate
        together = min(recipe.accumulate, steps.stop - step + place)  # fewer at the end of an epoch
        run.optimization.backward(loss / together)
        method.update()
        if place + 1 == together:
            run.optimization.step(recipe.schedule.rate(step / of))

        for name, value in {"loss": loss.detach(), **numbers}.items():
            sums[name] += value
        if (step + 1) % _CHECK_EVERY == 0 or step + 1 == steps.stop:
            _check_finite("the loss", [sums["loss"]], step + 1, epoch, run.folder)
        advance(len(batch))
    means = {name: float(total) / len(steps) for name, total in sums.items()}
    return means | {"lr": recipe.schedule.rate(steps[-1] / of)}


def _summary(epoch: int, epochs: int, means: Mapping[str, float]) -> str:
    """Of the epochs that are done; the numbers are the last one's."""
    loss = f", loss {means['loss']:.3f}" if "loss" in means else ""
    accuracy = f", accuracy {means['accuracy']:.1%}" if "accuracy" in means else ""
    clusters = f", {means['clusters']:.0f} clusters" if "clusters" in means else ""
    ari = f", ARI {means['ari']:.2f}" if "ari" in means else ""
    return f"{epoch}/{epochs} epochs{loss}{accuracy}{clusters}{ari}"


@contextmanager
def _keeping(run: Path, notes: Notes) -> Iterator[None]:
    """Tells after Ctrl-C, and when the disk is full, what is there."""
    try:
        with files.disk_named(run):
            yield
    except (KeyboardInterrupt, files.DiskError) as end:
        kept, what = last_epoch(run), "interrupted" if isinstance(end, KeyboardInterrupt) else "stopped"
        notes.warn(
            f"{what}; {kept} is kept, and the same command with --resume goes on from it"
            if kept
            else f"{what}; no epoch was finished, so there is nothing to go on from"
        )
        raise


@contextmanager
def _stopped_in(epoch: int, run: Path) -> Iterator[None]:
    """Tells what is there when an epoch cannot be gone on with, such as one whose clusters teach nothing."""
    try:
        yield
    except UserError as error:
        if kept := last_epoch(run):
            raise UserError(
                f"epoch {epoch}: {error}. {kept} is kept: evaluate or export it, or begin a new run from it with other "
                f"settings and start={run}"
            ) from error
        raise


def _network(recipe: Recipe, resumed: Path | None, notes: Notes) -> Network:
    """The recipe's, or that of the run it starts from; when resuming, the run's own, whose weights are loaded later."""
    if resumed is not None:
        return Network(read_facts(resumed)["network"])
    if recipe.start is not None:
        run = Path(recipe.start)
        notes.say(f"network starts from {run}")
        if run.suffix == ".onnx":
            return load_onnx(run)
        if "projection" in read_facts(run)["network"]:
            raise UserError(f"{recipe.where}: start: {run} was made by HER; name the run it was made from")
        return load_network(run)
    network = Network(recipe.network())
    if recipe.pretrained is not None:
        notes.say(str(load_pretrained(network.backbone, recipe.pretrained)))
    return network


def _method(recipe: Recipe, dataset: Dataset, network: Network) -> Any:
    ((name, options),) = recipe.method.items()
    method = registry.find("training.methods", name)
    if recipe.loss and "losses" not in inspect.signature(method).parameters:
        raise UserError(f"{recipe.where}: method {name} has a loss of its own; take {', '.join(recipe.loss)} away")
    if any(record.source for record in dataset.train) and not getattr(method, "takes_source", False):
        raise UserError(f"{recipe.where}: method {name} takes no --source; give labelled data as --data")
    return registry.build(
        method,
        options,
        f"{recipe.where}, method",
        records=dataset.train,
        together=dataset.together,
        apart=dataset.apart,
        losses=recipe.loss,
        sampler=recipe.sampler,
        schedule=recipe.schedule,
        dims=network.dims,
        weights=network.weights,
        recipe=recipe.where,
    )


def _generators(seed: int, epoch: int, team: Team) -> tuple[np.random.Generator, torch.Generator]:
    """The randomness of one epoch: its order, the same for all processes, and each one's changes to its images.

    Dropout follows torch's own generator.
    """
    own = np.random.default_rng((seed, epoch, team.rank))
    torch.manual_seed(int(own.integers(2**62)))
    noise = torch.Generator(team.device).manual_seed(int(own.integers(2**62)))
    return np.random.default_rng((seed, epoch)), noise


def _extractor(network: Network, pixels: np.ndarray) -> Callable[..., Tensor]:
    """What methods look at all crops with: an output of the network in evaluation mode, float32 [N, D].

    Every process gets the first one's: what follows from it, such as clusters, is then the same for all.
    """

    def extract(output: str, cameras: np.ndarray | None = None) -> Tensor:
        def own(images: Tensor) -> Tensor:
            return network(images)[output]

        found = look(network, pixels, own) if cameras is None else look_by_camera(network, pixels, cameras, own)
        network.train()
        return from_first(found)

    return extract


def _restore(run: Path, optimization: Optimization, method: nn.Module) -> int:
    """Take up the last epoch of a run; returns its number, 0 if there is none."""
    folder = last_epoch(run)
    if folder is None:
        return 0
    load_weights(optimization.model, folder / TRUNK)
    load_weights(method, folder / CLASSIFIER)
    state = read_optimizer(folder / OPTIMIZER)
    optimization.load_state_dict(state)
    return int(state["epoch"])


def _facts(recipe: Recipe, network: Network, data: list[str], source: list[str], seed: int) -> dict[str, Any]:
    """What is needed to repeat a run, with ``reidapp train RUN/recipe.yaml``, its data and its seed."""
    versions = {"reidapp": reidapp.__version__, "python": platform.python_version(), "torch": torch.__version__}
    return {
        "recipe": recipe.model_dump(),
        "data": data[0] if len(data) == 1 else data,
        "source": source,
        "seed": seed,
        "network": network.description,
        "versions": versions,
    }


def _check_finite(what: str, tensors: Iterable[Tensor], step: int, epoch: int, run: Path) -> None:
    if all(tensor.isfinite().all() for tensor in tensors):
        return
    kept = last_epoch(run)
    good = f"the last good checkpoint is {kept}" if kept else "no epoch was finished before"
    raise ReidappError(
        f"training stopped at step {step} (epoch {epoch}): {what} is not a number; {good}. Try a lower schedule.lr"
    )
