"""YOLOX as an ONNX file (Ge et al. 2021, arXiv 2107.08430), in the form that its authors release."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from reidapp.box import Box
from reidapp.embedding import open_session
from reidapp.errors import UserError
from reidapp.footage.detection import Detection, batch_of, without_overlaps

_STRIDES = (8, 16, 32)
_GREY = 114  # the letterbox colour of the authors' training


class Yolox:
    """A YOLOX detector; class 0 is a person.

    Args:
        path: ONNX; input float32 ``[B, 3, S, S]`` BGR 0..255, output ``[B, A, 5 + classes]`` on the raw grid; B may be
            open.
        threshold: of objectness × class score.
        overlap: of non-maximum suppression.
        threads, provider: as `open_session` has them.

    Raises:
        UserError: another kind of model.
    """

    def __init__(
        self, path: Path, threshold: float = 0.4, overlap: float = 0.5, threads: int = 0, provider: str = "auto"
    ) -> None:
        self.threshold = threshold
        self.overlap = overlap
        self._session = open_session(path, threads, provider)
        self.provider: str = self._session.get_providers()[0]
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape = inputs[0].shape
        if len(shape) != 4 or shape[1] != 3 or not isinstance(shape[2], int) or shape[2] != shape[3]:
            raise UserError(f"{path}: not a YOLOX model (its input is {shape}, not [B, 3, S, S])")
        self._name, self._size = inputs[0].name, int(shape[2])
        self._batch = batch_of(shape[0], self.provider)
        self._centres, self._steps = _grid(self._size)
        shape = outputs[0].shape
        if len(shape) != 3 or shape[1] != len(self._steps) or not isinstance(shape[2], int) or shape[2] < 6:
            raise UserError(f"{path}: not a YOLOX model (its output is {shape})")

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Detection]]:
        """People in each frame (RGB uint8 ``[H, W, 3]``), highest score first."""
        found = []
        for start in range(0, len(frames), self._batch):
            part = frames[start : start + self._batch]
            # Always the same shape: what is found in a frame must not depend on how many others there are.
            batch = np.zeros((self._batch, 3, self._size, self._size), np.float32)
            scales = [self._place(frame, slot) for frame, slot in zip(part, batch, strict=False)]
            (out,) = self._session.run(None, {self._name: batch})
            found += [self._read(*each) for each in zip(out, part, scales, strict=False)]
        return found

    def _place(self, frame: np.ndarray, slot: np.ndarray) -> float:
        """Fill ``[3, S, S]`` with a frame, in its upper left corner; its scale there."""
        height, width = frame.shape[:2]
        scale = self._size / max(height, width)
        inner_size = max(1, round(width * scale)), max(1, round(height * scale))
        inner = cv2.resize(frame, inner_size, interpolation=cv2.INTER_LINEAR)
        slot[:] = _GREY
        slot[:, : inner.shape[0], : inner.shape[1]] = inner[..., ::-1].transpose(2, 0, 1)
        return scale

    def _read(self, rows: np.ndarray, frame: np.ndarray, scale: float) -> list[Detection]:
        scores = rows[:, 4] * rows[:, 5]
        sure = scores > self.threshold
        centre = (rows[sure, :2] + self._centres[sure]) * self._steps[sure]
        half = np.exp(rows[sure, 2:4]) * self._steps[sure] / 2
        boxes = np.concatenate([centre - half, centre + half], 1) / scale
        height, width = frame.shape[:2]
        frame_size = np.array([width, height, width, height], np.float32)
        return [
            Detection(Box(*(boxes[i] / frame_size).tolist()).clipped(), float(scores[sure][i]))
            for i in without_overlaps(boxes, scores[sure], self.overlap)
        ]


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Cell corners float32 ``[A, 2]`` (x, y) and strides ``[A, 1]`` of all three levels, in the output's order."""
    centres, steps = [], []
    for stride in _STRIDES:
        y, x = np.mgrid[: size // stride, : size // stride]
        centres.append(np.stack([x, y], -1).reshape(-1, 2))
        steps.append(np.full((centres[-1].shape[0], 1), stride))
    return np.concatenate(centres).astype(np.float32), np.concatenate(steps).astype(np.float32)
