"""Models side by side on a gallery's own crops, before the gallery is moved to one of them.

Where people are named, by how well each model finds them again in other cameras; everywhere, by what can be known
without labels. All models see the same crops; the gallery is not changed.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from reidapp.embedding import Embeds
from reidapp.errors import UserError
from reidapp.gallery import cameras
from reidapp.gallery.crops import StoredCrop, stored_crops
from reidapp.gallery.identities import Identities
from reidapp.gallery.label_free import LabelFreeScores, label_free_scores
from reidapp.gallery.simultaneous import simultaneous
from reidapp.gallery.store import Gallery
from reidapp.imaging import read_image
from reidapp.metrics import RetrievalScores, evaluate_ranking

_BATCH = 64
CROPS = 2_000  # of people without a name, about; more change the scores little

Progress = Callable[[float, float, str], None]
"""Called with crops embedded, crops in all (each model's), and the model at work."""


@dataclass(frozen=True)
class ModelScores:
    """What one model is worth on a gallery's crops.

    Attributes:
        model: name/version.
        crops_s: embedded in a second, on this machine now; resizing is part of it.
        named: named people, each crop searched for among those of other cameras; None where nobody named was seen by
            two cameras.
    """

    model: str
    dim: int
    crops_s: float
    named: RetrievalScores | None
    label_free: LabelFreeScores

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        size = {"model": self.model, "dim": self.dim, "crops_per_second": round(self.crops_s)}
        return size | {"named": self.named and self.named.to_dict(), "label_free": self.label_free.to_dict()}


@dataclass(frozen=True)
class Comparison:
    """Models in the order in which they were given, on the same crops.

    Attributes:
        people: named people whom two cameras have seen.
    """

    crops: int
    people: int
    models: list[ModelScores]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"crops": self.crops, "people": self.people, "models": [scores.to_dict() for scores in self.models]}

    def __str__(self) -> str:
        free = [scores.label_free for scores in self.models]
        rows = [
            ("", [scores.model for scores in self.models]),
            ("numbers in an embedding", [str(scores.dim) for scores in self.models]),
            ("crops a second", [f"{scores.crops_s:.0f}" for scores in self.models]),
            *self._named(),
            ("without labels: same tracklet above two people at once", [_number(each.auc) for each in free]),
            (
                f"without labels: nearest from the own camera (chance {_number(free[0].same_camera_by_chance)})",
                [_number(each.same_camera) for each in free],
            ),
        ]
        width = max(len(name) for name, _ in rows)
        columns = [max(len(values[i]) for _, values in rows) for i in range(len(self.models))]
        table = [
            "  ".join([name.ljust(width), *(value.rjust(c) for value, c in zip(values, columns, strict=True))])
            for name, values in rows
        ]
        return "\n".join([f"{self.crops} crops of this gallery", *table])

    def _named(self) -> list[tuple[str, list[str]]]:
        found = [scores.named for scores in self.models if scores.named]
        if not found:
            return [("named people seen by two cameras", ["none" for _ in self.models])]
        what = f"{self.people} named, from camera to camera"
        return [
            (f"{what}: Rank-1", [f"{scores.rank1:.1%}" for scores in found]),
            (f"{what}: mAP", [f"{scores.mAP:.1%}" for scores in found]),
        ]


def compare(
    gallery: Gallery, embedders: Sequence[Embeds], crops: int = CROPS, progress: Progress = lambda *_: None
) -> Comparison:
    """Measure each model on the same crops.

    Args:
        crops: about how many of people without a name; tracklets are taken whole, and evenly from all.

    Raises:
        UserError: no crop in the gallery, or one that cannot be read.
    """
    person_of = Identities(gallery, by="").of()
    chosen = _chosen(stored_crops(gallery), person_of, crops)
    if not chosen:
        raise UserError(f"{gallery.path}: no crop in it to compare models on; index footage first")
    images = [read_image(crop.file) for crop in chosen]
    number = {tracklet: i for i, tracklet in enumerate(dict.fromkeys(crop.tracklet for crop in chosen))}
    seen_by = {camera: i for i, camera in enumerate(dict.fromkeys(crop.camera for crop in chosen))}
    tracklets = np.array([number[crop.tracklet] for crop in chosen])
    camids = np.array([seen_by[crop.camera] for crop in chosen])
    apart = [(number[a], number[b]) for a, b in simultaneous(gallery) if a in number and b in number]
    names = list(dict.fromkeys(person_of.values()))
    pids = np.array([names.index(person_of[c.tracklet]) if c.tracklet in person_of else -1 for c in chosen])
    scores = []
    for place, embedder in enumerate(embedders):
        label = f"{embedder.card.name}/{embedder.card.version}"

        def at(done: int, before: int = place * len(chosen), label: str = label) -> None:
            progress(before + done, len(chosen) * len(embedders), label)

        started = time.perf_counter()
        embeddings = _embedded(gallery, embedder, chosen, images, at)
        crops_s = len(chosen) / (time.perf_counter() - started)
        scores.append(
            ModelScores(
                model=label,
                dim=embedder.card.dim,
                crops_s=crops_s,
                named=_named(embeddings, pids, camids),
                label_free=label_free_scores(embeddings, tracklets, camids, apart),
            )
        )
    return Comparison(len(chosen), len(_seen_again(pids[pids >= 0], camids[pids >= 0])), scores)


@dataclass(frozen=True)
class NamedScores:
    """How well models find named people again in other cameras, in the order of the models.

    Attributes:
        people: those whom two cameras have seen; named people whom one has seen are in the way.
    """

    people: int
    models: list[RetrievalScores]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"people": self.people, "models": [scores.to_dict() for scores in self.models]}

    def __str__(self) -> str:
        found = " → ".join(f"{scores.mAP:.1%}" for scores in self.models)
        return f"{found}  mAP of {self.people} named, from camera to camera"


def compare_named(gallery: Gallery, embedders: Sequence[Embeds]) -> NamedScores | None:
    """Measure each model on the crops of named people alone; None where nobody named was seen by two cameras.

    Raises:
        UserError: a crop cannot be read.
    """
    person_of = Identities(gallery, by="").of()
    crops = [crop for crop in stored_crops(gallery) if crop.tracklet in person_of]
    people = [person_of[crop.tracklet] for crop in crops]
    pids, camids = (np.unique(each, return_inverse=True)[1] for each in (people, [crop.camera for crop in crops]))
    again = _seen_again(pids, camids)
    if not again:
        return None
    images = [read_image(crop.file) for crop in crops]
    found = [_ranked(_embedded(gallery, embedder, crops, images), pids, camids) for embedder in embedders]
    return NamedScores(len(again), found)


def _chosen(crops: Sequence[StoredCrop], person_of: dict[str, str], most: int) -> list[StoredCrop]:
    """All crops of named people, and those of every n-th of the other tracklets."""
    others = dict.fromkeys(crop.tracklet for crop in crops if crop.tracklet not in person_of)
    count = sum(crop.tracklet in others for crop in crops)
    taken = set(list(others)[:: max(1, round(count / most))]) | person_of.keys()
    return [crop for crop in crops if crop.tracklet in taken]


def _embedded(
    gallery: Gallery,
    embedder: Embeds,
    crops: Sequence[StoredCrop],
    images: Sequence[np.ndarray],
    at: Callable[[int], None] = lambda _: None,
) -> np.ndarray:
    """As `reembed` would, with each camera's statistics where the model has some."""
    with Session(gallery.engine) as session:
        in_model = cameras.names_in_model(session, embedder.card.cameras)
    embeddings = np.empty((len(crops), embedder.card.dim), np.float32)
    for start in range(0, len(crops), _BATCH):
        at(start)
        stop = start + _BATCH
        for camera in dict.fromkeys(crop.camera for crop in crops[start:stop]):
            rows = [i for i, crop in enumerate(crops[start:stop], start) if crop.camera == camera]
            embeddings[rows] = embedder.embed([images[i] for i in rows], in_model[camera])
    at(len(crops))
    return embeddings


def _named(embeddings: np.ndarray, pids: np.ndarray, camids: np.ndarray) -> RetrievalScores | None:
    rows = np.flatnonzero(pids >= 0)
    if not _seen_again(pids[rows], camids[rows]):
        return None
    return _ranked(embeddings[rows], pids[rows], camids[rows])


def _ranked(*crops: np.ndarray) -> RetrievalScores:
    return evaluate_ranking(*crops, *crops, protocol="named people of the gallery")


def _seen_again(pids: np.ndarray, camids: np.ndarray) -> list[int]:
    """Who was seen by two cameras or more."""
    people, cameras_of = np.unique(np.unique(np.stack([pids, camids], 1), axis=0)[:, 0], return_counts=True)
    return [int(person) for person in people[cameras_of > 1]]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
