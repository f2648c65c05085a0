"""Detections of one person in one camera, joined to tracklets.

At a few samples a second a walker's boxes don't overlap from one sample to the next, so association weighs appearance,
centre distance and time gap (`AppearanceTracker`). At 8 and more, motion is enough (`MotionTracker`). Purity comes
before length: where two people could be meant, a tracklet ends and a new one begins.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from scipy.optimize import linear_sum_assignment

from reidapp.box import Box
from reidapp.footage.detection import Detection

MOTION_FROM_FPS = 8.0

MAX_GAP_S = 3.0
# A walker covers about 0.8 of his height in a second; runners and jitter of the box come on top.
_REACH_PER_S = 1.2
_REACH_JITTER = 0.35
_MAX_APPEARANCE = 0.5  # cosine distance
_MAX_SIZE_RATIO = 1.7
_MAX_COST = 1.1
_MIN_LEAD = 0.15  # the best pair must beat the second best by this, else neither is believed
_MEMORY = 0.7  # of a tracklet's appearance, per new detection


class Tracker(Protocol):
    """Fed with the samples of one chunk in order, says which tracklet each detection belongs to."""

    def update(
        self, time_s: float, aspect: float, detections: Sequence[Detection], embeddings: np.ndarray
    ) -> list[int | None]:
        """
        Args:
            time_s: presentation time.
            aspect: width / height of the frame.
            embeddings: float32 ``[len(detections), D]``, rows of length one.

        Returns:
            A tracklet's number for each detection; None where the tracker does not believe the detection.
        """


def open_tracker(fps: float | None, frame_rate: float) -> Tracker:
    """The tracker that fits a sampling rate.

    Args:
        fps: samples per second; None means every frame.
        frame_rate: of the video, in frames per second.
    """
    rate = fps or frame_rate
    return MotionTracker(rate) if rate >= MOTION_FROM_FPS else AppearanceTracker()


@dataclass
class _Track:
    number: int
    time_s: float
    box: Box
    appearance: np.ndarray
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(2))  # of the centre, in frame heights per second


class AppearanceTracker:
    """Optimal assignment of each sample's detections to the tracklets seen in the last three seconds."""

    def __init__(self) -> None:
        self._tracks: list[_Track] = []
        self._count = 0

    def update(
        self, time_s: float, aspect: float, detections: Sequence[Detection], embeddings: np.ndarray
    ) -> list[int | None]:
        self._tracks = [track for track in self._tracks if time_s - track.time_s <= MAX_GAP_S]
        costs = np.array(
            [
                [association_cost(t, time_s, d.box, e, aspect) for d, e in zip(detections, embeddings, strict=True)]
                for t in self._tracks
            ]
        ).reshape(len(self._tracks), len(detections))
        numbers: list[int | None] = [None] * len(detections)
        for row, column in zip(*linear_sum_assignment(costs), strict=True):
            if _believed(costs, row, column):
                self._extend(self._tracks[row], time_s, detections[column].box, embeddings[column], aspect)
                numbers[column] = self._tracks[row].number
        for column, number in enumerate(numbers):
            if number is None:
                self._tracks.append(_Track(self._count, time_s, detections[column].box, embeddings[column]))
                numbers[column] = self._count
                self._count += 1
        return numbers

    @staticmethod
    def _extend(track: _Track, time_s: float, box: Box, embedding: np.ndarray, aspect: float) -> None:
        moved = _centre(box, aspect) - _centre(track.box, aspect)
        track.velocity = 0.5 * track.velocity + 0.5 * moved / max(time_s - track.time_s, 1e-3)
        track.appearance = _MEMORY * track.appearance + (1 - _MEMORY) * embedding
        track.appearance /= np.linalg.norm(track.appearance) + 1e-12
        track.time_s, track.box = time_s, box


def association_cost(track: _Track, time_s: float, box: Box, embedding: np.ndarray, aspect: float) -> float:
    """How unlikely it is that a detection goes on a tracklet: 0 is sure, more than `_MAX_COST` is refused.

    The sum of appearance distance and centre distance, each as a share of the largest one that is possible, and a
    little for the time gap.
    """
    gap = time_s - track.time_s
    height = (track.box.height + box.height) / 2
    ratio = max(track.box.height, box.height) / max(min(track.box.height, box.height), 1e-6)
    appearance = (1.0 - float(track.appearance @ embedding)) / _MAX_APPEARANCE
    expected = _centre(track.box, aspect) + track.velocity * min(gap, 1.0)
    reach = height * (_REACH_JITTER + _REACH_PER_S * gap)
    distance = float(np.linalg.norm(_centre(box, aspect) - expected)) / reach
    if gap <= 0 or appearance > 1 or distance > 1 or ratio > _MAX_SIZE_RATIO:
        return 10.0
    return appearance + 0.5 * distance + 0.1 * gap / MAX_GAP_S


def continuations(
    ended: Sequence[tuple[str, float, Box, np.ndarray]],
    begun: Sequence[tuple[float, Box, np.ndarray]],
    aspect: float,
) -> list[str | None]:
    """Which tracklets of one chunk go on tracklets of the chunk before.

    Args:
        ended: (id, time of its last detection, last box, embedding ``[D]``) of the earlier ones.
        begun: (time of its first detection, first box, embedding ``[D]``) of the later ones.
        aspect: width / height of the frame.

    Returns:
        For each later one the id of the earlier one, or None.
    """
    joined: list[str | None] = [None] * len(begun)
    if not ended or not begun:
        return joined
    tracks = [_Track(0, time_s, box, embedding) for _, time_s, box, embedding in ended]
    costs = np.array([[association_cost(t, *later, aspect) for later in begun] for t in tracks])
    for row, column in zip(*linear_sum_assignment(costs), strict=True):
        gap = begun[column][0] - tracks[row].time_s
        if gap <= MAX_GAP_S and _believed(costs, row, column):
            joined[column] = ended[row][0]
    return joined


class MotionTracker:
    """ByteTrack (Zhang et al., ECCV 2022) of the `trackers` library."""

    def __init__(self, frame_rate: float) -> None:
        from trackers import ByteTrackTracker

        self._tracker = ByteTrackTracker(
            lost_track_buffer=round(30 * MAX_GAP_S / 3),
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


def _believed(costs: np.ndarray, row: int, column: int) -> bool:
    """A pair is believed if it is cheap enough and clearly better than any other choice for either side."""
    cost = costs[row, column]
    if cost > _MAX_COST:
        return False
    rivals = np.concatenate([np.delete(costs[row], column), np.delete(costs[:, column], row)])
    return not len(rivals) or bool(rivals.min() - cost >= _MIN_LEAD)


def _centre(box: Box, aspect: float) -> np.ndarray:
    x, y = box.centre
    return np.array([x * aspect, y])
