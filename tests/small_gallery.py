"""A gallery made in no time, for tests of what stands on galleries: flat figures in plain colours, no real model.

Each person is a shirt colour; the embedding is a colour histogram, and the detector finds the shirts. What the
footage shows is therefore known exactly. It is drawn and packed once in a process, and stored as often as it is asked
for.
"""

import functools
import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from PIL import Image

from reidapp.box import Box
from reidapp.footage.detection import Detection
from reidapp.gallery import schema
from reidapp.gallery.facts import PathPoint
from reidapp.gallery.store import Gallery
from reidapp.gallery.writer import NewChunk, NewCrop, NewTracklet
from reidapp.imaging import cut, encode_crop
from reidapp.model_card import ModelCard
from reidapp.server.service import SearchService

HEIGHT, WIDTH, FPS, SECONDS = 270, 480, 10, 14
SHIRTS = {"red": (200, 40, 40), "green": (40, 160, 60), "blue": (50, 70, 210), "yellow": (225, 190, 40)}
HOSTILE = 'Yard <b>"2"</b> & ${1+1}'
START = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


@dataclass(frozen=True)
class Walk:
    """A person who crosses the picture: there from ``start_s`` to ``end_s``, ``left`` to ``right`` (centre, 0..1)."""

    shirt: str
    start_s: float
    end_s: float
    left: float
    right: float

    def box(self, time_s: float) -> Box:
        share = (time_s - self.start_s) / (self.end_s - self.start_s)
        x = self.left + share * (self.right - self.left)
        return Box(x - 0.05, 0.25, x + 0.05, 0.9)


FOOTAGE = {
    ("Gate", "Europe/Berlin"): [Walk("red", 1, 6, 0.1, 0.9), Walk("green", 5, 13, 0.9, 0.2)],
    (HOSTILE, "Europe/Berlin"): [Walk("red", 7, 13, 0.2, 0.8), Walk("blue", 2, 8, 0.8, 0.1)],
    ("Hall", "Asia/Tokyo"): [Walk("yellow", 1, 7, 0.15, 0.85), Walk("red", 8, 13, 0.9, 0.3)],
}


class ColourEmbedder:
    """Histogram of hue and brightness."""

    card = ModelCard("colours", "1", 64, 32, 64)
    identity = "c0" * 32
    provider = "numpy"

    def embed(self, crops: Sequence[np.ndarray], camera: str | None = None) -> np.ndarray:
        rows = [np.histogramdd(crop.reshape(-1, 3), bins=4, range=[(0, 256)] * 3)[0].ravel() for crop in crops]
        embeddings = np.sqrt(np.array(rows, np.float32).reshape(len(crops), 64))
        return embeddings / (np.linalg.norm(embeddings, axis=1, keepdims=True) + 1e-9)


class ShirtDetector:
    """Finds the figures of this file: a person hangs on each patch of a shirt's colour."""

    provider = "opencv"

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Detection]]:
        return [[d for shirt in SHIRTS.values() for d in self._find(frame, shirt)] for frame in frames]

    @staticmethod
    def _find(frame: np.ndarray, shirt: tuple[int, int, int]) -> list[Detection]:
        height, width = frame.shape[:2]
        near = (np.abs(frame.astype(np.int16) - np.array(shirt, np.int16)).max(2) < 40).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(near)
        found = []
        for x, y, w, h, area in stats[1:]:
            if area > 100:
                top, bottom = y - 0.55 * h, y + 2.1 * h  # head above, legs below
                found.append(Detection(Box(x / width, top / height, (x + w) / width, bottom / height).clipped(), 0.9))
        return found


def frame_at(walks: Sequence[Walk], time_s: float) -> np.ndarray:
    """RGB uint8 ``[270, 480, 3]``: whoever is there at a time."""
    frame = np.full((HEIGHT, WIDTH, 3), (150, 152, 150), np.uint8)
    frame[HEIGHT * 3 // 5 :] = (118, 116, 112)
    for walk in walks:
        if walk.start_s <= time_s <= walk.end_s:
            x1, y1, x2, y2 = walk.box(time_s).pixels(HEIGHT, WIDTH)
            h, middle = y2 - y1, (x1 + x2) // 2
            cv2.circle(frame, (middle, y1 + h // 10), h // 11, (214, 172, 140), -1)
            cv2.rectangle(frame, (x1, y1 + h // 5), (x2, y1 + h * 11 // 20), SHIRTS[walk.shirt], -1)
            cv2.rectangle(frame, (x1 + 6, y1 + h * 11 // 20), (x2 - 6, y2), (52, 56, 66), -1)
    return frame


def write_video(path: Path, frames: Sequence[np.ndarray]) -> None:
    """H.264 in MP4, with the index in front, as browsers like it."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream: Any = container.add_stream("libx264", rate=FPS, options={"g": str(FPS), "crf": "20"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode())


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def query_crop(shirt: str) -> np.ndarray:
    """A picture of one person, as somebody would cut it out."""
    walk = Walk(shirt, 0, 1, 0.5, 0.5)
    return cut(frame_at([walk], 0.5), walk.box(0.5)).copy()


def make_gallery(folder: Path, empty: bool = False) -> Gallery:
    """A gallery of `FOOTAGE`, with its recordings beside it."""
    embedder = ColourEmbedder()
    model = folder / "colours.onnx"
    model.write_bytes(b"stands for a model")
    gallery = Gallery.create(folder / "gallery", model, embedder.card, embedder.identity)
    if not empty:
        fill(gallery, folder)
    return gallery


def fill(gallery: Gallery, folder: Path) -> None:
    """Index `FOOTAGE`, whose recordings are written into a folder."""
    with gallery.writing() as writer:
        for number, (camera, zone) in enumerate(FOOTAGE):
            path = folder / f"<i>{number}&.mp4"
            path.write_bytes(_recording(camera, zone))
            video_id = schema.identifier("video", number)
            start = START + timedelta(minutes=number)
            row = schema.Video(
                id=video_id,
                path=str(path),
                size=path.stat().st_size,
                mtime_ns=path.stat().st_mtime_ns,
                start_ms=int(start.timestamp() * 1000),
                start_source="name",
                duration_s=SECONDS,
                width=WIDTH,
                height=HEIGHT,
                settings={},
                done=True,
                note=None,
            )
            writer.add_video(camera, zone, row)
            writer.add_chunk(video_id, _chunk(camera, zone))


def make_service(folder: Path, empty: bool = False) -> SearchService:
    return SearchService(make_gallery(folder, empty), ColourEmbedder(), ShirtDetector())


@functools.cache
def _recording(camera: str, zone: str) -> bytes:
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        write_video(Path(file.name), [frame_at(FOOTAGE[camera, zone], i / FPS) for i in range(SECONDS * FPS)])
        return Path(file.name).read_bytes()


@functools.cache
def _chunk(camera: str, zone: str) -> NewChunk:
    tracklets, crops = [], []
    for walk in FOOTAGE[camera, zone]:
        times = np.arange(walk.start_s, walk.end_s + 0.01, 0.5)
        best = float(times[len(times) // 2])
        crop = cut(frame_at([walk], best), walk.box(best))
        crops.append(crop)
        shot = NewCrop(best, walk.box(best), 0.9, encode_crop(crop))
        tracklets.append(NewTracklet([PathPoint(float(t), walk.box(float(t))) for t in times], [shot]))
    return NewChunk(0, 0.0, SECONDS * 2, 20, float(SECONDS), tracklets, ColourEmbedder().embed(crops))


def make_crowd(folder: Path, people: int = 16, shots: int = 4) -> Gallery:
    """Two cameras that saw the same people side by side, embedded by the shipped model: enough to adapt, and calibrate.

    There are no recordings to it.
    """
    from models import zoo
    from reidapp.embedding import Embedder

    embedder = Embedder(zoo.path_of(zoo.DEFAULT))
    gallery = Gallery.create(folder / "gallery", embedder.path, embedder.card, embedder.identity)
    with gallery.writing() as writer:
        for camera, name in enumerate(("Gate", "Hall")):
            row = schema.Video(
                id=schema.identifier(name), path=f"/none/{name}.mp4", size=1_000_000, mtime_ns=1, start_source="name",
                start_ms=int((START + timedelta(minutes=camera)).timestamp() * 1000), duration_s=60.0, width=WIDTH,
                height=HEIGHT, settings={}, done=True, note=None,
            )  # fmt: skip
            writer.add_video(name, "Europe/Berlin", row)
            tracklets, crops = [], []
            for person in range(people):
                box = Box(person / people, 0.2, (person + 0.8) / people, 0.8)
                seen = [_passer(person, shot, camera) for shot in range(shots)]
                best = [NewCrop(float(shot), box, 0.9, encode_crop(crop)) for shot, crop in enumerate(seen)]
                tracklets.append(NewTracklet([PathPoint(0.0, box), PathPoint(float(shots), box)], best))
                crops += seen
            vectors = embedder.embed(crops, name)
            writer.add_chunk(row.id, NewChunk(0, 0.0, shots, len(crops), 60.0, tracklets, vectors))
    return gallery


def _passer(person: int, shot: int, camera: int) -> np.ndarray:
    """RGB uint8 ``[128, 48, 3]``: a figure in clothes of its own, a little different each time, in a camera's light."""
    shirt, trousers = np.random.default_rng(person).integers(20, 236, (2, 3)).tolist()
    rng = np.random.default_rng((person, shot, camera))
    image, middle = np.full((128, 48, 3), (150, 152, 150), np.uint8), 24 + int(rng.integers(-3, 4))
    cv2.circle(image, (middle, 15), 10, (214, 172, 140), -1)
    cv2.rectangle(image, (middle - 13, 27), (middle + 13, 70), shirt, -1)
    cv2.rectangle(image, (middle - 9, 71), (middle + 9, 124), trousers, -1)
    seen = image * (1.0, 0.75)[camera] + rng.normal(0, 8, image.shape)
    return seen.clip(0, 255).astype(np.uint8)
