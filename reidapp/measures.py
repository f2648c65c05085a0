"""What an index of footage is worth, held against the truth: detection, tracklets, times, retrieval, P(match).

Functions of plain data; `bench.py` indexes the footage, searches it, and hands over what came out.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np

from reidapp.box import Box
from reidapp.gallery.calibration import calibration_error, reliability
from reidapp.gallery.facts import CropInfo, PathPoint, TrackletInfo
from reidapp.gallery.search import Hit
from reidapp.gallery.trials import SHOWN
from reidapp.metrics import evaluate_distances
from reidapp.truth import HALF, Appearance, Truth, most_common

_HEIGHTS_PX = (0, 64, 128, 192)  # lower bounds of the classes
_VISIBLE = (0.0, HALF, 0.9)
_NOBODY = -2  # what a tracklet of nobody is to the ranking: a wrong hit, unlike junk, which would not count


@dataclass(frozen=True)
class Share:
    """``found`` of ``of``."""

    found: int
    of: int

    @property
    def share(self) -> float | None:
        """0..1; None of nothing."""
        return self.found / self.of if self.of else None


# Detection


@dataclass(frozen=True)
class Look:
    """A frame that indexing looked at, and the people that the detector found in it."""

    camera: str
    time_s: float
    height_px: int
    boxes: tuple[Box, ...]


@dataclass(frozen=True)
class DetectionScores:
    """Each detection matched with at most one person of its frame, at an intersection over union of 0.5 or more.

    Attributes:
        recall: people found, of those of whom at least half shows.
        precision: detections that show anybody, however little of him is to be seen.
        overlap: mean intersection over union of the matched boxes.
        by_height: the recall by the person's height in pixels.
        by_visible: the recall by the share of the body that shows, those of less than half included.
    """

    recall: Share
    precision: Share
    overlap: float | None
    by_height: dict[str, Share]
    by_visible: dict[str, Share]

    def to_dict(self) -> dict[str, Any]:
        return {
            "recall": self.recall.share,
            "precision": self.precision.share,
            "overlap": self.overlap,
            "people": self.recall.of,
            "detections": self.precision.of,
            "recall_by_height": _classes(self.by_height),
            "recall_by_visible": _classes(self.by_visible),
        }


def measure_detection(truth: Truth, looks: Iterable[Look]) -> DetectionScores:
    """What the detector found in the frames that indexing looked at, of whom the truth has there."""
    overlaps: list[float] = []
    people: list[tuple[float, float, bool]] = []  # height in pixels, visible share, found
    boxes = 0
    for look in looks:
        matches = truth.matches(look.camera, look.time_s, look.boxes)
        overlaps += [box.iou(person.box) for box, person in zip(look.boxes, matches, strict=True) if person]
        found = {person.person for person in matches if person}
        people += [
            (person.box.height * look.height_px, person.visible, person.person in found)
            for person in truth.at(look.camera, look.time_s)
        ]
        boxes += len(look.boxes)
    plain = [person for person in people if person[1] >= HALF]
    return DetectionScores(
        recall=_share(found for *_, found in plain),
        precision=Share(len(overlaps), boxes),
        overlap=_mean(overlaps),
        by_height=_by_class(((height, found) for height, _, found in plain), _HEIGHTS_PX, "{:g}", " px"),
        by_visible=_by_class(((visible, found) for _, visible, found in people), _VISIBLE, "{:.0%}", " visible"),
    )


# Tracklets and times


@dataclass(frozen=True)
class Followed:
    """A tracklet as a user sees it, and whom each of its boxes really shows (None: nobody)."""

    tracklet: TrackletInfo
    people: tuple[int | None, ...]

    @cached_property
    def person(self) -> int | None:
        """Its main person: whom most of its boxes show."""
        return most_common(self.people)

    @property
    def purity(self) -> float:
        """Share of its boxes that show its main person."""
        return self.people.count(self.person) / len(self.people)


@dataclass(frozen=True)
class Stay:
    """One appearance, and the tracklets that were made of it: none if it was missed."""

    appearance: Appearance
    tracklets: tuple[Followed, ...]

    @property
    def start(self) -> datetime:
        """Of the earliest tracklet."""
        return min(followed.tracklet.start for followed in self.tracklets)

    @property
    def end(self) -> datetime:
        """Of the latest tracklet."""
        return max(followed.tracklet.end for followed in self.tracklets)

    @property
    def start_error_s(self) -> float:
        return abs((self.start - self.appearance.first.time).total_seconds())

    @property
    def end_error_s(self) -> float:
        return abs((self.end - self.appearance.last.time).total_seconds())

    @property
    def worst_error_s(self) -> float:
        return max(self.start_error_s, self.end_error_s)


def stays(appearances: Sequence[Appearance], followed: Iterable[Followed]) -> list[Stay]:
    """Give each tracklet to that appearance of its main person which it overlaps longest, or is nearest to.

    Seconds of the video decide, so that a wrong clock shows as an error of time, and not as a missed person.
    """
    given: defaultdict[int, list[Followed]] = defaultdict(list)
    of_person: defaultdict[tuple[int | None, str], list[int]] = defaultdict(list)
    for number, appearance in enumerate(appearances):
        of_person[appearance.person, appearance.camera].append(number)

    def common_s(number: int, tracklet: TrackletInfo) -> float:
        first, last = appearances[number].first.time_s, appearances[number].last.time_s
        return min(last, tracklet.end_s) - max(first, tracklet.start_s)

    for one in followed:
        if possible := of_person[one.person, one.tracklet.camera]:
            given[max(possible, key=lambda number: common_s(number, one.tracklet))].append(one)
    return [Stay(appearance, tuple(given[number])) for number, appearance in enumerate(appearances)]


@dataclass(frozen=True)
class TrackletScores:
    """How tracklets and people go together.

    Attributes:
        purity: boxes that show their tracklet's main person, of all boxes in tracklets that show somebody.
        mixed: tracklets that show two or more people.
        of_nobody: tracklets that show nobody in most of their boxes.
        missed: appearances without a tracklet.
        per_appearance: tracklets of an appearance that was not missed, on average: 1 is whole.
        per_person: tracklets of a person who was not always missed, over all cameras.
    """

    purity: Share
    mixed: Share
    of_nobody: Share
    missed: Share
    per_appearance: float | None
    per_person: float | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "purity": self.purity.share,
            "mixed": self.mixed.share,
            "of_nobody": self.of_nobody.share,
            "missed": self.missed.share,
            "per_appearance": self.per_appearance,
            "per_person": self.per_person,
            "tracklets": self.mixed.of,
            "appearances": self.missed.of,
        }


def measure_tracklets(found: Sequence[Stay], followed: Sequence[Followed]) -> TrackletScores:
    """How whole and how pure the tracklets are; ``followed`` are all of them, also those that show nobody."""
    somebody = [one for one in followed if one.person is not None]
    of_person = Counter(one.person for one in somebody)
    return TrackletScores(
        purity=Share(sum(one.people.count(one.person) for one in somebody), sum(len(one.people) for one in somebody)),
        mixed=_share(len(set(one.people) - {None}) > 1 for one in followed),
        of_nobody=_share(one.person is None for one in followed),
        missed=_share(not stay.tracklets for stay in found),
        per_appearance=_mean([len(stay.tracklets) for stay in found if stay.tracklets]),
        per_person=_mean(list(of_person.values())),
    )


@dataclass(frozen=True)
class TimeScores:
    """How far the span of an appearance's tracklets is from its own, in seconds: means, and both's 95th percentile.

    Of this, sampling alone makes up to the time between two samples.
    """

    start_error_s: float | None
    end_error_s: float | None
    error_p95_s: float | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def measure_times(found: Iterable[Stay]) -> TimeScores:
    """By when tracklets say that people came and went; appearances without a tracklet do not count."""
    found = [stay for stay in found if stay.tracklets]
    starts, ends = [stay.start_error_s for stay in found], [stay.end_error_s for stay in found]
    return TimeScores(_mean(starts), _mean(ends), float(np.percentile(starts + ends, 95)) if found else None)


# Retrieval


@dataclass(frozen=True)
class RankedHit:
    """A hit, and the person whom most of its boxes show."""

    hit: Hit
    person: int | None


@dataclass(frozen=True)
class Query:
    """One person searched for in all cameras but one, with the best crop that the gallery has from that one.

    ``crop`` is None where the gallery has none: the person was missed there, and nothing could be searched with.
    ``missed`` appearances in the other cameras have no tracklet, and so cannot be among the hits.
    """

    person: int
    camera: str
    crop: CropInfo | None
    hits: tuple[RankedHit, ...]
    missed: int = 0

    @cached_property
    def precision_and_rank1(self) -> tuple[float, float]:
        """Average precision, to which missed appearances add 0 each; and 1 if the first hit is right. 0 and 0 where no
        hit is."""
        people = np.array([_NOBODY if hit.person is None else hit.person for hit in self.hits], np.int64)
        if self.person not in people:
            return 0.0, 0.0
        ranks, one_camera = np.arange(len(people), dtype=np.float64)[None], np.zeros(len(people), np.int64)
        scores = evaluate_distances(
            ranks, np.array([self.person]), np.zeros(1, np.int64), people, one_camera, same_camera="keep"
        )
        right = int((people == self.person).sum())
        return scores.mAP * right / (right + self.missed), scores.rank1


def best_crop(truth: Truth, followed: Iterable[Followed], person: int, camera: str) -> CropInfo | None:
    """What an operator would search with: the best picture of a person in the tracklets of a camera."""
    mine = [one.tracklet for one in followed if (one.person, one.tracklet.camera) == (person, camera)]
    crops = [crop for tracklet in mine for crop in tracklet.crops if _shows(truth, camera, crop) == person]
    return max(crops, key=lambda crop: crop.quality, default=None)


def missed_elsewhere(found: Iterable[Stay], person: int, camera: str) -> int:
    """A person's appearances in all cameras but one of which there is no tracklet."""
    missed = (stay.appearance for stay in found if not stay.tracklets)
    return sum(each.person == person and each.camera != camera for each in missed)


def _shows(truth: Truth, camera: str, crop: CropInfo) -> int | None:
    return truth.who(camera, [PathPoint(crop.time_s, crop.box)])


@dataclass(frozen=True)
class RetrievalScores:
    """Over every person and camera from which somebody seen elsewhere too can be searched for.

    A query that cannot be asked, or that has no right hit to be found, since indexing missed the person, scores 0. An
    appearance that was missed counts as a right hit that is never reached: it must not make a ranking look better.

    Attributes:
        without_crop: queries that could not be asked.
        without_match: queries that were asked, with nothing right in the gallery.
    """

    mAP: float | None  # noqa: N815
    rank1: float | None
    queries: int
    without_crop: int
    without_match: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def measure_retrieval(queries: Sequence[Query]) -> RetrievalScores:
    """How well people are found from one camera to the others."""
    asked = [query for query in queries if query.crop]
    return RetrievalScores(
        mAP=_mean([query.precision_and_rank1[0] for query in queries]),
        rank1=_mean([query.precision_and_rank1[1] for query in queries]),
        queries=len(queries),
        without_crop=len(queries) - len(asked),
        without_match=sum(all(hit.person != query.person for hit in query.hits) for query in asked),
    )


# P(match)


@dataclass(frozen=True)
class CalibrationScores:
    """How far P(match) can be believed, over the first 20 hits of all queries.

    Attributes:
        brier: mean squared difference between P(match) and what is true (1 or 0).
        ece: expected calibration error: the mean difference of P(match) and the share of right hits, in 15 bins with
            as many hits each.
        reliability: for each bin the mean P(match), the share of right hits, and the hits.
    """

    brier: float
    ece: float
    hits: int
    reliability: tuple[tuple[float, float, int], ...]

    def to_dict(self) -> dict[str, Any]:
        points = [{"p_match": p, "right": right, "hits": hits} for p, right, hits in self.reliability]
        return {"brier": self.brier, "ece": self.ece, "hits": self.hits, "reliability": points}


def measure_calibration(queries: Iterable[Query]) -> CalibrationScores | None:
    """None where the gallery has no calibration."""
    pairs = [
        (hit.hit.p_match, hit.person == query.person)
        for query in queries
        for hit in query.hits[:SHOWN]
        if hit.hit.p_match is not None
    ]
    if not pairs:
        return None
    given, right = np.array(pairs, np.float64).T
    points = reliability(given, right)
    return CalibrationScores(
        brier=float(((given - right) ** 2).mean()),
        ece=calibration_error(points),
        hits=len(pairs),
        reliability=tuple((point.p_match, point.right, round(point.weight)) for point in points),
    )


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _share(found: Iterable[bool]) -> Share:
    counted = Counter(found)
    return Share(counted[True], counted.total())


def _by_class(rows: Iterable[tuple[float, bool]], bounds: Sequence[float], form: str, unit: str) -> dict[str, Share]:
    """The shares of classes by their names; a class that nobody is in is left out."""
    members: defaultdict[int, list[bool]] = defaultdict(list)
    for value, found in rows:
        members[int(np.searchsorted(bounds, value, side="right")) - 1].append(found)

    def name(number: int) -> str:
        low = form.format(bounds[number])
        return f"{low}–{form.format(bounds[number + 1])}{unit}" if number + 1 < len(bounds) else f"{low} and more{unit}"

    return {name(number): _share(members[number]) for number in sorted(members)}


def _classes(shares: Mapping[str, Share]) -> dict[str, dict[str, Any]]:
    return {name: {"recall": share.share, "people": share.of} for name, share in shares.items()}
