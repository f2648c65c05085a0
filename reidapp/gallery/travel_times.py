"""How long people take from camera to camera, and what that says of a hit: a prior beside what it looks like.

    log r(Δ) = log( (n f(Δ) / f₀(Δ) + 10) / (n + 10) )

Δ is the time from the middle of a tracklet that asks to that of a hit in another camera, f the density of Δ for n pairs
of one person in these two cameras, f₀ that of all pairs. 10 pairs that say nothing are counted in, so r is 1 where
nothing is known, and never so low that a hit could not come up by its score. Both densities are histograms of
asinh(Δ / 10 s), smoothed: exact to seconds for short times, and to about a quarter for long ones.

Pairs of one person are those of named people, of answers, or, without labels, tracklets of two cameras each of which is
the other's most similar. Of these some are wrong; wrong ones are spread as all pairs are, and only draw r towards 1.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d
from sqlalchemy.orm import Session

from reidapp.errors import UserError
from reidapp.gallery import database, schema
from reidapp.gallery.cameras import TRAVEL_TIMES
from reidapp.gallery.identities import Identities
from reidapp.gallery.saved_searches import SavedSearches
from reidapp.gallery.snapshot import Snapshot, Snapshots
from reidapp.gallery.store import Gallery

SOURCES = {
    "identities": "tracklets of named people",
    "answers": "tracklets that ask in saved searches, and those answered with yes",
    "label-free": "tracklets of two cameras that are most similar to each other",
}

_FEWEST = 30  # pairs
_NOTHING = 10  # pairs that say nothing
_FINE_S = 10.0
_WIDTH, _FARTHEST = 0.125, 16.0  # of a bin, and of all: a year and more
_BINS = int(2 * _FARTHEST / _WIDTH)
_SMOOTH = 2.0  # bins
_MOST = 0.01  # 1 / r at most, so that a rare time does not outweigh all looks
_TRACKLETS = 10_000  # whose looks are compared, the last ones: among a sample partners would be missing; and f₀ is of


@dataclass(frozen=True)
class CameraPair:
    """Two cameras, by their ids, the lower first: numbers of pairs per bin of Δ, from the first to the second.

    Attributes:
        same: pairs of one person.
        every: all pairs, or those of a sample of tracklets.
    """

    first: int
    second: int
    same: tuple[int, ...]
    every: tuple[int, ...]

    def log_ratio(self, seconds: np.ndarray) -> np.ndarray:
        """log r of times from the first camera to the second: float64 ``[N]``."""
        return np.asarray(self._log_ratios[_bins(seconds)])

    @cached_property
    def _log_ratios(self) -> np.ndarray:
        """Of each bin."""
        same, every = _density(self.same), _density(self.every)
        ratio = (same + 1e-9) / ((1 - _MOST) * every + _MOST * same + 1e-9)
        pairs = sum(self.same)
        return np.asarray(np.log((pairs * ratio + _NOTHING) / (pairs + _NOTHING)))


@dataclass(frozen=True)
class TravelTimes:
    """What was learnt of a gallery's cameras.

    Attributes:
        source: see `SOURCES`.
        at: ISO 8601 UTC.
    """

    source: str
    at: str
    between: tuple[CameraPair, ...]

    @property
    def pairs(self) -> int:
        """Pairs of one person."""
        return sum(sum(each.same) for each in self.between)

    def log_ratio(self, camera: int, time_s: float, cameras: np.ndarray, times_s: np.ndarray) -> np.ndarray:
        """log r of hits, for a person seen by a camera at a time; 0 for hits of the same camera.

        Args:
            cameras, times_s: of hits, ``[N]``; seconds of any clock.
        """
        found = np.zeros(len(cameras))
        for each in self.between:
            if camera in (each.first, each.second):
                other, sign = (each.second, 1) if camera == each.first else (each.first, -1)
                there = cameras == other
                found[there] = each.log_ratio(sign * (times_s[there] - time_s))
        return found

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"source": self.source, "at": self.at, "pairs": self.pairs, "pairs_of_cameras": len(self.between)}

    def __str__(self) -> str:
        return (
            f"travel times by {self.source} ({SOURCES[self.source]}), {self.at}\n"
            f"  {self.pairs:,} pairs of tracklets, between {len(self.between)} pairs of cameras"
        )


def current_travel_times(gallery: Gallery) -> TravelTimes | None:
    """What was learnt last; None if nothing was."""
    with Session(gallery.engine) as session:
        stored = session.get(schema.Setting, TRAVEL_TIMES)
    if stored is None:
        return None
    facts = json.loads(stored.value)
    between = (CameraPair(one, two, tuple(same), tuple(every)) for one, two, same, every in facts["between"])
    return TravelTimes(facts["source"], facts["at"], tuple(between))


def learn(gallery: Gallery, source: str | None = None) -> TravelTimes:
    """Learn travel times, and keep them in the gallery.

    Args:
        source: one of `SOURCES`; None takes the first of which there is enough.

    Raises:
        UserError: an unknown source, too few pairs, or a gallery that can only be read.
    """
    if source is not None and source not in SOURCES:
        raise UserError(f'--from: "{source}" is unknown; {", ".join(SOURCES)}')
    gallery.check_writable()
    snapshot = Snapshots(gallery, gallery.model_id).current()
    lacking = []
    for name in [source] if source else SOURCES:
        sightings, pairs = _OF[name](gallery, snapshot)
        if len(pairs) >= _FEWEST:
            found = learnt(name, sightings, pairs)
            keep(gallery, found)
            return found
        lacking.append(f"{name}: {len(pairs)} pairs of tracklets of one person in two cameras ({_FEWEST} are needed)")
    raise UserError(f"{gallery.path}: too little to learn travel times by; {'; '.join(lacking)}")


def learnt(source: str, sightings: "Sightings", pairs: Sequence[tuple[int, int]]) -> TravelTimes:
    """Of tracklets, and pairs of them (by their places) that are of one person, in two cameras."""
    same: defaultdict[tuple[int, int], list[float]] = defaultdict(list)
    for one, two in pairs:
        if sightings.camera[one] > sightings.camera[two]:
            one, two = two, one
        cameras = int(sightings.camera[one]), int(sightings.camera[two])
        same[cameras].append(sightings.middle_s[two] - sightings.middle_s[one])
    between, most = [], -(-_TRACKLETS // max(1, len(np.unique(sightings.camera))))
    for (first, second), gaps in sorted(same.items()):
        times, others = (sightings.middle_s[sightings.camera == camera] for camera in (first, second))
        times, others = (each[:: -(-len(each) // most)] for each in (times, others))
        every = sum((_counted(others - time) for time in times), np.zeros(_BINS, int))
        between.append(CameraPair(first, second, tuple(_counted(np.array(gaps)).tolist()), tuple(every.tolist())))
    return TravelTimes(source, schema.now(), tuple(between))


@dataclass(frozen=True)
class Sightings:
    """Tracklets: ids uint64, cameras' ids, and the middle of their time; arrays ``[N]``."""

    tracklet: np.ndarray
    camera: np.ndarray
    middle_s: np.ndarray

    @classmethod
    def of(cls, snapshot: Snapshot, rows: np.ndarray) -> "Sightings":
        """Of the tracklets that rows are of."""
        tracklets, first, of = np.unique(snapshot.tracklet_of[rows], return_index=True, return_inverse=True)
        middles = np.bincount(of, middles_s(snapshot, rows), len(tracklets))
        return cls(tracklets, snapshot.camera_of[rows[first]], middles / np.bincount(of, minlength=len(tracklets)))


def middles_s(snapshot: Snapshot, rows: np.ndarray) -> np.ndarray:
    """When rows' tracklets were seen: UTC seconds, float64 ``[N]``."""
    return np.asarray((snapshot.first_ms[rows] + snapshot.last_ms[rows]) / 2000)


def _of_identities(gallery: Gallery, snapshot: Snapshot) -> tuple[Sightings, list[tuple[int, int]]]:
    people: defaultdict[str, set[str]] = defaultdict(set)
    for tracklet, name in Identities(gallery, by="").of().items():
        people[name].add(tracklet)
    return _of_groups(snapshot, people.values())


def _of_answers(gallery: Gallery, snapshot: Snapshot) -> tuple[Sightings, list[tuple[int, int]]]:
    return _of_groups(snapshot, [{*info.tracklets, *info.yes} for info in SavedSearches(gallery, by="").all()])


def _of_groups(snapshot: Snapshot, groups: Iterable[set[str]]) -> tuple[Sightings, list[tuple[int, int]]]:
    """Of all tracklets; those of a group show one person. Pairs are of two cameras."""
    sightings = Sightings.of(snapshot, np.flatnonzero(snapshot.crops))
    place = {f"{id_:016x}": place for place, id_ in enumerate(sightings.tracklet.tolist())}
    known = (sorted(place[id_] for id_ in group if id_ in place) for group in groups)
    pairs = (pair for group in known for pair in combinations(group, 2))
    return sightings, [(one, two) for one, two in pairs if sightings.camera[one] != sightings.camera[two]]


def _of_looks(gallery: Gallery, snapshot: Snapshot) -> tuple[Sightings, list[tuple[int, int]]]:
    """Tracklets of two cameras that are most similar to each other, by the means of their shots."""
    rows = np.flatnonzero(snapshot.crops)
    every = Sightings.of(snapshot, rows)
    last = np.sort(every.tracklet[np.argsort(-every.middle_s, kind="stable")[:_TRACKLETS]])
    rows = rows[snapshot.of_tracklets(last)[rows]]
    sightings, of = Sightings.of(snapshot, rows), np.searchsorted(last, snapshot.tracklet_of[rows])
    order = np.argsort(of, kind="stable")
    starts = np.searchsorted(of[order], np.arange(len(last)))
    means = np.add.reduceat(snapshot.vectors(rows[order]), starts) if len(rows) else np.empty((0, 1), np.float32)
    means /= np.linalg.norm(means, axis=1, keepdims=True) + 1e-12
    return sightings, list(mutual(means, sightings.camera))


def mutual(means: np.ndarray, camera: np.ndarray) -> Iterator[tuple[int, int]]:
    """Places of tracklets of two cameras, each of which is the other's most similar; means ``[N, D]`` of length one."""
    for first, second in combinations(np.unique(camera).tolist(), 2):
        ones, others = np.flatnonzero(camera == first), np.flatnonzero(camera == second)
        scores = means[ones] @ means[others].T
        nearest, back = scores.argmax(axis=1), scores.argmax(axis=0)
        for place in np.flatnonzero(back[nearest] == np.arange(len(ones))).tolist():
            yield int(ones[place]), int(others[nearest[place]])


_OF = {"identities": _of_identities, "answers": _of_answers, "label-free": _of_looks}


def keep(gallery: Gallery, found: TravelTimes) -> None:
    """Make travel times those of a gallery."""
    between = [[each.first, each.second, each.same, each.every] for each in found.between]
    text = json.dumps({"source": found.source, "at": found.at, "between": between}, separators=(",", ":"))
    with database.changing(gallery.engine) as session:
        session.merge(schema.Setting(key=TRAVEL_TIMES, value=text))


def _bins(seconds: np.ndarray) -> np.ndarray:
    """Of times: int ``[N]``."""
    places = (np.arcsinh(np.asarray(seconds) / _FINE_S) + _FARTHEST) / _WIDTH
    return places.astype(int).clip(0, _BINS - 1)


def _counted(seconds: np.ndarray) -> np.ndarray:
    return np.bincount(_bins(seconds), minlength=_BINS)


def _density(counts: Sequence[int]) -> np.ndarray:
    smooth = gaussian_filter1d(np.array(counts, np.float64), _SMOOTH, mode="constant")
    return np.asarray(smooth / max(smooth.sum(), 1e-9))
