"""Models: cards, what they run on, calibration. To switch, begin the job `reembed`."""

from collections.abc import Collection
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from reidapp.gallery.adapted import adapted_models
from reidapp.gallery.calibration import Calibration, current
from reidapp.model_card import ModelCard, model_identity, read_card
from reidapp.server.access import Viewer
from reidapp.server.routes._shared import jobs_of
from reidapp.server.routes.search import CalibrationFacts, facts_of

router = APIRouter(tags=["models"])


class Card(BaseModel):
    """What a model says of itself."""

    name: str
    version: str
    height: int
    width: int
    dim: int
    resize: str
    precision: str
    training_data: str
    recipe: str
    licence: str
    cameras: list[str]
    scores: dict[str, dict[str, float]]
    notes: str


class Model(BaseModel):
    """A model that the gallery can be searched by, or be moved to."""

    id: str = Field(description="What the job `reembed` takes.")
    source: Literal["gallery", "shipped", "adapted"]
    active: bool
    crops: int | None = Field(description="That have a vector of it; null for who may see a part.")
    coverage: float = Field(description="Share of the gallery's crops that have one.")
    provider: str | None = Field(description="What the one in use really runs on.")
    card: Card


class ModelList(BaseModel):
    models: list[Model]


class ReliabilityPoint(BaseModel):
    """Pairs of about one P(match): their mean, the share that was right, and how many they stand for.

    For who may see a part that is 1 each, as pairs are of all.
    """

    p_match: float
    right: float
    weight: float


class CalibrationWithPoints(BaseModel):
    calibration: CalibrationFacts | None = Field(description="null: scores only rank.")
    reliability: list[ReliabilityPoint]


@router.get("/models")
def models(desk: Viewer, request: Request) -> ModelList:
    """The models of the gallery, the one in use first, and others that it could be moved to."""
    gallery, crops = desk.gallery, desk.gallery.summary().crops
    seen = None if desk.asker.sees_all else {camera.name for camera in desk.cameras()}
    own = gallery.models()
    found = [
        Model(
            id=each.id,
            source="gallery",
            active=each.active,
            crops=each.crops if seen is None else None,
            coverage=each.crops / crops if crops else 1.0,
            provider=desk.service.provider if each.active else None,
            card=_told(each.card, seen),
        )
        for each in own
    ]
    known = {each.id for each in own}
    shipped = {id_: (file, read_card(file)) for id_, file in jobs_of(request).shipped.items()}
    others: list[tuple[Literal["shipped", "adapted"], dict[str, Any]]] = [
        ("shipped", shipped),
        ("adapted", adapted_models(gallery)),
    ]
    for source, files in others:
        for id_, (file, card) in files.items():
            if card and model_identity(file) not in known:
                told = _told(card, seen)
                model = Model(id=id_, source=source, active=False, crops=0, coverage=0.0, provider=None, card=told)
                found.append(model)
    return ModelList(models=found)


@router.get("/calibration")
def calibration(desk: Viewer) -> CalibrationWithPoints:
    """What P(match) stands on, with its reliability; the job `calibrate` makes another."""
    found: Calibration | None = current(desk.gallery, desk.gallery.model_id)
    return CalibrationWithPoints(
        calibration=facts_of(desk, found),
        reliability=[
            ReliabilityPoint(**vars(point) | ({} if desk.asker.sees_all else {"weight": 1.0}))
            for point in (found.reliability if found else [])
        ],
    )


def _told(card: ModelCard, seen: Collection[str] | None) -> Card:
    cameras = [name for name in card.cameras if seen is None or name in seen]
    return Card(**{**vars(card), "cameras": cameras})
