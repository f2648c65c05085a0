"""What there is of a camera, a recording or a tracklet between two times."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Double, SQLColumnExpression, func, literal, or_, select
from sqlalchemy.orm import Session, aliased

from reidapp.gallery import schema
from reidapp.gallery.facts import CameraInfo, TrackletInfo, VideoInfo, utc
from reidapp.gallery.store import Gallery


def camera_between(
    gallery: Gallery, camera: CameraInfo, after: datetime | None, before: datetime | None
) -> CameraInfo | None:
    """A camera with the recordings and tracklets of which some part lies between two times; None where none does."""
    video = schema.Video
    end = video.start_ms + video.duration_s * 1000
    spans = (
        select(func.min(video.start_ms), func.max(end), func.count())
        .join(schema.Camera)
        .where(schema.Camera.name == camera.name, *overlapping(video.start_ms, end, after, before))
    )
    with Session(gallery.engine) as session:
        first_ms, last_ms, videos = session.execute(spans).one()
    if not videos:
        return None
    first, last = utc(first_ms), utc(last_ms)
    return replace(
        camera,
        first=max(first, after or first),
        last=min(last, before or last),
        videos=videos,
        tracklets=tracklets_between(gallery, schema.Camera.name == camera.name, after, before),
    )


def tracklets_between(
    gallery: Gallery, of: ColumnElement[bool], after: datetime | None, before: datetime | None
) -> int:
    """How many tracklets have some part between two times; those that go on across a chunk's border count once.

    Args:
        of: which cameras or recordings.
    """
    piece, video, earlier = schema.Tracklet, schema.Video, aliased(schema.Tracklet)
    inside = overlapping(video.start_ms + piece.start_s * 1000, video.start_ms + piece.end_s * 1000, after, before)
    counted = (
        select(func.count())
        .select_from(piece)
        .join(schema.Chunk, schema.Chunk.id == piece.chunk_id)
        .join(video, video.id == schema.Chunk.video_id)
        .join(schema.Camera, schema.Camera.id == video.camera_id)
        .outerjoin(earlier, earlier.id == piece.continues)
        .where(of, first_since(earlier, after), *inside)
    )
    with Session(gallery.engine) as session:
        return session.scalar(counted) or 0


def seconds_between(
    video: VideoInfo, start_s: float, end_s: float, after: datetime | None, before: datetime | None
) -> tuple[float, float]:
    """The part of a part of a recording that lies between two times; its end is before its start where none does."""
    start_s = max(start_s, (after - video.start).total_seconds()) if after else start_s
    end_s = min(end_s, (before - video.start).total_seconds()) if before else end_s
    return start_s, end_s


def tracklet_between(info: TrackletInfo, after: datetime | None, before: datetime | None) -> TrackletInfo | None:
    """The part of a tracklet that lies between two times, with the best shots of that; None where none does."""
    if after is None and before is None:
        return info
    start_s, end_s = seconds_between(info.video, info.start_s, info.end_s, after, before)
    if start_s > end_s:
        return None
    return replace(
        info,
        start=info.video.start + timedelta(seconds=start_s),
        end=info.video.start + timedelta(seconds=end_s),
        start_s=start_s,
        end_s=end_s,
        path=[point for point in info.path if start_s <= point.time_s <= end_s],
        crops=[crop for crop in info.crops if start_s <= crop.time_s <= end_s],
    )


def first_since(earlier: type[schema.Tracklet], after: datetime | None) -> ColumnElement[bool]:
    """That a piece (`schema.Tracklet`) begins its tracklet, or is the first of it since a time.

    Args:
        earlier: the piece that it continues, joined beside it and beside their recording.
    """
    first = begins()
    if after is not None:
        first = or_(first, schema.Video.start_ms + earlier.end_s * 1000 < milliseconds(after))
    return first


def begins() -> ColumnElement[bool]:
    """That a piece continues no other. Hardly any does, so the index by which those are found is of no use here."""
    return func.coalesce(schema.Tracklet.continues, "") == ""


def overlapping(
    begin: SQLColumnExpression[Any], end: SQLColumnExpression[Any], after: datetime | None, before: datetime | None
) -> list[ColumnElement[bool]]:
    """That some part of a span (UTC milliseconds) lies between two times."""
    return [*([end >= milliseconds(after)] if after else []), *([begin <= milliseconds(before)] if before else [])]


def milliseconds(time: datetime) -> ColumnElement[float]:
    """A time as spans are compared with it: a database may round what is compared with whole numbers."""
    return literal(time.timestamp() * 1000, Double)
