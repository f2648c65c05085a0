"""Which time is indexed: of a camera, with the gaps in between, and of recordings."""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from reidapp.gallery import cameras, schema
from reidapp.gallery.between import overlapping
from reidapp.gallery.database import listed
from reidapp.gallery.facts import utc
from reidapp.gallery.store import Gallery
from reidapp.settings import IndexSettings

CHUNK_S = float(IndexSettings.model_fields["chunk_s"].default)  # of recordings whose settings do not say it
_SLACK = timedelta(seconds=1.5)  # recorders take a moment from one file to the next
_HOUR, _QUARTER = 3600, 900  # seconds; every zone's hours begin at a quarter


@dataclass(frozen=True)
class Stretch:
    """A time without a break, UTC."""

    start: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.end - self.start).total_seconds()


@dataclass(frozen=True)
class Coverage:
    """What of a camera's time is indexed.

    Attributes:
        zone: IANA name of the camera's clock.
        indexed: in order; recordings that follow one another are one.
        gaps: between those.
        days: {day, on the camera's clock: minutes indexed in each of its 24 hours}.
    """

    camera: str
    zone: str
    indexed: list[Stretch]
    gaps: list[Stretch]
    days: dict[str, list[float]]


def coverage(gallery: Gallery, camera: str, after: datetime | None = None, before: datetime | None = None) -> Coverage:
    """What of a camera's time is indexed, between two times.

    Raises:
        UnknownError: no such camera.
    """
    with Session(gallery.engine) as session:
        begin = schema.Video.start_ms
        known = cameras.existing(session, camera)
        inside = overlapping(begin, begin + schema.Video.duration_s * 1000, after, before)
        rows = session.scalars(select(schema.Video).where(schema.Video.camera_id == known.id, *inside)).all()
        zone, stretches = known.zone, indexed_of(session, rows)
    within = (
        replace(each, start=max(each.start, after or each.start), end=min(each.end, before or each.end))
        for each in stretches
    )
    indexed = [each for each in within if each.end > each.start]
    gaps = [Stretch(one.end, other.start) for one, other in itertools.pairwise(indexed)]
    return Coverage(camera, zone, indexed, gaps, _minutes(indexed, ZoneInfo(zone)))


def indexed_of(session: Session, videos: Sequence[schema.Video]) -> list[Stretch]:
    """The times of recordings that were looked at, in order; those that follow one another are one."""
    runs = _runs(session, [video.id for video in videos])
    return _joined(each for video in videos for each in _indexed(video, runs[video.id]))


def gaps(whole: Stretch, indexed: Sequence[Stretch]) -> list[Stretch]:
    """The parts of a time that none of these cover, they being in order; a moment is none."""
    ends = [whole.start, *(each.end for each in indexed)]
    begins = [*(each.start for each in indexed), whole.end]
    found = (Stretch(end, begin) for end, begin in zip(ends, begins, strict=True))
    return [each for each in found if each.end - each.start > _SLACK]


def _runs(session: Session, ids: Sequence[str]) -> defaultdict[str, list[tuple[int, int]]]:
    """{video: first and last number of chunks that follow one another}: a day has 1440 chunks, and mostly one run."""
    video, number = schema.Chunk.video_id, schema.Chunk.number
    runs, broken = defaultdict(list), []
    ends = select(video, func.min(number), func.max(number), func.count()).where(video.in_(listed(ids)))
    for id_, first, last, count in session.execute(ends.group_by(video)):
        if last - first + 1 == count:
            runs[id_].append((first, last))
        else:
            broken.append(id_)
    place = func.row_number().over(partition_by=video, order_by=number)
    some = select(video, number, (number - place).label("run")).where(video.in_(listed(broken))).subquery().c
    parts = select(some.video_id, func.min(some.number), func.max(some.number)).group_by(some.video_id, some.run)
    for id_, first, last in session.execute(parts):
        runs[id_].append((first, last))
    return runs


def _indexed(row: schema.Video, runs: Iterable[tuple[int, int]]) -> list[Stretch]:
    length_s = float(row.settings.get("chunk_s") or CHUNK_S)
    ends = ((first * length_s, min((last + 1) * length_s, row.duration_s)) for first, last in runs)
    begins = utc(row.start_ms)
    return [Stretch(begins + timedelta(seconds=a), begins + timedelta(seconds=b)) for a, b in ends if b > a]


def _joined(stretches: Iterable[Stretch]) -> list[Stretch]:
    joined: list[Stretch] = []
    for each in sorted(stretches, key=lambda stretch: stretch.start):
        if joined and each.start - joined[-1].end <= _SLACK:
            joined[-1] = replace(joined[-1], end=max(joined[-1].end, each.end))
        else:
            joined.append(each)
    return joined


def _minutes(indexed: Sequence[Stretch], zone: ZoneInfo) -> dict[str, list[float]]:
    days: dict[str, list[float]] = {}
    for each in indexed:
        time = each.start
        while time < each.end:
            local = time.astimezone(zone)
            step = _QUARTER if (local.utcoffset() or timedelta()).seconds % _HOUR else _HOUR
            until = min(each.end, datetime.fromtimestamp((time.timestamp() // step + 1) * step, time.tzinfo))
            days.setdefault(local.date().isoformat(), [0.0] * 24)[local.hour] += (until - time).total_seconds() / 60
            time = until
    return {day: [round(minutes, 2) for minutes in hours] for day, hours in sorted(days.items())}
