"""Exact search: embeddings → rows → tracklets, each once, best first."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from reidapp.box import Box
from reidapp.embedding import Embeds
from reidapp.errors import UserError
from reidapp.gallery import database
from reidapp.gallery.calibration import Calibration, calibration_for
from reidapp.gallery.facts import TrackletInfo, iso
from reidapp.gallery.gpu import Copies
from reidapp.gallery.queries import combined, mean_of, ranked, unmoved
from reidapp.gallery.recordings import Recordings
from reidapp.gallery.snapshot import Snapshot, Snapshots
from reidapp.gallery.store import Gallery
from reidapp.gallery.travel_times import Sightings, TravelTimes, current_travel_times, middles_s
from reidapp.gallery.trials import SHOWN, standing
from reidapp.kreciprocal import Reranking

RERANKED = 200  # first tracklets that are re-ranked, or ordered by travel times
PRIOR = 0.3  # of a score's standing, for each unit of log r (benchmarks/travel_times.py)
_NEIGHBOURS = {"k1": 10, "k2": 3}  # half of the paper's: one person's tracklets are few. Chosen on other worlds
_BEST_SHOTS, _SHOTS_NEAR = 2, 64


@dataclass(frozen=True)
class Reason:
    """Why a hit has its place.

    Attributes:
        score: that ranks, not cut at 0.
        shots: mean score of the two best shots in the piece (the tracklet's part in one chunk) that has the best one;
            of that alone where it is the only one.
        rank_by_score: its place without re-ranking and travel times.
        distance: by k-reciprocal neighbours, from 0 to 1, which ranks instead; None where that was not asked for, and
            beyond the first 200 by score.
        prior: log r by travel times (`travel_times`), above 0 where they speak for it; None as for the distance.
    """

    score: float
    shots: float
    rank_by_score: int
    distance: float | None
    prior: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        distance = None if self.distance is None else round(self.distance, 5)
        prior = None if self.prior is None else round(self.prior, 4)
        scores = {"score": round(self.score, 5), "shots": round(self.shots, 5)}
        return vars(self) | scores | {"distance": distance, "prior": prior}


@dataclass(frozen=True)
class Hit:
    """A ranked tracklet.

    Attributes:
        tracklet: id; a tracklet that goes on across a chunk's border is one hit.
        zone: the camera's IANA zone; all times are UTC.
        best_time, best_s, box, crop, thumbnail: the best shot of this hit for this query.
        score: cosine similarity of the best shot, negative ones as 0.
        p_match: calibrated probability of being the same person; None without a calibration, and where tracklets or
            answers ask.
        start_source: where its recording's start comes from: template, name, container or mtime.
        uncertain: why the times may be wrong; None where nothing says so.
        recording: present, gone, replaced or silent, see `reidapp.gallery.recordings`.
        reason: why it has its place.
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
    reason: Reason | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: times ISO 8601 UTC, the box as [x1, y1, x2, y2]."""
        p_match = None if self.p_match is None else round(self.p_match, 5)
        plain = vars(self) | {"box": [round(v, 5) for v in self.box], "score": round(self.score, 5), "p_match": p_match}
        return {key: _plain(value) for key, value in plain.items()} | {"reason": self.reason and self.reason.to_dict()}


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        rows: compared.
        seconds: taken.
        calibration: that P(match) is by; None without one, and where tracklets or answers ask.
        expected_false_hits: of the hits; None without a calibration.
        probably_absent: the person is probably not in this gallery, or not within the filters; None: not known, as
            where filters keep few rows.
        travel_times: that hits are ordered by, too; None where that was not asked for.
    """

    hits: list[Hit]
    rows: int
    seconds: float
    calibration: Calibration | None = None
    expected_false_hits: float | None = None
    probably_absent: bool | None = None
    travel_times: TravelTimes | None = None

    def told(self, filtered: bool) -> list[str]:
        """What orders the hits beside their scores, and what P(match) says of them together, in words."""
        lines = []
        if self.travel_times and self.hits:
            of = self.travel_times
            lines.append(f"ordered by travel times, too: of {of.pairs:,} pairs of tracklets, {of.source}")
        if self.expected_false_hits is not None and self.hits:
            lines.append(f"about {self.expected_false_hits:.0f} of these {len(self.hits)} are expected to be wrong")
        if self.probably_absent:
            lines.append("probably not in this gallery" + (" within these filters" if filtered else ""))
        if self.calibration and self.calibration.warning:
            lines.append(f"P(match) is {self.calibration.source}: {self.calibration.warning}")
        return lines


class Searcher:
    """Searches a gallery while it grows: every search sees all that is committed when it begins.

    When the gallery is moved to another model, a searcher stays with the vectors of its own.

    Args:
        derive: make derived files that are missing, in the background; a server does, a single search has no time.
        copies: see `Snapshots`.

    Raises:
        UserError: the embedder is not the model that made the gallery.
    """

    def __init__(
        self, gallery: Gallery, embedder: Embeds, *, derive: bool = False, copies: Copies | None = None
    ) -> None:
        if embedder.identity != gallery.model_id:
            made_by, given = gallery.summary().model, embedder.card.name
            raise UserError(
                f'{gallery.path}: made by model "{made_by}" ({gallery.model_id[:8]}); the query model is "{given}" '
                f"({embedder.identity[:8]}). Leave --model out to use the gallery's own"
            )
        self.gallery = gallery
        self.embedder = embedder
        self._snapshots = Snapshots(gallery, embedder.identity, copies)
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
        partial: bool = False,
        rerank: bool = False,
        travel_times: bool = False,
        seen: Collection[str] = (),
    ) -> SearchResult:
        """The tracklets most like the query.

        Args:
            queries: float32 ``[Q, D]``, one or more images of one person.
            cameras: names of cameras or of groups; None searches all.
            after, before: aware datetimes; a tracklet counts if any part of it lies between.
            top: hits at most.
            combine: how several images make one score: mean, max or set, see `reidapp.gallery.queries`.
            without: ids of tracklets (their first pieces') that are no hits, such as those judged before.
            partial: tracklets that show the person are among those left out, so hits have no P(match): that would be
                too high, for it counts on all matches (`benchmarks/calibration.py`).
            rerank: put the first 200 by score in the order of their k-reciprocal neighbours (`reidapp.kreciprocal`),
                by the mean of the images. P(match) stays that of the score.
            travel_times: order the first 200 by score also by how long people take from where the person was seen;
                P(match) stays.
            seen: tracklets (their first pieces) that show the person, for that.

        Raises:
            UserError: an unknown camera or group; travel times without a tracklet that was seen, before they were
                learnt, or with re-ranking.
        """
        times = self._travel_times(rerank, seen) if travel_times else None
        return unmoved(
            self.gallery,
            lambda: self._search(queries, cameras, after, before, top, combine, without, partial, rerank, times, seen),
        )

    def _travel_times(self, rerank: bool, seen: Collection[str]) -> TravelTimes:
        if rerank:
            raise UserError("travel times and re-ranking exclude each other; leave one out")
        if not seen:
            raise UserError(
                "travel times: a picture has no camera and time; ask with a hit, an identity, or a yes to a hit"
            )
        if times := current_travel_times(self.gallery):
            return times
        raise UserError(f"travel times: none yet in {self.gallery.path}; `reidapp gallery travel-times` learns them")

    @database.blames_rows
    def _search(
        self,
        queries: np.ndarray,
        cameras: Sequence[str] | None,
        after: datetime | None,
        before: datetime | None,
        top: int,
        combine: str,
        without: Collection[str],
        partial: bool,
        rerank: bool,
        times: TravelTimes | None,
        seen: Collection[str],
    ) -> SearchResult:
        started = time.perf_counter()
        snapshot = self._snapshots.current()
        if self._derive:
            self._snapshots.derive_behind()
        kept = snapshot.selected(cameras, after, before, without)
        queries = snapshot.asking(queries)

        depth = max(top, SHOWN, RERANKED if rerank or times else 0)
        found = ranked(snapshot, queries, combine, kept, depth)
        rows = np.array([row for row, _ in found], np.int64)
        scores = np.array([score for _, score in found])
        calibration = None if partial else calibration_for(self.gallery, self.embedder.identity, snapshot.means_digest)
        p_match: np.ndarray | None = None
        absent: bool | None = None
        background = combined(queries, combine, snapshot.sample) if found and (calibration or times) else np.empty(0)
        if calibration and found:
            p_match = calibration.p_match(scores, background, len(snapshot.crops))
            absent = calibration.probably_absent(scores, background, int(kept.sum()))
        distances = _reranked(queries, snapshot, rows[:RERANKED]) if rerank and found else np.empty(0)
        priors = _priors(times, snapshot, rows[:RERANKED], seen) if times and found else np.empty(0)
        first = by_travel_times(scores, background, priors) if times and found else distances
        places = placed(first, len(found))[:top]
        tracklets = self.gallery.tracklets_called([f"{snapshot.tracklet_of[rows[place]]:016x}" for place in places])
        recordings = self._recordings.states([tracklet.video for tracklet in tracklets])
        hits = [
            _hit(
                rank,
                tracklet,
                f"{snapshot.crops[rows[place]]:016x}",
                None if p_match is None else float(p_match[place]),
                recordings[tracklet.video.id],
                Reason(
                    float(scores[place]),
                    _of_shots(queries, combine, snapshot, rows[place], kept),
                    place + 1,
                    float(distances[place]) if place < len(distances) else None,
                    float(priors[place]) if place < len(priors) else None,
                ),
            )
            for rank, (place, tracklet) in enumerate(zip(places, tracklets, strict=True), start=1)
        ]
        return SearchResult(
            hits=hits,
            rows=int(kept.sum()),
            seconds=time.perf_counter() - started,
            calibration=calibration,
            expected_false_hits=sum(1 - (hit.p_match or 0.0) for hit in hits) if calibration else None,
            probably_absent=absent,
            travel_times=times,
        )


def by_travel_times(scores: np.ndarray, background: np.ndarray, priors: np.ndarray) -> np.ndarray:
    """What orders the first hits, the lowest first: float ``[N]``.

    Args:
        scores: of all hits.
        background: the query's scores with a sample of the gallery's rows.
        priors: log r of the first hits, ``[N]``.
    """
    return np.asarray(-standing(scores[: len(priors)], background) - PRIOR * priors)


def placed(first: np.ndarray, count: int) -> list[int]:
    """Places of hits in their new order: the first ones by what orders them, the lowest first; the others behind."""
    return [*np.argsort(first, kind="stable").tolist(), *range(len(first), count)]


def _priors(times: TravelTimes, snapshot: Snapshot, rows: np.ndarray, seen: Collection[str]) -> np.ndarray:
    """log r of tracklets by their best rows, each from when the person was seen next to it in time: float ``[N]``."""
    own = np.flatnonzero(snapshot.of_tracklets(np.array([int(id_, 16) for id_ in seen], np.uint64)))
    sightings, middle_s = Sightings.of(snapshot, own), middles_s(snapshot, rows)
    each = np.array(
        [
            times.log_ratio(camera, time_s, snapshot.camera_of[rows], middle_s)
            for camera, time_s in zip(sightings.camera.tolist(), sightings.middle_s.tolist(), strict=True)
        ]
    ).reshape(len(sightings.tracklet), len(rows))
    if not len(each):
        return np.zeros(len(rows))
    nearest = np.abs(sightings.middle_s[:, None] - middle_s).argmin(axis=0)
    return np.asarray(each[nearest, np.arange(len(rows))])


def _reranked(queries: np.ndarray, snapshot: Snapshot, rows: np.ndarray) -> np.ndarray:
    """Distances of tracklets' best rows to the query: float ``[N]``."""
    found = snapshot.vectors(rows)
    found /= np.linalg.norm(found, axis=1, keepdims=True) + 1e-12  # of half precision's rounding
    return np.asarray(Reranking(mean_of(queries)[None], found, **_NEIGHBOURS).distances(slice(0, 1))[0])


def _of_shots(queries: np.ndarray, combine: str, snapshot: Snapshot, row: int, kept: np.ndarray) -> float:
    """Mean score of the best shots in a tracklet's piece, whose rows follow each other."""
    near, piece = slice(max(0, row - _SHOTS_NEAR), row + _SHOTS_NEAR), snapshot.columns.piece
    own = kept[near] & (piece[near] == piece[row])
    shots = snapshot.vectors(near.start + np.flatnonzero(own))
    return float(np.sort(combined(queries, combine, shots))[-_BEST_SHOTS:].mean())


def _hit(rank: int, tracklet: TrackletInfo, crop_id: str, p_match: float | None, recording: str, reason: Reason) -> Hit:
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
        score=min(max(reason.score, 0.0), 1.0),
        p_match=p_match,
        box=best.box,
        crop=best.id,
        thumbnail=best.file,
        start_source=tracklet.video.start_source,
        uncertain=tracklet.video.uncertain,
        recording=recording,
        reason=reason,
    )


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return iso(value)
    return str(value) if isinstance(value, Path) else value
