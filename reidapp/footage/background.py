"""What moves before a camera that stands still: people too, whom no detector has found.

A picture is compared with what the camera mostly shows around that time. It needs no model, and so misses other people
than detectors do: those who stay still for most of a minute. A camera that turns moves everywhere, which says nothing.
What is in doubt moves: whoever asks wants to hide people.
"""

import threading
from collections.abc import Iterable
from functools import lru_cache
from math import inf
from pathlib import Path

import cv2
import numpy as np

from reidapp.footage.decoding import frames

_HEIGHT = 180  # of the picture that is compared: a head is some pixels of it, and noise averages out
_AROUND_S = 30.0  # before and after, of which the background is made: people pass in less
_SAMPLES = 24  # pictures of it, at most about so many
_LEAST = 5  # keyframes of it, without which other frames are taken, at the cost of decoding all of them
_DIFFERENT = 14.0  # levels of 255 in one colour, after what the place has become brighter or darker by
_RESTLESS = 4.0  # times a pixel's own usual difference (leaves, screens, noise) it has to differ by
_LEAST_PIXELS = 12  # of the small picture that move together
_GAP = 5  # pixels between two parts that move, which are one
_ROOM = 3  # pixels around what moves: hair and hands are as grey as walls
# Where so much of the picture moves, and so much of each of its corners, the camera does: people who are near fill the
# picture, too, but hardly all that is above them.
_TURNED, _CORNER = 0.5, 5  # a part of the picture; corners are a fifth of its width and height
RULES = (_HEIGHT, _AROUND_S, _SAMPLES, _LEAST, _DIFFERENT, _RESTLESS, _LEAST_PIXELS, _GAP, _ROOM, _TURNED, _CORNER)

_reading = threading.Lock()  # one minute at a time: a page asks for many pictures of the same one


class Background:
    """What a camera mostly shows.

    Args:
        pictures: RGB uint8 ``[H, W, 3]``, all of one size, seconds apart.
    """

    def __init__(self, pictures: Iterable[np.ndarray]) -> None:
        self._usual: np.ndarray | None = None
        small = [_small(picture) for picture in pictures]
        if len(small) >= 3:  # of two nobody knows which one shows the background
            stack = np.stack(small)
            self._usual = np.median(stack, 0)
            restless = np.median(np.abs(stack - self._usual), 0)
            self._least = np.maximum(_DIFFERENT, _RESTLESS * restless).astype(np.float32)

    def moving(self, picture: np.ndarray) -> np.ndarray:
        """Where something is that mostly is not there, bool ``[H, W]``, of a picture RGB uint8 ``[H, W, 3]``.

        Nowhere, if too little is known of the camera, or if it turns itself.
        """
        height, width = picture.shape[:2]
        nothing = np.zeros((height, width), bool)
        small = _small(picture)
        if self._usual is None or small.shape != self._usual.shape:
            return nothing
        difference = small - self._usual
        difference -= min((np.median(part, (0, 1)) for part in _corners(difference)), key=np.linalg.norm)
        mask = (np.abs(difference) > self._least).any(2).astype(np.uint8)
        mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((_GAP, _GAP), np.uint8)), np.uint8)
        _, parts, facts, _ = cv2.connectedComponentsWithStats(mask)
        large = facts[:, cv2.CC_STAT_AREA] >= _LEAST_PIXELS
        large[0] = False  # what does not move
        if _turned(large[parts]):
            return nothing
        mask = _whole(parts, np.flatnonzero(large))
        mask = np.asarray(cv2.dilate(mask, np.ones((2 * _ROOM + 1, 2 * _ROOM + 1), np.uint8)), np.uint8)
        return np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST) > 0)


def background(path: Path, start_s: float, end_s: float, least_s: float = 0.0, most_s: float = inf) -> Background:
    """Of a recording around some seconds of it.

    Args:
        least_s, most_s: beyond which nothing is looked at: where the recording ends, or what may be seen of it.

    Raises:
        UserError: it cannot be read.
    """
    first, last = int(start_s // _AROUND_S) - 1, int(end_s // _AROUND_S) + 2
    try:
        mtime_ns = path.stat().st_mtime_ns
    except FileNotFoundError:
        mtime_ns = 0  # what is gone is told by its reader
    with _reading:
        return _read(path, mtime_ns, max(first * _AROUND_S, least_s, 0.0), min(last * _AROUND_S, most_s))


@lru_cache(maxsize=16)
def _read(path: Path, mtime_ns: int, start_s: float, end_s: float) -> Background:
    """Keyframes are cheap to read; some recordings have few."""
    if end_s <= start_s:
        return Background([])
    fps = _SAMPLES / (end_s - start_s)
    found: list[np.ndarray] = []
    for keyframes in (True, False):
        found = [frame.image for frame in frames(path, start_s, end_s, fps, keyframes, threads=1)]
        if len(found) >= _LEAST:
            break
    return Background(found)


def _turned(moves: np.ndarray) -> bool:
    """Whether it is the camera that moves, bool ``[H, W]``."""
    return all(part.mean() > _TURNED for part in (moves, *_corners(moves)))


def _corners(picture: np.ndarray) -> list[np.ndarray]:
    """The four corners; in one of them, at least, is nobody."""
    high, wide = picture.shape[0] // _CORNER, picture.shape[1] // _CORNER
    sides = slice(wide), slice(-wide, None)
    return [picture[rows, columns] for rows in (slice(high), slice(-high, None)) for columns in sides]


def _whole(parts: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Those parts with all that lies between their ends, uint8: hair or a coat may look like the wall behind it."""
    mask = np.zeros(parts.shape, np.uint8)
    for number in numbers:
        places = np.argwhere(parts == number)[:, ::-1].astype(np.int32)
        cv2.fillConvexPoly(mask, cv2.convexHull(places), 1)
    return mask


def _small(picture: np.ndarray) -> np.ndarray:
    """float32 ``[180, W, 3]``."""
    width = max(1, round(picture.shape[1] * _HEIGHT / picture.shape[0]))
    return cv2.resize(picture, (width, _HEIGHT), interpolation=cv2.INTER_AREA).astype(np.float32)
