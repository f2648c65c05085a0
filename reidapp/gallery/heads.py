"""Where people's heads are in a recording, by the stored boxes of all who were found in it; and how they are blurred.

A face detector alone misses faces that are small, turned or dark. The upper part of every person's box does not.
"""

import bisect
from collections import defaultdict
from collections.abc import Sequence

import cv2
import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from reidapp.box import Box
from reidapp.gallery import schema
from reidapp.gallery.store import Gallery, roots

_UP, _DOWN, _ASIDE = 0.08, 0.26, 0.15  # of a box's height above its top and below it, and of its width on each side
_AROUND_S = 1.0  # for which somebody is taken to be there before the first box and after the last
_BLOCKS = 4  # of a blurred head, each way


class Heads:
    """The heads of all who were found in a recording between two times."""

    def __init__(self, gallery: Gallery, video_id: str, start_s: float, end_s: float) -> None:
        piece = schema.Tracklet
        pieces = (
            select(piece.id, piece.path)
            .join(schema.Chunk, schema.Chunk.id == piece.chunk_id)
            .where(schema.Chunk.video_id == video_id)
            .where(piece.end_s >= start_s - _AROUND_S, piece.start_s <= end_s + _AROUND_S)
            .order_by(piece.start_s)
        )
        paths: defaultdict[str, list[list[float]]] = defaultdict(list)
        with Session(gallery.engine) as session:
            first = roots(session)
            for id_, path in session.execute(pieces):
                paths[first.get(id_, id_)] += path
        self._paths = [np.array(path, np.float64) for path in paths.values()]
        self._times = [path[:, 0].tolist() for path in self._paths]

    def at(self, time_s: float) -> list[Box]:
        """Boxes around the heads, seconds since the recording begins; between two stored boxes they are in between."""
        found = []
        for path, times in zip(self._paths, self._times, strict=True):
            if not times[0] - _AROUND_S <= time_s <= times[-1] + _AROUND_S:
                continue
            place = min(max(bisect.bisect(times, time_s), 1), len(times) - 1) if len(times) > 1 else 0
            near = path[max(place - 1, 0) : place + 1, 1:]
            share = 0.0
            if len(near) > 1:
                share = (time_s - times[place - 1]) / max(times[place] - times[place - 1], 1e-6)
            share = min(max(share, 0.0), 1.0)
            found.append(head_of(Box(*((1 - share) * near[0] + share * near[-1]))))
        return found


def head_of(box: Box) -> Box:
    """The part of a standing person's box in which the head is, with room for a box that sits badly."""
    aside = _ASIDE * box.width
    top, bottom = box.y1 - _UP * box.height, box.y1 + _DOWN * box.height
    return Box(box.x1 - aside, top, box.x2 + aside, bottom).clipped()


def within(box: Box, frame: Box) -> Box:
    """A box of the whole picture in fractions of a part of it; empty where it lies beyond."""
    width, height = max(frame.width, 1e-9), max(frame.height, 1e-9)
    return Box(
        (box.x1 - frame.x1) / width, (box.y1 - frame.y1) / height, (box.x2 - frame.x1) / width,
        (box.y2 - frame.y1) / height,
    ).clipped()  # fmt: skip


def blurred(image: np.ndarray, boxes: Sequence[Box]) -> np.ndarray:
    """A copy of an image uint8 ``[H, W, 3]`` in which each box holds sixteen colours at most: no face comes back."""
    image = image.copy()
    for box in boxes:
        if box.area > 0:
            x1, y1, x2, y2 = box.pixels(*image.shape[:2])
            part = cv2.resize(image[y1:y2, x1:x2], (_BLOCKS, _BLOCKS), interpolation=cv2.INTER_AREA)
            image[y1:y2, x1:x2] = cv2.resize(part, (x2 - x1, y2 - y1), interpolation=cv2.INTER_NEAREST)
    return image
