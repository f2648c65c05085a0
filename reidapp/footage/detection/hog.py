"""OpenCV's built-in people detector: HOG features and a linear SVM (Dalal and Triggs, CVPR 2005)."""

from collections.abc import Sequence

import cv2
import numpy as np

from reidapp.box import Box
from reidapp.footage.detection import Detection, without_overlaps

# The SVM saw people 96 px high in the middle of 64×128 windows; the margin is cut off again.
_MARGIN_X, _MARGIN_Y = 0.17, 0.09
_MAX_ASPECT = 8  # a picture of a few lines' height would take gigabytes at the full one


class Hog:
    """Upright people of about 100 px height and more in a frame scaled to ``height``. No model file, no GPU.

    Args:
        height: frames are scaled to this many pixels, so that a frame costs the same whatever the camera.
        threshold: of the SVM's distance from its plane; higher finds fewer and surer.
    """

    provider = "OpenCV (CPU)"
    licence = "Apache-2.0 (OpenCV's)"

    def __init__(self, height: int = 360, threshold: float = 0.2) -> None:
        self.height = height
        self.threshold = threshold
        self._hog = cv2.HOGDescriptor()
        self._hog.setSVMDetector(np.array(cv2.HOGDescriptor.getDefaultPeopleDetector(), np.float32))

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Detection]]:
        """People in each frame (RGB uint8 ``[H, W, 3]``), highest score first."""
        return [self._detect(frame) for frame in frames]

    def _detect(self, frame: np.ndarray) -> list[Detection]:
        scale = self.height / frame.shape[0]
        width = min(max(64, round(frame.shape[1] * scale)), _MAX_ASPECT * self.height)
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        grey = cv2.resize(grey, (width, self.height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        # The final grouping is done below, by score: OpenCV's own averages boxes and throws single ones away.
        found, weights = self._hog.detectMultiScale(
            grey, hitThreshold=self.threshold, winStride=(8, 8), padding=(8, 8), scale=1.05, groupThreshold=0
        )
        if not len(found):
            return []
        x, y, w, h = np.asarray(found, np.float32).T
        boxes = np.stack([x + _MARGIN_X * w, y + _MARGIN_Y * h, x + (1 - _MARGIN_X) * w, y + (1 - _MARGIN_Y) * h], 1)
        scores = 1 / (1 + np.exp(-2 * np.asarray(weights, np.float32).reshape(-1)))
        size = np.array([width, self.height, width, self.height], np.float32)
        return [
            Detection(Box(*(boxes[i] / size).tolist()).clipped(), float(scores[i]))
            for i in without_overlaps(boxes, scores, 0.3)
        ]
