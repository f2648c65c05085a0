"""Pictures and recordings by opaque id; a path never comes from a request."""

import io
from pathlib import Path

import numpy as np
from fastapi import Request
from fastapi.responses import FileResponse, Response
from PIL import Image

from reidapp.box import Box
from reidapp.errors import UnknownError, UserError
from reidapp.footage.decoding import frames
from reidapp.gallery.blurring import Blurring
from reidapp.gallery.facts import VideoInfo
from reidapp.gallery.heads import blurred, blurred_shot
from reidapp.gallery.recordings import IN_WORDS, PRESENT, Recordings
from reidapp.imaging import encode_crop, is_picture, read_image, resize
from reidapp.server.access import Desk
from reidapp.server.askers import RefusedError
from reidapp.server.clips import Window
from reidapp.server.service import MAX_QUERY_BYTES, Query
from reidapp.server.turns import in_turn

PREVIEW_SIDE = 1280
_UPPER_HALF = Box(0.0, 0.0, 1.0, 0.5)  # of a picture of one person, of whom no box is known
# What is sent depends on who asks, so that a browser keeps nothing for whoever signs in next.
_VARIES = {"Vary": "Cookie, Authorization"}
_recordings = Recordings()

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


async def take_query(desk: Desk, request: Request, name: str) -> Query:
    """A picture to search with, whose file is a request's body: a form would pass through a file on disk.

    Raises:
        UserError: too large, or no picture.
        UnavailableError: too many wait for theirs.
    """
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > MAX_QUERY_BYTES:
            raise UserError(f"{name}: larger than {MAX_QUERY_BYTES // 1_000_000} MB; make it smaller first")
    return await in_turn(request, desk.service.take_query, bytes(data), name, desk.owner)


def send_query(desk: Desk, query_id: str) -> Response:
    """A kept query picture."""
    image = desk.own(desk.service.queries, query_id).image()
    return Response(preview(image), media_type="image/jpeg", headers={"Cache-Control": "no-store"})


def send_crop(desk: Desk, crop_id: str) -> Response:
    """A best shot."""
    # An hour only: what is erased from the gallery must not live on in browsers.
    caching, file = "private, max-age=3600", desk.crop_file(crop_id)
    desk.note_shot(crop_id)
    if desk.asker.sees_heads:
        return send_file(file, "image/webp", caching)
    _check_there(file)
    return _send_picture(blurred_shot(desk.gallery, crop_id), caching)


def send_saved_picture(desk: Desk, name: str, file: Path) -> Response:
    """A picture that a saved search asks with."""
    caching = "private, no-cache"
    desk.note_saved_picture(name)
    if desk.asker.sees_heads:
        return send_file(file, "image/webp", caching)
    _check_there(file)
    return _send_picture(blurred(read_image(file), [_UPPER_HALF]), caching)


def send_frame(desk: Desk, video_id: str, at_s: float) -> Response:
    """A recording's picture at a time.

    Raises:
        UnknownError: it may not be seen then, is no longer where it was, or has no picture then.
    """
    video = desk.video(video_id)
    desk.window(video, Window(at_s, at_s))
    seen = desk.window(video, Window(max(at_s - 0.01, 0), at_s + 1.0))
    desk.note_view(video)
    path = _present(video).path
    if is_picture(path):
        at_s, image = 0.0, read_image(path)
    elif (frame := next(frames(path, seen.start_s, seen.end_s + 0.01, None), None)) is not None:
        at_s, image = frame.time_s, frame.image
    else:
        raise UnknownError(f"{path.name}: no picture at {at_s:g} s")
    if blurring := _blurring(desk, video, Window(at_s, at_s)):
        image = blurring(image, at_s)
    headers = {"Cache-Control": "private, no-cache"} | _VARIES
    return Response(preview(image), media_type="image/jpeg", headers=headers)


def send_recording(desk: Desk, video_id: str) -> FileResponse:
    """A recording as it is.

    Raises:
        RefusedError: it shows more than may be seen.
    """
    video = desk.whole_video(video_id)
    if not desk.asker.sees_heads:
        raise RefusedError(f"video {video_id}: shows heads, which you may not see; ask for clips of it")
    desk.note_view(video)
    path = _present(video).path
    return send_file(path, VIDEO_TYPES.get(path.suffix.lower(), "application/octet-stream"), "private, no-cache")


def send_clip(desk: Desk, video: VideoInfo, window: Window) -> FileResponse:
    """A part of a recording that every browser plays.

    Raises:
        UserError: it is a picture, or the window is empty or too long.
    """
    if is_picture(_present(video).path):
        raise UserError(f"{video.path.name}: a picture has no clip")
    window = desk.window(video, window)
    desk.note_view(video)
    answer = send_file(
        desk.service.clips.file(video, window, _blurring(desk, video, window)), "video/mp4", "private, no-cache"
    )
    answer.headers["Clip-Start"] = f"{window.start_s:.3f}"
    return answer


def _blurring(desk: Desk, video: VideoInfo, window: Window) -> Blurring | None:
    """Of a part of a recording for somebody who sees no heads; None for who does."""
    asker = desk.asker
    if asker.sees_heads:
        return None
    return Blurring(desk.gallery, video, window.start_s, window.end_s, asker.after, asker.before)


def _present(video: VideoInfo) -> VideoInfo:
    if (state := _recordings.state(video)) != PRESENT:
        raise UnknownError(f"{video.path.name}: {IN_WORDS[state]}")
    return video


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
    """A file, or the part of it that is asked for.

    Raises:
        UnknownError: it is not there any more.
    """
    _check_there(path)
    return FileResponse(path, media_type=media_type, headers={"Cache-Control": caching} | _VARIES)


def _send_picture(image: np.ndarray, caching: str) -> Response:
    return Response(encode_crop(image), media_type="image/webp", headers={"Cache-Control": caching} | _VARIES)


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise UnknownError(f"{path.name}: the file is no longer where it was when it was indexed")
