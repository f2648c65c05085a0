"""Exact search: embeddings → rows → tracklets, each once, best first."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from reidapp.box import Box
from reidapp.embedding import Embeds
from reidapp.errors import UserError
from reidapp.gallery.calibration import SHOWN, Calibration, current
from reidapp.gallery.queries import combined, ranked, unmoved
from reidapp.gallery.recordings import Recordings
from reidapp.gallery.snapshot import Snapshots
from reidapp.gallery.store import Gallery, TrackletInfo, iso


@dataclass(frozen=True)
class Hit:
    """A ranked tracklet.

    Attributes:
        tracklet: id; a tracklet that goes on across a chunk's border is one hit.
        zone: the camera's IANA zone; all times are UTC.
        best_time, best_s, box, crop, thumbnail: the best shot of this hit for this query.
        score: cosine similarity of the best shot, negative ones as 0.
        p_match: calibrated probability of being the same person; None without a calibration, and after answers.
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
        p_match = None if self.p_match is None else round(self.p_match, 5)
        plain = vars(self) | {"box": [round(v, 5) for v in self.box], "score": round(self.score, 5), "p_match": p_match}
        return {key: _plain(value) for key, value in plain.items()}


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        rows: compared.
        seconds: taken.
        calibration: that P(match) is by; None without one, and after answers.
        expected_false_hits: of the hits; None without a calibration.
        probably_absent: the person is probably not in this gallery, or not within the filters; None: not known.
    """

    hits: list[Hit]
    rows: int
    seconds: float
    calibration: Calibration | None = None
    expected_false_hits: float | None = None
    probably_absent: bool | None = None


class Searcher:
    """Searches a gallery while it grows: every search sees all that is committed when it begins.

    When the gallery is moved to another model, a searcher stays with the vectors of its own.

    Args:
        derive: make derived files that are missing, in the background; a server does, a single search has no time.

    Raises:
        UserError: the embedder is not the model that made the gallery.
    """

    def __init__(self, gallery: Gallery, embedder: Embeds, *, derive: bool = False) -> None:
        if embedder.identity != gallery.model_id:
            made_by, given = gallery.summary().model, embedder.card.name
            raise UserError(
                f'{gallery.path}: made by model "{made_by}" ({gallery.model_id[:8]}); the query model is "{given}" '
                f"({embedder.identity[:8]}). Leave --model out to use the gallery's own"
            )
        self.gallery = gallery
        self.embedder = embedder
        self._snapshots = Snapshots(gallery, embedder.identity)
        self._derive = derive
        self._recordings = Recordings()
        self._snapshots.current()

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
        refined: bool = False,
    ) -> SearchResult:
        """The tracklets most like the query.

        Args:
            queries: float32 ``[Q, D]``, one or more images of one person.
            cameras: names of cameras or of groups; None searches all.
            after, before: aware datetimes; a tracklet counts if any part of it lies between.
            top: hits at most.
            combine: how several images make one score: mean, max or set, see `reidapp.gallery.queries`.
            without: ids of tracklets (their first pieces') that are no hits, such as those judged before.
            refined: answers have changed the query, so its hits have no P(match): that would be too high, for matches
                that were answered are no hits any more (`benchmarks/calibration.py`).

        Raises:
            UserError: an unknown camera or group.
        """
        return unmoved(
            self.gallery, lambda: self._search(queries, cameras, after, before, top, combine, without, refined)
        )

    def _search(
        self,
        queries: np.ndarray,
        cameras: Sequence[str] | None,
        after: datetime | None,
        before: datetime | None,
        top: int,
        combine: str,
        without: Collection[str],
        refined: bool,
    ) -> SearchResult:
        started = time.perf_counter()
        snapshot = self._snapshots.current()
        if self._derive:
            self._snapshots.derive_behind()
        kept = snapshot.selected(cameras, after, before, without)

        def best_rows(query: np.ndarray, among: np.ndarray | None, count: int) -> list[tuple[int, float]]:
            return snapshot.best_rows(query, kept if among is None else kept & snapshot.of_tracklets(among), count)

        found = ranked(queries, combine, best_rows, snapshot.tracklet_of, max(top, SHOWN))
        calibration = None if refined else current(self.gallery, self.embedder.identity)
        p_match = np.empty(0)
        if calibration and found:
            background = combined(queries, combine, snapshot.sample)
            p_match = calibration.p_match(np.array([score for _, score in found]), background, len(snapshot.crops))
        best = [
            (self.gallery.tracklet(f"{snapshot.tracklet_of[row]:016x}"), f"{snapshot.crops[row]:016x}", score)
            for row, score in found[:top]
        ]
        recordings = self._recordings.states([tracklet.video for tracklet, _, _ in best])
        hits = [
            _hit(rank, tracklet, crop, score, p, recordings[tracklet.video.id])
            for rank, ((tracklet, crop, score), p) in enumerate(zip_longest(best, p_match[:top].tolist()), start=1)
        ]
        return SearchResult(
            hits=hits,
            rows=int(kept.sum()),
            seconds=time.perf_counter() - started,
            calibration=calibration,
            expected_false_hits=float((1 - p_match[:top]).sum()) if calibration else None,
            probably_absent=calibration.probably_absent(p_match) if calibration and found else None,
        )


def _hit(rank: int, tracklet: TrackletInfo, crop_id: str, score: float, p_match: float | None, recording: str) -> Hit:
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
        p_match=p_match,
        box=best.box,
        crop=best.id,
        thumbnail=best.file,
        start_source=tracklet.video.start_source,
        uncertain=tracklet.video.uncertain,
        recording=recording,
    )


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return iso(value)
    return str(value) if isinstance(value, Path) else value
