"""Tracklets: one person seen by one camera without a break; their best shots and clips."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse, Response
from pydantic import BaseModel, Field

from reidapp.gallery import listing
from reidapp.gallery.facts import TrackletInfo
from reidapp.gallery.identities import Identities
from reidapp.gallery.listing import TrackletEntry
from reidapp.server.access import Desk, Viewer
from reidapp.server.clips import AROUND_S, Window
from reidapp.server.media import send_clip, send_crop
from reidapp.server.routes._shared import (
    After,
    Before,
    Cameras,
    Fractions,
    IdInPath,
    Limit,
    PageName,
    Utc,
    file_of,
    with_ranges,
)

router = APIRouter(tags=["tracklets"])


class TrackletSummary(BaseModel):
    id: str
    camera: str
    zone: str
    video: str
    start: Utc
    end: Utc = Field(description="Of the part in the first chunk of the recording where it was seen.")
    identity: str | None = Field(description="The name of the person, if users have said so.")
    crop: str | None
    thumbnail: str | None
    url: str
    clip_url: str


class TrackletPage(BaseModel):
    tracklets: list[TrackletSummary]
    next: str | None = Field(description="Ask for the next page by it; null on the last one.")


class Shot(BaseModel):
    """A best shot."""

    id: str
    time_s: float
    box: Fractions
    quality: float
    url: str


class Point(BaseModel):
    """Where the person was."""

    time_s: float = Field(description="Seconds since the recording begins.")
    box: Fractions


class Tracklet(BaseModel):
    """A tracklet, with all that continues it across the borders of chunks."""

    id: str
    camera: str
    zone: str
    video: str
    recording_token: str = Field(description="The recording's id, as ONVIF calls it.")
    video_start: Utc
    video_url: str
    start: Utc
    end: Utc
    start_point: Utc = Field(description="The start, as ONVIF calls it.")
    end_point: Utc
    start_s: float
    end_s: float
    width: int
    height: int
    identity: str | None
    path: list[Point]
    crops: list[Shot]
    clip_url: str
    clip_start_s: float = Field(description="Where in the recording the clip begins: draw the path's boxes by it.")


@router.get("/tracklets")
def tracklets(
    desk: Viewer,
    cameras: Cameras = None,
    after: After = None,
    before: Before = None,
    video: Annotated[str | None, Query(pattern="^[0-9a-f]{16}$", description="Only of this recording.")] = None,
    limit: Limit = 100,
    page: PageName = None,
) -> TrackletPage:
    """Tracklets in order of time, page by page."""
    after, before = desk.period(after, before)
    found = listing.tracklets(desk.gallery, desk.chosen(cameras), after, before, video_id=video, limit=limit, page=page)
    return TrackletPage(tracklets=_summaries(desk, found.items), next=found.after)


@router.get("/tracklets/{tracklet_id}")
def tracklet(desk: Viewer, tracklet_id: IdInPath) -> Tracklet:
    """One tracklet: its path through the picture, its best shots, and where to see it."""
    return _told(desk, desk.tracklet(tracklet_id))


@router.get("/tracklets/{tracklet_id}/neighbours")
def neighbours(
    desk: Viewer,
    tracklet_id: IdInPath,
    within_s: Annotated[float, Query(ge=0, le=86_400, description="Before its start and after its end.")] = 60,
    same_camera: Annotated[bool, Query(description="Only of its own camera.")] = False,
    limit: Limit = 100,
) -> TrackletPage:
    """Who else was seen about that time: the tracklets of these seconds, without this one."""
    info, around = desk.tracklet(tracklet_id), timedelta(seconds=within_s)
    after, before = desk.period(info.start - around, info.end + around)
    cameras = desk.chosen([info.camera] if same_camera else None)
    found = listing.tracklets(desk.gallery, cameras, after, before, limit=limit + 1)
    others = [entry for entry in found.items if entry.id != info.id][:limit]
    return TrackletPage(tracklets=_summaries(desk, others), next=None)


@router.get("/tracklets/{tracklet_id}/clip", response_class=FileResponse, **with_ranges("video/mp4"))
def clip(
    desk: Viewer,
    tracklet_id: IdInPath,
    around_s: Annotated[float, Query(ge=0, le=30, description="Seconds before and after it.")] = AROUND_S,
) -> FileResponse:
    """The part of the recording with the tracklet, as H.264 in MP4; the header Clip-Start says where it begins."""
    info = desk.tracklet(tracklet_id)
    return send_clip(desk, info.video, Window.of(info, around_s))


@router.get("/crops/{crop_id}", response_class=Response, **file_of("image/webp"))
def crop(desk: Viewer, crop_id: IdInPath) -> Response:
    """A best shot, as it is stored; for who sees heads blurred, with these."""
    return send_crop(desk, crop_id)


def _summaries(desk: Desk, entries: list[TrackletEntry]) -> list[TrackletSummary]:
    names = Identities(desk.gallery, desk.asker.name).of([entry.id for entry in entries])
    entries = [desk.entry(entry) for entry in entries]
    return [
        TrackletSummary(
            **vars(entry),
            identity=names.get(entry.id),
            thumbnail=desk.url("crops", entry.crop) if entry.crop else None,
            url=desk.url("tracklets", entry.id),
            clip_url=desk.url("tracklets", entry.id, "clip"),
        )
        for entry in entries
    ]


def _told(desk: Desk, info: TrackletInfo) -> Tracklet:
    return Tracklet(
        id=info.id,
        camera=info.camera,
        zone=info.video.zone,
        video=info.video.id,
        recording_token=info.video.id,
        video_start=info.video.start,
        video_url=desk.url("videos", info.video.id, "file"),
        start=info.start,
        end=info.end,
        start_point=info.start,
        end_point=info.end,
        start_s=info.start_s,
        end_s=info.end_s,
        width=info.video.width,
        height=info.video.height,
        identity=Identities(desk.gallery, desk.asker.name).of([info.id]).get(info.id),
        path=[Point(time_s=point.time_s, box=list(point.box.clipped())) for point in info.path],
        crops=[
            Shot(
                id=crop.id,
                time_s=crop.time_s,
                box=list(crop.box.clipped()),
                quality=crop.quality,
                url=desk.url("crops", crop.id),
            )
            for crop in info.crops
        ],
        clip_url=desk.url("tracklets", info.id, "clip"),
        clip_start_s=desk.window(info.video, Window.of(info)).start_s,
    )
