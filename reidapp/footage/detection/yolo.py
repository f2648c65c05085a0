"""YOLO-style detectors as ONNX files, whoever trained them: only the tensors' layout matters."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from reidapp.box import Box
from reidapp.embedding import open_session
from reidapp.errors import UserError
from reidapp.footage.detection import Detection, batch_of, without_overlaps

_GREY = 114  # of the letterbox, as such models are trained
_SIZE = 640  # where the model leaves height or width open
_WITH_OBJECTNESS = 85  # box, objectness, COCO's 80 classes: version 5 and its kin
_STRIDES = (8, 16, 32)
_DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class Yolo:
    """A detector whose class 0 is a person.

    Its output is one of: ``[B, 4 + C, A]`` or ``[B, A, 4 + C]`` (centre x, centre y, width, height in pixels, and
    the classes' scores; ``[B, A, 85]`` has an objectness before them), or, with the suppression of overlaps in the
    graph, ``[B, N, 6]`` (x1, y1, x2, y2, score, class).

    Args:
        path: ONNX; input float32 or float16 ``[B, 3, H, W]`` RGB 0..1; B, H and W may be open.
        threshold: of the score.
        overlap: of non-maximum suppression.
        threads, provider: as `open_session` has them.

    Raises:
        UserError: another kind of model.
    """

    def __init__(
        self, path: Path, threshold: float = 0.4, overlap: float = 0.5, threads: int = 0, provider: str = "auto"
    ) -> None:
        self.path = path
        self.threshold = threshold
        self.overlap = overlap
        self._session = open_session(path, threads, provider)
        self.provider: str = self._session.get_providers()[0]
        self._name, self._dtype, self._batch, self._height, self._width = self._input()
        self._output: str = self._session.get_outputs()[0].name

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Detection]]:
        """People in each frame (RGB uint8 ``[H, W, 3]``), highest score first."""
        found = []
        for start in range(0, len(frames), self._batch):
            part = frames[start : start + self._batch]
            # Always the same shape: what is found in a frame must not depend on how many others there are.
            batch = np.zeros((self._batch, 3, self._height, self._width), self._dtype)
            placed = [self._place(frame, slot) for frame, slot in zip(part, batch, strict=False)]
            (out,) = self._session.run([self._output], {self._name: batch})
            found += [self._read(rows.astype(np.float32), *where) for rows, where in zip(out, placed, strict=False)]
        return found

    def _place(self, frame: np.ndarray, slot: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Fill ``[3, H, W]`` with a letterboxed frame; (its corner x y in it, its width and height in it)."""
        height, width = frame.shape[:2]
        scale = min(self._height / height, self._width / width)
        inner_w, inner_h = max(1, round(width * scale)), max(1, round(height * scale))
        x, y = (self._width - inner_w) // 2, (self._height - inner_h) // 2
        canvas = np.full((self._height, self._width, 3), _GREY, np.uint8)
        canvas[y : y + inner_h, x : x + inner_w] = cv2.resize(frame, (inner_w, inner_h), interpolation=cv2.INTER_LINEAR)
        slot[:] = canvas.transpose(2, 0, 1).astype(np.float32) / 255
        return np.array([x, y], np.float32), np.array([inner_w, inner_h], np.float32)

    def _read(self, rows: np.ndarray, corner: np.ndarray, size: np.ndarray) -> list[Detection]:
        boxes, scores = self._people(rows)
        boxes = (boxes - np.tile(corner, 2)) / np.tile(size, 2)
        return [
            Detection(Box(*boxes[i].tolist()).clipped(), float(scores[i]))
            for i in without_overlaps(boxes, scores, self.overlap)
        ]

    def _people(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes ``[K, 4]`` (x1 y1 x2 y2 in pixels of the letterbox) and scores of people."""
        cells = sum((self._height // stride) * (self._width // stride) for stride in _STRIDES)
        if rows.shape[-1] == 6 and rows.shape[0] != cells:
            people = rows[(rows[:, 4] > self.threshold) & (rows[:, 5] == 0)]
            return people[:, :4], people[:, 4]
        if rows.shape[0] < rows.shape[1]:
            rows = rows.T
        scores = rows[:, 4] * rows[:, 5] if rows.shape[1] == _WITH_OBJECTNESS else rows[:, 4]
        sure = scores > self.threshold
        centre, half = rows[sure, :2], rows[sure, 2:4] / 2
        return np.concatenate([centre - half, centre + half], 1), scores[sure]

    def _input(self) -> tuple[str, Any, int, int, int]:
        """Name, dtype, batch, height and width.

        Raises:
            UserError: it, or the output, is of another kind.
        """
        given, out = self._session.get_inputs(), self._session.get_outputs()[0]
        shape = given[0].shape
        if len(given) != 1 or given[0].type not in _DTYPES or len(shape) != 4 or shape[1] != 3:
            raise UserError(f"{self.path}: not a YOLO model (its input is {shape}, not [B, 3, H, W] in floats)")
        sizes = [size for size in out.shape[1:] if isinstance(size, int)]
        if len(out.shape) != 3 or (sizes and min(sizes) < 5 and sizes[-1] != 6):
            raise UserError(f"{self.path}: not a YOLO model (its output is {out.shape}, not [B, 4 + classes, A])")
        height, width = (size if isinstance(size, int) else _SIZE for size in shape[2:])
        return given[0].name, _DTYPES[given[0].type], batch_of(shape[0], self.provider), height, width
