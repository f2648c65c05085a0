"""Recordings: which there are, how much of them is indexed, and their pictures."""

from datetime import timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse, Response
from pydantic import BaseModel, Field

from reidapp.gallery import listing, schema
from reidapp.gallery.between import tracklets_between
from reidapp.gallery.coverage import Stretch, gaps
from reidapp.gallery.listing import VideoEntry
from reidapp.imaging import is_picture
from reidapp.server.access import Desk, Viewer
from reidapp.server.clips import LONGEST_S, Window
from reidapp.server.media import send_clip, send_frame, send_recording
from reidapp.server.routes._shared import (
    After,
    Before,
    Cameras,
    IdInPath,
    Limit,
    PageName,
    Period,
    Utc,
    file_of,
    periods,
    with_ranges,
)

router = APIRouter(prefix="/videos", tags=["videos"])


class Video(BaseModel):
    """A recording."""

    id: str
    recording_token: str = Field(description="The id, as ONVIF calls it.")
    camera: str
    zone: str
    file: str = Field(description="The file's name; its place stays with the server.")
    kind: Literal["video", "still"]
    start: Utc
    end: Utc
    start_source: str = Field(description="Where the start comes from: template, name, container or mtime.")
    uncertain: str | None = Field(description="Why the start may be wrong.")
    duration_s: float
    width: int
    height: int
    done: bool = Field(description="It was indexed to its end.")
    note: str | None = Field(description="What was wrong with the file.")
    tracklets: int
    indexed_minutes: float
    indexed: list[Period]
    gaps: list[Period] = Field(description="Times in it that are not indexed.")
    url: str
    file_url: str


class VideoPage(BaseModel):
    videos: list[Video]
    next: str | None = Field(description="Ask for the next page by it; null on the last one.")


@router.get("")
def videos(
    desk: Viewer,
    cameras: Cameras = None,
    after: After = None,
    before: Before = None,
    limit: Limit = 100,
    page: PageName = None,
) -> VideoPage:
    """Recordings in order of time, page by page."""
    found = listing.videos(desk.gallery, desk.chosen(cameras), *desk.period(after, before), limit=limit, page=page)
    return VideoPage(videos=[_told(desk, entry) for entry in found.items], next=found.after)


@router.get("/{video_id}")
def video(desk: Viewer, video_id: IdInPath) -> Video:
    """One recording, with what of it is indexed, and the gaps."""
    desk.video(video_id)
    return _told(desk, listing.video(desk.gallery, video_id))


@router.get("/{video_id}/file", response_class=FileResponse, **with_ranges("video/*", "application/octet-stream"))
def video_file(desk: Viewer, video_id: IdInPath) -> FileResponse:
    """The recording as it is, or a part of it by a Range header. Browsers play some of them only: see `clip`.

    Who may see a time has it only if all of it is in that; who sees heads blurred has clips only.
    """
    return send_recording(desk, video_id)


@router.get("/{video_id}/clip", response_class=FileResponse, **with_ranges("video/mp4"))
def video_clip(
    desk: Viewer,
    video_id: IdInPath,
    start_s: Annotated[float, Query(ge=0, le=1e7, description="Seconds since the recording begins.")] = 0,
    length_s: Annotated[float, Query(gt=0, le=LONGEST_S)] = 10,
) -> FileResponse:
    """A part of a recording as H.264 in MP4, which every browser plays; made now if it is asked for the first time."""
    return send_clip(desk, desk.video(video_id), Window(round(start_s, 3), round(start_s + length_s, 3)))


@router.get("/{video_id}/frame", response_class=Response, **file_of("image/jpeg"))
def video_frame(
    desk: Viewer,
    video_id: IdInPath,
    at_s: Annotated[float, Query(ge=0, le=1e7, description="Seconds since the recording begins.")] = 0,
) -> Response:
    """The picture at a time, at most 1280 pixels on its longer side."""
    return send_frame(desk, video_id, at_s)


def _told(desk: Desk, entry: VideoEntry) -> Video:
    info = entry.info
    whole = Stretch(info.start, info.start + timedelta(seconds=info.duration_s))
    after, before = desk.period(whole.start, whole.end)
    seen = Stretch(after or whole.start, before or whole.end)
    indexed = [Stretch(max(each.start, seen.start), min(each.end, seen.end)) for each in entry.indexed]
    indexed = [each for each in indexed if each.end > each.start]
    tracklets = entry.tracklets
    if seen != whole:
        tracklets = tracklets_between(desk.gallery, schema.Video.id == info.id, seen.start, seen.end)
    return Video(
        id=info.id,
        recording_token=info.id,
        camera=info.camera,
        zone=info.zone,
        file=info.path.name,
        kind="still" if is_picture(info.path) else "video",
        start=info.start,
        end=whole.end,
        start_source=info.start_source,
        uncertain=info.uncertain,
        duration_s=info.duration_s,
        width=info.width,
        height=info.height,
        done=entry.done,
        note=entry.note,
        tracklets=tracklets,
        indexed_minutes=round(sum(each.seconds for each in indexed) / 60, 2),
        indexed=periods(indexed),
        gaps=periods(gaps(seen, indexed)),
        url=desk.url("videos", info.id),
        file_url=desk.url("videos", info.id, "file"),
    )
