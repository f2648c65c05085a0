import struct
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from reidapp.errors import UserError
from reidapp.footage.decoding import Damage, Frame, begins_anew, frame_at, frames, probe
from tests.reidapp.footage.numbered import HEIGHT, WIDTH, number_of, picture, write_numbered

FOREVER = float("inf")
# Ten frames a second as a camera with a busy processor takes them: never quite on time, and now and then none.
UNSTEADY = [round(i / 10 + (0, 0.03, 0.012)[i % 3] + 0.7 * (i > 60) + 2.6 * (i > 100), 3) for i in range(150)]


def read(path: Path, start_s: float = 0.0, end_s: float = FOREVER, fps: float | None = None) -> list[tuple[float, int]]:
    """(time, number) of each frame."""
    return shown(frames(path, start_s, end_s, fps))


def shown(given: Iterable[Frame]) -> list[tuple[float, int]]:
    return [(pytest.approx(frame.time_s, abs=1e-4), number_of(frame.image)) for frame in given]


def video(folder: Path, suffix: str, **options: Any) -> Path:
    path = folder / f"video.{suffix}"
    write_numbered(path, UNSTEADY, **options)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "mov", "flv"])
@pytest.mark.parametrize("b_frames", [0, 2])
def test_every_frame_at_its_time(tmp_path: Path, suffix: str, b_frames: int) -> None:
    path = video(tmp_path, suffix, b_frames=b_frames)
    assert read(path) == [(time_s, number) for number, time_s in enumerate(UNSTEADY)]


def test_time_counts_from_the_first_frame(tmp_path: Path) -> None:
    path = video(tmp_path, "ts")
    with av.open(str(path)) as container:
        assert (container.streams.video[0].start_time or 0) > 0
    assert next(frames(path, 0, FOREVER, None)).time_s == 0.0


def test_pixels_are_rgb(tmp_path: Path) -> None:
    path = tmp_path / "red.mp4"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=5, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 66, 50, "yuv420p"
        red = np.full((50, 66, 3), (200, 40, 30), np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(red, "rgb24")))
        container.mux(stream.encode())
    (frame,) = frames(path, 0, FOREVER, None)
    assert frame.image.shape == red.shape
    assert frame.image.dtype == np.uint8
    assert np.abs(frame.image.astype(int) - red).max() < 12


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("gop", [10, 50])
def test_the_same_frames_wherever_reading_starts(tmp_path: Path, suffix: str, gop: int) -> None:
    path = video(tmp_path, suffix, gop=gop)
    for fps in (None, 2.0, 0.7):
        whole = read(path, fps=fps)
        for chunk_s in (2.3, 5.0):
            count = int(UNSTEADY[-1] // chunk_s) + 1
            pieces = [read(path, i * chunk_s, (i + 1) * chunk_s, fps) for i in range(count)]
            assert [frame for piece in pieces for frame in piece] == whole


@pytest.mark.parametrize("fps", [0.5, 2.0, 3.0, 4.0])
def test_first_frame_of_each_slot(tmp_path: Path, fps: float) -> None:
    path = video(tmp_path, "mp4")
    slots: dict[int, int] = {}
    for number, time_s in enumerate(UNSTEADY):
        slots.setdefault(int(time_s * fps + 1e-6), number)
    assert [number for _, number in read(path, fps=fps)] == list(slots.values())


@pytest.mark.slow
def test_steady_frames_on_the_edge_of_slots(tmp_path: Path) -> None:
    path = tmp_path / "steady.mp4"
    write_numbered(path, [i / 10 for i in range(100)])
    assert [number for _, number in read(path, fps=10)] == list(range(100))
    assert [number for _, number in read(path, fps=5)] == list(range(0, 100, 2))
    assert [number for _, number in read(path, 3.0, 4.0, 2)] == [30, 35]
    assert [number for _, number in read(path, fps=25)] == list(range(100))


@pytest.mark.slow
def test_frame_at_a_time(tmp_path: Path) -> None:
    path = video(tmp_path, ".mp4")
    for frame in list(frames(path, 0, FOREVER, None))[::7]:
        assert number_of(frame_at(path, frame.time_s)) == number_of(frame.image)


def test_start_is_in_and_end_is_out(tmp_path: Path) -> None:
    path = tmp_path / "steady.mp4"
    write_numbered(path, [i / 10 for i in range(100)])
    assert [number for _, number in read(path, 5.0, 5.3)] == [50, 51, 52]
    assert read(path, 10.0, 20.0) == []
    assert [number for _, number in read(path, 9.9, 20.0)] == [99]


def test_avi_keeps_frames_in_order(tmp_path: Path) -> None:
    path = tmp_path / "recorder.avi"
    write_numbered(path, [i / 10 for i in range(60)], ticks=10)
    got = list(frames(path, 0, FOREVER, None))
    assert [number_of(frame.image) for frame in got] == list(range(60))
    steps = np.diff([frame.time_s for frame in got])
    np.testing.assert_allclose(steps, 0.1, atol=1e-6)


def test_program_stream_tells_few_times(tmp_path: Path) -> None:
    path = tmp_path / "recorder.mpg"
    write_numbered(path, [i / 10 for i in range(100)], ticks=10)
    with av.open(str(path)) as container:
        assert any(frame.pts is None for frame in container.decode(video=0))
    assert read(path) == [(pytest.approx(number / 10), number) for number in range(100)]


def test_cut_off_with_the_index_in_front(tmp_path: Path) -> None:
    path = video(tmp_path, "mp4", options={"movflags": "faststart"})
    whole = read(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    got = read(path)
    assert 20 < len(got) < 120
    assert got == whole[: len(got)]
    assert probe(path).duration_s == pytest.approx(UNSTEADY[-1] + 0.1, abs=0.15)
    assert read(path, UNSTEADY[-1] - 1, FOREVER) == []


@pytest.mark.parametrize("suffix", ["mkv", "ts"])
def test_cut_off_without_an_index(tmp_path: Path, suffix: str) -> None:
    path = video(tmp_path, suffix)
    whole = read(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    got = [(frame.time_s, frame.image) for frame in frames(path, 0, FOREVER, None)]
    assert len(got) > 40
    sound = shown(Frame(*each) for each in got[:-3])  # the very last ones may be blurred
    assert sound == whole[: len(sound)]


def _key_packets(path: Path) -> list[tuple[int, int, float]]:
    """Offset in the file, size and time of each keyframe's packet."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [
            (p.pos, p.size, float(p.pts * stream.time_base))
            for p in container.demux(stream)
            if p.is_keyframe and p.pos is not None and p.pts is not None
        ]


# Matroska is taken up again at its next cluster, and those are up to five seconds long.
@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "lost_s"), [("mp4", 0.5), ("mkv", 5.0), ("ts", 0.5)])
def test_goes_on_after_damage(tmp_path: Path, suffix: str, lost_s: float) -> None:
    path = video(tmp_path, suffix)
    (begin, from_s), (end, until_s) = _keyframes(path)[5:7]
    data = bytearray(path.read_bytes())
    random = np.random.default_rng(0)
    for at in random.integers(begin, end, 60):
        data[at] ^= int(random.integers(1, 256))
    path.write_bytes(data)
    got = {round(frame.time_s, 3): frame.image for frame in frames(path, 0, FOREVER, None)}
    assert list(got) == sorted(got)
    for number, time_s in enumerate(UNSTEADY):
        if time_s < from_s - 0.5 or time_s > until_s + lost_s:
            assert number_of(got[time_s]) == number
    # A chunk that begins after the damage does not feel it.
    assert read(path, 14.0) == [(time_s, number) for number, time_s in enumerate(UNSTEADY) if time_s >= 14.0]


def _keyframes(path: Path) -> list[tuple[int, float]]:
    """Offset in the file and time of each."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        zero, time_base = stream.start_time or 0, float(stream.time_base or 0)
        packets = [(packet.pos, packet.pts) for packet in container.demux(stream) if packet.is_keyframe]
    return [(pos, (pts - zero) * time_base) for pos, pts in packets if pos is not None and pts is not None]


def test_damaged_time_stamp_does_not_end_the_reading(tmp_path: Path) -> None:
    path = tmp_path / "video.ts"
    write_numbered(path, [i / 10 for i in range(100)], b_frames=0)
    data = bytearray(path.read_bytes())
    stamps = [at for at in range(0, len(data), 188) if (body := _pes_stamp(data, at)) and data[body] >> 4 in (2, 3)]
    body = _pes_stamp(data, stamps[40])
    assert body
    data[body] ^= 0b0000_0100  # bit 31 of 33: some six hours later
    path.write_bytes(data)
    numbers = [number for _, number in read(path, 0.0, 60.0)]
    assert numbers == [number for number in range(100) if number != 40]


def _pes_stamp(data: bytes, at: int) -> int | None:
    """Where in a transport packet a picture's presentation time is."""
    start = data.find(b"\0\0\1\xe0", at, at + 188)
    return start + 9 if start >= 0 and data[start + 7] & 0x80 else None


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("empty.mp4", b""),
        ("notes.mp4", b"Camera 2 was cleaned today.\n" * 300),
        ("noise.ts", np.random.default_rng(1).bytes(100_000)),
        ("list.mp4", b"ffconcat version 1.0\nfile /etc/hostname\n"),
    ],
)
def test_no_video(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    for read_it in (lambda: probe(tmp_path / name), lambda: list(frames(tmp_path / name, 0, FOREVER, None))):
        with pytest.raises(UserError) as error:
            read_it()
        assert str(error.value).startswith(f"{name}: ")
        assert "\n" not in str(error.value)


def test_index_missing(tmp_path: Path) -> None:
    path = video(tmp_path, "mp4")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 4])
    with pytest.raises(UserError, match=r"^video\.mp4: not a video that can be read \(.+\)$"):
        probe(path)


def test_sound_only(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("aac", rate=16000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 16000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(UserError, match=r"^sound\.mp4: has no video in it$"):
        probe(path)


def test_unknown_codec(tmp_path: Path) -> None:
    path = video(tmp_path, "mp4")
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz").replace(b"avcC", b"zzzC"))
    with pytest.raises(UserError, match=r"^video\.mp4: "):
        probe(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^gone\.mp4: not a video that can be read \(No such file"):
        probe(tmp_path / "gone.mp4")


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_facts(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"video.{suffix}"
    write_numbered(path, [i / 10 for i in range(100)])
    facts = probe(path)
    assert facts.duration_s == pytest.approx(10.0, abs=0.11)
    assert facts.frame_rate == pytest.approx(10.0, rel=0.02)
    assert (facts.width, facts.height) == (WIDTH, HEIGHT)
    assert facts.created is None


@pytest.mark.parametrize(
    ("text", "created"),
    [
        ("2026-03-02T10:00:00.000000Z", datetime(2026, 3, 2, 10, tzinfo=UTC)),
        ("2026-03-02T10:00:00+02:00", datetime(2026, 3, 2, 8, tzinfo=UTC)),
        ("1970-01-01T00:00:00Z", None),
        ("1904-01-01T00:00:00Z", None),
        ("yesterday", None),
    ],
)
def test_creation_time(tmp_path: Path, text: str, created: datetime | None) -> None:
    path = tmp_path / "video.mkv"
    with av.open(str(path), "w") as container:
        container.metadata["creation_time"] = text
        stream: Any = container.add_stream("libx264", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(1), "rgb24")))
        container.mux(stream.encode())
    assert probe(path).created == created


@pytest.mark.parametrize(("matrix", "turns"), [((0, 1, -1, 0), -1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)])
def test_telephone_recordings_are_turned_upright(tmp_path: Path, matrix: tuple[int, ...], turns: int) -> None:
    path = video(tmp_path, "mp4")
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44
    a, b, c, d = (value << 16 for value in matrix)
    data[at : at + 20] = struct.pack(">5i", a, b, 0, c, d)
    path.write_bytes(data)
    frame = next(frames(path, 3.0, 5.0, None))
    assert number_of(np.rot90(frame.image, -turns)) == UNSTEADY.index(round(frame.time_s, 3))
    facts = probe(path)
    assert frame.image.shape[:2] == (facts.height, facts.width)


STEADY = [i / 10 for i in range(150)]
CODECS = [
    ("libx264", "mp4", {}),
    ("libx264", "mkv", {"x26x": ":open-gop=1"}),
    ("libx264", "ts", {"x26x": ":open-gop=1"}),
    ("libx264", "avi", {"ticks": 10}),
    ("libx265", "mp4", {}),
    ("libx265", "mkv", {"x26x": ":open-gop=1"}),
    ("libx265", "ts", {"b_frames": 0}),
    ("mpeg4", "mp4", {}),
    ("mpeg4", "avi", {"ticks": 10, "b_frames": 0}),
    ("mjpeg", "mkv", {"b_frames": 0}),
    ("mjpeg", "avi", {"ticks": 10, "b_frames": 0}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("codec", "suffix", "options"), CODECS)
def test_what_is_left_undecoded_changes_nothing(
    tmp_path: Path, codec: str, suffix: str, options: dict[str, Any]
) -> None:
    """Every codec and container: each frame at its time, and the first of each slot, wherever reading starts."""
    path = tmp_path / f"video.{suffix}"
    times = STEADY if suffix == "avi" else UNSTEADY
    write_numbered(path, times, codec=codec, **{"gop": 20, "b_frames": 3} | options)
    assert read(path) == list(zip(times, range(150), strict=True))
    for fps in (2.0, 0.7):
        slots: dict[int, int] = {}
        for number, time_s in enumerate(times):
            slots.setdefault(int(time_s * fps + 1e-6), number)
        for threads in (0, 1):
            damage = Damage()
            pieces = [frames(path, i * 4.0, i * 4.0 + 4, fps, threads=threads, damage=damage) for i in range(5)]
            assert [number for piece in pieces for _, number in shown(piece)] == list(slots.values())
            assert damage.count == 0


@pytest.mark.parametrize(("codec", "suffix", "options"), [case for case in CODECS if case[0] != "mjpeg"])
def test_keyframes_alone(tmp_path: Path, codec: str, suffix: str, options: dict[str, Any]) -> None:
    path = tmp_path / f"video.{suffix}"
    times = STEADY if suffix == "avi" else UNSTEADY
    write_numbered(path, times, codec=codec, **{"gop": 20, "b_frames": 3} | options)
    whole = shown(frames(path, 0, FOREVER, 2.0, keyframes=True))
    assert 8 <= len(whole) <= 10  # MPEG-4's encoder adds some of its own
    assert all(times[number] == time_s for time_s, number in whole)
    damage = Damage()
    pieces = [shown(frames(path, i * 4.0, i * 4.0 + 4, 2.0, keyframes=True, damage=damage)) for i in range(5)]
    assert [frame for piece in pieces for frame in piece] == whole
    assert damage.count == 0


def test_where_every_frame_is_a_keyframe_two_a_second_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "video.avi"
    write_numbered(path, STEADY, codec="mjpeg", ticks=10, b_frames=0)
    numbers = [number for _, number in shown(frames(path, 0, FOREVER, 2.0, keyframes=True))]
    assert numbers == list(range(0, 150, 5))


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_a_recording_that_begins_late(tmp_path: Path, suffix: str) -> None:
    """As one cut out of a longer one: MP4 says so in an edit list."""
    path = tmp_path / f"late.{suffix}"
    write_numbered(path, [7.3 + time_s for time_s in UNSTEADY])
    assert read(path, fps=None) == list(zip(UNSTEADY, range(150), strict=True))
    assert read(path, 8.0, 9.0) == [(t, n) for n, t in enumerate(UNSTEADY) if 8 <= t < 9]


@pytest.mark.parametrize(("pixel", "size"), [("2/1", (2 * WIDTH, HEIGHT)), ("1/2", (WIDTH, 2 * HEIGHT))])
def test_pixels_that_are_not_square(tmp_path: Path, pixel: str, size: tuple[int, int]) -> None:
    path = tmp_path / "analogue.mkv"
    write_numbered(path, STEADY[:20], x26x=f":sar={pixel}")
    facts = probe(path)
    assert (facts.width, facts.height) == size
    for number, frame in enumerate(frames(path, 0, FOREVER, None)):
        assert frame.image.shape[1::-1] == size
        assert number_of(cv2.resize(frame.image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)) == number


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "mov"])
def test_time_counts_from_the_sound_where_it_begins_first(tmp_path: Path, suffix: str) -> None:
    """As players count; typical of what is copied from a stream, whose first picture waits for a keyframe."""
    path = tmp_path / f"sound.{suffix}"
    write_numbered(path, [1.5 + time_s for time_s in STEADY], sound_s=16.5)
    whole = list(frames(path, 0, FOREVER, None))
    late_s = whole[0].time_s
    assert late_s == pytest.approx(1.5, abs=0.07)  # sound begins with a frame of silence, which not all forms tell
    np.testing.assert_allclose([frame.time_s - late_s for frame in whole], STEADY, atol=1e-3)
    assert [number_of(frame.image) for frame in whole] == list(range(150))
    pieces = [read(path, i * 4.0, i * 4.0 + 4, 2.0) for i in range(5)]
    assert [frame for piece in pieces for frame in piece] == read(path, fps=2.0)
    assert probe(path).duration_s == pytest.approx(16.5, abs=0.2)


def test_sound_that_begins_later_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    write_numbered(path, STEADY, sound_s=5.0)
    assert read(path) == [(time_s, number) for number, time_s in enumerate(STEADY)]


def test_a_header_that_is_too_short_is_not_the_end(tmp_path: Path) -> None:
    path = tmp_path / "video.mkv"
    write_numbered(path, STEADY, b_frames=0)
    shorten_header(path, 6.0)
    with av.open(str(path)) as container:
        assert container.duration == 6_000_000
    assert probe(path).duration_s == pytest.approx(15.0, abs=0.01)


def shorten_header(path: Path, seconds: float) -> None:
    """Of a Matroska file: as a recorder leaves it that writes the length now and then."""
    data = bytearray(path.read_bytes())
    at = data.index(b"\x44\x89\x88") + 3
    data[at : at + 8] = struct.pack(">d", seconds * 1000)
    path.write_bytes(data)


@pytest.mark.parametrize("second_s", [0.0, 7.0, -4000.0])
def test_time_stamps_that_begin_anew_are_noticed(tmp_path: Path, second_s: float) -> None:
    """Two recordings, the later one set back; FFmpeg takes one that is set back far for one that goes on."""
    one, two, both = tmp_path / "one.ts", tmp_path / "two.ts", tmp_path / "both.ts"
    write_numbered(one, [5000 + time_s for time_s in UNSTEADY])
    write_numbered(two, [5000 + second_s + time_s for time_s in UNSTEADY])
    both.write_bytes(one.read_bytes() + two.read_bytes())
    assert [begins_anew(path) for path in (one, two, both)] == [False, False, True]


def test_no_keyframe_is_decoded_beyond_the_end(tmp_path: Path) -> None:
    """A decoder would stumble over each."""
    path = tmp_path / "video.mkv"
    write_numbered(path, STEADY, codec="mjpeg", b_frames=0)
    _blank(path, [(begin, size) for begin, size, time_s in _key_packets(path) if time_s >= 4.0])
    for start_s, decoded, damaged in ((0.0, 40, 0), (4.0, 0, 40)):
        damage = Damage()
        assert len(list(frames(path, start_s, start_s + 4, None, keyframes=True, damage=damage))) == decoded
        assert damage.count == damaged


def test_no_frame_that_can_be_decoded(tmp_path: Path) -> None:
    path = tmp_path / "video.mkv"
    write_numbered(path, STEADY[:30], b_frames=0)
    _blank(path, [(begin, size) for begin, size, _ in _key_packets(path)])
    with pytest.raises(UserError, match=r"^video\.mkv: no frame in it can be decoded$"):
        probe(path)


def _blank(path: Path, packets: Sequence[tuple[int, int]]) -> None:
    data = bytearray(path.read_bytes())
    for begin, size in packets:
        data[begin + 8 : begin + size] = bytes(size - 8)
    path.write_bytes(data)
