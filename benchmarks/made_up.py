"""Made-up embeddings, as many as wanted, and galleries filled with them: how a search costs as it grows.

Two kinds of rows:

    people    a centre per person, noise per tracklet and crop; energy in direction i ∝ exp(−16 i / D), turned. The
              shipped model's on generated people falls like that: 5 % is beyond D / 8 directions, 0.8 % beyond D / 4
    random    uniform on the sphere: no structure at all
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
from sqlalchemy import insert
from sqlalchemy.orm import Session

from reidapp.gallery import schema, vectors
from reidapp.gallery.facts import utc
from reidapp.gallery.store import Gallery
from reidapp.gallery.writer import next_generation
from reidapp.model_card import ModelCard

MODEL = "be" * 32
CAMERAS, DAYS, CHUNK, TRACKLET = 20, 30, 50, 5  # rows of a chunk, and of a tracklet
START_MS = 20_000 * 86_400_000
NOISE = (0.7, 0.4)  # of tracklets and of crops, people being 1


class MadeUp:
    """Made-up embeddings, the same each time: float32 unit rows.

    Args:
        rows: how many.
        axes: float32 ``[K, D]``, orthonormal; along them people, their tracklets and crops differ.
        spectrum: ``[K]``, how much.
        noise: of tracklets and of crops, people being 1.
        mean: ``[D]``, of all.
    """

    def __init__(
        self,
        rows: int,
        axes: np.ndarray,
        spectrum: np.ndarray,
        noise: tuple[float, float],
        mean: np.ndarray | float = 0.0,
    ) -> None:
        self.rows, self.people, self.dim = rows, max(rows // 100, 1), axes.shape[1]
        self.axes, self.spectrum, self.noise, self.mean = axes, spectrum, noise, mean

    @classmethod
    def of_kind(cls, kind: str, dim: int, rows: int) -> Self:
        """``people`` or ``random``, see above."""
        axes = np.linalg.qr(np.random.default_rng(0).standard_normal((dim, dim)))[0].astype(np.float32)
        if kind == "people":
            return cls(rows, axes, np.exp(-8 * np.arange(dim) / dim), NOISE)
        return cls(rows, axes, np.ones(dim), (0.0, 1e3))

    @classmethod
    def like(cls, embeddings: np.ndarray, rows: int) -> Self:
        """With the mean, the directions and the energies of real ones, float32 ``[N, D]``."""
        mean = embeddings.mean(axis=0)
        _, energies, axes = np.linalg.svd(embeddings - mean, full_matrices=False)
        share = np.sqrt(1 + NOISE[0] ** 2 + NOISE[1] ** 2)  # people's, of all
        return cls(rows, axes, energies / np.sqrt(len(embeddings)) / share, NOISE, mean)

    def blocks(self) -> Iterator[np.ndarray]:
        """All rows in order, ``CHUNK`` · 100 at a time."""
        for start in range(0, self.rows, CHUNK * 100):
            count = min(CHUNK * 100, self.rows - start)
            rng = np.random.default_rng([1, start])
            people = rng.integers(0, self.people, -(-count // TRACKLET))
            yield self._pictures(people, rng)[:count]

    def queries(self, count: int) -> np.ndarray:
        """Every second one shows a person who is not there."""
        rng = np.random.default_rng(2)
        people = rng.integers(0, self.people, count) + np.arange(count) % 2 * self.people
        return self._pictures(people, rng)[::TRACKLET]

    def _pictures(self, people: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        size = len(self.axes)
        centres = np.stack([np.random.default_rng([3, person]).standard_normal(size) for person in people])
        tracklets = np.repeat(centres + self.noise[0] * rng.standard_normal(centres.shape), TRACKLET, axis=0)
        rows = ((tracklets + self.noise[1] * rng.standard_normal(tracklets.shape)) * self.spectrum).astype(np.float32)
        rows = rows @ self.axes + self.mean
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def make_gallery(made_up: MadeUp, folder: Path) -> Gallery:
    """With rows of a model that is made up, too."""
    model = folder / "model.onnx"
    model.write_bytes(b"stands for a model")
    gallery = Gallery.create(folder / "gallery", model, ModelCard("made up", "1", 128, 64, made_up.dim), MODEL)
    fill(gallery, made_up)
    return gallery


def fill(gallery: Gallery, made_up: MadeUp) -> None:
    """Chunk after chunk on the cameras and days in turn; a block of rows is one camera's day, or a part of it."""
    rows: dict[type[schema.Base], list[dict[str, Any]]] = {}
    ends: dict[str, int] = {}
    with Session(gallery.engine) as session, session.begin():
        session.execute(
            insert(schema.Camera), [{"id": n, "name": f"camera {n}", "zone": "UTC"} for n in range(CAMERAS)]
        )
        session.execute(insert(schema.Video), [_video(n) for n in range(CAMERAS * DAYS)])
        for number, embeddings in enumerate(made_up.blocks()):
            video = number % (CAMERAS * DAYS)
            day = utc(START_MS + video // CAMERAS * 86_400_000).strftime("%Y-%m-%d")
            path = vectors.shard_path(gallery.path, gallery.model_id, day)
            path.parent.mkdir(parents=True, exist_ok=True)
            stored = embeddings.astype("<f2")
            with path.open("ab") as shard:
                shard.write(stored.tobytes())
            rows = {table: [] for table in (schema.Chunk, schema.Tracklet, schema.Crop, schema.Block)}
            for part in range(0, len(embeddings), CHUNK):
                block = stored[part : part + CHUNK]
                place = (gallery.model_id, day, ends.get(day, 0))
                _add_chunk(rows, number * 100 + part // CHUNK, video, place, block)
                ends[day] = ends.get(day, 0) + len(block)
            for table, new in rows.items():
                session.execute(insert(table), new)
        next_generation(session)


def _video(number: int) -> dict[str, Any]:
    start = START_MS + number // CAMERAS * 86_400_000
    return {
        "id": f"{number:016x}", "camera_id": number % CAMERAS, "path": f"/none/{number}.mp4", "size": 1, "mtime_ns": 1,
        "written": utc(start).isoformat(), "start_ms": start, "start_source": "name", "duration_s": 86_400.0,
        "width": 1920, "height": 1080, "settings": {}, "done": True,
    }  # fmt: skip


def _add_chunk(
    rows: dict[type[schema.Base], list[dict[str, Any]]],
    number: int,
    video: int,
    place: tuple[str, str, int],
    block: np.ndarray,
) -> None:
    (model_id, day, first_row), count = place, len(block)
    chunk = schema.identifier("chunk", number)
    of_video = number // 100 // (CAMERAS * DAYS) * 100 + number % 100
    at = of_video * 60.0
    rows[schema.Chunk].append(
        {"id": chunk, "video_id": f"{video:016x}", "number": of_video, "frames": 1, "detections": count}
    )
    rows[schema.Block].append(
        {
            "chunk_id": chunk,
            "model_id": model_id,
            "day": day,
            "first_row": first_row,
            "rows": count,
            "sha256": hashlib.sha256(block.data).hexdigest(),
        }
    )
    for position in range(count):
        tracklet = f"{number * 64 + position // TRACKLET:016x}"
        if position % TRACKLET == 0:
            rows[schema.Tracklet].append(
                {
                    "id": tracklet,
                    "chunk_id": chunk,
                    "start_s": at,
                    "end_s": at + 5.0,
                    "path": [[at, 0.1, 0.1, 0.2, 0.5]],
                }
            )
        rows[schema.Crop].append(
            {
                "id": f"{number * 64 + position + 1:016x}",
                "tracklet_id": tracklet,
                "chunk_id": chunk,
                "position": position,
                "time_s": at,
                "x1": 0.1,
                "y1": 0.1,
                "x2": 0.2,
                "y2": 0.5,
                "quality": 0.5,
            }
        )
