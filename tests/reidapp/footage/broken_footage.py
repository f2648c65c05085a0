"""Hundreds of broken recordings, drawn from a few good ones; and a process that indexes them, as a module to run."""

import io
import json
import random
import struct
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
from PIL import Image

from tests.small_gallery import FPS, ColourEmbedder, ShirtDetector, Walk, frame_at

SECONDS = 5
FORMS = {".mp4": "libx264", ".mkv": "libx264", ".ts": "libx264", ".avi": "mjpeg"}
_WALKS = [Walk("red", 0.5, 4.5, 0.1, 0.9), Walk("blue", 1, 4, 0.9, 0.2)]

# Names in many scripts, with signs that shells, URLs, FFmpeg, SQL and pages take for their own.
NAMES = [
    "приход", "入口カメラ", "كاميرا المدخل", "מצלמה", "กล้องหน้า", "कैमरा", "αυλή", "Überwachung", "ñandú", "e\u0301clair",
    "👩‍🚒🚪", "\u202egate", "-rf", "--json", "two\nlines", "tab\there", "a'b", 'say "hi"', "$(reboot)", "`id`", "50%d",
    "a?b#c", "semi;colon", "pipe|pipe", "back\\slash", "<b>bold", "[red]", "*", "~", " leading", "trailing ",
    "..hidden", "file:x", "concat:a", "http:__x", "n" * 200, "長" * 70, "NUL", "{camera}", "&amp;", "\x07bell",
    "\x1b[31mred",
]  # fmt: skip


def write_good(folder: Path) -> list[Path]:
    """One small recording in each form; two people walk through it."""
    folder.mkdir(parents=True)
    paths = []
    for number, (suffix, codec) in enumerate(FORMS.items()):
        paths.append(folder / f"2026-03-02_1{number}-00-00{suffix}")
        with av.open(str(paths[-1]), "w", options={"movflags": "faststart"} if suffix == ".mp4" else {}) as container:
            stream: Any = container.add_stream(codec, rate=FPS, options={"g": str(FPS), "threads": "1"})
            stream.width, stream.height, stream.pix_fmt = 240, 136, "yuvj420p" if codec == "mjpeg" else "yuv420p"
            for i in range(SECONDS * FPS):
                image = Image.fromarray(frame_at(_WALKS, i / FPS)).resize((240, 136))
                container.mux(stream.encode(av.VideoFrame.from_image(image)))
            container.mux(stream.encode())
    return paths


def write_broken(folder: Path, good: list[Path], count: int, seed: int) -> dict[str, str]:
    """Damaged copies of good recordings: {path below the folder: what was done to it}."""
    draw = random.Random(seed)
    folder.mkdir(parents=True)
    done = {}
    for number in range(count):
        original = draw.choice(good)
        way = list(_WAYS)[number % len(_WAYS)]
        whole = original.read_bytes()
        data = _WAYS[way](bytearray(whole), original.suffix, draw)
        if data == whole:  # nothing of what was to be damaged is in this form
            data = _truncated(bytearray(whole), original.suffix, draw)
        name = f"{draw.choice(NAMES)}{number}" if number % 2 else f"{way} {number}"
        (folder / f"{name}{original.suffix}").write_bytes(data)
        done[f"{name}{original.suffix}"] = way
    return done


def _truncated(data: bytearray, suffix: str, draw: random.Random) -> bytes:
    return bytes(data[: (draw.randrange(1, len(data)) - 1) | 1])  # odd: between two of its packets, a stream is whole


def _flipped(first: Callable[[int], int], last: Callable[[int], int], most: int) -> "_Way":
    def way(data: bytearray, suffix: str, draw: random.Random) -> bytes:
        for _ in range(draw.randint(1, most)):
            data[draw.randrange(first(len(data)), last(len(data)))] ^= 1 << draw.randrange(8)
        return bytes(data)

    return way


def _zeroed(data: bytearray, suffix: str, draw: random.Random) -> bytes:
    start = draw.randrange(len(data))
    length = min(len(data) - start, draw.choice([16, 512, 4096]))
    data[start : start + length] = bytes(length)
    return bytes(data)


def _moved(data: bytearray, suffix: str, draw: random.Random) -> bytes:
    """A part is lost, or there twice."""
    a, b = sorted(draw.randrange(len(data)) for _ in range(2))
    return bytes(data[:a] + data[b:]) if draw.random() < 0.5 else bytes(data[:b] + data[a:])


def _something_else(data: bytearray, suffix: str, draw: random.Random) -> bytes:
    """A picture, a text, an archive, noise, or a list of other files, under a video's name."""
    buffer = io.BytesIO()
    kind = draw.randrange(7)
    if kind < 3:
        Image.new("RGB", (64, 64), (draw.randrange(256), 0, 0)).save(buffer, ["PNG", "JPEG", "GIF"][kind])
    elif kind == 3:
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(f"{draw.random()}.txt", "text " * 500)
    elif kind == 4:
        buffer.write(f"#EXTM3U\n#EXTINF:9,\nhttp://127.0.0.1:9/{draw.random()}.ts\n#EXT-X-ENDLIST\n".encode())
    elif kind == 5:
        buffer.write(f"ffconcat version 1.0\nfile 'good{draw.randrange(9)}.mp4'\n".encode())
    else:
        buffer.write(draw.randbytes(draw.randrange(1, 50_000)))
    return buffer.getvalue()


def _empty(data: bytearray, suffix: str, draw: random.Random) -> bytes:
    return b""


def _absurd(data: bytearray, suffix: str, draw: random.Random) -> bytes:
    """A header that says what cannot be: sizes, lengths, rates, numbers of samples."""
    values = [0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]
    if suffix == ".mp4":
        box = draw.choice(
            [b"tkhd", b"mvhd", b"mdhd", b"stts", b"stsz", b"stsc", b"stco", b"avc1", b"ctts", b"elst", b"stss"]
        )
        at = data.find(box) + 4
        if at > 3:
            size = struct.unpack(">I", data[at - 8 : at - 4])[0] - 8
            word = draw.randrange(max(1, size // 4)) if box != b"avc1" else 6
            data[at + 4 * word : at + 4 * word + 4] = struct.pack(">I", draw.choice(values))
    elif suffix == ".avi" and draw.random() < 0.3:  # a size in the frames that the header does not have
        data = data.replace(struct.pack(">BHH", 8, 136, 240), struct.pack(">BHH", 8, 65_500, 65_500))
    elif suffix == ".avi":
        at = data.find(draw.choice([b"avih", b"strh", b"strf"])) + 8 + 4 * draw.randrange(12)
        data[at : at + 4] = struct.pack("<I", draw.choice(values))
    elif suffix == ".mkv":
        # Duration, TimecodeScale, PixelWidth, PixelHeight, DefaultDuration, a cluster's Timecode
        ids = [b"\x44\x89\x88", b"\x2a\xd7\xb1\x83", b"\xb0\x81", b"\xba\x81", b"\x23\xe3\x83\x84", b"\xe7\x81"]
        mark = draw.choice(ids)
        if (at := data.find(mark)) > 0:
            at += len(mark)
            width = mark[-1] & 0x0F
            data[at : at + width] = draw.choice([bytes(width), b"\xff" * width, b"\x7f" + b"\xf0" * (width - 1)])
    else:
        for packet in range(0, len(data) - 188, 188):  # time stamps of some packets
            if data[packet + 1] & 0x40 and draw.random() < 0.3:
                at = data.find(b"\x00\x00\x01\xe0", packet, packet + 188)
                data[at + 9 : at + 14] = draw.randbytes(5)
    return bytes(data)


_Way = Callable[[bytearray, str, random.Random], bytes]
_WAYS: dict[str, _Way] = {
    "truncated": _truncated,
    "header": _flipped(lambda n: 0, lambda n: min(n, 1500), 8),
    "absurd": _absurd,
    "tail": _flipped(lambda n: n - min(n, 3000), lambda n: n, 8),
    "body": _flipped(lambda n: 0, lambda n: n, 400),
    "absurd too": _absurd,
    "zeroed": _zeroed,
    "moved": _moved,
    "something else": _something_else,
    "absurd again": _absurd,
    "empty": _empty,
}


def main() -> None:
    """Index a folder into a gallery with the detector of flat shirts; print what came of it, and the most memory."""
    from reidapp.footage.indexing import find_footage, index_footage
    from reidapp.footage.pipeline import peak_memory_mb
    from reidapp.gallery.store import Gallery
    from reidapp.settings import IndexSettings

    footage, folder = Path(sys.argv[1]), Path(sys.argv[2])
    settings = IndexSettings(zone="UTC")
    embedder = ColourEmbedder()
    gallery = Gallery.create(folder, Path(__file__), embedder.card, embedder.identity)
    began = time.monotonic()
    report = index_footage(find_footage(footage, settings), gallery, embedder, ShirtDetector(), settings)
    print(json.dumps({**report.to_dict(), "most_mb": peak_memory_mb(), "seconds": time.monotonic() - began}))


if __name__ == "__main__":
    main()
