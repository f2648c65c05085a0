"""Errors by camera and by lighting, with intervals: few people make noise.

What happened to one person before one camera is a row; rows are summed within a group. An interval is a bootstrap over
people, since the searches and the frames of one person are no independent draws: who is dressed like somebody else is
mistaken from every camera.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reidapp.measures import Look, Query, Stay
from reidapp.truth import HALF, Truth

UNKNOWN = "unknown"  # the lighting of a camera of which the world does not say it
_DRAWS = 2000
_OUTSIDE = 0.05  # of draws that an interval leaves out, half on each side


@dataclass(frozen=True)
class PersonHere:
    """What came of one person before one camera.

    Attributes:
        lighting: of the camera.
        precisions: average precision of each search with this person's picture from here: one, or none where the
            person was nowhere else.
        firsts: of each search, 1 if its first hit is right, else 0.
        appearances: stays before the camera.
        missed: of these, those without a tracklet.
        frames: looked at, in which at least half of the body shows.
        detected: of these, those in which the detector found the person.
    """

    person: int
    camera: str
    lighting: str
    precisions: tuple[float, ...]
    firsts: tuple[float, ...]
    appearances: int
    missed: int
    frames: int
    detected: int


@dataclass(frozen=True)
class Estimate:
    """A mean, between the bounds of its interval (95 %)."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        return {"value": self.value, "low": self.low, "high": self.high}

    def __str__(self) -> str:
        return f"{self.value:.1%} ({self.low:.0%}–{self.high:.0%})".replace("%–", "–")


@dataclass(frozen=True)
class Group:
    """The errors of some cameras together; None where nothing of the kind happened.

    Attributes:
        rank1, mAP: of the searches with a picture from there, among all other cameras.
        missed: appearances there without a tracklet.
        recall: frames in which the detector found the person, of those in which at least half of the body shows.
    """

    name: str
    lighting: str
    cameras: int
    people: int
    queries: int
    appearances: int
    frames: int
    rank1: Estimate | None
    mAP: Estimate | None  # noqa: N815
    missed: Estimate | None
    recall: Estimate | None

    def to_dict(self) -> dict[str, Any]:
        estimates = {"rank1": self.rank1, "mAP": self.mAP, "missed": self.missed, "recall": self.recall}
        return {
            "name": self.name,
            "lighting": self.lighting,
            "cameras": self.cameras,
            "people": self.people,
            "queries": self.queries,
            "appearances": self.appearances,
            "frames": self.frames,
            **{name: estimate and estimate.to_dict() for name, estimate in estimates.items()},
        }


def people_here(
    truth: Truth, looks: Iterable[Look], found: Iterable[Stay], queries: Iterable[Query]
) -> list[PersonHere]:
    """A row for each person and camera of a world."""
    frames: Counter[tuple[int, str]] = Counter()
    detected: Counter[tuple[int, str]] = Counter()
    for look in looks:
        seen = {person.person for person in truth.matches(look.camera, look.time_s, look.boxes) if person}
        plain = [each.person for each in truth.at(look.camera, look.time_s) if each.visible >= HALF]
        frames.update((person, look.camera) for person in plain)
        detected.update((person, look.camera) for person in plain if person in seen)
    stays: defaultdict[tuple[int, str], list[bool]] = defaultdict(list)
    for stay in found:
        stays[stay.appearance.person, stay.appearance.camera].append(not stay.tracklets)
    scores: defaultdict[tuple[int, str], list[tuple[float, float]]] = defaultdict(list)
    for query in queries:
        scores[query.person, query.camera].append(query.precision_and_rank1)
    return [
        PersonHere(
            person=person,
            camera=camera,
            lighting=truth.lighting.get(camera, UNKNOWN),
            precisions=tuple(precision for precision, _ in scores[person, camera]),
            firsts=tuple(first for _, first in scores[person, camera]),
            appearances=len(stays[person, camera]),
            missed=sum(stays[person, camera]),
            frames=frames[person, camera],
            detected=detected[person, camera],
        )
        for person, camera in sorted(stays)
    ]


def by_camera(worlds: Mapping[str, Sequence[PersonHere]]) -> list[Group]:
    """A group for each camera of each world."""
    groups = []
    for world, rows in worlds.items():
        for camera in sorted({row.camera for row in rows}):
            groups.append(_group(f"{world}, {camera}", {world: [row for row in rows if row.camera == camera]}))
    return groups


def by_lighting(worlds: Mapping[str, Sequence[PersonHere]]) -> list[Group]:
    """A group for each lighting, over all worlds."""
    names = sorted({row.lighting for rows in worlds.values() for row in rows})
    return [
        _group(name, {world: [row for row in rows if row.lighting == name] for world, rows in worlds.items()})
        for name in names
    ]


def _group(name: str, worlds: Mapping[str, Sequence[PersonHere]]) -> Group:
    people: defaultdict[tuple[str, int], list[PersonHere]] = defaultdict(list)
    for world, of_world in worlds.items():
        for row in of_world:
            people[world, row.person].append(row)
    rows = [row for of_person in people.values() for row in of_person]

    def share(of: Callable[[PersonHere], float], among: Callable[[PersonHere], int]) -> Estimate | None:
        return _interval([(sum(map(of, own)), sum(map(among, own))) for own in people.values()])

    return Group(
        name=name,
        lighting=", ".join(sorted({row.lighting for row in rows})),
        cameras=len({(world, row.camera) for world, of_world in worlds.items() for row in of_world}),
        people=len(people),
        queries=sum(len(row.firsts) for row in rows),
        appearances=sum(row.appearances for row in rows),
        frames=sum(row.frames for row in rows),
        rank1=share(lambda row: sum(row.firsts), lambda row: len(row.firsts)),
        mAP=share(lambda row: sum(row.precisions), lambda row: len(row.precisions)),
        missed=share(lambda row: row.missed, lambda row: row.appearances),
        recall=share(lambda row: row.detected, lambda row: row.frames),
    )


def _interval(people: Sequence[tuple[float, float]]) -> Estimate | None:
    """The share over people, each given as (of, among), and the bounds that a bootstrap over them gives.

    Where everybody has the same share, draws say nothing: then the bound is the largest rate of exceptions of which so
    many people without one are no surprise (Clopper and Pearson's).
    """
    counted = np.array([pair for pair in people if pair[1]], np.float64).reshape(-1, 2)
    if not len(counted):
        return None
    value = float(counted[:, 0].sum() / counted[:, 1].sum())
    if len(set(counted[:, 0] / counted[:, 1])) == 1:
        unseen = 1 - (_OUTSIDE / 2) ** (1 / len(counted))
        return Estimate(value, max(value - unseen, 0.0), min(value + unseen, 1.0))
    draws = np.random.default_rng(0).integers(len(counted), size=(_DRAWS, len(counted)))
    of, among = counted[draws].sum(1).T
    low, high = np.percentile(of / among, [100 * _OUTSIDE / 2, 100 - 100 * _OUTSIDE / 2])
    return Estimate(value, float(low), float(high))
