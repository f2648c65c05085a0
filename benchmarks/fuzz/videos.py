"""Recordings: what indexing, the server's clips and single pictures do with them."""

import random
from pathlib import Path
from typing import Any, ClassVar

import av
import numpy as np

from benchmarks.fuzz.harness import FirstParserError, Reader
from benchmarks.fuzz.mutation import bytes_changed
from reidapp.errors import UserError
from reidapp.footage import decoding
from reidapp.footage.clips import write_clip
from reidapp.footage.decoding import Damage, VideoFacts

_FORMS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("mp4", "libx264", {"movflags": "faststart"}), ("mp4", "libx264", {"movflags": "frag_keyframe+empty_moov"}),
    ("matroska", "libx264", {}), ("matroska", "mjpeg", {}), ("mpegts", "libx264", {}), ("mpegts", "mpeg2video", {}),
    ("avi", "mjpeg", {}), ("avi", "mpeg4", {}), ("mov", "mpeg4", {}), ("mpeg", "mpeg2video", {}),
    ("mp4", "libx265", {}),
)  # fmt: skip
_FPS, _SECONDS = 4, 4


class Videos(Reader):
    """An input is a file, whatever it is called."""

    code: ClassVar = {"reidapp.footage.decoding": (), "reidapp.footage.clips": ()}
    first_parser: ClassVar = "FFmpeg knows the container, and finds a picture of some size in it"
    most_mb: ClassVar = 1500.0  # a frame of 50 megapixels, as it is decoded and as RGB

    def seeds(self) -> list[bytes]:
        return [_recording(self.folder / "made", form, codec, options) for form, codec, options in _FORMS]

    def changed(self, data: bytes, other: bytes, draw: random.Random) -> bytes:
        # Containers begin with what tells their kind, and MP4 with its index, in which most numbers are.
        first = draw.choice((0, 16, 48, 200, len(data) // 2))
        return bytes_changed(data, other, draw, first=min(first, len(data) - 1), most=draw.choice((2, 6, 60)))

    def read(self, data: bytes) -> bool:
        path = self.folder / "recording.mp4"
        path.write_bytes(data)
        try:
            facts = decoding.probe(path)
        except UserError as refusal:
            if "not a video that can be read" in str(refusal) or "has no video" in str(refusal):
                raise FirstParserError(str(refusal)) from refusal
            raise
        self._look(path, facts)
        return True

    def _look(self, path: Path, facts: VideoFacts) -> None:
        decoding.lacks_bytes(path)
        decoding.begins_anew(path)
        end_s = min(decoding.readable_s(path, facts), 20.0)
        for start_s, fps, keyframes in ((0.0, 2.0, False), (1.0, None, False), (0.0, 2.0, True)):
            for frame in decoding.frames(path, start_s, end_s, fps, keyframes, threads=1, damage=Damage()):
                assert frame.image.dtype == np.uint8
                assert frame.image.ndim == 3
                assert start_s - 1e-5 <= frame.time_s < end_s
        clip = self.folder / "clip.mp4"
        write_clip(path, clip, 0.0, min(end_s, 2.0))
        assert clip.stat().st_size


def _recording(path: Path, form: str, codec: str, options: dict[str, str]) -> bytes:
    """Something that moves, 64 × 48, a keyframe each second; in MP4 with sound."""
    with av.open(str(path), "w", format=form, options=options) as container:
        rate = 25 if codec == "mpeg2video" else _FPS
        ways = {"bf": "2"} if codec == "libx264" else {}
        stream: Any = container.add_stream(codec, rate=rate, options={"g": str(_FPS), "threads": "1", **ways})
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if codec == "libx265":
            stream.options = {"x265-params": "log-level=none"}
        sound: Any = container.add_stream("aac", rate=8000) if form == "mp4" and codec == "libx264" else None
        for number in range(rate * _SECONDS if rate == _FPS else 12):
            image = np.full((48, 64, 3), 90, np.uint8)
            image[10:30, number * 3 % 50 : number * 3 % 50 + 12] = (200, 40, 40)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        if sound:
            wave = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
            wave.sample_rate, wave.pts = 8000, 0
            container.mux(sound.encode(wave))
            container.mux(sound.encode())
        container.mux(stream.encode())
    return path.read_bytes()
