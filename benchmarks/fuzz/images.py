"""Pictures that are given to search with, by the API."""

import io
import random
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from fastapi.testclient import TestClient
from PIL import Image

from benchmarks.fuzz.harness import FirstParserError, Reader
from benchmarks.fuzz.mutation import bytes_changed
from reidapp.footage.detection import Detection
from reidapp.server.app import build_app
from reidapp.server.service import SearchService
from tests.small_gallery import ColourEmbedder, make_gallery

_PNG = b"\x89PNG\r\n\x1a\n"
_FORMS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("RGB", "JPEG", {"quality": 80}), ("RGB", "JPEG", {"progressive": True}), ("L", "JPEG", {}), ("CMYK", "JPEG", {}),
    ("RGB", "PNG", {}), ("RGBA", "PNG", {}), ("P", "PNG", {"transparency": 3}), ("I;16", "PNG", {}), ("1", "PNG", {}),
    ("RGB", "WEBP", {}), ("RGBA", "WEBP", {"lossless": True}), ("RGB", "BMP", {}), ("P", "BMP", {}), ("1", "BMP", {}),
    ("RGB", "TIFF", {"compression": "tiff_lzw"}), ("RGB", "TIFF", {"compression": "jpeg"}), ("I;16", "TIFF", {}),
    ("CMYK", "TIFF", {}), ("1", "TIFF", {"compression": "group4"}), ("F", "TIFF", {}), ("P", "GIF", {}),
)  # fmt: skip


class Images(Reader):
    """An input is the body of POST /queries."""

    code: ClassVar = {
        "reidapp.imaging": ("read_image", "_open", "_rgb"),
        "reidapp.server.media": ("take_query", "send_query", "preview"),
        "reidapp.query": ("read_query",),
    }
    first_parser: ClassVar = "Pillow knows the format and reads its header"
    most_mb: ClassVar = 1500.0  # 50 megapixels, twice as RGB while they are turned, and in Pillow's own form

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        service = SearchService(
            make_gallery(Path(tempfile.mkdtemp(dir=folder)), empty=True), ColourEmbedder(), _Nobody()
        )
        self.client = TestClient(build_app(service), base_url="http://127.0.0.1")
        self.begun = False

    def seeds(self) -> list[bytes]:
        pixels = np.random.default_rng(0).integers(0, 256, (40, 24, 3), np.uint8)
        picture, seeds = Image.fromarray(pixels), []
        for mode, form, options in _FORMS:
            buffer = io.BytesIO()
            grey = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257) if mode == "I;16" else picture.convert("L")
            of_mode = grey if mode == "I;16" else grey.convert("F") if mode == "F" else picture.convert(mode)
            of_mode.save(buffer, form, **options)
            seeds.append(buffer.getvalue())
        for turned in (3, 6, 8):
            exif, buffer = Image.Exif(), io.BytesIO()
            exif[0x0112] = turned
            picture.save(buffer, "JPEG", exif=exif)
            seeds.append(buffer.getvalue())
        for form in ("GIF", "WEBP", "PNG", "TIFF"):
            buffer = io.BytesIO()
            picture.save(buffer, form, save_all=True, append_images=[picture.rotate(90)])
            seeds.append(buffer.getvalue())
        return seeds

    def changed(self, data: bytes, other: bytes, draw: random.Random) -> bytes:
        if data.startswith(_PNG) and draw.random() < 0.8:
            return _png_changed(data, other, draw)
        # What tells the format stays, in most.
        return bytes_changed(data, other, draw, first=draw.choice((0, 4, 12, 12, 16, 30)))

    def read(self, data: bytes) -> bool:
        if not self.begun:
            self.client.__enter__()  # one loop for all requests, whose thread begins where lines are noted
            self.begun = True
        answer = self.client.post("/api/v1/queries", content=data)
        told = answer.json()
        if answer.status_code == 200:
            shown = self.client.get(told["url"])
            assert (shown.status_code, shown.headers["content-type"]) == (200, "image/jpeg"), shown.text
            return True
        assert (answer.status_code, set(told)) == (422, {"error"}), answer.text
        assert "\n" not in told["error"]
        if "not an image" in told["error"]:
            raise FirstParserError(told["error"])
        return True


class _Nobody:
    """A detector that finds nobody, and takes no time for it."""

    provider = "none"

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Detection]]:
        return [[] for _ in frames]


def _png_changed(data: bytes, other: bytes, draw: random.Random) -> bytes:
    """A PNG with changed chunks, whose checksums hold."""
    chunks, at = [], len(_PNG)
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    for _ in range(draw.randint(1, 3)):
        if not chunks:
            break
        place, way = draw.randrange(len(chunks)), draw.randrange(6)
        kind, content = chunks[place]
        if way == 0 and place:
            chunks.pop(place)
        elif way == 1:
            chunks.insert(draw.randrange(len(chunks) + 1), (kind, content))
        elif way == 2:
            kinds = (b"tRNS", b"PLTE", b"iCCP", b"eXIf", b"zTXt", b"iTXt", b"gAMA", b"acTL", b"fcTL", b"fdAT", b"tEXt")
            chunks.insert(min(1, len(chunks)), (draw.choice(kinds), bytes_changed(content[:64], other, draw)))
        elif way == 3 and kind == b"IDAT":
            try:
                raw = zlib.decompress(content)
            except zlib.error:
                raw = content
            chunks[place] = kind, zlib.compress(bytes_changed(raw, other, draw))
        else:
            chunks[place] = kind, bytes_changed(content, other, draw, most=2)
    parts = (
        len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")
        for kind, content in chunks
    )
    return _PNG + b"".join(parts)
