"""Detections of one person in one camera, joined to tracklets.

At a few samples a second a walker's boxes don't overlap from one sample to the next, so association weighs appearance,
centre distance and time gap (`AppearanceTracker`). At 8 and more, motion is enough (`MotionTracker`). Purity comes
before length: where two people could be meant, a tracklet ends and a new one begins.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.optimize import linear_sum_assignment

from reidapp.box import Box
from reidapp.footage.detection import Detection
from reidapp.gallery.writer import CONTINUES_WITHIN_S

MOTION_FROM_FPS = 8.0

MAX_GAP_S = CONTINUES_WITHIN_S
# A walker covers about 0.8 of his height in a second; runners and jitter of the box come on top.
_REACH_PER_S = 1.2
_REACH_JITTER = 0.35
_MAX_APPEARANCE = 0.35  # cosine distance
_MAX_SIZE_RATIO = 1.7
_MAX_COST = (
    0.9  # these, and what the parts of a cost weigh: the purest on crowds of generated people, by --sampling 2fps
)
_BEHIND = 0.7  # who is covered so far by somebody nearer looks like him
_REFUSED = 10.0
_ALIKE = 0.6  # cosine from which two embeddings may be of one person, or of two in the same clothes
# The best pair must beat the second best by this, else neither is believed. Between two people who look alike, a
# difference in looks is mostly noise, and the lead must be larger.
_MIN_LEAD, _MIN_LEAD_ALIKE = 0.15, 0.4
_MEMORY = 0.7  # of a tracklet's appearance, per new detection


class Tracker(Protocol):
    """Fed with the samples of one chunk in order, says which tracklet each detection belongs to."""

    needs_embeddings: bool

    def update(
        self, time_s: float, aspect: float, detections: Sequence[Detection], embeddings: np.ndarray
    ) -> list[int | None]:
        """
        Args:
            time_s: presentation time.
            aspect: width / height of the frame.
            embeddings: float32 ``[len(detections), D]``, rows of length one; D is 0 for a tracker that needs none.

        Returns:
            A tracklet's number for each detection; None where the tracker does not believe the detection.
        """


def open_tracker(fps: float | None, frame_rate: float, keyframes: bool = False) -> Tracker:
    """The tracker that fits a sampling.

    Args:
        fps: samples per second; None means every frame.
        frame_rate: of the video, in frames per second.
        keyframes: samples may be many seconds apart.
    """
    rate = _rate(fps, frame_rate)
    if rate >= MOTION_FROM_FPS:
        return MotionTracker(rate)
    return AppearanceTracker(is_sparse(fps, frame_rate, keyframes))


def is_sparse(fps: float | None, frame_rate: float, keyframes: bool) -> bool:
    """Whether a person may come and go between two samples; arguments as of `open_tracker`."""
    return keyframes or 1 / _rate(fps, frame_rate) >= MAX_GAP_S


def _rate(fps: float | None, frame_rate: float) -> float:
    return min(fps or frame_rate, frame_rate)


@dataclass
class Track:
    """A tracklet that may go on: since when, its last detection, its looks so far (``[D]``, length one).

    Attributes:
        velocity: of the centre, in frame heights per second; None before it has moved.
        missed_s: for how long it was looked for and not seen.
    """

    number: int
    since_s: float
    time_s: float
    box: Box
    appearance: np.ndarray
    velocity: np.ndarray | None = None
    missed_s: float = 0.0


class AppearanceTracker:
    """Optimal assignment of each sample's detections to the tracklets seen in the last three seconds.

    Args:
        sparse: samples may be further apart than that; then those of the sample before may go on too.
    """

    needs_embeddings = True

    def __init__(self, sparse: bool = False) -> None:
        self.sparse = sparse
        self._tracks: list[Track] = []
        self._count = 0
        self._before_s = -float("inf")

    def update(
        self, time_s: float, aspect: float, detections: Sequence[Detection], embeddings: np.ndarray
    ) -> list[int | None]:
        boxes = [detection.box for detection in detections]
        seen = [column for column, box in enumerate(boxes) if not _is_behind(box, boxes)]
        numbers: list[int | None] = [None] * len(boxes)
        followed = self._follow(time_s, aspect, [boxes[column] for column in seen], embeddings[seen])
        for column, number in zip(seen, followed, strict=True):
            numbers[column] = number
        return numbers

    def _follow(self, time_s: float, aspect: float, boxes: Sequence[Box], embeddings: np.ndarray) -> list[int]:
        since_s = time_s - MAX_GAP_S
        if self.sparse:
            since_s, self._before_s = min(since_s, self._before_s), time_s
        self._tracks = [track for track in self._tracks if track.time_s >= since_s - 1e-9]
        costs = np.array(
            [
                [association_cost(t, time_s, box, e, aspect) for box, e in zip(boxes, embeddings, strict=True)]
                for t in self._tracks
            ]
        ).reshape(len(self._tracks), len(boxes))
        alike = _alike_tracks(self._tracks), _alike(embeddings)
        sure = _sure_pairs(costs, *alike)
        ended = _confused(costs, sure, *alike)
        rows = {column: row for row, column in sure}
        followed = []
        for column, (box, embedding) in enumerate(zip(boxes, embeddings, strict=True)):
            if column in rows:
                track = self._tracks[rows[column]]
                self._extend(track, time_s, box, embedding, aspect)
            else:
                track = Track(self._count, time_s, time_s, box, embedding)
                self._tracks.append(track)
                self._count += 1
            followed.append(track.number)
        self._tracks = [track for row, track in enumerate(self._tracks) if row not in ended]
        for track in self._tracks:
            track.missed_s = time_s - track.time_s
        return followed

    @staticmethod
    def _extend(track: Track, time_s: float, box: Box, embedding: np.ndarray, aspect: float) -> None:
        moved = _centre(box, aspect) - _centre(track.box, aspect)
        velocity = moved / max(time_s - track.time_s, 1e-3)
        track.velocity = velocity if track.velocity is None else (track.velocity + velocity) / 2
        track.appearance = _MEMORY * track.appearance + (1 - _MEMORY) * embedding
        track.appearance /= np.linalg.norm(track.appearance) + 1e-12
        track.time_s, track.box = time_s, box


def association_cost(track: Track, time_s: float, box: Box, embedding: np.ndarray, aspect: float) -> float:
    """How unlikely it is that a detection goes on a tracklet: 0 is sure, more than `_MAX_COST` is refused.

    The sum of appearance distance and, by half, of centre distance, each as a share of the largest one that is
    possible, and something for each sample that passed without the tracklet's person.
    """
    gap = time_s - track.time_s
    height = (track.box.height + box.height) / 2
    ratio = max(track.box.height, box.height) / max(min(track.box.height, box.height), 1e-6)
    appearance = (1.0 - float(track.appearance @ embedding)) / _MAX_APPEARANCE
    expected = _centre(track.box, aspect)
    if track.velocity is not None:
        expected = expected + track.velocity * min(gap, 1.0)
    reach = height * (_REACH_JITTER + _REACH_PER_S * gap)
    distance = float(np.linalg.norm(_centre(box, aspect) - expected)) / reach
    if gap <= 0 or appearance > 1 or distance > 1 or ratio > _MAX_SIZE_RATIO:
        return _REFUSED
    return appearance + 0.5 * distance + 0.6 * min(track.missed_s / MAX_GAP_S, 1.0)


def continuations(
    ended: Sequence[tuple[str, float, Box, np.ndarray]],
    begun: Sequence[tuple[float, Box, np.ndarray]],
    aspect: float,
    gap_s: float = MAX_GAP_S,
) -> list[str | None]:
    """Which tracklets of one chunk go on tracklets of the chunk before.

    Args:
        ended: (id, time of its last detection, last box, embedding ``[D]``) of the earlier ones.
        begun: (time of its first detection, first box, embedding ``[D]``) of the later ones.
        aspect: width / height of the frame.
        gap_s: the longest time between both.

    Returns:
        For each later one the id of the earlier one, or None.
    """
    joined: list[str | None] = [None] * len(begun)
    if not ended or not begun:
        return joined
    end_s = max(time_s for _, time_s, *_ in ended)
    tracks = [Track(0, time_s, time_s, box, looks, missed_s=end_s - time_s) for _, time_s, box, looks in ended]
    costs = np.array([[association_cost(t, *later, aspect) for later in begun] for t in tracks])
    alike = _alike_tracks(tracks), _alike([embedding for *_, embedding in begun])
    for row, column in _sure_pairs(costs, *alike):
        if begun[column][0] - tracks[row].time_s <= gap_s + 1e-9:
            joined[column] = ended[row][0]
    return joined


class MotionTracker:
    """ByteTrack (Zhang et al., ECCV 2022) of the `trackers` library."""

    needs_embeddings = False

    def __init__(self, frame_rate: float) -> None:
        from trackers import ByteTrackTracker

        self._tracker = ByteTrackTracker(
            lost_track_buffer=30,  # in thirtieths of a second; longer ones would cost purity
            frame_rate=frame_rate,
            track_activation_threshold=0.5,
            high_conf_det_threshold=0.5,
            minimum_consecutive_frames=2,
        )

    def update(
        self, time_s: float, aspect: float, detections: Sequence[Detection], embeddings: np.ndarray
    ) -> list[int | None]:
        import supervision as sv

        # ByteTrack works in pixels; a frame of 1000 pixels height keeps its arithmetic in the usual range.
        scale = np.array([1000 * aspect, 1000, 1000 * aspect, 1000])
        boxes = np.array([d.box for d in detections], np.float64).reshape(-1, 4) * scale
        scores = np.array([d.score for d in detections], np.float64)
        given = sv.Detections(xyxy=boxes, confidence=scores, data={"row": np.arange(len(detections))})
        tracked = self._tracker.update(given, timestamp=time_s)
        numbers: list[int | None] = [None] * len(detections)
        if tracked.tracker_id is not None:
            for row, number in zip(tracked.data.get("row", []), tracked.tracker_id, strict=True):
                numbers[int(row)] = int(number) if number >= 0 else None
        return numbers


def _sure_pairs(costs: np.ndarray, alike_rows: np.ndarray, alike_columns: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (row, column) of the cheapest assignment that are cheap, and lead clearly over any other choice of both.

    Args:
        costs: ``[tracks, detections]``.
        alike_rows, alike_columns: which two tracks, and which two detections, are people who look alike.
    """
    pairs = []
    for row, column in zip(*linear_sum_assignment(costs), strict=True):
        rival_rows = costs[:, column] - np.where(alike_rows[row], _MIN_LEAD_ALIKE, _MIN_LEAD)
        rival_columns = costs[row] - np.where(alike_columns[column], _MIN_LEAD_ALIKE, _MIN_LEAD)
        rivals = np.concatenate([np.delete(rival_rows, row), np.delete(rival_columns, column)])
        if costs[row, column] <= min(_MAX_COST, rivals.min(initial=_REFUSED)):
            pairs.append((int(row), int(column)))
    return pairs


def _confused(
    costs: np.ndarray, sure: Sequence[tuple[int, int]], alike_rows: np.ndarray, alike_columns: np.ndarray
) -> set[int]:
    """Tracks of people who look alike and meet: who went on where will never be known, so they end.

    If they stayed, they would be rivals of their own continuations for seconds. People of different looks can be told
    apart later, so their tracks stay.
    """
    rows = [row for row in range(costs.shape[0]) if row not in {row for row, _ in sure}]
    columns = [column for column in range(costs.shape[1]) if column not in {column for _, column in sure}]
    possible = costs <= _MAX_COST
    ended = set()
    for a, b in itertools.combinations(rows, 2):
        if alike_rows[a, b] and (possible[a] & possible[b])[columns].any():
            ended |= {a, b}
    for a, b in itertools.combinations(columns, 2):
        if alike_columns[a, b]:
            ended |= {row for row in rows if possible[row, a] and possible[row, b]}
    return ended


def _is_behind(box: Box, boxes: Sequence[Box]) -> bool:
    """Whether somebody hides most of a person; of two people the one whose feet are lower in the picture is nearer."""
    return any(box.covered_by(other) > _BEHIND and other.y2 >= box.y2 for other in boxes if other is not box)


def _alike_tracks(tracks: Sequence[Track]) -> np.ndarray:
    """bool ``[N, N]``: two people who look alike; two, for both were there at one time."""
    since, until = np.array([(t.since_s, t.time_s) for t in tracks]).reshape(-1, 2).T
    return _alike([t.appearance for t in tracks]) & (since[:, None] <= until) & (since <= until[:, None])


def _alike(embeddings: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    rows = np.array(embeddings)
    return rows @ rows.T >= _ALIKE if len(rows) else np.zeros((0, 0), bool)


def _centre(box: Box, aspect: float) -> np.ndarray:
    x, y = box.centre
    return np.array([x * aspect, y])
