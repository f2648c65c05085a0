"""Person detectors, one file each. To add one, add a file with a class that has `detect`."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from reidapp import registry
from reidapp.box import Box
from reidapp.detector_files import pulled, releases
from reidapp.errors import UserError

_BATCH_ON_GPU = 8


@dataclass(frozen=True)
class Detection:
    """A person found in a frame: where, and how sure the detector is (0..1; not comparable between detectors)."""

    box: Box
    score: float


class Detector(Protocol):
    """Finds people in frames. Several threads ask it at the same time, also about one recording.

    A call knows nothing of any other. Its frames follow one another in one chunk of a recording, eight at most, as far
    apart as they are sampled (0.5 s at 2 fps; with ``motion``, what does not move is left out in between). A picture to
    search by, or a still, comes alone.

    ``provider`` names what it really runs on, for example ``CPUExecutionProvider``; ``licence``, if the class has it,
    is that of what comes with it.
    """

    provider: str

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Detection]]:
        """People in each frame (RGB uint8 ``[H, W, 3]``, all of one size), highest score first."""


def open_detector(spec: str, threads: int = 0, provider: str = "auto") -> Detector:
    """A detector from what the user wrote: ``NAME``, ``NAME:PATH``, or the name of one that was pulled.

    Args:
        threads, provider: of its session, if it has one; as `open_session` has them.

    Raises:
        UserError: an unknown name, a model file that is missing or no such detector, or CUDA asked for and not there.
    """
    name, path = located(spec)
    if name not in registry.names(__name__):
        known = [*registry.names(__name__), *releases()]
        raise UserError(
            f'--detector: unknown detector "{name}"{registry.suggestion(name, known)}; known: {", ".join(known)}'
        )
    detector = registry.find(__name__, name)
    if _takes_file(detector) != (path is not None):
        wanted = f"has no model file; give only {name}" if path else f"needs its model file: {name}:PATH"
        raise UserError(f"--detector {spec}: {wanted}")
    if path and not path.is_file():
        raise UserError(f"--detector {spec}: no such file")
    options = {"path": path} if path else {}
    return registry.build(detector, options, f"--detector {spec}", threads=threads, provider=provider)


def built_in() -> list[str]:
    """The names of those without a model file."""
    found = {name: registry.find(__name__, name) for name in registry.names(__name__)}
    return [name for name, detector in found.items() if not _takes_file(detector)]


def _takes_file(detector: type) -> bool:
    return "path" in inspect.signature(detector).parameters


def located(spec: str) -> tuple[str, Path | None]:
    """A detector's kind and model file, None without one, from what the user wrote.

    Raises:
        UserError: one that can be pulled, and is not on this machine.
    """
    if spec in releases():
        if spec not in pulled():
            raise UserError(f"--detector {spec}: not on this machine; `reidapp models pull {spec}` fetches it")
        return releases()[spec].detector, pulled()[spec]
    name, _, path = spec.partition(":")
    return name, Path(path).expanduser() if path else None


def batch_of(size: object, provider: str) -> int:
    """Frames per run of a graph: as many as its batch has; eight on a GPU and one elsewhere, where that is open."""
    if isinstance(size, int):
        return size
    return _BATCH_ON_GPU if provider == "CUDAExecutionProvider" else 1


def without_overlaps(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    """Non-maximum suppression.

    Args:
        boxes: float ``[N, 4]``, x1 y1 x2 y2 in pixels.
        scores: float ``[N]``.
        threshold: boxes that overlap a better one by more than this (intersection over union) are dropped.

    Returns:
        Indices of the boxes that stay, best first.
    """
    import cv2

    if not len(boxes):
        return np.empty(0, np.int64)
    xywh = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
    return np.array(cv2.dnn.NMSBoxes(xywh.tolist(), scores.tolist(), 0.0, threshold), np.int64).reshape(-1)
