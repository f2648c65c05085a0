"""How good embeddings of a gallery are, as far as that can be known without labels.

Crops of one tracklet are of one person, and tracklets seen at the same time in one camera are of two. Both hold within
a camera only; that different cameras see one person alike is what nobody has said. So the third measure looks at how
much cameras draw neighbours to themselves, which is less where embeddings are of people and not of cameras.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, product
from typing import Any

import numpy as np

from reidapp.kreciprocal import nearest

_NEIGHBOURS = 10
_LOOKED_AT = 64  # nearest crops, of which those of the crop's own tracklet are left out
_PAIRS = 200_000  # of crops, at most
_NOISE, _MOST_NOISE = 0.002, 0.05  # of an area under the curve, which is near 1 already


@dataclass(frozen=True)
class LabelFreeScores:
    """None where there is nothing to measure on.

    Attributes:
        within: mean cosine of two crops of one tracklet.
        apart: mean cosine of two crops of tracklets that were seen at the same time in one camera.
        auc: how often the first is above the second: area under the ROC curve, 0.5 by chance.
        same_camera: share of a crop's 10 nearest, beyond its own tracklet, that are from its own camera.
        same_camera_by_chance: that share if cameras made no difference. People who were seen by one camera alone raise
            it above chance, so it need not go down to it.
        by_tracklet: the part of ``auc`` that each tracklet with several crops has; in their order.
    """

    crops: int
    within: float | None
    apart: float | None
    auc: float | None
    same_camera: float | None
    same_camera_by_chance: float | None
    by_tracklet: tuple[float, ...] = ()

    def to_dict(self) -> dict[str, float | None]:
        """As JSON has it; of the tracklets how many they are."""
        numbers = {name: value for name, value in asdict(self).items() if name != "by_tracklet"}
        rounded = {name: value if value is None else round(value, 4) for name, value in numbers.items()}
        return rounded | {"tracklets": len(self.by_tracklet)}

    def improves(self, before: "LabelFreeScores") -> bool:
        """Tracklets are told apart no worse and cameras draw no more neighbours to themselves; one of both is better.

        Training that takes cameras for people raises ``auc`` too, and is known by ``same_camera``. Indexing keeps one
        crop of most tracklets, so ``auc`` is often of ten tracklets or fewer: a change of less than two standard errors
        over them says nothing.
        """
        apart = (self.auc or 0.0) - (before.auc or 0.0)
        drawn = (before.same_camera or 0.0) - (self.same_camera or 0.0)
        changes = np.subtract(self.by_tracklet, before.by_tracklet)
        error = float(np.std(changes, ddof=1)) / len(changes) ** 0.5 if len(changes) > 1 else 0.0
        noise = min(max(_NOISE, 2 * error), _MOST_NOISE)
        return apart >= -noise and drawn >= 0 and (apart > noise or drawn > 0)


def label_free_scores(
    embeddings: np.ndarray, tracklets: np.ndarray, cameras: np.ndarray, apart: Sequence[tuple[int, int]]
) -> LabelFreeScores:
    """
    Args:
        embeddings: float32 ``[N, D]``, rows of length one.
        tracklets, cameras: int ``[N]``.
        apart: pairs of tracklets that are of two people (`simultaneous`).
    """
    rows = {int(name): np.flatnonzero(tracklets == name) for name in np.unique(tracklets)}
    pairs = _pairs(pair for own in rows.values() for pair in combinations(own, 2))
    known = [(rows[one], rows[other]) for one, other in apart if one in rows and other in rows]
    same = _cosines(embeddings, pairs)
    other = _cosines(embeddings, _pairs(pair for one, two in known for pair in product(one, two)))
    above = _above(same, other) if len(same) and len(other) else None
    drawn, chance = _same_camera(embeddings, tracklets, cameras)
    return LabelFreeScores(
        crops=len(embeddings),
        within=_mean(same),
        apart=_mean(other),
        auc=None if above is None else float(above.mean()),
        same_camera=drawn,
        same_camera_by_chance=chance,
        by_tracklet=() if above is None else _means(above, tracklets[pairs[:, 0]]),
    )


def _pairs(pairs: Iterator[tuple[Any, Any]]) -> np.ndarray:
    chosen = np.array(list(pairs), np.int64).reshape(-1, 2)
    return chosen[:: max(1, -(-len(chosen) // _PAIRS))]


def _cosines(embeddings: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    return np.einsum("nd,nd->n", embeddings[pairs[:, 0]], embeddings[pairs[:, 1]])


def _above(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """P(a > b) + ½ P(a = b) of each value a, for b drawn at random from the others."""
    ordered = np.sort(others)
    places = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    return np.asarray(places / (2 * len(others)))


def _means(values: np.ndarray, of: np.ndarray) -> tuple[float, ...]:
    _, group, counts = np.unique(of, return_inverse=True, return_counts=True)
    return tuple((np.bincount(group, values) / counts).tolist())


def _same_camera(
    embeddings: np.ndarray, tracklets: np.ndarray, cameras: np.ndarray
) -> tuple[float | None, float | None]:
    if len(np.unique(cameras)) < 2:
        return None, None
    indices, _ = nearest(embeddings, _LOOKED_AT)
    outside = tracklets[indices] != tracklets[:, None]
    counted = outside & (outside.cumsum(1) <= _NEIGHBOURS)
    drawn = (cameras[indices] == cameras[:, None])[counted]
    of_camera, of_tracklet = np.bincount(cameras), np.bincount(tracklets)
    own = of_tracklet[tracklets]
    chance = (of_camera[cameras] - own) / np.maximum(len(cameras) - own, 1)
    return _mean(drawn), float(chance.mean())


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
