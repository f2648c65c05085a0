"""Frames with their presentation times, by PyAV."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from reidapp.errors import UserError

# A seek may land on a keyframe after the target (FFmpeg seeks by decoding time); aiming earlier avoids it.
_SEEK_MARGIN_S = 2.0


@dataclass(frozen=True)
class VideoFacts:
    """What a video's header says. ``duration_s`` is 0 where it doesn't say; ``created`` is UTC."""

    duration_s: float
    frame_rate: float  # frames per second, on average
    width: int
    height: int
    created: datetime | None


@dataclass(frozen=True)
class Frame:
    """``time_s``: presentation time since the first frame of the video; ``image``: RGB uint8 ``[H, W, 3]``."""

    time_s: float
    image: np.ndarray


def probe(path: Path) -> VideoFacts:
    """Open a video and read its header.

    Raises:
        UserError: not a video, or one whose header is missing.
    """
    with _opened(path) as container:
        stream = container.streams.video[0]
        duration = 0.0
        if stream.duration and stream.time_base:
            duration = float(stream.duration * stream.time_base)
        elif container.duration:
            duration = container.duration / av.time_base
        rate = float(stream.average_rate or stream.guessed_rate or 25)
        return VideoFacts(duration, rate, stream.width, stream.height, _created(container))


def frames(path: Path, start_s: float, end_s: float, fps: float | None) -> Iterator[Frame]:
    """Frames with ``start_s`` ≤ time < ``end_s``, at most one per 1/fps second, in order.

    Time is cut into slots of 1/fps counted from the start of the video, and the first frame of each slot is taken: the
    choice does not depend on where reading began. Damaged packets are passed over.

    Raises:
        UserError: the file cannot be opened.
    """
    with _opened(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        zero = float((stream.start_time or 0) * (stream.time_base or 0))
        if start_s > 0:
            _seek(container, stream, zero + start_s - _SEEK_MARGIN_S)
        last_slot = -1
        for frame in _decoded(container, stream):
            time_s = frame.time - zero
            if time_s >= end_s - 1e-6:
                return
            slot = int(time_s * fps + 1e-6) if fps else last_slot + 1
            if time_s < start_s - 1e-6 or slot == last_slot:
                continue
            last_slot = slot
            yield Frame(time_s, frame.to_ndarray(format="rgb24"))


def _decoded(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    try:
        for packet in container.demux(stream):
            try:
                decoded = packet.decode()
            except av.error.FFmpegError:
                continue  # this packet is damaged; the next keyframe mends the picture
            for frame in decoded:
                if isinstance(frame, VideoFrame) and frame.time is not None:
                    yield frame
    except av.error.FFmpegError:
        return  # the file is cut off here; the caller sees how far the frames went


def _seek(container: InputContainer, stream: VideoStream, target_s: float) -> None:
    assert stream.time_base is not None
    try:
        container.seek(int(max(target_s, 0.0) / stream.time_base), stream=stream, backward=True)
    except av.error.FFmpegError:
        return  # cannot seek in this file: it is read from its start


def _opened(path: Path) -> InputContainer:
    try:
        container = av.open(str(path), metadata_errors="ignore")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise UserError(f"{path.name}: not a video that can be read ({_reason(error)})") from error
    if not container.streams.video:
        container.close()
        raise UserError(f"{path.name}: has no video in it")
    stream = container.streams.video[0]
    if not stream.width or not stream.height:
        container.close()
        raise UserError(f"{path.name}: not a video that can be read (no picture size in its header)")
    return container


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).strip() or type(error).__name__


def _created(container: InputContainer) -> datetime | None:
    text = container.metadata.get("creation_time", "")
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    if time.year < 1980:  # recorders without a clock write the epoch of their format
        return None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
