"""Pictures and recordings by opaque id; a path never comes from a request."""

import io
from pathlib import Path

import numpy as np
from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, JSONResponse, Response
from PIL import Image

from reidapp.errors import UserError
from reidapp.gallery.recordings import IN_WORDS, PRESENT, Recordings
from reidapp.imaging import read_image, resize
from reidapp.server.service import MAX_QUERY_BYTES, Query, SearchService

PREVIEW_SIDE = 1280

# A fixed list: the operating system's table knows .ts as a translation file, and must never make a page of a recording.
VIDEO_TYPES = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/mp4",  # QuickTime's box structure is the one of MP4, and browsers play it under that name only
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
    ".avi": "video/x-msvideo",
    ".ts": "video/mp2t",
    ".mpg": "video/mpeg",
    ".mpeg": "video/mpeg",
}


def media_routes(service: SearchService) -> APIRouter:
    """``/media/…``: stored crops, recordings (with Range requests), a tracklet's path, and query pictures."""
    router = APIRouter(prefix="/media")
    gallery = service.gallery
    recordings = Recordings()

    @router.get("/crop/{crop_id}")
    def crop(crop_id: str) -> FileResponse:
        # An hour only: what is erased from the gallery must not live on in browsers.
        return send_file(gallery.crop_file(crop_id), "image/webp", "private, max-age=3600")

    def recording(video_id: str) -> Path:
        info = gallery.video(video_id)
        if (state := recordings.state(info)) != PRESENT:
            raise UserError(f"{info.path.name}: {IN_WORDS[state]}")
        return info.path

    @router.get("/video/{video_id}")
    def video(video_id: str) -> FileResponse:
        path = recording(video_id)
        return send_file(path, VIDEO_TYPES.get(path.suffix.lower(), "application/octet-stream"), "private, no-cache")

    @router.get("/still/{video_id}")
    def still(video_id: str) -> Response:
        image = read_image(recording(video_id))
        return Response(preview(image), media_type="image/jpeg", headers={"Cache-Control": "private, no-cache"})

    @router.get("/tracklet/{tracklet_id}")
    def tracklet(tracklet_id: str) -> JSONResponse:
        info = gallery.tracklet(tracklet_id)
        return JSONResponse(
            {
                "id": info.id,
                "camera": info.camera,
                "zone": info.video.zone,
                "video": f"media/video/{info.video.id}",
                "video_start": info.video.start.isoformat(),
                "start_source": info.video.start_source,
                "uncertain_time": info.video.uncertain,
                "width": info.video.width,
                "height": info.video.height,
                "duration_s": info.video.duration_s,
                "start_s": info.start_s,
                "end_s": info.end_s,
                "path": [[point.time_s, *point.box] for point in info.path],
            }
        )

    @router.post("/query")
    async def take_query(request: Request, name: str = "picture") -> JSONResponse:
        # The body is the file itself: a form's upload would pass through a temporary file on disk.
        data = bytearray()
        async for part in request.stream():
            data += part
            if len(data) > MAX_QUERY_BYTES:
                raise UserError(f"{name}: larger than {MAX_QUERY_BYTES // 1_000_000} MB; make it smaller first")
        query = await run_in_threadpool(service.take_query, bytes(data), name)
        return JSONResponse(describe(query))

    @router.get("/query/{query_id}")
    def query_picture(query_id: str) -> Response:
        image = service.queries.get(query_id).image()
        return Response(preview(image), media_type="image/jpeg", headers={"Cache-Control": "no-store"})

    return router


def describe(query: Query) -> dict[str, object]:
    return {
        "id": query.id,
        "picture": f"media/query/{query.id}",
        "width": query.width,
        "height": query.height,
        "is_crop": query.is_crop,
        # Detectors give numpy's numbers, which JSON does not know.
        "people": [
            {"box": [float(v) for v in person.box.clipped()], "score": float(person.score)} for person in query.people
        ],
    }


def preview(image: np.ndarray) -> bytes:
    """JPEG of an image, at most 1280 pixels on its longer side, upright, in a format that every browser shows."""
    height, width = image.shape[:2]
    shrink = min(1.0, PREVIEW_SIDE / max(height, width))
    if shrink < 1:
        image = resize(image, max(1, round(height * shrink)), max(1, round(width * shrink)))
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def send_file(path: Path, media_type: str, caching: str) -> FileResponse:
    if not path.is_file():
        raise UserError(f"{path.name}: the file is no longer where it was when it was indexed")
    return FileResponse(path, media_type=media_type, headers={"Cache-Control": caching})
