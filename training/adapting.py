"""A model adapts to the cameras of a gallery, from the crops that indexing has stored; no labels are needed."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from models.camera_batch_norm import FEWEST
from models.camera_statistics import CameraStatistics, has_batch_norm
from models.export import export_network, run_card
from models.network import Network
from models.onnx_weights import load_onnx
from models.run_folder import load_network, read_facts
from reidapp.embedding import Embedder
from reidapp.errors import UserError
from reidapp.gallery.adapted import adapted_models
from reidapp.gallery.comparison import NamedScores, compare_named
from reidapp.gallery.identities import Identities
from reidapp.gallery.label_free import LabelFreeScores
from reidapp.gallery.store import Gallery
from reidapp.model_card import ModelCard, read_card
from training.adapting_crops import NO_BATCH_NORM, AdaptingCrops, Tried, best
from training.data.datasets.gallery import Gallery as GalleryData
from training.engine import train
from training.recipe import load_recipe

_FEWEST_TO_TRAIN = 64
_MODEL = "model.onnx"  # in the run folder

RECIPE = "ise"
_CHANGES = (  # a recipe is for ten thousands of crops and an ImageNet start; here are hundreds, and a model that works
    "bn_split=1",
    "sampler={identities: 16, images: 4, each: identities, batches: 12, spread_cameras: true}",
    "augmentation={flip: 0.5, pad: 0.04, erase: 0.3, fill: mean}",
    "optimizer={adamw: {weight_decay: 5.0e-4}}",
    "schedule={images: 8000, epochs: 10, lr: 1.0e-4, warmup_epochs: 1}",
)
_OF_METHOD = ("camera_norm=true", "clustering={dbscan: {eps: 0.4, min_samples: 2, k1: 8, k2: 3}}")


@dataclass(frozen=True)
class AdaptResult:
    """A new model version, and what can be known about it without labels.

    Attributes:
        cameras: {camera: crops whose statistics it has; 0 where it has the common ones}.
        before: the scores of the start.
        chosen: the statistics that the new version has, and its scores on the same crops.
        tried: all that were.
        named: how well the gallery's model and the new one find named people; None where too few have a name.
        learnt_names: these names were labels in training, so they flatter the new model.
    """

    model: Path
    card: ModelCard
    cameras: dict[str, int]
    before: LabelFreeScores
    chosen: Tried
    warnings: list[str] = field(default_factory=list)
    tried: list[Tried] = field(default_factory=list)
    named: NamedScores | None = None
    learnt_names: bool = False

    @property
    def after(self) -> LabelFreeScores:
        return self.chosen.scores

    @property
    def improved(self) -> bool:
        return self.after.improves(self.before)

    def to_dict(self) -> dict[str, Any]:
        named = {"model": str(self.model), "name": self.card.name, "version": self.card.version}
        measured = {"before": self.before.to_dict(), "after": self.after.to_dict(), "improved": self.improved}
        tried = {"tried": {one.name: one.scores.to_dict() for one in self.tried}} if self.tried else {}
        people = {"named": self.named.to_dict() | {"learnt": self.learnt_names}} if self.named else {}
        statistics = {"cameras": self.cameras, "statistics": self.chosen.name}
        return named | statistics | measured | tried | people | {"warnings": self.warnings}

    def __str__(self) -> str:
        title = (
            f"{self.model}: {self.card.name}/{self.card.version}, with statistics of {len(self.card.cameras)} cameras"
        )
        lines = [title, *self.warnings, f"Without labels, on {self.before.crops} crops, before → after:"]
        what = {
            "within": "cosine of two crops of one tracklet",
            "apart": "cosine of crops seen at the same time in one camera",
            "auc": f"area under the ROC curve of the two, by {len(self.before.by_tracklet)} tracklets",
            "same_camera": "nearest crops that are from the own camera "
            f"(by chance {_number(self.before.same_camera_by_chance)})",
        }
        measured = [
            f"{_number(getattr(self.before, name))} → {_number(getattr(self.after, name))}  {text}"
            for name, text in what.items()
        ]
        choices = [
            f"{'taken' if one is self.chosen else 'tried'}: {one.name}, {_number(one.scores.auc)}, and "
            f"{_number(one.scores.same_camera)} from the own camera"
            for one in self.tried
        ]
        if self.named:
            learnt = "; training learnt from these names, which flatters the new one" if self.learnt_names else ""
            choices.append(f"{self.named}, with the gallery's model → with the new one{learnt}")
        verdict = [] if self.improved else ["not better, as far as that can be known: keep the old model"]
        return "\n  ".join([*lines, *measured, *choices, *verdict])


def adapt_quick(gallery: Gallery, out: Path, start: Path | None = None) -> AdaptResult:
    """Give a model the batch norm statistics of each of a gallery's cameras; no weight is trained.

    Args:
        out: the ONNX file of the new version.
        start: a model file of fp32, or a run folder; the gallery's own model by default.

    Raises:
        UserError: no crop in the gallery, too few of every camera, a start that cannot be read back, or a network
            without batch norm.
    """
    if out.suffix != ".onnx":
        raise UserError(f"{out}: the name of the file must end in .onnx")
    data = _crops_of(gallery)
    network, card = _start(start or gallery.model_file)
    crops = AdaptingCrops(data, network)
    if not any(crops.fitted.values()):
        most = max(crops.counts.values())
        raise UserError(f"{gallery.path}: at most {most} crops of a camera; {FEWEST} are needed. Index more footage")
    before = crops.scores(network)
    tried = crops.each_camera(network)
    chosen = best(tried, before) or tried[0]
    what = f"batch norm statistics of crops of one's own cameras: {_counted(crops.fitted)}"
    card = _adapted(card, gallery, crops.fitted, what, f"adapt --quick to version {card.version}, {chosen.name}")
    chosen.statistics.put_into(network, 0)
    export_network(network, card, out, statistics=chosen.statistics)
    warnings = _warnings(crops.counts)
    return AdaptResult(out, card, crops.fitted, before, chosen, warnings, tried, _named(gallery, out))


def adapt(
    gallery: Gallery,
    out: Path,
    recipe: str = RECIPE,
    *,
    start: Path | None = None,
    changes: Sequence[str] = (),
    source: Sequence[str] = (),
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    quiet: bool = False,
    lines: bool = False,
) -> AdaptResult:
    """Train a model on a gallery's crops and export the new version as ``model.onnx`` in the run.

    Crops are clustered by features with each camera's batch norm statistics, clusters agree with the tracklets and with
    what users said of them, and batches show a cluster from as many cameras as there are. Afterwards batch norms get
    the statistics of the gallery's crops: of each camera where that improves on common ones, as far as can be known
    without labels.

    Args:
        out: the run folder.
        recipe: a name or a file, of a method that clusters.
        start: as for `adapt_quick`.
        changes: of the recipe, after those that every adapting has.
        source, seed, device, resume, quiet, lines: see `training.engine.train`. A run that is resumed keeps its start.

    Raises:
        UserError: too few crops, one camera, no tracklet with two crops, a recipe that does not cluster, no cluster,
            or a start that cannot be read back.
    """
    data = _crops_of(gallery)
    _check_enough(gallery, data)
    start = Path(read_facts(out)["recipe"]["start"]) if resume else start or gallery.model_file
    ((method, options),) = load_recipe(recipe).method.items()
    if "clustering" not in options:
        raise UserError(f"adapt: recipe {recipe} makes no clusters; take ise, cluster_contrast or spcl")
    own = [f"start={start}", *_CHANGES, *(f"method.{method}.{change}" for change in _OF_METHOD)]
    network, card = _start(start)
    crops = AdaptingCrops(data, network)
    before = crops.scores(network)
    run = train(
        load_recipe(recipe, [*own, *changes]), f"gallery:{gallery.path}", out,
        source=source, seed=seed, device=device, resume=resume, quiet=quiet, lines=lines,
    )  # fmt: skip
    network = load_network(out)
    if has_batch_norm(network):
        chosen, tried = crops.better_statistics(network)
        chosen.statistics.put_into(network, 0)
    else:
        chosen, tried = Tried(NO_BATCH_NORM, CameraStatistics([], {}), crops.scores(network)), []
    statistics = chosen.statistics if chosen.statistics.cameras else None
    fitted = crops.fitted if statistics else dict.fromkeys(crops.fitted, 0)
    known = sum(map(len, data.together))
    labels = f"; by users' words {known} tracklets of {len(data.together)} people" if known else ""
    what = f"{len(data.train)} unlabelled crops of one's own cameras: {_counted(crops.counts)}{labels}"
    how = f"adapt --recipe {' '.join([recipe, *changes])} to version {card.version}, {run.images} images, {chosen.name}"
    card = _adapted(card, gallery, fitted, "; ".join([what, *source]), how)
    export_network(network, card, out / _MODEL, statistics=statistics)
    named = _named(gallery, out / _MODEL)
    return AdaptResult(out / _MODEL, card, fitted, before, chosen, run.warnings, tried, named, learnt_names=True)


def _crops_of(gallery: Gallery) -> GalleryData:
    data = GalleryData(gallery.path)
    if not data.train:
        raise UserError(f"{gallery.path}: no crop in it to adapt to; index footage first")
    return data


def _check_enough(gallery: Gallery, data: GalleryData) -> None:
    of_tracklet = np.bincount([record.tracklet for record in data.train])
    if len(data.train) < _FEWEST_TO_TRAIN:
        few = f"{len(data.train)} crops in it, and training needs {_FEWEST_TO_TRAIN}"
    elif len(data.cameras) < 2:
        few = "one camera in it, and training is to find people again between cameras"
    elif of_tracklet.max() < 2:
        few = "no tracklet in it has two crops, so nothing could be known of what training does"
    else:
        return
    raise UserError(f"{gallery.path}: {few}; index more footage, or take --quick")


def _start(path: Path) -> tuple[Network, ModelCard]:
    if path.is_dir():
        network = load_network(path)
        return network, run_card(path, network, path.name)
    network = load_onnx(path)
    card = read_card(path)
    assert card is not None  # noqa: S101 - `load_onnx` has looked; for mypy
    return network, card


def _named(gallery: Gallery, model: Path) -> NamedScores | None:
    if not Identities(gallery, by="").of():
        return None
    return compare_named(gallery, [Embedder(gallery.model_file), Embedder(model)])


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in counts.items() if count)


def _adapted(card: ModelCard, gallery: Gallery, fitted: dict[str, int], what: str, how: str) -> ModelCard:
    """The start's card with a version that the gallery has not had; its scores do not hold any more."""
    known = [model.card for model in gallery.models()] + [made for _, made in adapted_models(gallery).values()]
    taken = {other.version for other in known if other.name == card.name}
    base = card.version.partition("+")[0]
    version = next(v for number in range(1, len(taken) + 2) if (v := f"{base}+{number}") not in taken)
    return replace(
        card,
        version=version,
        cameras=[name for name, count in fitted.items() if count],
        training_data=f"{card.training_data}; {what}",
        recipe=f"{card.recipe}, {how}",
        scores={},
    )


def _warnings(counts: dict[str, int]) -> list[str]:
    few = [f"{name} ({count})" for name, count in counts.items() if count < FEWEST]
    warnings = [f"fewer than {FEWEST} crops, so the common statistics: {', '.join(few)}"] if few else []
    if len(counts) == 1:
        warnings.append("one camera: nothing between cameras can get better, only the fit to this one")
    return warnings


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
