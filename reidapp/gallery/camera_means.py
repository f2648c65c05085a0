"""Camera normalisation: what a camera does to everybody's embedding alike is taken off.

    x' = (x − m_c) / |x − m_c|        q' = (q − m) / |q − m|        score = q'·x'

m_c is the mean of camera c, m that of all. A picture, whose camera nobody knows, is compared by m; the vectors of a
tracklet that asks are moved from m_c to m before, so that what is compared is x'. Stored vectors stay as they are: the
means are a setting of the gallery for one model, and searches stay exact. They do not change by themselves, for scores
and P(match) hold for the means that they were made with. Which means, and whether they help: `normalisation`.
"""

import base64
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from sqlalchemy.orm import Session

from reidapp.gallery import database, schema
from reidapp.gallery.cameras import MEANS
from reidapp.gallery.store import Gallery
from reidapp.gallery.writer import next_generation

_TINY = 1e-6  # a row that is its camera's mean has no direction


@dataclass(frozen=True)
class CameraMeans:
    """Means of embeddings.

    Attributes:
        at: ISO 8601 UTC.
        tracklets: that they are of.
        cameras: ids, ascending.
        means: float32 ``[1 + cameras, D]``; the first is of all.
    """

    at: str
    tracklets: int
    cameras: tuple[int, ...]
    means: np.ndarray

    @classmethod
    def read(cls, text: str) -> "CameraMeans":
        """Of `text`."""
        facts = json.loads(text)
        means = np.frombuffer(base64.b64decode(facts["means"]), "<f4").reshape(1 + len(facts["cameras"]), -1)
        return cls(facts["at"], facts["tracklets"], tuple(facts["cameras"]), means)

    @cached_property
    def text(self) -> str:
        """As they are stored: JSON."""
        packed = base64.b64encode(self.means.astype("<f4").tobytes()).decode()
        return json.dumps({"at": self.at, "tracklets": self.tracklets, "cameras": self.cameras, "means": packed})

    @property
    def digest(self) -> str:
        """By which means are known again."""
        return _digest(self.text)

    def of(self, cameras: np.ndarray) -> np.ndarray:
        """Which of the means are those of cameras ``[N]``; that of all for a camera that has none: int ``[N]``."""
        place = np.searchsorted(self.cameras, cameras).clip(max=len(self.cameras) - 1)
        return np.where(np.array(self.cameras)[place] == cameras, place + 1, 0)

    def centred(self, rows: np.ndarray, cameras: np.ndarray | None = None) -> np.ndarray:
        """Rows ``[N, D]`` as they are compared, float32; without cameras those of queries."""
        return _unit(rows - (self.means[0] if cameras is None else self.means[self.of(cameras)]))

    def moved(self, rows: np.ndarray, cameras: np.ndarray) -> np.ndarray:
        """Rows ``[N, D]`` as if no camera in particular had seen them: float32. As queries they are x − m_c."""
        return np.asarray(rows - self.means[self.of(cameras)] + self.means[0], np.float32)

    def asking(self, direction: np.ndarray) -> np.ndarray:
        """The query that is compared as a direction ``[D]`` of length one: float32 ``[D]``."""
        return np.asarray(direction + self.means[0], np.float32)

    def lengths(self, rows: np.ndarray, cameras: np.ndarray) -> np.ndarray:
        """Of rows ``[N, D]`` without their cameras' means: float32 ``[N]``, above 0."""
        return np.asarray(_length(rows - self.means[self.of(cameras)]), np.float32)


def current_means(gallery: Gallery, model_id: str) -> CameraMeans | None:
    """The means that a model's vectors in a gallery are compared by; None where normalisation is off."""
    with Session(gallery.engine) as session:
        stored = session.get(schema.Setting, key(model_id))
        return CameraMeans.read(stored.value) if stored else None


def means_digest(gallery: Gallery, model_id: str) -> str | None:
    """Of the means that a model's vectors in a gallery are compared by; None where normalisation is off."""
    with Session(gallery.engine) as session:
        stored = session.get(schema.Setting, key(model_id))
        return _digest(stored.value) if stored else None


def keep_means(gallery: Gallery, model_id: str, means: CameraMeans | None) -> None:
    """Compare by these means from now on; None: as vectors are."""
    with database.changing(gallery.engine) as session:
        if means:
            session.merge(schema.Setting(key=key(model_id), value=means.text))
        elif stored := session.get(schema.Setting, key(model_id)):
            session.delete(stored)
        next_generation(session)


def key(model_id: str) -> str:
    """Of the setting that holds a model's means."""
    return f"{MEANS} {model_id}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _length(rows: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(rows, axis=1) + _TINY)


def _unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / _length(rows)[:, None], np.float32)
