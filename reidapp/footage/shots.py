"""Best shots: which few crops of a tracklet are kept."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from reidapp.box import Box
from reidapp.footage.detection import Detection
from reidapp.imaging import as_stored

MAX_SHOTS = 4
_SECONDS_PER_SHOT = 6.0
_SLOT_S = 2.0  # of this many seconds only the best crop is held in memory, so that a long stay costs little
_SLIMMEST, _WIDEST = 0.25, 0.55  # width / height of an upright person's box
_EDGE = 0.004  # of the frame; nearer to its edge than this, a body is taken to be cut


@dataclass(frozen=True)
class Shot:
    """A candidate: when, where, how good (0..1), and the pixels, RGB uint8 ``[h, w, 3]``."""

    time_s: float
    box: Box
    quality: float
    crop: np.ndarray


class ShotKeeper:
    """Collects a tracklet's candidates and gives the best, spread over the time it lasted."""

    def __init__(self) -> None:
        self._slots: dict[int, Shot] = {}
        self._start_s, self._end_s = float("inf"), -float("inf")

    def offer(self, shot: Shot) -> None:
        """Add a candidate; of each two seconds the best is kept."""
        self._start_s, self._end_s = min(self._start_s, shot.time_s), max(self._end_s, shot.time_s)
        slot = int(shot.time_s // _SLOT_S)
        held = self._slots.get(slot)
        if held is None or shot.quality > held.quality:
            # A copy: the crop is a view of the frame, and would keep all of it in memory.
            self._slots[slot] = replace(shot, crop=as_stored(shot.crop).copy())

    def best(self) -> list[Shot]:
        """The best shot of each six seconds, one to four in all, in order of time."""
        span_s = self._end_s - self._start_s
        count = min(MAX_SHOTS, 1 + int(span_s // _SECONDS_PER_SHOT))
        best: dict[int, Shot] = {}
        for shot in self._slots.values():
            part = min(int((shot.time_s - self._start_s) * count / max(span_s, 1e-9)), count - 1)
            if part not in best or shot.quality > best[part].quality:
                best[part] = shot
        return [best[part] for part in sorted(best)]


def quality(crop: np.ndarray, detection: Detection, others: Sequence[Detection]) -> float:
    """How good a crop is for recognising the person, 0..1.

    The product of sharpness, size, completeness, posture, how free it is of other people, and the detector's score;
    roots temper those that are less telling. Posture is told by the box's shape: who stands or walks is two to four
    times as high as wide, who sits, bends or is half hidden is not.

    Args:
        crop: RGB uint8 ``[h, w, 3]``.
        others: the other detections of the same frame.
    """
    box = detection.box
    sharp = min(1.0, sharpness(crop) / 0.08)
    large = min(1.0, crop.shape[0] / 200)
    slender = crop.shape[1] / crop.shape[0]
    upright = min(1.0, _WIDEST / slender, slender / _SLIMMEST)
    covered = max((box.covered_by(other.box) for other in others), default=0.0)
    return float(np.sqrt(sharp * large * upright * detection.score) * 0.5 ** len(cut_sides(box)) * (1 - covered))


def cut_sides(box: Box) -> list[str]:
    """The frame's sides at which a body is taken to be cut: of left, top, right, bottom."""
    cut = {"left": box.x1 < _EDGE, "top": box.y1 < _EDGE, "right": box.x2 > 1 - _EDGE, "bottom": box.y2 > 1 - _EDGE}
    return [side for side, is_cut in cut.items() if is_cut]


def sharpness(crop: np.ndarray) -> float:
    """Mean absolute Laplacian of the grey image at 128×64, 0..1; surveillance crops have 0.07 to 0.09."""
    grey = cv2.cvtColor(cv2.resize(crop, (64, 128), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    return float(np.abs(cv2.Laplacian(grey, cv2.CV_32F)).mean() / 255)
