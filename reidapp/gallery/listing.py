"""Recordings and tracklets page by page, in order of time."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Double, Select, SQLColumnExpression, and_, func, literal, or_, select
from sqlalchemy.orm import Session, aliased

from reidapp.errors import UnknownError, UserError
from reidapp.gallery import database, schema
from reidapp.gallery.between import begins, first_since, milliseconds, overlapping
from reidapp.gallery.coverage import CHUNK_S, Stretch, indexed_of
from reidapp.gallery.database import listed
from reidapp.gallery.facts import VideoInfo, utc
from reidapp.gallery.naming import not_there
from reidapp.gallery.pieces import beginnings
from reidapp.gallery.store import Gallery

_LOOKED_MS = 3_600_000.0  # of time in which tracklets are looked for at first
_LATE_MS = 60_000.0  # a recording may go on for so long after its end as it is known

Item = TypeVar("Item")


@dataclass(frozen=True)
class Page(Generic[Item]):
    """Some of what there is. ``after``: what the next page is asked for by; None at the end."""

    items: list[Item]
    after: str | None


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
            *overlapping(begin, begin + schema.Video.duration_s * 1000, after, before),
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
        chosen = (
            select(piece.id, begin)
            .join(schema.Chunk, schema.Chunk.id == piece.chunk_id)
            .join(video, video.id == schema.Chunk.video_id)
            .outerjoin(earlier, earlier.id == piece.continues)
            .where(first_since(earlier, after), *overlapping(begin, video.start_ms + piece.end_s * 1000, after, before))
        )
        of = [*_of_cameras(session, cameras), *([video.id == video_id] if video_id else [])]
        for recordings, from_ms, to_ms in _windows(session, of, after, before, page):
            reached, end = literal(from_ms, Double), literal(to_ms, Double)
            inside = chosen.where(schema.Chunk.video_id.in_(recordings), begin >= reached, begin < end)
            found += session.execute(_paged(inside, begin, piece.id, limit - len(found), page)).all()
            if len(found) > limit:
                break
        return Page(_tracklet_entries(session, [id_ for id_, _ in found[:limit]]), _next(found, limit))


def tracklet_of(gallery: Gallery, crop_id: str) -> str | None:
    """The tracklet's piece that a best shot is of; None for a crop that is not here."""
    with Session(gallery.engine) as session:
        return session.scalar(select(schema.Crop.tracklet_id).filter_by(id=crop_id))


def shown_in(gallery: Gallery, crop_id: str) -> tuple[str, datetime]:
    """The camera that a best shot is of, and when.

    Raises:
        UnknownError: no such best shot.
    """
    shot = (
        select(schema.Camera.name, schema.Video.start_ms, schema.Crop.time_s)
        .join(schema.Chunk, schema.Chunk.id == schema.Crop.chunk_id)
        .join(schema.Video, schema.Video.id == schema.Chunk.video_id)
        .join(schema.Camera, schema.Camera.id == schema.Video.camera_id)
        .where(schema.Crop.id == crop_id)
    )
    with Session(gallery.engine) as session:
        found = session.execute(shot).one_or_none()
    if found is None:
        raise UnknownError(f"crop {crop_id}: not in this gallery")
    return found[0], utc(found[1] + found[2] * 1000)


def _of_cameras(session: Session, names: Sequence[str] | None) -> list[ColumnElement[bool]]:
    if names is None:
        return []
    known = defaultdict(set)
    for id_, name, group in session.execute(select(schema.Camera.id, schema.Camera.name, schema.Camera.group)):
        known[name].add(id_)
        if group:
            known[group].add(id_)
    if unknown := [name for name in names if name not in known]:
        raise UserError(not_there("camera", unknown[0], known))
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
        of = [*of, video.start_ms <= milliseconds(before)]

    def recorded(from_ms: float, to_ms: float) -> list[ColumnElement[bool]]:
        still = or_(~video.done, end >= literal(from_ms, Double))
        return [*of, video.start_ms < literal(to_ms, Double), still]

    starts = [_reached(page)[0]] if page is not None else []
    first, last = session.execute(select(func.min(video.start_ms), func.max(end)).where(*of)).one()
    if first is None:
        return
    if after is not None:  # what is in a chunk that had begun by then counts, too
        at = after.timestamp() * 1000
        chunk_s = func.coalesce(video.settings["chunk_s"].as_float(), CHUNK_S)
        starts.append(at - 1000 * (session.scalar(select(func.max(chunk_s)).where(*recorded(at, at))) or 0))
    end_ms = min([float(last), *([before.timestamp() * 1000] if before else [])])
    begin, length = max([float(first), *starts]), _LOOKED_MS
    while begin < inf:
        until = begin + length if begin + length < end_ms else inf
        yield select(video.id).where(*recorded(begin, until)), begin, until
        begin, length = until, 4 * length


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
        .where(schema.Chunk.video_id == info.id, begins())
    )
    return VideoEntry(info, row.done, row.note, session.scalar(firsts) or 0, indexed_of(session, [row]))


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
    first = beginnings(session, {row.id: row.continues for row in rows})
    found = {
        row.id: TrackletEntry(
            id=first[row.id],
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
