"""Ground truth of generated footage, and what indexing and search are held against it."""

import csv
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from reidapp.box import Box
from reidapp.errors import UserError
from reidapp.gallery.facts import PathPoint

HALF = 0.5  # of the body: from this visible share on, a person counts as there to be seen
_SAME_PLACE = 0.3  # intersection over union from which a stored box is taken for a true one
_FOUND = 0.5  # from which a detection counts as right (the usual rule of detection benchmarks)
LIGHTING_FILE = "cameras.csv"  # beside the truth: a line for each camera, with how it is lit
_AWAY_S = 3.0  # who is not to be seen for longer has left; less is hidden


@dataclass(frozen=True)
class Sighting:
    """A person in a frame, as it really is."""

    camera: str
    video: str  # path below the footage's folder
    time: datetime  # UTC
    time_s: float
    person: int
    box: Box
    visible: float  # share of the body, 0..1


@dataclass(frozen=True)
class Appearance:
    """One person's stay before one camera, from the first to the last frame in which half of the body shows.

    Hidden for no more than three seconds, the person has not left.
    """

    sightings: tuple[Sighting, ...]  # those in which half of the body shows, in order of time

    @property
    def person(self) -> int:
        return self.sightings[0].person

    @property
    def camera(self) -> str:
        return self.sightings[0].camera

    @property
    def first(self) -> Sighting:
        return self.sightings[0]

    @property
    def last(self) -> Sighting:
        return self.sightings[-1]


class Truth:
    """All sightings of a folder of generated footage (its ``truth.csv``).

    Attributes:
        lighting: how a camera is lit, by its name; not of cameras of which nobody says it.
    """

    def __init__(self, sightings: Iterable[Sighting], lighting: Mapping[str, str] | None = None) -> None:
        self.sightings = list(sightings)
        self.lighting = dict(lighting or {})
        self._at: defaultdict[tuple[str, int], list[Sighting]] = defaultdict(list)
        for sighting in self.sightings:
            self._at[sighting.camera, _millis(sighting.time_s)].append(sighting)

    @classmethod
    def read(cls, footage: Path) -> "Truth":
        """
        Raises:
            UserError: no truth in the folder, or one that is empty or damaged, or damaged words on its cameras.
        """
        path = footage / "truth.csv"
        lighting = _lighting(footage / LIGHTING_FILE)
        if not path.is_file():
            raise UserError(f"{footage}: no truth.csv in it; `reidapp synth footage` makes footage with its truth")
        with path.open(newline="") as file:
            rows = csv.DictReader(file)
            try:
                truth = cls(map(_sighting, rows), lighting)
            except (KeyError, TypeError, ValueError) as error:
                what = f"no column {error}" if isinstance(error, KeyError) else error
                raise UserError(f"{path}: line {rows.line_num}: {what}; make the footage anew") from error
        if not truth.sightings:
            raise UserError(f"{path}: nobody in it; make the footage anew")
        return truth

    @property
    def people(self) -> list[int]:
        return sorted({sighting.person for sighting in self.sightings})

    @property
    def cameras(self) -> list[str]:
        return sorted({sighting.camera for sighting in self.sightings})

    def at(self, camera: str, time_s: float) -> list[Sighting]:
        """Everybody who is in a frame."""
        return self._at.get((camera, _millis(time_s)), [])

    def appearances(self) -> list[Appearance]:
        """Everybody's stays before each camera, by person and camera."""
        seen = [sighting for sighting in self.sightings if sighting.visible >= HALF]
        seen.sort(key=lambda sighting: (sighting.person, sighting.camera, sighting.video, sighting.time_s))
        stays: list[list[Sighting]] = []
        for before, sighting in itertools.pairwise([None, *seen]):
            assert sighting is not None  # noqa: S101 - only what is before is None; for mypy
            if before is None or _left_between(before, sighting):
                stays.append([])
            stays[-1].append(sighting)
        return [Appearance(tuple(stay)) for stay in stays]

    def matches(self, camera: str, time_s: float, boxes: Sequence[Box]) -> list[Sighting | None]:
        """Whom each of a frame's detections shows; each person is shown by one detection at most.

        The assignment with the largest sum of overlaps, among pairs that overlap by half (intersection over union).
        """
        there = self.at(camera, time_s)
        overlaps = np.array([[box.iou(sighting.box) for sighting in there] for box in boxes])
        overlaps = overlaps.reshape(len(boxes), len(there))
        overlaps[overlaps < _FOUND] = 0.0
        found: list[Sighting | None] = [None] * len(boxes)
        for row, column in zip(*linear_sum_assignment(overlaps, maximize=True), strict=True):
            if overlaps[row, column]:
                found[row] = there[column]
        return found

    def who(self, camera: str, path: Iterable[PathPoint]) -> int | None:
        """The person whom most boxes of a tracklet show; None if most show nobody."""
        return most_common(self.people_in(camera, path))

    def people_in(self, camera: str, path: Iterable[PathPoint]) -> list[int | None]:
        """The person whom each box of a tracklet shows; None for a box that shows nobody."""
        return [self._who_is_in(camera, point) for point in path]

    def best_view(self, person: int, camera: str) -> Sighting:
        """The largest unoccluded view of a person in a camera, away from the frame's edges if there is one."""
        seen = [s for s in self.sightings if s.person == person and s.camera == camera]

        def worth(sighting: Sighting) -> tuple[bool, float, float]:
            box = sighting.box
            inside = min(box.x1, box.y1, 1 - box.x2, 1 - box.y2) > 0.01
            return inside, round(sighting.visible, 1), box.area

        return max(seen, key=worth)

    def _who_is_in(self, camera: str, point: PathPoint) -> int | None:
        """Of two who stand behind one another a box shows the one in front, though the other's may fit better."""
        there = [s for s in self.at(camera, point.time_s) if s.box.iou(point.box) >= _SAME_PLACE]
        best = max(there, key=lambda sighting: sighting.visible * sighting.box.iou(point.box), default=None)
        return best.person if best else None


def most_common(people: Iterable[int | None]) -> int | None:
    """Whom most boxes show."""
    votes = Counter(people)
    return votes.most_common(1)[0][0] if votes else None


def _lighting(path: Path) -> dict[str, str]:
    """Of each camera, from a file that may be missing."""
    if not path.is_file():
        return {}
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if any(not row.get("camera") or not row.get("lighting") for row in rows):
        raise UserError(f"{path}: each line needs a camera and its lighting; mend it, or delete it")
    return {row["camera"]: row["lighting"] for row in rows}


def _sighting(row: dict[str, str]) -> Sighting:
    return Sighting(
        camera=row["camera"],
        video=row["video"],
        time=datetime.fromisoformat(row["time_utc"]),
        time_s=float(row["pts_s"]),
        person=int(row["person"]),
        box=Box(*(float(row[key]) for key in ("x1", "y1", "x2", "y2"))),
        visible=float(row["visible"]),
    )


def _left_between(before: Sighting, after: Sighting) -> bool:
    same = (before.person, before.camera, before.video) == (after.person, after.camera, after.video)
    return not same or after.time_s - before.time_s > _AWAY_S


def _millis(time_s: float) -> int:
    return round(time_s * 1000)
