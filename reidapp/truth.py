"""Ground truth of generated footage, and what indexing and search are held against it."""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from reidapp.box import Box
from reidapp.gallery.store import PathPoint

_SAME_PLACE = 0.3  # intersection over union from which a stored box is taken for a true one


@dataclass(frozen=True)
class Sighting:
    """A person in a frame, as it really is."""

    camera: str
    video: str  # path below the footage's folder
    time_s: float
    person: int
    box: Box
    visible: float  # share of the body, 0..1


class Truth:
    """All sightings of a folder of generated footage (its ``truth.csv``)."""

    def __init__(self, sightings: Iterable[Sighting]) -> None:
        self.sightings = list(sightings)
        self._at: defaultdict[tuple[str, int], list[Sighting]] = defaultdict(list)
        for sighting in self.sightings:
            self._at[sighting.camera, _millis(sighting.time_s)].append(sighting)

    @classmethod
    def read(cls, footage: Path) -> "Truth":
        with (footage / "truth.csv").open(newline="") as file:
            return cls(
                Sighting(
                    camera=row["camera"],
                    video=row["video"],
                    time_s=float(row["pts_s"]),
                    person=int(row["person"]),
                    box=Box(*(float(row[key]) for key in ("x1", "y1", "x2", "y2"))),
                    visible=float(row["visible"]),
                )
                for row in csv.DictReader(file)
            )

    @property
    def people(self) -> list[int]:
        return sorted({sighting.person for sighting in self.sightings})

    @property
    def cameras(self) -> list[str]:
        return sorted({sighting.camera for sighting in self.sightings})

    def who(self, camera: str, path: Iterable[PathPoint]) -> int | None:
        """The person whom most boxes of a tracklet show; None if most show nobody."""
        votes = Counter(self._who_is_in(camera, point) for point in path)
        return votes.most_common(1)[0][0] if votes else None

    def best_view(self, person: int, camera: str) -> Sighting:
        """The largest unoccluded view of a person in a camera, away from the frame's edges if there is one."""
        seen = [s for s in self.sightings if s.person == person and s.camera == camera]

        def worth(sighting: Sighting) -> tuple[bool, float, float]:
            box = sighting.box
            inside = min(box.x1, box.y1, 1 - box.x2, 1 - box.y2) > 0.01
            return inside, round(sighting.visible, 1), box.area

        return max(seen, key=worth)

    def _who_is_in(self, camera: str, point: PathPoint) -> int | None:
        there = self._at[camera, _millis(point.time_s)]
        best = max(there, key=lambda sighting: sighting.box.iou(point.box), default=None)
        return best.person if best is not None and best.box.iou(point.box) >= _SAME_PLACE else None


def _millis(time_s: float) -> int:
    return round(time_s * 1000)
