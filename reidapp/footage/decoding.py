"""Frames with their presentation times, by PyAV."""

import errno
import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from reidapp.errors import ReidappError, UserError
from reidapp.footage.containers import declared_size, may_be_transport_stream
from reidapp.footage.trial import survivable
from reidapp.imaging import MAX_PIXELS

# A seek may land after the target (FFmpeg seeks by decoding time), or between two keyframes (MPEG-TS has no index),
# from where nothing is decoded up to the next one. So reading begins this long before the start, or, where that is not
# enough, longer.
_SEEK_MARGINS_S = (2.0, 10.0, 60.0, 300.0)
_BEYOND = 5  # a single frame after the end may be one damaged time stamp; so many in a row are the end
_LONGEST_GROUP = 300  # packets from keyframe to keyframe that are held in memory; longer groups come in parts
_LEAST_PACKET = 64  # bytes that a packet and its place in the index take, at least on average
_LEAST_BYTES_PER_S = 4  # of any recording; one that claims to be longer than its size allows does not know its length
_TS_PACKETS = (188, 192, 204)  # bytes: plain, with a time stamp before each, with a checksum after it
_NO_RECORDINGS = ("concat", "dash", "gif", "hls", "image2")  # FFmpeg opens pictures and lists of files as videos
_LONGEST_PAUSE_S = 60.0  # a packet after the header's end, and so long after all others, has a damaged time stamp
_PLACES = 32  # at which a stream's time stamps are compared
_DISK_FAULTS = frozenset(
    getattr(errno, name)
    for name in ("EIO", "EREMOTEIO", "ESTALE", "ENODEV", "ENOTCONN", "EHOSTDOWN", "EHOSTUNREACH", "ETIMEDOUT")
    if hasattr(errno, name)
)

_DAY_S = 86_400.0
_LIMITS = {"max_pixels": str(MAX_PIXELS)}  # a damaged frame may claim to be larger than the header says


@dataclass(frozen=True)
class VideoFacts:
    """What a video's header says. ``duration_s`` is 0 where it doesn't, and longer than it says where more frames come;
    ``created`` is UTC; the size is as shown; ``codec`` is FFmpeg's name of it, such as h264."""

    duration_s: float
    frame_rate: float  # frames per second, on average
    width: int
    height: int
    created: datetime | None
    codec: str

    @property
    def slack_s(self) -> float:
        """By which a video that is whole may end before its header does: the last frame stays, sound goes on."""
        return 1.0 + 1 / max(self.frame_rate, 0.1)


@dataclass
class Damage:
    """How often something in a video was lost or spoilt: a packet, a frame, a time stamp."""

    count: int = 0


@dataclass(frozen=True)
class Frame:
    """``time_s``: presentation time since the recording begins, by sound or picture, as players count; ``image``: RGB
    uint8 ``[H, W, 3]``."""

    time_s: float
    image: np.ndarray


def probe(path: Path) -> VideoFacts:
    """Open a video and read its header, its first frame and its end.

    Raises:
        UserError: not a video, one whose header is missing, larger than 50 megapixels, or without a sound frame.
    """
    with _blamed_on(path), _opened(path) as container:
        stream = container.streams.video[0]
        clock, duration = _Clock(container, stream), 0.0
        if stream.duration and stream.time_base:
            duration = clock.late_s + float(stream.duration * stream.time_base)
        elif container.duration:
            duration = container.duration / av.time_base
        if container.format.name == "avi":  # one that was cut is as long as what is left, but for its count of frames
            duration = max(duration, stream.frames / _frame_rate(stream))
        if not 0 < duration < 60 + container.size / _LEAST_BYTES_PER_S:
            duration = 0.0
        damage = Damage()
        first = next(clock.timed(_decoded(_packets(container, stream, damage), damage)), None)
        if first is None:
            raise UserError(f"{path.name}: no frame in it can be decoded")
        width, height = _shown_size(stream)
        if round(first[1].rotation / 90) % 2:
            width, height = height, width
        if duration and (end_s := ends_at(path, duration)) > duration:
            duration = end_s + 1 / _frame_rate(stream)
        return VideoFacts(duration, _frame_rate(stream), width, height, _created(container), stream.codec_context.name)


def frames(
    path: Path,
    start_s: float,
    end_s: float,
    fps: float | None,
    keyframes: bool = False,
    threads: int = 0,
    damage: Damage | None = None,
) -> Iterator[Frame]:
    """Frames with ``start_s`` ≤ time < ``end_s``, at most one per 1/fps second, in order.

    Time is cut into slots of 1/fps counted from the start of the video, and the first frame of each slot is taken: the
    choice does not depend on where reading began. What no taken frame needs is not decoded. Damaged packets are passed
    over.

    Args:
        fps: None takes every frame.
        keyframes: only these are decoded, and choose among.
        threads: of the decoder; 0 takes all cores. How damage looks depends on their number.
        damage: counts what is met from the start on; what is not decoded is not looked at.

    Raises:
        UserError: the file cannot be opened, its disk or share went away, or damage was too much for a decoder.
    """
    slots, last_s, beyond, damage = _Slots(fps), -float("inf"), 0, damage or Damage()
    with _blamed_on(path):
        for time_s, frame, size in _read_from(path, start_s, end_s, fps, keyframes, threads, damage):
            if time_s >= end_s - 1e-6:
                beyond += 1
                if beyond == _BEYOND:
                    return
                continue
            beyond = 0
            if time_s <= last_s:
                damage.count += 1
                continue  # a damaged time stamp: the frames before it were later
            last_s = time_s
            if time_s < start_s - 1e-6:
                damage.count = 0  # that of whoever reads what is before
            # A slot that begins before the start belongs to whoever reads what is before.
            if slots.begins(time_s) and time_s >= start_s - 1e-6:
                yield Frame(time_s, _as_shown(frame, size))


def ends_at(path: Path, after_s: float) -> float:
    """The latest presentation time that a packet has, found without decoding any; ``after_s`` where none is later.

    Raises:
        UserError: the file cannot be opened, or its disk or share went away.
    """
    with _blamed_on(path), _opened(path) as container:
        stream = container.streams.video[0]
        clock, latest_s = _Clock(container, stream), after_s
        _seek(container, stream, clock, after_s)
        sound = (p for p in _packets(container, stream, Damage()) if p.size and not p.is_corrupt)
        for time_s in sorted(clock.of(packet) or 0.0 for packet in sound):
            if time_s > latest_s + _LONGEST_PAUSE_S:
                break
            latest_s = max(latest_s, time_s)
        return latest_s


def readable_s(path: Path, facts: VideoFacts) -> float:
    """How much of a video can be read: what its header says, unless it was cut off. Decodes nothing.

    Raises:
        UserError: as `ends_at`.
    """
    near_s = facts.duration_s - facts.slack_s
    return facts.duration_s if near_s <= 0 or ends_at(path, near_s) > near_s else ends_at(path, 0.0)


def lacks_bytes(path: Path) -> bool:
    """Whether a file is shorter than its container says.

    Raises:
        UserError: the file cannot be opened, or its disk or share went away.
    """
    with _blamed_on(path):
        return declared_size(path) > path.stat().st_size


def begins_anew(path: Path) -> bool:
    """Whether the time stamps of a transport stream begin anew on the way, as in recordings that were put together.

    Frames cannot be told apart by their times then. Looks at a few places of the file alone.

    Raises:
        UserError: the file cannot be opened, or its disk or share went away.
    """
    with _blamed_on(path), _opened(path) as container:
        if container.format.name != "mpegts":
            return False
        stream, times = container.streams.video[0], []
        clock = _Clock(container, stream)
        for place in range(_PLACES):
            container.seek(container.size * place // _PLACES, stream=stream, unsupported_byte_offset=True)
            found = (clock.of(packet) for packet in _packets(container, stream, Damage()) if not packet.is_corrupt)
            times += [time_s for time_s in itertools.islice(found, 1) if time_s is not None]
        # FFmpeg takes a clock that was set back far for one that has run over, which takes it 26 hours.
        return any(not -1 < after - before < _DAY_S for before, after in itertools.pairwise(times))


def frame_at(path: Path, time_s: float) -> np.ndarray:
    """The picture at a frame's presentation time: RGB uint8 ``[H, W, 3]``."""
    return next(frames(path, time_s - 0.01, time_s + 1.0, None)).image


class _Slots:
    """Slots of 1/fps seconds from the start of the video; without ``fps`` every frame has its own."""

    def __init__(self, fps: float | None) -> None:
        self._fps = fps
        self._last: int | None = None

    def begins(self, time_s: float) -> bool:
        """Whether a frame is the first of its slot; to be asked in order of time."""
        if self._fps is None:
            return True
        before, self._last = self._last, int(time_s * self._fps + 1e-6)
        return self._last != before


def _read_from(
    path: Path, start_s: float, end_s: float, fps: float | None, keyframes: bool, threads: int, damage: Damage
) -> Iterator[tuple[float, VideoFrame, tuple[int, int]]]:
    """Frames that may be the first of a slot, from before ``start_s`` on if there are any: time, frame, size shown."""
    for margin_s in _SEEK_MARGINS_S:
        with _opened(path) as container:
            stream = container.streams.video[0]
            stream.thread_type, stream.thread_count = "AUTO", threads
            clock, packets, size = _Clock(container, stream), _packets(container, stream, damage), _shown_size(stream)
            whole = start_s <= margin_s or not _seek(container, stream, clock, start_s - margin_s)
            timed = (
                _keyframes(packets, clock, end_s, fps, damage)
                if keyframes
                else clock.timed(_decoded(_needed(packets, clock, fps), damage))
            )
            first = next(timed, None)
            if not whole and margin_s != _SEEK_MARGINS_S[-1] and (first is None or first[0] >= start_s):
                continue
            if first is not None:
                yield *first, size
                for time_s, frame in timed:
                    yield time_s, frame, size
            return


class _Clock:
    """Time stamps as seconds since the recording begins, by sound or picture.

    Attributes:
        late_s: by which the picture begins after the sound.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._time_base = float(stream.time_base or Fraction(1, av.time_base))
        begins = stream.start_time or 0
        # Sound that begins before zero fills a decoder, and is not heard.
        first = max(0.0, (container.start_time or 0) / av.time_base)
        self._zero = min(begins, round(first / self._time_base))
        self.late_s = (begins - self._zero) * self._time_base
        # AVI keeps no presentation times: FFmpeg numbers packets as they are stored, which B-frames put out of order.
        # A frame that comes out bears the number of the packet that went in last.
        self.in_stored_order = container.format.name == "avi"
        self._stream = stream
        self._step_s = 1 / _frame_rate(stream)

    def of(self, stamped: "Packet[VideoStream] | VideoFrame") -> float | None:
        """The time of a packet or of a decoded frame; None where it has none."""
        stamp = stamped.dts if self.in_stored_order else stamped.pts
        return None if stamp is None else (stamp - self._zero) * self._time_base

    def stamp(self, time_s: float) -> int:
        """The time stamp of a time."""
        return self._zero + int(time_s / self._time_base)

    def timed(self, decoded: Iterable[VideoFrame]) -> Iterator[tuple[float, VideoFrame]]:
        """Frames with their times. MPEG program streams tell the time of some frames only."""
        time_s = None
        for frame in decoded:
            told = self.of(frame)
            if told is not None and self.in_stored_order:
                told -= self._stream.codec_context.reorder_depth * self._step_s
            time_s = told if told is not None else None if time_s is None else time_s + self._step_s
            if time_s is not None:
                yield time_s, frame


def _packets(container: InputContainer, stream: VideoStream, damage: Damage) -> "Iterator[Packet[VideoStream]]":
    left = 2 * container.size + 1_000_000
    try:
        for packet in container.demux(stream):
            left -= max(packet.size, _LEAST_PACKET)
            if left < 0:
                damage.count += 1
                return  # more than the file can hold: its index is damaged, and names the same bytes over and over
            damage.count += packet.is_corrupt
            yield packet
        if container.format.name == "mpegts" and all(container.size % size for size in _TS_PACKETS):
            damage.count += 1  # it ends within a packet
    except IndexError:
        return  # PyAV's, at the end of a file in which another stream begins late
    except av.error.FFmpegError as error:
        if error.errno in _DISK_FAULTS:
            raise UserError(
                f"{Path(container.name).name}: its disk or share cannot be read ({_reason(error)})"
            ) from error
        damage.count += 1
        return  # the file is cut off here; the caller sees how far the frames went


def _decoded(packets: "Iterable[Packet[VideoStream]]", damage: Damage) -> Iterator[VideoFrame]:
    for packet in packets:
        try:
            decoded = packet.decode()
        except av.error.FFmpegError:
            damage.count += 1
            continue  # this packet is damaged; the next keyframe mends the picture
        for frame in decoded:
            damage.count += frame.is_corrupt
            yield frame


def _keyframes(
    packets: "Iterable[Packet[VideoStream]]", clock: _Clock, end_s: float, fps: float | None, damage: Damage
) -> Iterator[tuple[float, VideoFrame]]:
    """Keyframes that begin a slot, each decoded by itself: a decoder holds frames back until it knows what follows."""
    slots, beyond = _Slots(fps), 0
    for packet in packets:
        time_s = clock.of(packet)
        beyond = beyond + 1 if time_s is not None and time_s >= end_s - 1e-6 else 0
        if beyond == _BEYOND:
            return
        if beyond or not packet.is_keyframe or packet.is_discard or time_s is None or not slots.begins(time_s):
            continue
        decoder = packet.stream.codec_context
        try:
            for frame in [*decoder.decode(packet), *decoder.decode(None)][:1]:
                damage.count += frame.is_corrupt
                yield time_s, frame
        except av.error.FFmpegError:
            damage.count += 1
        decoder.flush_buffers()


def _needed(
    packets: "Iterable[Packet[VideoStream]]", clock: _Clock, fps: float | None
) -> "Iterator[Packet[VideoStream]]":
    """The packets without which the first frame of each slot cannot be decoded.

    What follows the last such frame up to the next keyframe is left out, and of what comes before it the decoder passes
    over frames that no other refers to. At 2 fps, that is a quarter of the usual two seconds between keyframes, and
    most B-frames (benchmarks/decoding.py).
    """
    if fps is None or clock.in_stored_order:
        yield from packets
        return
    slots = _Slots(fps)
    for group, following in itertools.pairwise(itertools.chain(_groups(packets), [[]])):
        times = [clock.of(packet) for packet in group]
        if any(time_s is None for time_s in times):
            group[0].stream.codec_context.skip_frame = "DEFAULT"
            yield from group
            continue
        shown = sorted(t for t, packet in zip(times, group, strict=True) if t is not None and not packet.is_discard)
        wanted = {time_s for time_s in shown if slots.begins(time_s)}
        end = 1 + max((i for i, time_s in enumerate(times) if time_s in wanted), default=-1)
        if not _stands_alone(following, clock):
            end = len(group)
        for packet, time_s in zip(group[:end], times, strict=False):
            packet.stream.codec_context.skip_frame = "DEFAULT" if time_s in wanted else "NONREF"
            yield packet


def _groups(packets: "Iterable[Packet[VideoStream]]") -> "Iterator[list[Packet[VideoStream]]]":
    """Packets from one keyframe to the next. The empty one at the end, which empties the decoder, is by itself."""
    group: list[Packet[VideoStream]] = []
    for packet in packets:
        if group and (packet.is_keyframe or not packet.size or len(group) == _LONGEST_GROUP):
            yield group
            group = []
        group.append(packet)
    if group:
        yield group


def _stands_alone(group: "list[Packet[VideoStream]]", clock: _Clock) -> bool:
    """Whether nothing in a group refers to frames before it: it begins with a keyframe, and shows nothing before it."""
    if not group or not group[0].is_keyframe:
        return False
    times = [clock.of(packet) for packet in group]
    return all(time_s is not None and times[0] is not None and time_s >= times[0] for time_s in times)


def _seek(container: InputContainer, stream: VideoStream, clock: _Clock, target_s: float) -> bool:
    """Whether the file could be wound to a keyframe before the target; if not, it is read from its start."""
    try:
        container.seek(clock.stamp(target_s), stream=stream, backward=True)
    except av.error.FFmpegError:
        return False
    return True


def _shown_size(stream: VideoStream) -> tuple[int, int]:
    """Width and height of a frame, before it is turned, when its pixels are square."""
    pixel = Fraction(stream.sample_aspect_ratio or 1)
    if not Fraction(1, 4) <= pixel <= 4:  # no camera's; a damaged header's
        pixel = Fraction(1)
    return round(stream.width * max(pixel, Fraction(1))), round(stream.height / min(pixel, Fraction(1)))


def _as_shown(frame: VideoFrame, size: tuple[int, int]) -> np.ndarray:
    """RGB as a player shows it: with square pixels, and a telephone's lying frames, which say so, turned upright."""
    turns = round(frame.rotation / 90) % 4
    image = frame.to_ndarray(format="rgb24", width=size[0], height=size[1])
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def _frame_rate(stream: VideoStream) -> float:
    return float(stream.average_rate or stream.guessed_rate or 25)


@contextmanager
def _blamed_on(path: Path) -> Iterator[None]:
    """Whatever FFmpeg or PyAV trip over is a fault of the file, and no reason to give up others."""
    try:
        yield
    except ReidappError:
        raise
    except Exception as error:
        raise UserError(f"{path.name}: cannot be decoded ({type(error).__name__}: {_reason(error)})") from error


def _opened(path: Path) -> InputContainer:
    try:
        if may_be_transport_stream(path) and not survivable(path, _LIMITS):
            raise UserError(
                f"{path.name}: not a video that can be read (FFmpeg breaks down over this damage; export it anew)"
            )
        container = av.open(str(path), options=_LIMITS, metadata_errors="ignore")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise UserError(f"{path.name}: not a video that can be read ({_reason(error)})") from error
    if container.format.name.endswith("_pipe") or container.format.name in _NO_RECORDINGS:
        container.close()
        raise UserError(f"{path.name}: a picture or a list of files, not a video")
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
    width, height = _shown_size(stream)
    if width * height > MAX_PIXELS:
        container.close()
        raise UserError(f"{path.name}: {width}×{height} pixels; at most {MAX_PIXELS // 1_000_000} megapixels are read")
    stream.codec_context.options = _LIMITS
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
