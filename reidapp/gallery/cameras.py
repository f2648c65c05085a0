"""A gallery's cameras: their names and clocks, and what a correction changes.

A recording's start is kept as it was written, and its time computed from that and its camera's clock. So a zone or an
offset is corrected without a new run, and every hit, filter and page follows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from reidapp.errors import UnknownError, UserError
from reidapp.gallery import schema
from reidapp.gallery.naming import not_there
from reidapp.settings import CameraSettings
from reidapp.spans import Between, Span, gaps_and_overlaps

MEANS, TRAVEL_TIMES = "camera means", "travel times"  # settings that name cameras by their ids; means are per model

_UNCERTAIN = {
    "container": "the time comes from the file's metadata and may be wrong",
    "mtime": "the time comes from the file's date and may be wrong",
}
_TWICE = "the clocks went back, and this hour came twice: the first is taken"


@dataclass(frozen=True)
class Merged:
    """What became of two cameras that are one now.

    Attributes:
        overlaps: recordings that overlap: one camera cannot have been at two places.
        forgotten: commands that learn again what had been learnt of the cameras.
    """

    overlaps: list[Between]
    forgotten: list[str]


def start_ms(written: str, zone: str, offset_s: float) -> int:
    """UTC milliseconds of a start as it was written, by a clock that is ``offset_s`` ahead of the true time.

    A time that names no zone is in ``zone``: of an hour that comes twice the first, and one that is left out is
    counted on from the hour before.
    """
    time = datetime.fromisoformat(written)
    if time.tzinfo is None:
        time = time.replace(tzinfo=ZoneInfo(zone))
    return round((time.timestamp() - offset_s) * 1000)


def uncertain(start_source: str, written: str, zone: str) -> str | None:
    """Why a start may be wrong, or None."""
    if start_source in _UNCERTAIN:
        return _UNCERTAIN[start_source]
    time = datetime.fromisoformat(written)
    if time.tzinfo is None:
        first, second = (time.replace(tzinfo=ZoneInfo(zone), fold=fold).utcoffset() for fold in (0, 1))
        if first is not None and second is not None and first > second:
            return _TWICE
    return None


def camera_called(session: Session, name: str) -> schema.Camera | None:
    """The camera of a name that it has, had before, or that one had which was merged into it."""
    if camera := session.scalar(select(schema.Camera).filter_by(name=name)):
        return camera
    alias = session.get(schema.CameraAlias, name)
    return session.get_one(schema.Camera, alias.camera_id) if alias else None


def name_in_model(session: Session, camera: schema.Camera, known: Sequence[str]) -> str:
    """The name that a model with statistics of single cameras may know this one by; else its own."""
    earlier = select(schema.CameraAlias.name).filter_by(camera_id=camera.id).order_by(schema.CameraAlias.name)
    names = [camera.name, *session.scalars(earlier)]
    return next((name for name in names if name in known), camera.name)


def names_in_model(session: Session, known: Sequence[str]) -> dict[str, str]:
    """{camera: `name_in_model`} of all cameras."""
    return {camera.name: name_in_model(session, camera, known) for camera in session.scalars(select(schema.Camera))}


def change(session: Session, name: str, settings: CameraSettings) -> schema.Camera:
    """Correct a camera.

    Raises:
        UserError: no such camera, or its new name or group is taken.
    """
    camera = existing(session, name)
    if settings.name is not None and settings.name != camera.name:
        _rename(session, camera, settings.name)
    if settings.group:
        if session.scalar(select(schema.Camera).filter_by(name=settings.group)):
            raise UserError(f'a camera is called "{settings.group}"; give the group another name')
        camera.group = settings.group
    elif settings.group == "":
        camera.group = None
    clock = camera.zone, camera.offset_s
    if settings.zone is not None:
        camera.zone = settings.zone
    if settings.offset is not None:
        camera.offset_s = settings.offset
    if (camera.zone, camera.offset_s) != clock:
        for video in session.scalars(select(schema.Video).filter_by(camera_id=camera.id)):
            video.start_ms = start_ms(video.written, camera.zone, camera.offset_s)
    return camera


def merge(session: Session, name: str, into: str) -> Merged:
    """Make one camera's recordings another's; recordings of its old name will be too.

    Means and travel times go, those of all cameras: they are of the cameras as they were, by ids, and a database may
    give the id that is free now to the next camera.

    Raises:
        UserError: no such camera, or their clocks differ.
    """
    camera, target = existing(session, name), existing(session, into)
    if camera.id == target.id:
        raise UserError(f'"{name}" cannot be merged into itself')
    if (camera.zone, camera.offset_s) != (target.zone, target.offset_s):
        clocks = (f'"{c.name}" is in {c.zone}, {c.offset_s:+g} s ahead' for c in (camera, target))
        raise UserError(f"{'; '.join(clocks)}: one camera has one clock. Correct --zone and --offset of one first")
    session.execute(update(schema.Video).filter_by(camera_id=camera.id).values(camera_id=target.id))
    session.execute(update(schema.CameraAlias).filter_by(camera_id=camera.id).values(camera_id=target.id))
    old_name = camera.name
    session.delete(camera)
    session.flush()
    session.add(schema.CameraAlias(name=old_name, camera_id=target.id))
    videos = session.scalars(select(schema.Video).filter_by(camera_id=target.id))
    spans = [
        Span("/".join(Path(v.path).parts[-2:]), v.start_ms, v.start_ms + round(v.duration_s * 1000)) for v in videos
    ]
    return Merged(gaps_and_overlaps(spans)[1], _forgotten(session))


def _forgotten(session: Session) -> list[str]:
    """Forget what was learnt of cameras. Returns the commands that learn it again."""
    learnt = {MEANS: "reidapp gallery normalise", TRAVEL_TIMES: "reidapp gallery travel-times"}
    forgotten = []
    for key, command in learnt.items():
        stored = session.scalars(select(schema.Setting).where(schema.Setting.key.startswith(key))).all()
        for setting in stored:
            session.delete(setting)
        forgotten += [command] if stored else []
    return forgotten


def _rename(session: Session, camera: schema.Camera, name: str) -> None:
    other = camera_called(session, name)
    if other is not None and other.id != camera.id:
        if other.name == name:
            raise UserError(f'a camera is called "{name}" already; use --merge-into "{name}" to make them one')
        raise UserError(f'recordings of "{name}" belong to "{other.name}", which was called so; take another name')
    if session.scalar(select(schema.Camera).filter_by(group=name)):
        raise UserError(f'a group is called "{name}"; give the camera another name')
    if other is not None:  # back to a name that it had
        session.delete(session.get_one(schema.CameraAlias, name))
    session.add(schema.CameraAlias(name=camera.name, camera_id=camera.id))
    camera.name = name


def existing(session: Session, name: str) -> schema.Camera:
    """The camera that is called so now.

    Raises:
        UserError: there is none.
    """
    if camera := session.scalar(select(schema.Camera).filter_by(name=name)):
        return camera
    if later := camera_called(session, name):
        raise UnknownError(f'camera "{name}" is called "{later.name}" now')
    raise UnknownError(not_there("camera", name, session.scalars(select(schema.Camera.name))))
