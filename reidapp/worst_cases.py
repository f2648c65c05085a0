"""The cases of a bench that went worst, for somebody to look at: people missed, tracklets mixed, searches, times."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from reidapp.measures import Followed, Look, Query, Share, Stay
from reidapp.truth import Sighting, Truth


@dataclass(frozen=True)
class Missed:
    """An appearance of which little or nothing was found, and the plainest moment at which the detector missed it."""

    moment: Sighting
    seconds: float
    found: Share  # of the frames that were looked at
    tracklets: int


@dataclass(frozen=True)
class Late:
    """An appearance's span, and that of its tracklets."""

    first: Sighting
    last: Sighting
    start: datetime
    end: datetime
    error_s: float
    tracklets: int


@dataclass(frozen=True)
class Poor:
    """A query that ranked badly; of its hits only the first few are kept. ``right_rank``: of the first right one."""

    query: Query
    average_precision: float
    right_rank: int | None


@dataclass(frozen=True)
class WorstCases:
    """Of each kind the worst, worst first."""

    missed: list[Missed]
    impure: list[Followed]
    poor: list[Poor]
    late: list[Late]


def least_found(truth: Truth, looks: Iterable[Look], found: Iterable[Stay], count: int) -> list[Missed]:
    """Appearances by the share of looks in which the detector found the person, lowest first."""
    seen: dict[tuple[str, float], set[int]] = {}
    for look in looks:
        matches = truth.matches(look.camera, look.time_s, look.boxes)
        seen[look.camera, round(look.time_s, 3)] = {person.person for person in matches if person}
    worst = []
    for stay in found:
        mine = stay.appearance
        looked = [s for s in mine.sightings if (s.camera, round(s.time_s, 3)) in seen]
        lost = [s for s in looked if mine.person not in seen[s.camera, round(s.time_s, 3)]]
        if lost:
            plainest = max(lost, key=lambda sighting: (round(sighting.visible, 1), sighting.box.area))
            share = Share(len(looked) - len(lost), len(looked))
            worst.append(Missed(plainest, mine.last.time_s - mine.first.time_s, share, len(stay.tracklets)))
    return sorted(worst, key=lambda missed: (missed.found.found / missed.found.of, -missed.seconds))[:count]


def least_pure(followed: Iterable[Followed], count: int) -> list[Followed]:
    """Tracklets of more than one person, or with boxes of nobody, worst first."""
    impure = (one for one in followed if one.person is not None and one.purity < 1)
    return sorted(impure, key=lambda one: one.purity)[:count]


def poorest(queries: Iterable[Query], count: int, hits: int) -> list[Poor]:
    """Queries that were asked and ranked something wrong, by average precision."""
    wrong = [query for query in queries if query.crop and query.precision_and_rank1[0] < 1]
    return [
        Poor(
            replace(query, hits=query.hits[:hits]),
            query.precision_and_rank1[0],
            next((hit.hit.rank for hit in query.hits if hit.person == query.person), None),
        )
        for query in sorted(wrong, key=lambda query: query.precision_and_rank1)[:count]
    ]


def latest(found: Iterable[Stay], count: int) -> list[Late]:
    """Appearances by their largest error of time."""
    worst = sorted((stay for stay in found if stay.tracklets), key=lambda stay: -stay.worst_error_s)[:count]
    return [
        Late(stay.appearance.first, stay.appearance.last, stay.start, stay.end, stay.worst_error_s, len(stay.tracklets))
        for stay in worst
    ]
