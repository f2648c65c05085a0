"""Live streams: each is kept in files of a minute, as they come, which a watched folder then takes up.

Nothing is encoded again. Files bear their first frame's time in UTC, and can be read to the last whole group of
pictures if the process is killed.
"""

import errno
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from urllib.parse import SplitResult, quote, urlsplit

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from reidapp import files
from reidapp.errors import UserError

TEMPLATE = "reidapp"  # in recorders.toml
SEGMENT_S = 60.0
SCHEMES = ("http", "https", "rtmp", "rtmps", "rtsp", "rtsps", "srt", "tcp", "udp")
_PART = ".part"  # a file that is not complete; no suffix of a video
_PATIENCE_S = 10.0  # with a stream that sends nothing
_WAITS_S = (1.0, 60.0)  # before the first new try, and at most
_STEADY_S = 60.0  # a connection that lasted so long was a good one
_JUMP_S = 10.0  # time stamps that leap further have begun anew
_SLACK_S = 2.0  # two estimates of one moment differ by less
_UNTIMED = ("mpjpeg", "mjpeg")  # FFmpeg numbers their pictures as if they came 25 times a second
_TICKS = 90_000
_MOST_HELD = 64  # packets, of a stream that has no time stamps at all


@dataclass(frozen=True)
class Stream:
    """A live stream and its camera's name. The URL may hold a password, and is never shown.

    Raises:
        UserError: a URL that is none of a stream, or a name that no folder can have.
    """

    url: str = field(repr=False)
    camera: str

    def __post_init__(self) -> None:
        _address(self.url)
        if self.camera.startswith(".") or "/" in self.camera or "\0" in self.camera or not self.camera.strip():
            raise UserError(f'--camera-name "{self.camera}": it names a folder; leave out "/", and a dot in front')

    def __str__(self) -> str:
        address = _address(self.url)
        return f"{address.scheme}://{address.hostname}" + (f":{address.port}" if address.port else "")


def is_url(text: str) -> bool:
    return "://" in text


def named(urls: Sequence[str], cameras: Sequence[str]) -> list[Stream]:
    """Streams with their cameras' names; without any, these are the hosts'. ``${NAME}`` in a URL is put in from the
    environment, percent-encoded: a command line can be read by all users of a machine.

    Raises:
        UserError: not as many names as streams, a name twice, or a variable that is not set.
    """
    urls = [re.sub(r"\$\{(\w+)\}", _from_environment, url) for url in urls]
    names = cameras or [_address(url).hostname or "" for url in urls]
    if len(names) != len(urls):
        raise UserError(f"--camera-name: {len(names)} given for {len(urls)} streams; give one for each, in their order")
    if len(set(names)) < len(names):
        raise UserError(f"--camera-name: give each stream a name of its own ({', '.join(names)})")
    return [Stream(url, name) for url, name in zip(urls, names, strict=True)]


def _from_environment(name: re.Match[str]) -> str:
    if name[1] not in os.environ:
        raise UserError(f"{name[0]}: no such environment variable; set it, or write a $ in an address as %24")
    return quote(os.environ[name[1]], safe="")


def _address(url: str) -> SplitResult:
    """A URL in parts that can be read; an error shows none that may be a password's."""
    try:
        address = urlsplit(url)
        cut = "@" in url and "@" not in address.netloc  # by a character of the password
        readable = not cut and (address.port is None or address.port > 0)
    except ValueError:
        readable = False
    if not readable:
        encode = "percent-encode its password and path, such as / %2F, # %23, ? %3F, [ %5B, @ %40"
        raise UserError(f"{url.partition('://')[0]}://…: a stream's address that cannot be read; {encode}") from None
    if address.scheme not in SCHEMES or not address.hostname:
        raise UserError(f"{address.scheme}://…: no stream's address; known are {', '.join(SCHEMES)}, each with a host")
    return address


@contextmanager
def recording(
    streams: Sequence[Stream], folder: Path, say: Callable[[str], None], segment_s: float = SEGMENT_S
) -> Iterator[None]:
    """Record streams below a folder, each in a thread of its own, until the block is left.

    Args:
        say: called, from any thread, with a line about a connection that was made or lost.

    Raises:
        BusyError: another process records one of these cameras into this folder.
    """
    with ExitStack() as locks:
        for stream in streams:
            place = folder / stream.camera
            place.mkdir(parents=True, exist_ok=True)
            busy = f'{folder}: another process records "{stream.camera}" into it; give another --camera-name'
            locks.enter_context(files.locked(place / "recording.lock", busy))
            for part in place.rglob(f"*{_PART}"):  # of a run that was killed
                _keep(part, part.with_suffix(""))
        recorders = [Recorder(stream, folder / stream.camera, say, segment_s) for stream in streams]
        for recorder in recorders:
            recorder.start()
        try:
            yield
        finally:
            for recorder in recorders:
                recorder.stop.set()
            for recorder in recorders:
                recorder.join()


class Recorder(threading.Thread):
    """Records one stream, and connects again when it breaks off: after a second, two, four, up to a minute."""

    def __init__(self, stream: Stream, folder: Path, say: Callable[[str], None], segment_s: float) -> None:
        super().__init__(daemon=True)
        self.stream = stream
        self.folder = folder
        self.say = say
        self.segment_s = segment_s
        self.stop = threading.Event()
        self.end = 0.0  # of the last segment, as Unix time

    def run(self) -> None:
        wait_s, longest_s = _WAITS_S
        while True:
            began = time.monotonic()
            why = self._connect()
            if self.stop.is_set():
                return
            if time.monotonic() - began > _STEADY_S:
                wait_s = _WAITS_S[0]
            self.say(f"{self.stream.camera}: {why}; {self.stream} is tried again in {wait_s:.0f} s")
            if self.stop.wait(wait_s):
                return
            wait_s = min(2 * wait_s, longest_s)

    def _connect(self) -> str:
        """Record until the stream breaks off; why it did."""
        options = {"rtsp_transport": "tcp"}  # UDP loses packets, and what is damaged stays damaged on disk
        try:
            with av.open(self.stream.url, options=options, timeout=(_PATIENCE_S, _PATIENCE_S)) as container:
                if not container.streams.video:
                    return "has no video in it"
                self.say(f"{self.stream.camera}: recording {self.stream} into {self.folder}")
                self._record(container)
                return "the stream ended"
        except av.error.ExitError:
            return f"sent nothing for {_PATIENCE_S:.0f} s"
        except Exception as error:  # its whole text may have the URL
            if getattr(error, "errno", None) == errno.EIO:  # what FFmpeg says of a stream over HTTP that ends, too
                return "the stream ended, or cannot be read any more"
            return getattr(error, "strerror", None) or type(error).__name__

    def _record(self, container: InputContainer) -> None:
        stream, segment, beginning = container.streams.video[0], None, _Beginning()
        untimed = container.format.name in _UNTIMED
        try:
            for came in container.demux(stream):
                if self.stop.is_set():
                    return
                arrived = time.monotonic()
                if untimed and came.size:
                    came.pts = came.dts = round(arrived * _TICKS)
                    came.time_base = Fraction(1, _TICKS)
                for packet in beginning.timed(came):
                    if segment is not None and segment.is_over(packet, self.segment_s):
                        done, segment = segment, None
                        self.end = done.close(self.end)
                    if segment is None and packet.is_keyframe:
                        segment = Segment(self.folder, stream, arrived)
                    if segment is not None:
                        segment.add(packet, arrived)
        finally:
            if segment is not None:
                self.end = segment.close(self.end)


class _Beginning:
    """Holds back the first packets of a stream until two have time stamps, from which those without are counted back.

    What comes by RTP begins with a keyframe without one, and the picture is lost to the next keyframe without it.
    """

    def __init__(self) -> None:
        self._held: list[Packet[VideoStream]] | None = []

    def timed(self, packet: "Packet[VideoStream]") -> "list[Packet[VideoStream]]":
        """The packets that can go on now, in order; all have time stamps."""
        if not packet.size:
            return []
        if self._held is None:
            return [packet] if packet.dts is not None else []
        held = [*self._held, packet][-_MOST_HELD:]
        stamps = [(place, p.dts) for place, p in enumerate(held) if p.dts is not None]
        if len(stamps) < 2:
            self._held = held
            return []
        self._held = None
        (first, dts), (second, after) = stamps[:2]
        step = max(1, (after - dts) // (second - first))
        shown = min((p.pts for p in held if p.pts is not None), default=after)
        for place in reversed(range(len(held))):
            p = held[place]
            if p.dts is None:
                p.dts = dts - step * (first - place)
            if p.pts is None:
                p.pts = shown = shown - step
        return held


class Segment:
    """A file of a stream's packets, from a keyframe on.

    When its first frame was taken is known best at its end: no packet arrives before it was sent, so the one that was
    held up least tells how late the others were. Arrival is taken by the clock that never jumps; what that is in UTC,
    when the file is closed.
    """

    def __init__(self, folder: Path, stream: VideoStream, arrived: float) -> None:
        self.folder = folder
        self.part = _file(folder, _unix(arrived), _PART)
        # Fragments, for a process that is killed, which a plain index hides at the end, for players.
        options = {"movflags": "hybrid_fragmented", "flush_packets": "1"}
        self._output = av.open(str(self.part), "w", format="mp4", options=options)
        # A stream that repeats itself is recorded anew all the same: without a date, its files would be copies.
        self._output.metadata["creation_time"] = datetime.fromtimestamp(_unix(arrived), UTC).isoformat()
        self._stream = self._output.add_stream_from_template(stream)
        self._zero: int | None = None
        self._last_dts = -1 << 62
        self._start = float("inf")  # by the monotonic clock
        self._end_s = 0.0

    def is_over(self, packet: "Packet[VideoStream]", segment_s: float) -> bool:
        """Whether a packet belongs to the next file."""
        assert self._zero is not None  # noqa: S101 - a file begins with its first packet; for mypy
        time_s = float((_shown(packet) - self._zero) * packet.time_base)
        return abs(time_s - self._end_s) > _JUMP_S or (packet.is_keyframe and time_s >= segment_s)

    def add(self, packet: "Packet[VideoStream]", arrived: float) -> None:
        assert packet.dts is not None  # noqa: S101 - others are left out by who reads; for mypy
        pts = _shown(packet)
        if self._zero is None:
            self._zero = pts
        dts = max(packet.dts - self._zero, self._last_dts + 1)
        packet.dts, packet.pts = dts, max(pts - self._zero, dts)
        self._last_dts = dts
        shown_s = float(packet.pts * packet.time_base)
        self._start = min(self._start, arrived - shown_s)
        self._end_s = max(self._end_s, shown_s)
        packet.stream = self._stream
        self._output.mux(packet)

    def close(self, before: float) -> float:
        """Finish the file and give it its name; ``before``, and what is returned, is a segment's end as Unix time."""
        start = _unix(self._start)
        if 0 < before - start < _SLACK_S:
            start = before  # no moment comes twice
        try:
            self._output.close()
        finally:  # what a full disk has taken can be played
            _keep(self.part, _file(self.folder, start))
        return start + self._end_s


def _keep(part: Path, name: Path) -> None:
    """Give a file its name, if anything is in it."""
    part.rename(name) if part.stat().st_size else part.unlink()


def _shown(packet: "Packet[VideoStream]") -> int:
    stamp = packet.dts if packet.pts is None else packet.pts
    assert stamp is not None  # noqa: S101 - packets without a dts are left out by who reads; for mypy
    return stamp


def _unix(monotonic: float) -> float:
    return time.time() - time.monotonic() + monotonic


def _file(folder: Path, start: float, part: str = "") -> Path:
    """A file that is not there yet."""
    at = datetime.fromtimestamp(start, UTC)
    while True:
        path = folder / f"{at:%Y-%m-%d}" / f"{at:%H-%M-%S.%f}Z.mp4{part}"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            return path
        at += timedelta(microseconds=1)
