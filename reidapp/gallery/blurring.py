"""What is blurred in pictures of a recording: the heads of all who were found in it, and whatever moves besides.

Who was not found has no box. But who passes before a camera that stands still moves: so all that moves, and is not the
body of somebody who was found, is blurred as a whole. `benchmarks.blur` measures how much of true heads this covers.
"""

import hashlib
from datetime import datetime
from functools import cached_property

import numpy as np

from reidapp.box import Box
from reidapp.footage import background
from reidapp.gallery.between import seconds_between
from reidapp.gallery.facts import VideoInfo
from reidapp.gallery.heads import EVERYWHERE, Heads, blurred
from reidapp.gallery.store import Gallery
from reidapp.imaging import is_picture

_TOP = 0.2  # of a box's height, in which a body has its head
# That much of it has to move, else the box sits badly, and what moves in it may be all but its head: somebody else's.
_HEAD_MOVES = 0.2
_ASIDE = 0.1  # of a box's width on each side: arms and legs, where the box lies between two stored ones


class Blurring:
    """Blurs pictures of a recording between two times.

    Args:
        after, before: between which whoever sees the pictures may see something: what the camera mostly shows is told
            by that alone, or who stood there at other times would leave a trace.

    Raises:
        UnknownError: no such recording.
    """

    def __init__(
        self,
        gallery: Gallery,
        video: VideoInfo,
        start_s: float,
        end_s: float,
        after: datetime | None = None,
        before: datetime | None = None,
    ) -> None:
        self.heads = Heads(gallery, video.id, start_s, end_s)
        self._path, self._start_s, self._end_s = video.path, start_s, end_s
        self._allowed = seconds_between(video, 0.0, max(video.duration_s, end_s), after, before)

    @property
    def key(self) -> str:
        """Another one as soon as something else would be blurred."""
        rules = (self.heads.key, self._allowed, background.RULES, _TOP, _HEAD_MOVES, _ASIDE)
        return hashlib.sha256(repr(rules).encode()).hexdigest()

    def __call__(self, image: np.ndarray, time_s: float) -> np.ndarray:
        """A copy of the picture at a time, RGB uint8 ``[H, W, 3]``.

        Raises:
            UserError: the recording cannot be read any more.
        """
        heads = self.heads.at(time_s)
        return blurred(image, heads, None if EVERYWHERE in heads else self.strangers(image, time_s))

    def strangers(self, image: np.ndarray, time_s: float) -> np.ndarray:
        """Where something moves that is not the body of somebody who was found, bool ``[H, W]``."""
        moving = self._background.moving(image)
        mine = np.zeros_like(moving)
        for body in self.heads.bodies(time_s):
            top = Box(body.x1, body.y1, body.x2, body.y1 + _TOP * body.height)
            if _part(moving, top).mean() >= _HEAD_MOVES:
                aside = _ASIDE * body.width
                _part(mine, Box(body.x1 - aside, body.y1, body.x2 + aside, body.y2).clipped())[:] = True
        return moving & ~mine

    @cached_property
    def _background(self) -> background.Background:
        if is_picture(self._path):
            return background.Background([])
        return background.background(self._path, self._start_s, self._end_s, *self._allowed)


def _part(mask: np.ndarray, box: Box) -> np.ndarray:
    x1, y1, x2, y2 = box.pixels(*mask.shape)
    return mask[y1:y2, x1:x2]
