"""torchvision's detectors as ONNX files: SSDLite, Faster R-CNN, and whatever else gives boxes, scores and labels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from reidapp.box import Box
from reidapp.embedding import open_session
from reidapp.errors import UserError
from reidapp.footage.detection import Detection

_PERSON = 1  # of COCO's labels as torchvision counts them; 0 is the background


class Torchvision:
    """A detector that resizes, normalises and suppresses overlaps inside its graph, as `models.export_detector` writes.

    Args:
        path: ONNX; input ``images`` uint8 ``[1, H, W, 3]`` RGB with H and W free, outputs ``boxes`` float32 ``[K, 4]``
            (x1 y1 x2 y2 in pixels), ``scores`` float32 ``[K]`` and ``labels`` int64 ``[K]``.
        threshold: of the score.
        threads, provider: as `open_session` has them.

    Raises:
        UserError: another kind of model.
    """

    def __init__(self, path: Path, threshold: float = 0.5, threads: int = 0, provider: str = "auto") -> None:
        self.threshold = threshold
        self._session = open_session(path, threads, provider)
        self.provider: str = self._session.get_providers()[0]
        inputs = [(i.name, i.type, len(i.shape)) for i in self._session.get_inputs()]
        outputs = {o.name for o in self._session.get_outputs()}
        if inputs != [("images", "tensor(uint8)", 4)] or not {"boxes", "scores", "labels"} <= outputs:
            raise UserError(f"{path}: not a detector of torchvision's (its inputs are {inputs}, its outputs {outputs})")

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Detection]]:
        """People in each frame (RGB uint8 ``[H, W, 3]``), highest score first."""
        return [self._detect(frame) for frame in frames]

    def _detect(self, frame: np.ndarray) -> list[Detection]:
        height, width = frame.shape[:2]
        boxes, scores, labels = self._session.run(["boxes", "scores", "labels"], {"images": frame[None]})
        people = np.flatnonzero((labels == _PERSON) & (scores > self.threshold))
        size = np.array([width, height, width, height], np.float32)
        return [
            Detection(Box(*(boxes[i] / size).tolist()).clipped(), float(scores[i]))
            for i in people[np.argsort(-scores[people], kind="stable")]
        ]
