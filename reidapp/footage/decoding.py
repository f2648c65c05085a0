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

# A seek may land after the target (FFmpeg seeks by decoding time), or between two keyframes (MPEG-TS has no index),
# from where nothing is decoded up to the next one. So reading begins this long before the start, or, where that is not
# enough, longer.
_SEEK_MARGINS_S = (2.0, 10.0, 60.0, 300.0)
_BEYOND = 5  # a single frame after the end may be one damaged time stamp; so many in a row are the end


@dataclass(frozen=True)
class VideoFacts:
    """What a video's header says. ``duration_s`` is 0 where it doesn't say; ``created`` is UTC; the size is upright."""

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
        first = next(_decoded(container, stream), None)
        width, height = stream.width, stream.height
        if first is not None and round(first.rotation / 90) % 2:
            width, height = height, width
        return VideoFacts(duration, _frame_rate(stream), width, height, _created(container))


def frames(path: Path, start_s: float, end_s: float, fps: float | None) -> Iterator[Frame]:
    """Frames with ``start_s`` ≤ time < ``end_s``, at most one per 1/fps second, in order.

    Time is cut into slots of 1/fps counted from the start of the video, and the first frame of each slot is taken: the
    choice does not depend on where reading began. Damaged packets are passed over.

    Raises:
        UserError: the file cannot be opened.
    """
    last_s, last_slot, beyond = -float("inf"), -1, 0
    for time_s, frame in _read_from(path, start_s):
        if time_s >= end_s - 1e-6:
            beyond += 1
            if beyond == _BEYOND:
                return
            continue
        beyond = 0
        if time_s <= last_s:
            continue  # a damaged time stamp: the frames before it were later
        last_s = time_s
        slot = int(time_s * fps + 1e-6) if fps else last_slot + 1
        # A slot that begins before the start belongs to whoever reads what is before.
        if slot > last_slot and time_s >= start_s - 1e-6:
            yield Frame(time_s, _upright(frame))
        last_slot = slot


def frame_at(path: Path, time_s: float) -> np.ndarray:
    """The picture at a frame's presentation time: RGB uint8 ``[H, W, 3]``."""
    return next(frames(path, time_s - 0.01, time_s + 1.0, None)).image


def _read_from(path: Path, start_s: float) -> Iterator[tuple[float, VideoFrame]]:
    """Frames and their times, from before ``start_s`` on if there are any."""
    for margin_s in _SEEK_MARGINS_S:
        with _opened(path) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            whole = start_s <= margin_s or not _seek(container, stream, start_s - margin_s)
            timed = _timed(container, stream)
            first = next(timed, None)
            if not whole and margin_s != _SEEK_MARGINS_S[-1] and (first is None or first[0] >= start_s):
                continue
            if first is not None:
                yield first
                yield from timed
            return


def _timed(container: InputContainer, stream: VideoStream) -> Iterator[tuple[float, VideoFrame]]:
    """Decoded frames with their times since the first frame of the video."""
    time_base, zero = float(stream.time_base or 0), stream.start_time or 0
    # AVI keeps no presentation times: FFmpeg numbers packets as they are stored, which B-frames put out of order.
    in_stored_order = container.format.name == "avi"
    step_s = 1 / _frame_rate(stream)
    time_s = None
    for frame in _decoded(container, stream):
        stamp = frame.dts if in_stored_order else frame.pts
        if stamp is not None:
            time_s = (stamp - zero) * time_base
        elif time_s is not None:
            time_s += step_s  # MPEG program streams tell the time of some frames only
        else:
            continue
        yield time_s, frame


def _decoded(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    try:
        for packet in container.demux(stream):
            try:
                yield from packet.decode()
            except av.error.FFmpegError:
                continue  # this packet is damaged; the next keyframe mends the picture
    except av.error.FFmpegError:
        return  # the file is cut off here; the caller sees how far the frames went


def _seek(container: InputContainer, stream: VideoStream, target_s: float) -> bool:
    """Whether the file could be wound to a keyframe before the target; if not, it is read from its start."""
    assert stream.time_base is not None
    try:
        container.seek(int(target_s / stream.time_base) + (stream.start_time or 0), stream=stream, backward=True)
    except av.error.FFmpegError:
        return False
    return True


def _upright(frame: VideoFrame) -> np.ndarray:
    """RGB as a player shows it: a telephone held upright records lying frames and how to turn them."""
    turns = round(frame.rotation / 90) % 4
    image = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def _frame_rate(stream: VideoStream) -> float:
    return float(stream.average_rate or stream.guessed_rate or 25)


def _opened(path: Path) -> InputContainer:
    try:
        container = av.open(str(path), metadata_errors="ignore")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise UserError(f"{path.name}: not a video that can be read ({_reason(error)})") from error
    if not container.streams.video:
        container.close()
        raise UserError(f"{path.name}: has no video in it")
    stream = container.streams.video[0]
    if stream.codec_context is None:
        container.close()
        raise UserError(f"{path.name}: its video codec is not known here; convert it to H.264 first")
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
