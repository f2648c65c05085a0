"""Recordings and tracklets page by page, in order of time, and which of a camera's time is indexed."""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import inf
from typing import Any, Generic, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Double, Select, SQLColumnExpression, and_, func, literal, or_, select
from sqlalchemy.orm import Session, aliased

from reidapp.errors import UserError
from reidapp.gallery import database, schema
from reidapp.gallery.database import listed
from reidapp.gallery.facts import VideoInfo, utc
from reidapp.gallery.store import Gallery
from reidapp.registry import suggestion
from reidapp.settings import IndexSettings

_SLACK = timedelta(seconds=1.5)  # recorders take a moment from one file to the next
_HOUR, _QUARTER = 3600, 900  # seconds; every zone's hours begin at a quarter
_CHUNK_S = float(IndexSettings.model_fields["chunk_s"].default)
_LOOKED_MS = 3_600_000.0  # of time in which tracklets are looked for at first
_LATE_MS = 60_000.0  # a recording may go on for so long after its end as it is known

Item = TypeVar("Item")


@dataclass(frozen=True)
class Page(Generic[Item]):
    """Some of what there is. ``after``: what the next page is asked for by; None at the end."""

    items: list[Item]
    after: str | None


@dataclass(frozen=True)
class Stretch:
    """A time without a break, UTC."""

    start: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        return (self.end - self.start).total_seconds()


@dataclass(frozen=True)
class VideoEntry:
    """A recording, and how much of it is indexed.

    Attributes:
        done: it was indexed to its end.
        note: what was wrong with the file, if anything.
        tracklets: in it, those that go on across a chunk's border once.
        indexed: the times that were looked at; a recording that is done has no gap between them.
    """

    info: VideoInfo
    done: bool
    note: str | None
    tracklets: int
    indexed: list[Stretch]


@dataclass(frozen=True)
class TrackletEntry:
    """A tracklet as lists show it. ``end`` is that of its first piece; ``crop`` is its best shot there."""

    id: str
    camera: str
    zone: str
    video: str
    start: datetime
    end: datetime
    crop: str | None


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


@database.blames_rows
def videos(
    gallery: Gallery,
    cameras: Sequence[str] | None = None,
    after: datetime | None = None,
    before: datetime | None = None,
    *,
    limit: int = 100,
    page: str | None = None,
) -> Page[VideoEntry]:
    """Recordings of which some part lies between two times.

    Args:
        cameras: names of cameras or of groups; None takes all.
        after, before: aware.
        page: what the page before named by ``after``.

    Raises:
        UserError: an unknown camera, or no such page.
    """
    begin = schema.Video.start_ms
    with Session(gallery.engine) as session:
        chosen = select(schema.Video.id, begin).where(
            *_within(begin, begin + schema.Video.duration_s * 1000, after, before),
            *_of_cameras(session, cameras),
        )
        found = session.execute(_paged(chosen, begin, schema.Video.id, limit, page)).all()
        entries = [_entry(session, gallery.video(id_)) for id_, _ in found[:limit]]
    return Page(entries, _next(found, limit))


def video(gallery: Gallery, video_id: str) -> VideoEntry:
    """One recording.

    Raises:
        UnknownError: it is not in the gallery.
    """
    with Session(gallery.engine) as session:
        return _entry(session, gallery.video(video_id))


@database.blames_rows
def tracklets(
    gallery: Gallery,
    cameras: Sequence[str] | None = None,
    after: datetime | None = None,
    before: datetime | None = None,
    *,
    video_id: str | None = None,
    limit: int = 100,
    page: str | None = None,
) -> Page[TrackletEntry]:
    """Tracklets of which some part lies between two times, each once; arguments and errors as for `videos`."""
    piece, video, earlier = schema.Tracklet, schema.Video, aliased(schema.Tracklet)
    begin = video.start_ms + piece.start_s * 1000
    found: list[Any] = []
    with Session(gallery.engine) as session:
        # A piece that goes on with another, of the chunk before, counts where that one is too early.
        first = _begins(piece)
        if after is not None:
            first = or_(first, video.start_ms + earlier.end_s * 1000 < _milliseconds(after))
        chosen = (
            select(piece.id, begin)
            .join(schema.Chunk, schema.Chunk.id == piece.chunk_id)
            .join(video, video.id == schema.Chunk.video_id)
            .outerjoin(earlier, earlier.id == piece.continues)
            .where(first, *_within(begin, video.start_ms + piece.end_s * 1000, after, before))
        )
        of = [*_of_cameras(session, cameras), *([video.id == video_id] if video_id else [])]
        for recordings, from_ms, to_ms in _windows(session, of, after, before, page):
            reached, end = literal(from_ms, Double), literal(to_ms, Double)
            inside = chosen.where(schema.Chunk.video_id.in_(recordings), begin >= reached, begin < end)
            found += session.execute(_paged(inside, begin, piece.id, limit - len(found), page)).all()
            if len(found) > limit:
                break
        return Page(_tracklet_entries(session, [id_ for id_, _ in found[:limit]]), _next(found, limit))


def coverage(gallery: Gallery, camera: str, after: datetime | None = None, before: datetime | None = None) -> Coverage:
    """What of a camera's time is indexed, between two times.

    Raises:
        UserError: an unknown camera.
    """
    with Session(gallery.engine) as session:
        begin = schema.Video.start_ms
        chosen = select(schema.Video).where(
            *_within(begin, begin + schema.Video.duration_s * 1000, after, before), *_of_cameras(session, [camera])
        )
        rows = session.scalars(chosen).all()
        zone = session.scalars(select(schema.Camera.zone).where(schema.Camera.name == camera)).first() or "UTC"
        runs = _runs(session, [row.id for row in rows])
    stretches = _joined(each for row in rows for each in _indexed(row, runs[row.id]))
    inside = (
        replace(each, start=max(each.start, after or each.start), end=min(each.end, before or each.end))
        for each in stretches
    )
    indexed = [each for each in inside if each.end > each.start]
    gaps = [Stretch(one.end, other.start) for one, other in itertools.pairwise(indexed)]
    return Coverage(camera, zone, indexed, gaps, _minutes(indexed, ZoneInfo(zone)))


def gaps(whole: Stretch, indexed: Sequence[Stretch]) -> list[Stretch]:
    """The parts of a time that none of these cover, they being in order; a moment is none."""
    ends = [whole.start, *(each.end for each in indexed)]
    begins = [*(each.start for each in indexed), whole.end]
    found = (Stretch(end, begin) for end, begin in zip(ends, begins, strict=True))
    return [each for each in found if each.end - each.start > _SLACK]


def tracklet_of(gallery: Gallery, crop_id: str) -> str | None:
    """The tracklet's piece that a best shot is of; None for a crop that is not here."""
    with Session(gallery.engine) as session:
        return session.scalar(select(schema.Crop.tracklet_id).filter_by(id=crop_id))


def _of_cameras(session: Session, names: Sequence[str] | None) -> list[ColumnElement[bool]]:
    if names is None:
        return []
    known = defaultdict(set)
    for id_, name, group in session.execute(select(schema.Camera.id, schema.Camera.name, schema.Camera.group)):
        known[name].add(id_)
        if group:
            known[group].add(id_)
    if unknown := [name for name in names if name not in known]:
        hint, each = suggestion(unknown[0], list(known)), ", ".join(sorted(known)) or "none"
        raise UserError(f'camera "{unknown[0]}" is not in this gallery{hint}; known: {each}')
    return [schema.Video.camera_id.in_({id_ for name in names for id_ in known[name]})]


def _windows(
    session: Session,
    of: Sequence[ColumnElement[bool]],
    after: datetime | None,
    before: datetime | None,
    page: str | None,
) -> Iterator[tuple[Select[str], float, float]]:
    """(recordings, from ms, to ms): times that follow one another, each longer than the one before, and what was
    recorded then. The first tracklets of a month are found without putting a month in order."""
    video = schema.Video
    end = video.start_ms + video.duration_s * 1000 + _LATE_MS
    if before is not None:
        of = [*of, video.start_ms <= _milliseconds(before)]

    def recorded(from_ms: float, to_ms: float) -> list[ColumnElement[bool]]:
        still = or_(~video.done, end >= literal(from_ms, Double))
        return [*of, video.start_ms < literal(to_ms, Double), still]

    begins = [_reached(page)[0]] if page is not None else []
    first, last = session.execute(select(func.min(video.start_ms), func.max(end)).where(*of)).one()
    if first is None:
        return
    if after is not None:  # what is in a chunk that had begun by then counts, too
        at = after.timestamp() * 1000
        chunk_s = func.coalesce(video.settings["chunk_s"].as_float(), _CHUNK_S)
        begins.append(at - 1000 * (session.scalar(select(func.max(chunk_s)).where(*recorded(at, at))) or 0))
    end_ms = min([float(last), *([before.timestamp() * 1000] if before else [])])
    begin, length = max([float(first), *begins]), _LOOKED_MS
    while begin < inf:
        until = begin + length if begin + length < end_ms else inf
        yield select(video.id).where(*recorded(begin, until)), begin, until
        begin, length = until, 4 * length


def _begins(piece: type[schema.Tracklet]) -> ColumnElement[bool]:
    """It continues no other. Hardly any does, so that the index by which these are found is of no use here."""
    return func.coalesce(piece.continues, "") == ""


def _within(
    begin: SQLColumnExpression[Any], end: SQLColumnExpression[Any], after: datetime | None, before: datetime | None
) -> list[ColumnElement[bool]]:
    later = [end >= _milliseconds(after)] if after else []
    return later + ([begin <= _milliseconds(before)] if before else [])


def _milliseconds(time: datetime) -> ColumnElement[float]:
    return literal(time.timestamp() * 1000, Double)  # a database may round what is compared with whole numbers


def _paged(
    chosen: Select, begin: SQLColumnExpression[Any], id_: SQLColumnExpression[str], limit: int, page: str | None
) -> Select:
    """One row more than a page has, to tell whether there is another."""
    if page is not None:
        from_ms, last = _reached(page)
        reached = literal(from_ms, Double)
        chosen = chosen.where(or_(begin > reached, and_(begin == reached, id_ > last)))
    return chosen.order_by(begin, id_).limit(limit + 1)


def _reached(page: str) -> tuple[float, str]:
    """Time (ms) and id of the last entry of the page before.

    Raises:
        UserError: no page has this name.
    """
    time, colon, last = page.partition("_")
    try:
        from_ms = float(time) if colon else float("nan")
    except ValueError:
        from_ms = float("nan")
    if not abs(from_ms) < 1e18:
        raise UserError(f'page "{page}": no such page; take what the last answer names')
    return from_ms, last


def _next(found: Sequence, limit: int) -> str | None:
    return f"{float(found[limit - 1][1])!r}_{found[limit - 1][0]}" if len(found) > limit else None


def _entry(session: Session, info: VideoInfo) -> VideoEntry:
    row = session.get_one(schema.Video, info.id)
    firsts = (
        select(func.count())
        .select_from(schema.Tracklet)
        .join(schema.Chunk)
        .where(schema.Chunk.video_id == info.id, _begins(schema.Tracklet))
    )
    indexed = _joined(_indexed(row, _runs(session, [info.id])[info.id]))
    return VideoEntry(info, row.done, row.note, session.scalar(firsts) or 0, indexed)


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
    length_s = float(row.settings.get("chunk_s") or _CHUNK_S)
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


def _tracklet_entries(session: Session, ids: Sequence[str]) -> list[TrackletEntry]:
    piece, video = schema.Tracklet, schema.Video
    rows = session.execute(
        select(piece.id, piece.start_s, piece.end_s, piece.continues)
        .add_columns(video.id.label("video"), video.start_ms, schema.Camera.name, schema.Camera.zone)
        .join(schema.Chunk, schema.Chunk.id == piece.chunk_id)
        .join(video, video.id == schema.Chunk.video_id)
        .join(schema.Camera, schema.Camera.id == video.camera_id)
        .where(piece.id.in_(listed(ids)))
    ).all()
    crops = select(schema.Crop.tracklet_id, schema.Crop.id).where(schema.Crop.tracklet_id.in_(listed(ids)))
    best = dict(session.execute(crops.order_by(schema.Crop.quality, schema.Crop.id)).all())
    found = {
        row.id: TrackletEntry(
            id=_first_piece(session, row.continues) or row.id,
            camera=row.name,
            zone=row.zone,
            video=row.video,
            start=utc(row.start_ms + row.start_s * 1000),
            end=utc(row.start_ms + row.end_s * 1000),
            crop=best.get(row.id),
        )
        for row in rows
    }
    return [found[id_] for id_ in ids]


def _first_piece(session: Session, piece: str | None) -> str | None:
    """That a piece's tracklet begins with."""
    while piece and (earlier := session.scalar(select(schema.Tracklet.continues).filter_by(id=piece))):
        piece = earlier
    return piece
