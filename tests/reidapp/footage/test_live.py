"""Live streams, from a server on this machine: files with the right times and every frame, whatever breaks off."""

import contextlib
import io
import resource
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import pytest

from reidapp.errors import ReidappError, UserError
from reidapp.footage import live
from reidapp.footage.decoding import frames, probe
from reidapp.footage.indexing import index_footage
from reidapp.footage.live import Segment, Stream, recording
from reidapp.footage.sources import scan
from reidapp.footage.watching import Watcher
from reidapp.gallery.search import Searcher
from reidapp.settings import IndexSettings
from tests.reidapp.footage.rtsp import Camera
from tests.reidapp.footage.test_indexing import ShirtEmbedder, new_gallery
from tests.small_gallery import FPS, ShirtDetector, Walk, frame_at, query_crop

SECONDS = 6
RED = Walk("red", 0, SECONDS, 0.2, 0.8)
Handle = Callable[[Any], None]


def encoded(codec: str, container: str, **options: str) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream: Any = output.add_stream(codec, rate=FPS, options=options)
        stream.height, stream.width = frame_at([], 0).shape[:2]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for i in range(SECONDS * FPS):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(frame_at([RED], i / FPS), "rgb24")))
        output.mux(stream.encode())
    return buffer.getvalue()


@pytest.fixture(scope="module")
def ts() -> bytes:
    """H.264 with B-frames, a keyframe each second."""
    return encoded("libx264", "mpegts", g=str(FPS), bf="2")


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """``serve(handle, …)``, a URL with a password: connections get the handles in turn, and then the last one again."""
    servers = []

    def start(*handles: Handle) -> str:
        waiting = list(handles)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                handle = waiting.pop(0) if len(waiting) > 1 else waiting[0]
                self.send_response(200)
                handle(self)

            def log_message(self, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://user:secret@127.0.0.1:{server.server_port}/live?password=secret"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


class _Response(io.RawIOBase):
    def __init__(self, handler: Any) -> None:
        self.handler = handler

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.handler.wfile.write(data)
        return len(data)


def in_real_time(ts: bytes, began: list[float], until_s: float = SECONDS) -> Handle:
    """Sends frames when they are due, after the first second at once, as servers do with what they have held back."""

    def handle(handler: Any) -> None:
        handler.send_header("Content-Type", "video/mp2t")
        handler.end_headers()
        began.append(time.time() - 1)
        try:
            with av.open(io.BytesIO(ts), "r") as source, av.open(_Response(handler), "w", format="mpegts") as output:
                stream = output.add_stream_from_template(source.streams.video[0])
                zero = source.streams.video[0].start_time or 0
                for packet in source.demux(video=0):
                    if packet.dts is None or packet.pts is None:
                        continue
                    due_s = float((packet.pts - zero) * packet.time_base)
                    if due_s > until_s:
                        return
                    time.sleep(max(0.0, began[-1] + due_s - time.time()))
                    packet.stream = stream
                    output.mux(packet)
        except (OSError, av.error.FFmpegError):
            pass  # the recorder went away

    return handle


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


def lengths(folder: Path) -> list[int]:
    return [len(list(frames(path, 0, 1e9, None))) for path in sorted(folder.rglob("*.mp4"))]


@pytest.mark.slow
def test_a_stream_that_breaks_off_is_recorded_to_the_break_and_on(
    ts: bytes, serve: Callable[..., str], tmp_path: Path
) -> None:
    began: list[float] = []
    said: list[str] = []
    url = serve(in_real_time(ts, began, until_s=3.55), in_real_time(ts, began))
    folder = tmp_path / "live"
    with recording([Stream(url, "gate")], folder, said.append, segment_s=2.0):
        wait_for(lambda: sum("tried again" in line for line in said) == 2)
    broken, *others = sorted(lengths(folder))
    assert (12 <= broken <= 16, others) == (True, [20] * 4)
    shown = url.replace("user:secret@", "").partition("/live")[0]
    assert said[0] == f"gate: recording {shown} into {folder / 'gate'}"
    assert [line.endswith(f"{shown} is tried again in {wait} s") for line, wait in zip(said[1::2], "12", strict=True)]
    assert "secret" not in "".join(said)

    sources, skipped = scan(folder, live.TEMPLATE)
    assert [skipped, {source.camera for source in sources}] == [[], {"gate"}]
    starts = [source.written.timestamp() for source in sources if source.written]
    expected = [began[0], began[0] + 2, *(began[1] + s for s in (0, 2, 4))]
    assert starts == pytest.approx(expected, abs=0.5)
    for source in sources:
        assert probe(source.path).duration_s == pytest.approx(len(list(frames(source.path, 0, 9, None))) / FPS)

    # What was recorded is footage like any other.
    gallery, settings = new_gallery(tmp_path / "gallery"), IndexSettings(zone="UTC", template=live.TEMPLATE)
    watcher = Watcher(folder, settings, quiet_s=0)
    report = index_footage(watcher.ready(), gallery, ShirtEmbedder(), ShirtDetector(), settings)
    assert (report.videos, report.skipped, report.incomplete) == (5, [], [])
    (hit,) = Searcher(gallery, ShirtEmbedder()).search(ShirtEmbedder().embed([query_crop("red")]), top=1).hits
    assert (hit.camera, hit.uncertain) == ("gate", None)
    assert not any(b"secret" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.slow
def test_a_camera_that_goes_away_and_comes_back_is_recorded_on(ts: bytes, tmp_path: Path) -> None:
    said: list[str] = []
    camera = Camera(ts, "me", "p@ss/w#rd", until_s=2.55)
    began, port = camera.began, camera.server_address[1]
    shown = f"rtsp://127.0.0.1:{port}"
    told = f"gate: recording {shown} into {tmp_path / 'gate'}"
    with recording([Stream(f"rtsp://me:p%40ss%2Fw%23rd@127.0.0.1:{port}/live", "gate")], tmp_path, said.append, 2.0):
        wait_for(lambda: len(said) == 3)
        camera = Camera(ts, "me", "p@ss/w#rd", port, until_s=4.55)
        wait_for(lambda: said.count(told) == 2 and said[-1] != told)
    lost, refused = f"gate: the stream ended; {shown}", f"gate: Connection refused; {shown}"
    assert said[:3] == [told, f"{lost} is tried again in 1 s", f"{refused} is tried again in 2 s"]
    assert said[-1].startswith(lost)
    assert not any("ss/w#rd" in line or "%2Fw" in line for line in said)

    sources, _ = scan(tmp_path, live.TEMPLATE)
    starts = [source.written.timestamp() for source in sources if source.written]
    assert len(starts) == 5
    assert all(began[0] - 0.2 < start < time.time() for start in starts)
    assert sum(start > camera.began[0] - 0.2 for start in starts) == 3
    *broken, one, two, three = sorted(lengths(tmp_path))
    assert [one, two, three] == [20, 20, 20]  # with the first pictures of a connection, too
    assert all(2 <= count <= 6 for count in broken)


def test_a_password_that_is_wrong_is_told(ts: bytes, tmp_path: Path) -> None:
    said: list[str] = []
    camera = Camera(ts, "me", "right")
    port = camera.server_address[1]
    with recording([Stream(f"rtsp://me:wrong@127.0.0.1:{port}/live", "gate")], tmp_path, said.append):
        wait_for(lambda: said)
    camera.close()
    assert said[0].startswith("gate: Server returned 401 Unauthorized")
    assert said[0].endswith(f"; rtsp://127.0.0.1:{port} is tried again in 1 s")


def test_a_stream_that_falls_silent_is_given_up(
    serve: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_PATIENCE_S", 0.5)
    silence = threading.Event()
    said: list[str] = []

    def hold(handler: Any) -> None:
        handler.end_headers()
        silence.wait(30)

    with recording([Stream(serve(hold), "gate")], tmp_path, said.append):
        wait_for(lambda: said)
    silence.set()
    assert said[0].startswith("gate: sent nothing for")


def test_nobody_answers(tmp_path: Path) -> None:
    said: list[str] = []
    with recording([Stream("http://me:secret@127.0.0.1:9/", "gate")], tmp_path, said.append):
        wait_for(lambda: said)
    assert said[0] == "gate: Connection refused; http://127.0.0.1:9 is tried again in 1 s"


@pytest.mark.slow
def test_pictures_without_time_stamps_have_the_time_they_came(serve: Callable[..., str], tmp_path: Path) -> None:
    """FFmpeg would number them as if there were 25 a second."""
    source = io.BytesIO(encoded("mjpeg", "matroska"))

    def pictures(handler: Any) -> None:
        handler.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        handler.end_headers()
        source.seek(0)
        with av.open(source, "r") as container:
            for count, packet in enumerate(container.demux(video=0)):
                if packet.size:
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {packet.size}\r\n\r\n"
                    handler.wfile.write(head.encode() + bytes(packet) + b"\r\n")
                    time.sleep(0.05 if count % 20 else 0.15)

    said: list[str] = []
    began = time.time()
    with recording([Stream(serve(pictures), "gate")], tmp_path, said.append):
        wait_for(lambda: any("tried again" in line for line in said))
    took = time.time() - began
    (path,) = tmp_path.rglob("*.mp4")
    times = [frame.time_s for frame in frames(path, 0, 1e9, None)]
    assert len(times) > 40
    assert times[-1] > 60 / 25
    assert times[-1] < took


@pytest.fixture
def packets(ts: bytes) -> Iterator[tuple[Any, list[Any]]]:
    with av.open(io.BytesIO(ts), "r") as container:
        stream = container.streams.video[0]
        yield stream, [packet for packet in container.demux(stream) if packet.size]


class Clock:
    """Stands for the module `time`: the wall's clock can be set, the other only goes on."""

    wall = 1_800_000_000.0
    now = 500.0

    def time(self) -> float:
        return self.wall + self.now

    def monotonic(self) -> float:
        return self.now


def started(path: Path) -> float:
    (source,) = scan(path, live.TEMPLATE)[0]
    assert source.written
    return source.written.timestamp()


def test_the_packet_that_was_held_up_least_says_when(
    packets: tuple[Any, list[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(live, "time", clock)
    stream, all_packets = packets
    zero = all_packets[0].pts
    segment = Segment(tmp_path / "gate", stream, clock.now + 3)
    late = [3.0, 2.5, 0.7, *[0.25 + 0.1 * (i % 3) for i in range(len(all_packets) - 3)]]
    for packet, late_s in zip(all_packets, late, strict=True):
        segment.add(packet, clock.now + float((packet.pts - zero) * packet.time_base) + late_s)
    end = segment.close(0.0)
    (path,) = tmp_path.rglob("*.mp4")
    assert started(path) == pytest.approx(clock.wall + 500.25, abs=1e-3)
    assert end == pytest.approx(clock.wall + 500.25 + SECONDS - 1 / FPS, abs=1e-3)
    assert len(list(frames(path, 0, 1e9, None))) == SECONDS * FPS


@pytest.mark.parametrize(("clock_set_by_s", "expected_s"), [(0.0, 10.2), (-0.1, 10.2), (-3600.0, 10.1 - 3600)])
def test_times_do_not_come_twice_unless_the_clock_was_set_back(
    packets: tuple[Any, list[Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    clock_set_by_s: float,
    expected_s: float,
) -> None:
    clock = Clock()
    monkeypatch.setattr(live, "time", clock)
    segment = Segment(tmp_path / "gate", packets[0], clock.now)
    segment.add(packets[1][0], clock.now + 10.1)
    clock.wall += clock_set_by_s
    before = Clock.wall + 500 + 10.2  # a hair later than this one seems to begin
    segment.close(before)
    (path,) = tmp_path.rglob("*.mp4")
    assert started(path) == pytest.approx(Clock.wall + 500 + expected_s, abs=1e-3)


def test_what_a_killed_recorder_left_is_kept(packets: tuple[Any, list[Any]], tmp_path: Path) -> None:
    folder = tmp_path / "gate"
    segment = Segment(folder, packets[0], time.monotonic())
    for packet in packets[1][:45]:
        segment.add(packet, time.monotonic())
    shutil.copy(segment.part, tmp_path / "as the kill left it")
    segment.close(0.0)
    shutil.rmtree(folder)
    half = folder / "2026-03-02/10-00-00.250000Z.mp4.part"
    half.parent.mkdir(parents=True)
    (tmp_path / "as the kill left it").rename(half)
    (folder / "2026-03-02/10-01-00.000000Z.mp4.part").touch()
    with recording([Stream("http://127.0.0.1:9/", "gate")], tmp_path, lambda line: None):
        (path,) = [*folder.rglob("*.mp4"), *folder.rglob("*.part")]
    assert path == half.with_suffix("")
    assert started(path) == datetime(2026, 3, 2, 10, 0, 0, 250_000, UTC).timestamp()
    assert len(list(frames(path, 0, 1e9, None))) >= 3 * FPS  # all but the last group of pictures


def test_what_a_full_disk_has_taken_is_kept_at_once(packets: tuple[Any, list[Any]], tmp_path: Path) -> None:
    segment = Segment(tmp_path, packets[0], time.monotonic())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (sum(packet.size for packet in packets[1]) // 2, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            deque(segment.add(packet, time.monotonic()) for packet in packets[1])
        with contextlib.suppress(OSError):
            segment.close(0.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    (path,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert path.suffix == ".mp4"
    assert 0 < len(list(frames(path, 0, 1e9, None))) < SECONDS * FPS


def test_one_process_records_a_camera(tmp_path: Path) -> None:
    def again() -> None:
        with recording([Stream("http://127.0.0.1:9/", "gate")], tmp_path, lambda line: None):
            pass

    with (
        recording([Stream("http://127.0.0.1:9/", "gate")], tmp_path, lambda line: None),
        pytest.raises(ReidappError, match='another process records "gate"'),
    ):
        again()
    again()


def test_streams_and_their_names() -> None:
    urls = ["rtsp://me:secret@10.0.0.5:554/Streaming/101", "http://10.0.0.6/video?pwd=secret"]
    streams = live.named(urls, [])
    assert [(stream.camera, str(stream)) for stream in streams] == [
        ("10.0.0.5", "rtsp://10.0.0.5:554"),
        ("10.0.0.6", "http://10.0.0.6"),
    ]
    assert "secret" not in repr(streams)
    assert [stream.camera for stream in live.named(urls, ["gate", "yard"])] == ["gate", "yard"]
    for names, message in (
        (["gate"], "1 given for 2 streams"),
        (["gate", "gate"], "a name of its own"),
        (["a/b", "c"], "names a folder"),
        (["..", "c"], "names a folder"),
    ):
        with pytest.raises(UserError, match=message):
            live.named(urls, names)
    for url in ("file:///etc/secret", "gopher://me:secret@host/", "rtsp:///secret"):
        with pytest.raises(UserError, match="no stream's address") as caught:
            live.named([url], ["gate"])
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("password", ["xy/q", "xy#q", "xy?q", "1/xy", "xy[q", "xy]q", "70000/q", "0/q"])
def test_a_password_that_must_be_encoded_is_not_shown(password: str) -> None:
    with pytest.raises(UserError, match=r"rtsp://…: .*percent-encode") as caught:
        live.named([f"rtsp://admin:{password}@10.0.0.5/s"], [])
    assert not any(part in str(caught.value) for part in ("admin", "xy", "q@", "70000", "10.0.0.5"))


@pytest.mark.parametrize("port", ["70000", "0", "rtsp"])
def test_a_port_that_is_none(port: str) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        Stream(f"rtsp://10.0.0.5:{port}/s", "gate")


def test_a_password_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE", "p@ss/w#rd")
    (stream,) = live.named(["rtsp://admin:${GATE}@10.0.0.5/s"], [])
    assert (stream.url, stream.camera) == ("rtsp://admin:p%40ss%2Fw%23rd@10.0.0.5/s", "10.0.0.5")
    monkeypatch.delenv("GATE")
    with pytest.raises(UserError, match=r"\$\{GATE\}: no such environment variable"):
        live.named(["rtsp://admin:${GATE}@10.0.0.5/s"], [])
