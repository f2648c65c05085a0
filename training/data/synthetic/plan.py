"""Who walks where and when: every person passes every camera, in small groups, with travel time between cameras."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from reidapp.errors import UserError

from .camera import View

SLOT = 7.5  # least seconds that one group takes to pass a camera
MARGIN = 0.55  # metres beyond the frame's edge where people appear and leave
TRIES = 30
SEEN = 5.7  # seconds that everybody shall be seen in every camera
NEAR, FAR = 4.3, 7.6  # metres from the camera where people walk


@dataclass(frozen=True)
class Visit:
    """One person's way past one camera: a bend from start by middle to end (x, z metres), walked once.

    ``begin`` and ``end`` are seconds of the video; the person stands still for ``pause`` seconds half-way.
    """

    person: int
    begin: float
    end: float
    pause: float
    start: tuple[float, float]
    middle: tuple[float, float]
    finish: tuple[float, float]

    def share(self, t: float) -> float:
        """How much of the way is done at second ``t``, 0..1."""
        moving = self.end - self.begin - self.pause
        half = self.begin + moving / 2
        walked = t - self.begin if t < half else (moving / 2 if t < half + self.pause else t - self.begin - self.pause)
        return float(np.clip(walked / moving, 0.0, 1.0))

    def place(self, share: float) -> tuple[float, float, float]:
        """x, z (metres) and yaw (radians) at a share of the way."""
        a, b, c = (np.asarray(p) for p in (self.start, self.middle, self.finish))
        spot = (1 - share) ** 2 * a + 2 * share * (1 - share) * b + share**2 * c
        ahead = (1 - share) * (b - a) + share * (c - b)
        return float(spot[0]), float(spot[1]), float(np.arctan2(ahead[0], ahead[1]))

    @cached_property
    def length_m(self) -> float:
        """Metres of the way."""
        spots = np.array([self.place(float(s))[:2] for s in np.linspace(0, 1, 24)])
        return float(np.linalg.norm(np.diff(spots, axis=0), axis=1).sum())

    def share_inside(self, view: View) -> float:
        """Share of the way whose middle line is inside the frame."""
        spots = np.array([self.place(float(s))[:2] for s in np.linspace(0, 1, 48)])
        return max(float((abs(spots[:, 0]) < view.width / 2 / view.focal * spots[:, 1]).mean()), 0.1)

    def standing(self, t: float) -> bool:
        """Whether the person pauses at second ``t``."""
        half = self.begin + (self.end - self.begin - self.pause) / 2
        return half <= t < half + self.pause


def groups_of(rng: np.random.Generator, people: Sequence[int], count: int) -> list[list[int]]:
    """People in ``count`` random groups of nearly equal size."""
    order = [int(p) for p in rng.permutation(people)]
    return [order[k::count] for k in range(count)]


def plan_visits(
    rng: np.random.Generator, *, views: Sequence[View], people: int, seconds: float, crowd: int = 1
) -> list[list[Visit]]:
    """For each camera, given by its view, its visits in order of time.

    The recording is cut into rounds, a round into slots; in each round every group has one slot per camera, shifted
    from camera to camera, so that nobody is in two places at once. A ``crowd`` of more than one is so many of these
    plans at the same time, each with its share of the people, who cross and hide one another.
    """
    if not 1 <= crowd <= people:
        raise UserError(f"crowd is {crowd}; it must be from 1 to the number of people, {people}")
    if seconds < (least := SLOT * _slots(-(-people // crowd), len(views))):
        groups = "one group" if crowd == 1 else f"{crowd} groups"
        raise UserError(
            f"seconds is {seconds:g}; {people} people need at least {least:g} to pass {len(views)} cameras, {groups} "
            "at a time; give more seconds, fewer people, or a larger crowd"
        )
    visits: list[list[Visit]] = [[] for _ in views]
    for part in groups_of(rng, range(people), crowd) if crowd > 1 else [list(range(people))]:
        for row, more in zip(visits, _plan(rng, part, views, seconds), strict=True):
            row += more
    return [sorted(row, key=lambda visit: visit.begin) for row in visits]


def _slots(people: int, cameras: int) -> int:
    """Of a round at least: a group has three people at most, and is before one camera at a time."""
    return max(cameras, -(-people // 3))


def _plan(rng: np.random.Generator, people: list[int], views: Sequence[View], seconds: float) -> list[list[Visit]]:
    """One group after another past each camera."""
    cameras = len(views)
    least = _slots(len(people), cameras)
    rounds = max(1, int(seconds // (max(least, round(len(people) * 0.6)) * 8.5)))
    length = seconds / rounds
    visits: list[list[Visit]] = [[] for _ in range(cameras)]
    for turn in range(rounds):
        count = max(least, min(len(people), int(length // 8.5)))
        slot = length / count
        shift = max(1, count // max(cameras, 2))
        groups = groups_of(rng, people, min(count, len(people)))
        for camera in range(cameras):
            for number, group in enumerate(groups):
                begin = turn * length + ((number + camera * shift) % count) * slot
                visits[camera] += _seen_visits(rng, group, begin, slot, views[camera])
    return visits


def _seen_visits(rng: np.random.Generator, group: list[int], begin: float, slot: float, view: View) -> list[Visit]:
    """Visits of one group, drawn again until nobody hides another for too long."""
    best, longest = _group_visits(rng, group, begin, slot, view), -1.0
    for _ in range(TRIES):
        visits = _group_visits(rng, group, begin, slot, view)
        shortest = min(seen_seconds(visits, view))
        if shortest > longest:
            best, longest = visits, shortest
        if longest >= SEEN:
            break
    return best


def seen_seconds(visits: list[Visit], view: View) -> list[float]:
    """For each visit the seconds in which its person is inside the frame and not half hidden by another one."""
    half = view.width / 2 / view.focal
    step = 0.1
    seen = [0.0] * len(visits)
    for t in np.arange(min(v.begin for v in visits), max(v.end for v in visits), step):
        spots = [v.place(v.share(float(t)))[:2] if v.begin <= t < v.end else None for v in visits]
        for k, spot in enumerate(spots):
            if spot is None or abs(spot[0]) > half * spot[1]:
                continue
            nearer = [other for other in spots if other is not None and other[1] < spot[1]]
            # Bodies are about 0.5 m wide; nearer than half of that in the picture, the farther one is half hidden.
            if all(abs(spot[0] / spot[1] - other[0] / other[1]) > 0.3 / other[1] for other in nearer):
                seen[k] += step
    return seen


def _group_visits(rng: np.random.Generator, group: list[int], begin: float, slot: float, view: View) -> list[Visit]:
    """Visits of one group: side by side, or past each other; never on the same line."""
    lanes = rng.permutation(np.linspace(-1.0, 1.0, 2 * len(group) + 1)[1::2])
    together = rng.random() < 0.5
    side = float(rng.choice([-1, 1]))
    kind = str(rng.choice(["across", "diagonal", "turn"], p=[0.3, 0.35, 0.35]))
    visits = []
    for k, person in enumerate(group):
        direction = side if together or k == 0 else -side
        start, middle, finish = _way(rng, view, kind, float(lanes[k]), direction)
        late = min(float(rng.uniform(0.0, 0.25)) + 0.5 * k, max(slot - SLOT, 0.0) + 0.5)
        visit = Visit(person, begin + late, begin + slot, 0.0, start, middle, finish)
        longest = slot - late
        walk = visit.length_m / float(rng.uniform(1.05, 1.3))
        walk = min(max(walk, 5.8 / visit.share_inside(view), 6.4), longest)
        pause = float(rng.uniform(0.8, 2.0)) if rng.random() < 0.25 and longest - walk > 2.0 else 0.0
        visits.append(Visit(person, begin + late, begin + late + walk + pause, pause, start, middle, finish))
    return visits


def _way(
    rng: np.random.Generator, view: View, kind: str, lane: float, direction: float
) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
    """Three points of a way; ``lane`` −1..1 is near or far, ``direction`` +1 starts at the left.

    Ways lead across the frame, diagonally from far to near or back, or in from one side and out at the same ("turn").
    """
    half = view.width / 2 / view.focal
    mid, room = (NEAR + FAR) / 2, (FAR - NEAR) / 2

    def edge(z: float) -> float:
        return half * z + MARGIN

    if kind == "across":
        drift = float(rng.uniform(-0.8, 0.8))
        z = mid + lane * (room - 0.3)
        first, last = float(np.clip(z - drift, NEAR, FAR)), float(np.clip(z + drift, NEAR, FAR))
        return (-direction * edge(first), first), (float(rng.uniform(-0.8, 0.8)), z), (direction * edge(last), last)
    far, near = FAR + 0.2 + 0.4 * lane, NEAR - 0.1 + 0.3 * lane
    if kind == "diagonal":
        start, finish = (-direction * edge(far), far), (direction * edge(near), near)
        middle = (direction * float(rng.uniform(-1.2, 0.0)) + 0.5 * lane, float(rng.uniform(5.6, 6.6)))
    else:
        start, finish = (-direction * edge(far), far), (-direction * edge(near), near)
        middle = (direction * float(rng.uniform(1.6, 2.8)) + 0.6 * lane, float(rng.uniform(5.6, 6.4)))
    return (start, middle, finish) if (lane + direction) > 0 else (finish, middle, start)
