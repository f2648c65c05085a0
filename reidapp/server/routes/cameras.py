"""Cameras: their clocks and groups, what of their time is indexed, and corrections."""

from collections import defaultdict

from fastapi import APIRouter
from pydantic import BaseModel, Field

from reidapp.gallery import coverage as covering
from reidapp.gallery.facts import CameraInfo
from reidapp.server.access import Admin, Desk, Viewer
from reidapp.server.routes._shared import After, Before, Model, Name, NameInPath, Period, Utc, periods
from reidapp.settings import CameraSettings

router = APIRouter(prefix="/cameras", tags=["cameras"])


class Camera(BaseModel):
    """A camera and its clock; first and last are the span of its recordings."""

    name: str
    zone: str = Field(description="IANA name of the zone that its clock shows.")
    offset_s: float = Field(description="By which its clock is ahead of the true time.")
    group: str | None
    first: Utc
    last: Utc
    videos: int
    tracklets: int
    url: str


class CameraList(BaseModel):
    cameras: list[Camera]
    groups: dict[str, list[str]] = Field(description="Cameras by group; filters take a group's name as a camera's.")


class CameraChange(Model):
    """What is left out stays."""

    name: Name | None = Field(None, description="What it is to be called; recordings of the old name stay its.")
    zone: Name | None = None
    offset_s: float | None = Field(None, ge=-1e9, le=1e9)
    group: str | None = Field(None, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$", description='"" takes it out.')


class CameraMerge(Model):
    into: Name = Field(description="Whose recordings they are from now on.")


class Overlap(BaseModel):
    """Recordings that one camera cannot both have made."""

    first: str
    second: str
    seconds: float


class Merged(BaseModel):
    camera: Camera
    overlaps: list[Overlap]


class CameraCoverage(BaseModel):
    camera: str
    zone: str
    indexed: list[Period]
    gaps: list[Period]
    days: dict[str, list[float]] = Field(description="Minutes that are indexed of each of a day's 24 hours, by day.")


@router.get("")
def cameras(desk: Viewer) -> CameraList:
    """All cameras, and their groups."""
    found = desk.cameras()
    groups = defaultdict(list)
    for camera in found:
        if camera.group:
            groups[camera.group].append(camera.name)
    return CameraList(cameras=[_told(desk, camera) for camera in found], groups=groups)


@router.get("/{name:path}/coverage")
def coverage(desk: Viewer, name: NameInPath, after: After = None, before: Before = None) -> CameraCoverage:
    """What of a camera's time is indexed, the gaps in between, and the minutes of each day and hour."""
    camera = desk.camera(name)
    found = covering.coverage(desk.gallery, camera.name, *desk.period(after, before))
    return CameraCoverage(
        camera=camera.name,
        zone=camera.zone,
        indexed=periods(found.indexed),
        gaps=periods(found.gaps),
        days=found.days,
    )


@router.get("/{name:path}")
def camera(desk: Viewer, name: NameInPath) -> Camera:
    """One camera."""
    return _told(desk, desk.camera(name))


@router.patch("/{name:path}")
def change_camera(desk: Admin, name: NameInPath, change: CameraChange) -> Camera:
    """Correct a camera's name, clock or group; searches see it at once."""
    desk.camera(name)
    desk.note("change", what="camera")
    said = change.model_dump(exclude_none=True)
    if "offset_s" in said:
        said["offset"] = said.pop("offset_s")
    settings = CameraSettings.checked("camera: ", {"offset": "offset_s"}, **said)
    with desk.gallery.writing() as writer:
        writer.change_camera(name, settings)
    return _told(desk, desk.camera(settings.name or name))


@router.post("/{name:path}/merge")
def merge_camera(desk: Admin, name: NameInPath, merge: CameraMerge) -> Merged:
    """Two names are one camera's: its recordings are the other's from now on. What was learnt of cameras (means, travel
    times) is forgotten."""
    desk.camera(name)
    desk.note("change", what="cameras merged")
    with desk.gallery.writing() as writer:
        overlaps = writer.merge_camera(name, merge.into).overlaps
    return Merged(
        camera=_told(desk, desk.camera(merge.into)), overlaps=[Overlap(**vars(overlap)) for overlap in overlaps]
    )


def _told(desk: Desk, camera: CameraInfo) -> Camera:
    return Camera(**vars(camera), url=desk.url("cameras", camera.name))
