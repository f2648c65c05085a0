"""Where people's heads are in a recording, by the stored boxes of all who were found in it; and how they are blurred.

A face detector alone misses faces that are small, turned or dark. The upper part of every person's box does not. Who
has no box at all is `blurring.py`'s.
Between stored boxes, and for some seconds before the first and after the last, people are taken to walk on as they did,
and the longer a moment is away from a stored box, the more room their heads have. What was not indexed is blurred all
over, since nobody has looked who is there.
"""

import bisect
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from reidapp.box import Box
from reidapp.errors import UnknownError
from reidapp.gallery import schema
from reidapp.gallery.coverage import CHUNK_S
from reidapp.gallery.store import Gallery
from reidapp.imaging import read_image

# Chosen on generated footage of seeds that `benchmarks.blur` does not use.
_UP, _DOWN, _ASIDE = 0.14, 0.28, 0.3  # of a box's height above its top and below it, and of its width on each side
# For which somebody is taken to be there before the first box and after the last: detectors find people late, and lose
# them early, while they come and go at the edges of the picture.
_BEYOND_S = 2.5
# More room, for each second away from a stored box and at most, in parts of the box's height: so much is added above
# and below times _HIGH, and aside, where people walk, times _WIDE of the box's width (which is less than its height).
_ROOM_PER_S, _MOST_ROOM = 0.3, 0.2
_WIDE, _HIGH = 2.4, 0.6
_NEIGHBOURS = 2  # stored boxes on each side of a moment, whose sizes count
_PACE_S = 1.0  # of a tracklet's beginning or end, by which its speed there is told
_BLOCKS = 4  # that are left of a head, each way
_ROWS = 12  # that are left of a picture where it is blurred for what moves: a head is one or two of them
EVERYWHERE = Box(0.0, 0.0, 1.0, 1.0)


class Heads:
    """The heads of all who were found in a recording between two times.

    Raises:
        UnknownError: no such recording.
    """

    def __init__(self, gallery: Gallery, video_id: str, start_s: float, end_s: float) -> None:
        since_s, until_s = start_s - _BEYOND_S, end_s + _BEYOND_S
        piece, chunk = schema.Tracklet, schema.Chunk
        with Session(gallery.engine) as session:
            video = session.get(schema.Video, video_id)
            if video is None:
                raise UnknownError(f"video {video_id}: not in this gallery")
            self._chunk_s = float(video.settings.get("chunk_s") or CHUNK_S)
            first, last = int(since_s // self._chunk_s), int(until_s // self._chunk_s)
            those = (chunk.video_id == video_id, chunk.number.between(first, last))
            self._indexed = frozenset(session.scalars(select(chunk.number).where(*those)))
            pieces = (
                select(piece.id, piece.continues, piece.path)
                .join(chunk, chunk.id == piece.chunk_id)
                .where(*those, piece.end_s >= since_s, piece.start_s <= until_s)
                .order_by(piece.start_s, piece.id)
            )
            self._walks = _walks(session.execute(pieces).all())

    def at(self, time_s: float, guessed: bool = True) -> list[Box]:
        """Boxes around the heads, seconds since the recording begins; around everything, where it was not indexed.

        Args:
            guessed: also of those who are only taken to be there, before their first box or after their last.
        """
        if time_s // self._chunk_s not in self._indexed:
            return [EVERYWHERE]
        beyond_s = _BEYOND_S if guessed else 0.0
        return [head for walk in self._walks if (head := walk.head(time_s, beyond_s)) is not None]

    def bodies(self, time_s: float) -> list[Box]:
        """Boxes of all who are there, between their first and last stored ones."""
        return [body for walk in self._walks if (body := walk.body(time_s)) is not None]

    @property
    def key(self) -> str:
        """Another one as soon as something else would be blurred."""
        rules = (
            _UP,
            _DOWN,
            _ASIDE,
            _BEYOND_S,
            _ROOM_PER_S,
            _MOST_ROOM,
            _WIDE,
            _HIGH,
            _NEIGHBOURS,
            _PACE_S,
            _BLOCKS,
            _ROWS,
        )
        told = hashlib.sha256(repr((rules, self._chunk_s, sorted(self._indexed))).encode())
        for walk in self._walks:
            told.update(walk.path.tobytes())
        return told.hexdigest()


def _walks(pieces: Sequence[Sequence[Any]]) -> list["_Walk"]:
    """
    Args:
        pieces: id, the piece that it goes on, path; in order of time.
    """
    joined: dict[str, list[list[float]]] = {}
    walks = []
    for id_, before, path in pieces:
        if before in joined:
            joined[id_] = joined[before]
            joined[id_] += path
        else:
            joined[id_] = list(path)
            walks.append(joined[id_])
    return [_Walk(np.array(path, np.float64)) for path in walks]


@dataclass(frozen=True)
class _Walk:
    """One person's stored boxes: rows of time_s, x1, y1, x2, y2, in order of time."""

    path: np.ndarray

    @cached_property
    def _times(self) -> list[float]:
        return list(self.path[:, 0].tolist())

    def head(self, time_s: float, beyond_s: float) -> Box | None:
        """Around the head at a time; None where the person is not there, and is not taken to be ``beyond_s`` seconds
        before the first box and after the last."""
        times = self._times
        if not times[0] - beyond_s <= time_s <= times[-1] + beyond_s:
            return None
        after = bisect.bisect(times, time_s)
        if after == 0:
            box = self.path[0, 1:] + (time_s - times[0]) * self._speed(0)
        elif after == len(times):
            box = self.path[-1, 1:] + (time_s - times[-1]) * self._speed(-1)
        else:
            box = self._between(time_s, after)
        away_s = min(abs(time_s - time) for time in times[max(after - 1, 0) : after + 1])
        room = min(_ROOM_PER_S * away_s, _MOST_ROOM)
        return _around([head_of(Box(*each), room) for each in [box.tolist(), *self._sizes(box, after)]])

    def body(self, time_s: float) -> Box | None:
        """The box at a time; None before the first stored one and after the last."""
        times = self._times
        if not times[0] <= time_s <= times[-1]:
            return None
        after = min(bisect.bisect(times, time_s), len(times) - 1)
        return Box(*(self._between(time_s, after) if after else self.path[0, 1:]).tolist())

    def _between(self, time_s: float, after: int) -> np.ndarray:
        """The box at a time between two stored ones; ``after`` is the number of the second."""
        before_s, after_s = self._times[after - 1], self._times[after]
        share = (time_s - before_s) / (after_s - before_s)
        return np.asarray((1 - share) * self.path[after - 1, 1:] + share * self.path[after, 1:])

    def _sizes(self, box: np.ndarray, after: int) -> list[list[float]]:
        """The boxes stored next to a place in the path, moved to where the person is: one may be too large or small."""
        near = self.path[max(after - _NEIGHBOURS, 0) : after + _NEIGHBOURS, 1:]
        moved = near - np.tile((near[:, :2] + near[:, 2:]) / 2, 2) + np.tile((box[:2] + box[2:]) / 2, 2)
        return list(moved.tolist())

    def _speed(self, end: int) -> np.ndarray:
        """Of the box's place at the first (0) or last (-1) box, per second: it moves on, and keeps its size."""
        far = np.abs(self.path[:, 0] - self.path[end, 0]) <= _PACE_S + 1e-6
        near = self.path[far]
        took = near[-1, 0] - near[0, 0]
        if took <= 0:
            return np.zeros(4)
        moved = (near[-1, 1:] - near[0, 1:]) / took
        return np.tile((moved[:2] + moved[2:]) / 2, 2)


def _around(boxes: Sequence[Box]) -> Box:
    x1, y1, x2, y2 = zip(*boxes, strict=True)
    return Box(min(x1), min(y1), max(x2), max(y2))


def head_of(box: Box, room: float = 0.0) -> Box:
    """The part of a standing person's box in which the head is, with room for a box that sits badly.

    Args:
        room: more of it, see `_ROOM_PER_S`.
    """
    up, down, aside = _UP * box.height, _DOWN * box.height, _ASIDE * box.width
    wide, high = _WIDE * room * box.width, _HIGH * room * box.height
    return Box(box.x1 - aside - wide, box.y1 - up - high, box.x2 + aside + wide, box.y1 + down + high).clipped()


def within(box: Box, frame: Box) -> Box:
    """A box of the whole picture in fractions of a part of it; empty where it lies beyond."""
    width, height = max(frame.width, 1e-9), max(frame.height, 1e-9)
    return Box(
        (box.x1 - frame.x1) / width, (box.y1 - frame.y1) / height, (box.x2 - frame.x1) / width,
        (box.y2 - frame.y1) / height,
    ).clipped()  # fmt: skip


def blurred(image: np.ndarray, boxes: Sequence[Box], besides: np.ndarray | None = None) -> np.ndarray:
    """A copy of an image uint8 ``[H, W, 3]`` in which of each box sixteen colours are left: no face comes back.

    They run into one another, so that no edge of a patch looks like a part of a face.

    Args:
        besides: bool ``[H, W]``; there, twelve rows of colours are left of the whole image.
    """
    image = image.copy()
    if besides is not None and besides.any():
        height, width = image.shape[:2]
        rows = cv2.resize(image, (max(1, round(_ROWS * width / height)), _ROWS), interpolation=cv2.INTER_AREA)
        image[besides] = cv2.resize(rows, (width, height), interpolation=cv2.INTER_LINEAR)[besides]
    for box in boxes:
        if box.area > 0:
            x1, y1, x2, y2 = box.pixels(*image.shape[:2])
            part = cv2.resize(image[y1:y2, x1:x2], (_BLOCKS, _BLOCKS), interpolation=cv2.INTER_AREA)
            image[y1:y2, x1:x2] = cv2.resize(part, (x2 - x1, y2 - y1), interpolation=cv2.INTER_LINEAR)
    return image


def blurred_shot(gallery: Gallery, crop_id: str) -> np.ndarray:
    """A best shot, RGB uint8 ``[H, W, 3]``, with the heads of all who were found in it blurred.

    Of nobody else: guesses about who is near would hide the clothes, which are what it is looked at for.

    Raises:
        UnknownError: no such best shot.
    """
    with Session(gallery.engine) as session:
        of = select(schema.Crop, schema.Chunk.video_id).join(schema.Chunk, schema.Chunk.id == schema.Crop.chunk_id)
        row = session.execute(of.where(schema.Crop.id == crop_id)).one_or_none()
    if row is None:
        raise UnknownError(f"crop {crop_id}: not in this gallery")
    crop, video_id = row
    heads = Heads(gallery, video_id, crop.time_s, crop.time_s).at(crop.time_s, guessed=False)
    frame = Box(crop.x1, crop.y1, crop.x2, crop.y2).clipped()  # as it was cut out
    return blurred(read_image(gallery.crop_path(crop.chunk_id, crop.id)), [within(head, frame) for head in heads])
