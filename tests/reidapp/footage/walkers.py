"""Simulated walkers: their boxes as a detector finds them, and their looks as an embedding model sees them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reidapp.box import Box
from reidapp.footage.detection import Detection

ASPECT = 16 / 9
_DIM = 16  # so few that embeddings of one person, and of two, scatter as a real model's do


@dataclass(frozen=True)
class Seen:
    """A detection, and who it is."""

    person: int
    detection: Detection
    embedding: np.ndarray


Sample = tuple[float, list[Seen]]


class Looks:
    """Embeddings of one person have a cosine of 0.84 ± 0.1, of two people 0.13 ± 0.2, of look-alikes 0.78 ± 0.1.

    The first two as measured on unhidden people half a second apart in generated footage, with the shipped model.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self._common = self._any()

    def person(self) -> np.ndarray:
        return _unit(np.sqrt(0.15) * self._common + np.sqrt(0.85) * self._any())

    def look_alike(self, person: np.ndarray) -> np.ndarray:
        return _unit(0.92 * person + 0.39 * self._any())

    def embedding(self, person: np.ndarray) -> np.ndarray:
        share = np.clip(self.rng.normal(0.92, 0.05), 0.6, 0.98)
        return _unit(share * person + np.sqrt(1 - share**2) * self._any()).astype(np.float32)

    def _any(self) -> np.ndarray:
        return _unit(self.rng.normal(size=_DIM))


@dataclass(frozen=True)
class Walker:
    """Someone who crosses the picture; lengths in heights of the frame.

    Attributes:
        speed: heights of the frame in a second, to the right.
        hidden: (from, until), seconds.
    """

    person: int
    x: float
    speed: float
    height: float
    foot: float = 0.85
    hidden: tuple[float, float] = (0.0, 0.0)

    def x_at(self, time_s: float) -> float:
        return self.x + self.speed * time_s

    def box(self, time_s: float, rng: np.random.Generator) -> Box:
        height = self.height * (1 + 0.04 * rng.normal())
        width = 0.4 * self.height * (1 + 0.08 * rng.normal())
        x = self.x_at(time_s) + 0.03 * self.height * rng.normal()
        y = self.foot - self.height / 2 + 0.02 * self.height * rng.normal()
        return Box((x - width / 2) / ASPECT, y - height / 2, (x + width / 2) / ASPECT, y + height / 2)


def film(
    walkers: Sequence[Walker], people: Sequence[np.ndarray], looks: Looks, fps: float, missed: float = 0.0
) -> list[Sample]:
    """What is seen of walkers until all have left.

    Args:
        people: by number; those of the walkers.
        missed: share of the detections that the detector misses.
    """
    rng, samples = looks.rng, []
    for number in range(round(60 * fps)):
        time_s = number / fps
        there = [w for w in walkers if 0 <= w.x_at(time_s) <= ASPECT]
        if not there:
            break
        seen = []
        for walker in there:
            beside = [o for o in there if o is not walker and _apart(o, walker, time_s) < 0.5]
            behind = any(o.foot > walker.foot and _apart(o, walker, time_s) < 0.25 for o in beside)
            if behind or walker.hidden[0] < time_s < walker.hidden[1] or rng.random() < missed:
                continue
            embedding = looks.embedding(people[walker.person])
            for other in beside:  # part of the other is in the crop
                embedding = _unit(0.8 * embedding + 0.35 * looks.embedding(people[other.person])).astype(np.float32)
            seen.append(Seen(walker.person, Detection(walker.box(time_s, rng), 0.9), embedding))
        samples.append((time_s, [seen[i] for i in rng.permutation(len(seen))]))
    return samples


def _apart(a: Walker, b: Walker, time_s: float) -> float:
    return abs(a.x_at(time_s) - b.x_at(time_s)) / a.height


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)
