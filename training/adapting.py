"""A model adapts to the cameras of a gallery, from the crops that indexing has stored and without labels."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from models.camera_batch_norm import look
from models.camera_statistics import CameraStatistics, fit_statistics
from models.export import export_network, run_card
from models.network import Network
from models.onnx_weights import load_onnx
from models.run_folder import load_network
from reidapp.errors import UserError
from reidapp.gallery.label_free import LabelFreeScores, label_free_scores
from reidapp.gallery.store import Gallery
from reidapp.imaging import decode_crop, resize
from reidapp.model_card import ModelCard, read_card
from training.data.datasets import Record
from training.data.datasets.gallery import Gallery as GalleryData

_CROPS = 8192  # looked at, at most: more change the statistics no further
_OF_A_CAMERA = 1024
_FEWEST = 16  # crops that make statistics of a camera; each counts at every place of its feature maps


@dataclass(frozen=True)
class AdaptResult:
    """A new model version, and what can be known about it without labels.

    Attributes:
        cameras: {camera: crops whose statistics it has; 0 where there were too few, and it has the common ones}.
        before, after: of the same crops.
    """

    model: Path
    card: ModelCard
    cameras: dict[str, int]
    before: LabelFreeScores
    after: LabelFreeScores
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        named = {"model": str(self.model), "name": self.card.name, "version": self.card.version}
        measured = {"before": self.before.to_dict(), "after": self.after.to_dict()}
        return named | {"cameras": self.cameras} | measured | {"warnings": self.warnings}

    def __str__(self) -> str:
        title = (
            f"{self.model}: {self.card.name}/{self.card.version}, with statistics of {len(self.card.cameras)} cameras"
        )
        lines = [title, *self.warnings, f"Without labels, on {self.before.crops} crops, before → after:"]
        what = {
            "within": "cosine of two crops of one tracklet",
            "apart": "cosine of crops seen at the same time in one camera",
            "auc": "area under the ROC curve of the two",
            "same_camera": "nearest crops that are from the own camera "
            f"(by chance {_number(self.before.same_camera_by_chance)})",
        }
        measured = [
            f"{_number(getattr(self.before, name))} → {_number(getattr(self.after, name))}  {text}"
            for name, text in what.items()
        ]
        return "\n  ".join([*lines, *measured])


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
    data = GalleryData(gallery.path)
    if not data.train:
        raise UserError(f"{gallery.path}: no crop in it to adapt to; index footage first")
    network, card = _start(start or gallery.model_file)
    records = _chosen(data.train)
    cameras = np.array([record.camid for record in records])
    counts = {name: int((cameras == number).sum()) for number, name in enumerate(data.cameras)}
    fitted = {name: count if count >= _FEWEST else 0 for name, count in counts.items()}
    if not any(fitted.values()):
        most = max(counts.values())
        raise UserError(f"{gallery.path}: at most {most} crops of a camera; {_FEWEST} are needed. Index more footage")
    images = _images(records, network)
    before = _scores(look(network, images, network.embed).numpy(), records, data)
    by_camera = {name: images[cameras == data.cameras.index(name)] for name, count in fitted.items() if count}
    statistics = fit_statistics(network, images, by_camera)
    after = _scores(_embedded(network, statistics, images, [data.cameras[number] for number in cameras]), records, data)
    card = _adapted(card, gallery, fitted)
    statistics.put_into(network, 0)
    export_network(network, card, out, statistics=statistics)
    return AdaptResult(out, card, fitted, before, after, _warnings(counts))


def _start(path: Path) -> tuple[Network, ModelCard]:
    if path.is_dir():
        network = load_network(path)
        return network, run_card(path, network, path.name)
    network = load_onnx(path)
    card = read_card(path)
    assert card is not None  # `load_onnx` has looked
    return network, card


def _chosen(records: Sequence[Record]) -> list[Record]:
    """Crops of every camera, spread evenly over its time."""
    of_camera: dict[int, list[Record]] = {}
    for record in records:
        of_camera.setdefault(record.camid, []).append(record)
    most = max(_FEWEST, min(_OF_A_CAMERA, _CROPS // len(of_camera)))
    return [record for own in of_camera.values() for record in own[:: -(-len(own) // most)]]


def _images(records: Sequence[Record], network: Network) -> np.ndarray:
    images = np.empty((len(records), network.height, network.width, 3), np.uint8)
    for image, record in zip(images, records, strict=True):
        image[:] = resize(decode_crop(record.path.read_bytes()), network.height, network.width)
    return images


def _embedded(network: Network, statistics: CameraStatistics, images: np.ndarray, cameras: Sequence[str]) -> np.ndarray:
    """As the exported model embeds them."""
    names = np.array(cameras)
    embeddings = np.empty((len(images), network.dim), np.float32)
    for camera in np.unique(names):
        rows = np.flatnonzero(names == camera)
        known = camera in statistics.cameras
        statistics.put_into(network, 1 + statistics.cameras.index(camera) if known else 0)
        embeddings[rows] = look(network, images[rows], network.embed).numpy()
    return embeddings


def _scores(embeddings: np.ndarray, records: Sequence[Record], data: GalleryData) -> LabelFreeScores:
    tracklets, cameras = (np.array([getattr(record, key) for record in records]) for key in ("tracklet", "camid"))
    return label_free_scores(embeddings, tracklets, cameras, data.apart)


def _adapted(card: ModelCard, gallery: Gallery, fitted: dict[str, int]) -> ModelCard:
    """The start's card with a new version; its scores do not hold any more."""
    from_what = ", ".join(f"{name} ({count})" for name, count in fitted.items() if count)
    taken = {model.card.version for model in gallery.models() if model.card.name == card.name}
    base = card.version.partition("+")[0]
    version = next(v for number in range(1, len(taken) + 2) if (v := f"{base}+{number}") not in taken)
    return replace(
        card,
        version=version,
        cameras=[name for name, count in fitted.items() if count],
        training_data=f"{card.training_data}; batch norm statistics of crops of one's own cameras: {from_what}",
        recipe=f"{card.recipe}, adapt --quick to version {card.version}",
        scores={},
    )


def _warnings(counts: dict[str, int]) -> list[str]:
    few = [f"{name} ({count})" for name, count in counts.items() if count < _FEWEST]
    warnings = [f"fewer than {_FEWEST} crops, so the common statistics: {', '.join(few)}"] if few else []
    if len(counts) == 1:
        warnings.append("one camera: nothing between cameras can get better, only the fit to this one")
    return warnings


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
