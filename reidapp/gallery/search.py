"""Exact search: embeddings → rows → tracklets, each once, best first."""

import threading
import time
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from reidapp.box import Box
from reidapp.embedding import Embeds
from reidapp.errors import UserError
from reidapp.gallery import schema, vectors
from reidapp.gallery.queries import ranked, unmoved
from reidapp.gallery.recordings import Recordings
from reidapp.gallery.store import Gallery, TrackletInfo, iso, roots
from reidapp.registry import suggestion


@dataclass(frozen=True)
class Hit:
    """A ranked tracklet.

    Attributes:
        tracklet: id; a tracklet that goes on across a chunk's border is one hit.
        zone: the camera's IANA zone; all times are UTC.
        best_time, best_s, box, crop, thumbnail: the best shot of this hit for this query.
        score: cosine similarity of the best shot, negative ones as 0.
        p_match: calibrated probability of being the same person; None without a calibration.
        start_source: where its recording's start comes from: template, name, container or mtime.
        uncertain: why the times may be wrong; None where nothing says so.
        recording: present, gone, replaced or silent, see `reidapp.gallery.recordings`.
    """

    rank: int
    tracklet: str
    camera: str
    zone: str
    video: Path
    video_id: str
    start: datetime
    end: datetime
    best_time: datetime
    best_s: float
    score: float
    p_match: float | None
    box: Box
    crop: str
    thumbnail: Path
    start_source: str
    uncertain: str | None
    recording: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: times ISO 8601 UTC, the box as [x1, y1, x2, y2]."""
        plain = {**vars(self), "box": [round(v, 5) for v in self.box], "score": round(self.score, 5)}
        return {key: _plain(value) for key, value in plain.items()}


@dataclass(frozen=True)
class SearchResult:
    """Hits, the number of rows that were compared, and the seconds that took."""

    hits: list[Hit]
    rows: int
    seconds: float


class Searcher:
    """Searches a gallery while it grows: every search sees all that is committed when it begins.

    When the gallery is moved to another model, a searcher stays with the vectors of its own.

    Raises:
        UserError: the embedder is not the model that made the gallery.
    """

    def __init__(self, gallery: Gallery, embedder: Embeds) -> None:
        if embedder.identity != gallery.model_id:
            made_by, given = gallery.summary().model, embedder.card.name
            raise UserError(
                f'{gallery.path}: made by model "{made_by}" ({gallery.model_id[:8]}); the query model is "{given}" '
                f"({embedder.identity[:8]}). Leave --model out to use the gallery's own"
            )
        self.gallery = gallery
        self.embedder = embedder
        self._snapshot = _Snapshot.load(gallery, embedder.identity)
        self._recordings = Recordings()
        self._loading = threading.Lock()

    def search(
        self,
        queries: np.ndarray,
        *,
        cameras: Sequence[str] | None = None,
        after: datetime | None = None,
        before: datetime | None = None,
        top: int = 20,
        combine: str = "mean",
        without: Collection[str] = (),
    ) -> SearchResult:
        """The tracklets most like the query.

        Args:
            queries: float32 ``[Q, D]``, one or more images of one person.
            cameras: names of cameras or of groups; None searches all.
            after, before: aware datetimes; a tracklet counts if any part of it lies between.
            top: hits at most.
            combine: how several images make one score: mean, max or set, see `reidapp.gallery.queries`.
            without: ids of tracklets (their first pieces') that are no hits, such as those judged before.

        Raises:
            UserError: an unknown camera or group.
        """
        return unmoved(self.gallery, lambda: self._search(queries, cameras, after, before, top, combine, without))

    def _search(
        self,
        queries: np.ndarray,
        cameras: Sequence[str] | None,
        after: datetime | None,
        before: datetime | None,
        top: int,
        combine: str,
        without: Collection[str],
    ) -> SearchResult:
        started = time.perf_counter()
        snapshot = self._current()
        kept = snapshot.selected(cameras, after, before)
        if without:
            gone = [number for number, id_ in enumerate(snapshot.tracklets) if id_ in without]
            kept &= ~np.isin(snapshot.tracklet_of, gone)

        def best_rows(query: np.ndarray, among: np.ndarray | None, count: int) -> list[tuple[int, float]]:
            return snapshot.best_rows(
                query, kept if among is None else kept & np.isin(snapshot.tracklet_of, among), count
            )

        best = [
            (self.gallery.tracklet(snapshot.tracklets[snapshot.tracklet_of[row]]), snapshot.crops[row], score)
            for row, score in ranked(queries, combine, best_rows, snapshot.tracklet_of, top)
        ]
        recordings = self._recordings.states([tracklet.video for tracklet, _, _ in best])
        hits = [
            _hit(rank, tracklet, crop, score, recordings[tracklet.video.id])
            for rank, (tracklet, crop, score) in enumerate(best, start=1)
        ]
        return SearchResult(hits, int(kept.sum()), time.perf_counter() - started)

    def _current(self) -> "_Snapshot":
        with self._loading:
            if self._snapshot.generation != self.gallery.generation:
                self._snapshot = _Snapshot.load(self.gallery, self.embedder.identity)
            return self._snapshot


def _hit(rank: int, tracklet: TrackletInfo, crop_id: str, score: float, recording: str) -> Hit:
    best = next((crop for crop in tracklet.crops if crop.id == crop_id), None)
    if best is None:
        raise UserError(f"crop {crop_id}: not in this gallery")
    return Hit(
        rank=rank,
        tracklet=tracklet.id,
        camera=tracklet.camera,
        zone=tracklet.video.zone,
        video=tracklet.video.path,
        video_id=tracklet.video.id,
        start=tracklet.start,
        end=tracklet.end,
        best_time=tracklet.video.start + timedelta(seconds=best.time_s),
        best_s=best.time_s,
        score=min(max(score, 0.0), 1.0),
        p_match=None,
        box=best.box,
        crop=best.id,
        thumbnail=best.file,
        start_source=tracklet.video.start_source,
        uncertain=tracklet.video.uncertain,
        recording=recording,
    )


@dataclass(frozen=True)
class _Snapshot:
    """One consistent state of a gallery. Row i of the index is a crop; the arrays say which.

    ``tracklet_of`` counts a tracklet and its continuations as one; ``first_ms`` and ``last_ms`` are the UTC span of the
    row's own piece, so a filter by time compares the crops of that time. ``cameras`` has groups' names too.
    """

    generation: int
    index: faiss.IndexScalarQuantizer
    crops: list[str]
    tracklets: list[str]
    tracklet_of: np.ndarray
    camera_of: np.ndarray
    first_ms: np.ndarray
    last_ms: np.ndarray
    cameras: dict[str, list[int]]

    @classmethod
    def load(cls, gallery: Gallery, model_id: str) -> "_Snapshot":
        """Read everything under one database snapshot; vectors that came later are not looked at."""
        with Session(gallery.engine) as session:
            generation = int(session.get_one(schema.Setting, "generation").value)
            cameras = _ids_by_name(session)
            dim = session.get_one(schema.Model, model_id).card["dim"]
            first_piece = roots(session)
            rows = session.execute(
                select(
                    schema.Crop.id,
                    schema.Crop.tracklet_id,
                    schema.Video.camera_id,
                    schema.Video.start_ms + schema.Tracklet.start_s * 1000,
                    schema.Video.start_ms + schema.Tracklet.end_s * 1000,
                )
                .join(schema.Tracklet, schema.Tracklet.id == schema.Crop.tracklet_id)
                .join(schema.Chunk, schema.Chunk.id == schema.Crop.chunk_id)
                .join(schema.Video, schema.Video.id == schema.Chunk.video_id)
                .join(schema.Block, schema.Block.chunk_id == schema.Crop.chunk_id)
                .where(schema.Block.model_id == model_id)
                .order_by(schema.Block.day, schema.Block.first_row, schema.Crop.position)
            ).all()
            shards = session.execute(
                select(schema.Block.day, func.max(schema.Block.first_row + schema.Block.rows))
                .where(schema.Block.model_id == model_id)
                .group_by(schema.Block.day)
                .order_by(schema.Block.day)
            ).all()
        index = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        for day, count in shards:
            index.add(vectors.read(vectors.shard_path(gallery.path, model_id, day), count, dim).astype(np.float32))
        tracklets, tracklet_of = np.unique([first_piece.get(row[1], row[1]) for row in rows], return_inverse=True)
        return cls(
            generation=generation,
            index=index,
            crops=[row[0] for row in rows],
            tracklets=tracklets.tolist(),
            tracklet_of=tracklet_of,
            camera_of=np.array([row[2] for row in rows], dtype=np.int64),
            first_ms=np.array([row[3] for row in rows], dtype=np.float64),
            last_ms=np.array([row[4] for row in rows], dtype=np.float64),
            cameras=cameras,
        )

    def selected(self, cameras: Sequence[str] | None, after: datetime | None, before: datetime | None) -> np.ndarray:
        """bool ``[rows]``: the rows that the filters keep."""
        kept = np.ones(len(self.crops), bool)
        if cameras is not None:
            kept &= np.isin(self.camera_of, [id_ for name in cameras for id_ in self._cameras(name)])
        if after is not None:
            kept &= self.last_ms >= after.timestamp() * 1000
        if before is not None:
            kept &= self.first_ms <= before.timestamp() * 1000
        return kept

    def best_rows(self, query: np.ndarray, kept: np.ndarray, top: int) -> list[tuple[int, float]]:
        """The best kept row of each of the best ``top`` tracklets: (row, score).

        Rows are asked for until there are enough different tracklets, so none is lost to a tracklet with many crops.
        """
        total = int(kept.sum())
        if not total or top < 1:
            return []
        selector = faiss.IDSelectorBitmap(np.packbits(kept, bitorder="little"))  # type: ignore[call-arg, arg-type]
        parameters = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
        count = min(total, 4 * top)
        while True:
            scores, rows = self.index.search(query, count, params=parameters)
            _, first = np.unique(self.tracklet_of[rows[0]], return_index=True)
            if len(first) >= top or count == total:
                places = np.sort(first)[:top]
                return [(int(rows[0, place]), float(scores[0, place])) for place in places]
            count = min(total, 4 * count)

    def _cameras(self, name: str) -> list[int]:
        if name not in self.cameras:
            known = ", ".join(sorted(self.cameras)) or "none"
            raise UserError(
                f'camera "{name}" is not in this gallery{suggestion(name, list(self.cameras))}; known: {known}'
            )
        return self.cameras[name]


def _ids_by_name(session: Session) -> dict[str, list[int]]:
    """{name: ids} of cameras, and of groups that are not called like a camera."""
    groups: dict[str, list[int]] = defaultdict(list)
    names = {}
    for camera in session.scalars(select(schema.Camera)):
        names[camera.name] = [camera.id]
        if camera.group:
            groups[camera.group].append(camera.id)
    return groups | names


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return iso(value)
    return str(value) if isinstance(value, Path) else value
