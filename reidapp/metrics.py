"""How well a model ranks (CMC, mAP and mINP by the Market-1501 protocol), and how well a threshold tells people apart.

Distances come block by block (a few queries against the whole gallery), so the query × gallery matrix is never held.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from reidapp.errors import UserError

JUNK = -1  # the pid of detections that are no person; they are left out of the gallery
NO_CAMERA = -1  # the camid of an image whose camera is not known: no other image is taken for one of the same camera
SameCamera = Literal["remove", "keep"]
Distances = Callable[[slice], np.ndarray]  # rows of the query → float [rows, G]
_BLOCK = 64  # queries at a time: 64 × 15,913 float32 is 4 MB, small enough for the cache

FALSE_MATCH_RATE = 1e-3  # where the threshold is given
_FEW_IMPOSTORS = 10_000  # of fewer pairs less than ten are that rate
_RATES = np.geomspace(1e-4, 1e-1, 31)
_OWN_CAMERA_ONLY = "their identity is in the gallery only under the query's own camera"
_STEPS = 2**18  # of the cosine from −1 to 1; finer than what two runtimes differ by


@dataclass(frozen=True)
class Verification:
    """Is this the same person? All pairs of a query and a gallery image, accepted from a threshold of the cosine on.

    Attributes:
        threshold: the lowest cosine at which at most one impostor pair in a thousand is accepted.
        tpr: the share of genuine pairs accepted there.
        roc: (false-match rate, share of genuine pairs, threshold), for rates from 1e-4 to 1e-1.
        genuine, impostors: pairs of one identity and of two.
    """

    threshold: float
    tpr: float
    roc: tuple[tuple[float, float, float], ...]
    genuine: int
    impostors: int

    def to_dict(self) -> dict[str, Any]:
        return {
            "false_match_rate": FALSE_MATCH_RATE,
            "threshold": self.threshold,
            "tpr": self.tpr,
            "genuine": self.genuine,
            "impostors": self.impostors,
            "roc": [{"fmr": fmr, "tpr": tpr, "threshold": threshold} for fmr, tpr, threshold in self.roc],
        }

    def __str__(self) -> str:
        few = f"; of only {self.impostors:,} pairs of strangers" if self.impostors < _FEW_IMPOSTORS else ""
        return f"TPR {self.tpr:.1%} at a false-match rate of 1e-3 (cosine ≥ {self.threshold:.3f}){few}"


@dataclass(frozen=True)
class RetrievalScores:
    """Scores of one ranking, all from 0 to 1.

    Attributes:
        cmc: cmc[k-1] is the share of queries with a right match among the first k.
        mAP: mean average precision (the step form; the original Matlab kit's trapezoids give less).
        mINP: mean inverse negative penalty: right matches divided by the rank of the last one (Ye et al. 2021).
        queries: queries that have a right match and were scored.
        gallery: gallery images, junk left out.
        protocol: what was compared with what, in words.
        unscored: {reason: queries left out for it}.
        matches_per_query: right matches that a scored query has, on average.
        average_precisions: of every query in its order; None for those that were not scored.
        verification: see there; only if it was asked for.
    """

    cmc: tuple[float, ...]
    mAP: float  # noqa: N815
    mINP: float  # noqa: N815
    queries: int
    gallery: int
    protocol: str
    unscored: dict[str, int] = field(default_factory=dict)
    matches_per_query: float = 0.0
    average_precisions: tuple[float | None, ...] = field(default=(), repr=False)
    verification: Verification | None = None

    @property
    def rank1(self) -> float:
        return self.cmc[0]

    @property
    def rank5(self) -> float:
        return self.cmc[4]

    @property
    def rank10(self) -> float:
        return self.cmc[9]

    @property
    def size(self) -> str:
        """Of what was scored, in words."""
        return f"{self.queries} {'query' if self.queries == 1 else 'queries'}, {self.gallery} gallery images"

    def to_dict(self) -> dict[str, Any]:
        return {
            "rank1": self.rank1,
            "rank5": self.rank5,
            "rank10": self.rank10,
            "mAP": self.mAP,
            "mINP": self.mINP,
            "queries": self.queries,
            "gallery": self.gallery,
            "unscored": self.unscored,
            "matches_per_query": self.matches_per_query,
            "protocol": self.protocol,
            "verification": self.verification and self.verification.to_dict(),
        }

    def __str__(self) -> str:
        left_out = "".join(f"\n{count} queries not scored: {reason}" for reason, count in self.unscored.items())
        verification = f"{self.verification}\n" if self.verification else ""
        return (
            f"Rank-1 {self.rank1:.1%}  Rank-5 {self.rank5:.1%}  mAP {self.mAP:.1%}  mINP {self.mINP:.1%}\n"
            f"{verification}{self.size}; {self.protocol}{left_out}"
        )


def evaluate_ranking(
    query_embeddings: np.ndarray,
    query_pids: np.ndarray,
    query_camids: np.ndarray,
    gallery_embeddings: np.ndarray,
    gallery_pids: np.ndarray,
    gallery_camids: np.ndarray,
    *,
    same_camera: SameCamera = "remove",
    protocol: str = "",
) -> RetrievalScores:
    """Score embeddings by cosine similarity.

    Args:
        query_embeddings, gallery_embeddings: float ``[Q, D]`` and ``[G, D]``, rows of length one.
        query_pids, query_camids, gallery_pids, gallery_camids: int ``[Q]`` and ``[G]``.
        same_camera: ``remove`` leaves gallery images of the query's identity and camera out of its ranking (the
            Market-1501 protocol); ``keep`` is for data without cameras. No camera is that of a `NO_CAMERA` query.
        protocol: added to the description of what was done.

    Raises:
        UserError: no query has a right match; the message says why.
    """
    _check_finite(query_embeddings, gallery_embeddings)
    gallery_embeddings, gallery_pids, gallery_camids = _without_junk(gallery_embeddings, gallery_pids, gallery_camids)
    return evaluate_distances(
        cosine_distances(query_embeddings, gallery_embeddings),
        query_pids,
        query_camids,
        gallery_pids,
        gallery_camids,
        same_camera=same_camera,
        protocol=f"cosine; {protocol}" if protocol else "cosine",
    )


def cosine_distances(query: np.ndarray, gallery: np.ndarray) -> Distances:
    """The cosine, less where nearer: its negative."""
    return lambda rows: -(query[rows] @ gallery.T)


def evaluate_distances(
    distances: np.ndarray | Distances,
    query_pids: np.ndarray,
    query_camids: np.ndarray,
    gallery_pids: np.ndarray,
    gallery_camids: np.ndarray,
    *,
    same_camera: SameCamera = "remove",
    own: np.ndarray | None = None,
    protocol: str = "given distances",
) -> RetrievalScores:
    """Score a distance matrix ``[Q, G]``, or a function that gives its rows; otherwise as `evaluate_ranking`.

    Args:
        own: int ``[Q]``, where in the gallery the query's own image is, which is no match; −1 where it is not there.
    """
    rows_of = distances.__getitem__ if isinstance(distances, np.ndarray) else distances
    real = gallery_pids != JUNK
    kept, everything = np.flatnonzero(real), bool(real.all())
    blocks = (rows_of(rows) if everything else rows_of(rows)[:, kept] for rows in _row_blocks(len(query_pids)))
    own = _renumbered(own, real)
    people = People(query_pids, query_camids, gallery_pids[kept], gallery_camids[kept], same_camera, own)
    return _score(blocks, people, protocol)


def verify(
    query_embeddings: np.ndarray,
    query_pids: np.ndarray,
    query_camids: np.ndarray,
    gallery_embeddings: np.ndarray,
    gallery_pids: np.ndarray,
    gallery_camids: np.ndarray,
    *,
    same_camera: SameCamera = "remove",
    own: np.ndarray | None = None,
) -> Verification | None:
    """Find the threshold of the cosine that tells the same person from another; arguments as `evaluate_distances`.

    Pairs are counted in fine steps of the cosine, so memory does not grow with them; a threshold is the edge of a step.

    Returns:
        None where there is no genuine pair, or fewer than the thousand impostor pairs that the rate needs.
    """
    _check_finite(query_embeddings, gallery_embeddings)
    own = _renumbered(own, gallery_pids != JUNK)
    gallery_embeddings, gallery_pids, gallery_camids = _without_junk(gallery_embeddings, gallery_pids, gallery_camids)
    people = People(query_pids, query_camids, gallery_pids, gallery_camids, same_camera, own)
    everybody = np.zeros(_STEPS + 1, np.int64)
    same_person, right_matches = [np.empty(0, np.intp)], [np.empty(0, np.intp)]
    for rows in _row_blocks(len(query_embeddings)):
        cosines = query_embeddings[rows] @ gallery_embeddings.T
        steps = ((cosines.clip(-1, 1) + 1) * (_STEPS / 2)).astype(np.intp)
        everybody += np.bincount(steps.ravel(), minlength=_STEPS + 1)
        for query, row in enumerate(steps, rows.start):
            images, right = people.same_person(query)
            same_person.append(row[images])
            right_matches.append(row[images[right]])
    impostors = _at_least(everybody - np.bincount(np.concatenate(same_person), minlength=_STEPS + 1))
    genuine = _at_least(np.bincount(np.concatenate(right_matches), minlength=_STEPS + 1))
    if not genuine[0] or impostors[0] * FALSE_MATCH_RATE < 1:
        return None

    def point(fmr: float) -> tuple[float, float, float]:
        step = int(np.argmax(impostors <= fmr * impostors[0]))
        return float(fmr), float(genuine[step] / genuine[0]), step * 2 / _STEPS - 1

    _, tpr, threshold = point(FALSE_MATCH_RATE)
    roc = tuple(point(fmr) for fmr in _RATES if fmr * impostors[0] >= 1)
    return Verification(threshold, tpr, roc, int(genuine[0]), int(impostors[0]))


def _at_least(counts: np.ndarray) -> np.ndarray:
    """How many lie in each step or above it, and none above the last."""
    return np.append(np.cumsum(counts[::-1])[::-1], 0)


def _check_finite(query_embeddings: np.ndarray, gallery_embeddings: np.ndarray) -> None:
    for name, embeddings in (("query", query_embeddings), ("gallery", gallery_embeddings)):
        if not np.isfinite(embeddings).all():
            raise UserError(f"{name} embeddings: NaN or infinite values; the model is broken")


def _without_junk(
    embeddings: np.ndarray, pids: np.ndarray, camids: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    kept = pids != JUNK
    return (embeddings, pids, camids) if kept.all() else (embeddings[kept], pids[kept], camids[kept])


def _renumbered(own: np.ndarray | None, real: np.ndarray) -> np.ndarray | None:
    """Indices into a gallery as those into its ``real`` part; −1 stays, and is what the others become."""
    return None if own is None else np.append(np.where(real, np.cumsum(real) - 1, -1), -1)[own]


class People:
    """Who is where in the gallery, seen from a query; arguments as `evaluate_distances`."""

    def __init__(
        self,
        query_pids: np.ndarray,
        query_camids: np.ndarray,
        gallery_pids: np.ndarray,
        gallery_camids: np.ndarray,
        same_camera: SameCamera,
        own: np.ndarray | None = None,
    ) -> None:
        self.query_camids, self.gallery_camids, self.same_camera = query_camids, gallery_camids, same_camera
        self._own = np.full(len(query_pids), -1) if own is None else own
        self._by_pid = np.argsort(gallery_pids, kind="stable")
        self._start = np.searchsorted(gallery_pids[self._by_pid], query_pids, side="left")
        self._stop = np.searchsorted(gallery_pids[self._by_pid], query_pids, side="right")

    def same_person(self, query: int) -> tuple[np.ndarray, np.ndarray]:
        """Gallery indices of the query's identity, and which of them count as right matches (bool)."""
        images = self._by_pid[self._start[query] : self._stop[query]]
        camid, right = self.query_camids[query], images != self._own[query]
        if self.same_camera == "remove" and camid != NO_CAMERA:
            right &= self.gallery_camids[images] != camid
        return images, right

    def why_unscored(self, query: int) -> str:
        """What a query without a right match lacks."""
        images, _ = self.same_person(query)
        if len(images) == 0:
            return "their identity is not in the gallery"
        if images.tolist() == [self._own[query]]:
            return "their identity is in the gallery only by the query's own image"
        return _OWN_CAMERA_ONLY


def _score(blocks: Iterable[np.ndarray], people: People, protocol: str) -> RetrievalScores:
    """Walk over distance blocks.

    The rank of the k-th nearest right match is k plus the number of wrong ones at most as far. A tie counts as wrong
    first: a model that gives one embedding to everybody must score near zero, not 100 %.
    """
    gallery = len(people.gallery_camids)
    first_ranks, inverse_penalties = [], []
    average_precisions: list[float | None] = []
    unscored: dict[str, int] = defaultdict(int)
    right_matches = 0
    for block in blocks:
        if np.isnan(block).any():
            raise UserError("distances: NaN values; the model is broken")
        for row in block:
            query = len(average_precisions)
            images, right = people.same_person(query)
            if not right.any():
                unscored[people.why_unscored(query)] += 1
                average_precisions.append(None)
                continue
            person = np.sort(row[images])
            matches = np.sort(row[images[right]])
            nearer = _count_at_most(row, matches) - np.searchsorted(person, matches, side="right")
            count = np.arange(1, len(matches) + 1)
            ranks = nearer + count
            first_ranks.append(ranks[0])
            right_matches += len(matches)
            average_precisions.append(float(np.mean(count / ranks)))
            inverse_penalties.append(count[-1] / ranks[-1])
    if not first_ranks:
        reasons = "; ".join(f"{reason} ({count})" for reason, count in unscored.items()) or "there are none"
        advice = ". Where cameras do not matter, give --same-camera keep" if _OWN_CAMERA_ONLY in unscored else ""
        raise UserError(
            f"none of the {len(average_precisions)} queries has a right match to be found: {reasons}{advice}"
        )
    cmc = np.cumsum(np.bincount(first_ranks, minlength=21)[1:21]) / len(first_ranks)
    rule = {
        "remove": "same identity in the same camera left out (Market-1501)",
        "keep": "same camera kept",
    }[people.same_camera]
    return RetrievalScores(
        cmc=tuple(float(c) for c in cmc),
        mAP=float(np.mean([precision for precision in average_precisions if precision is not None])),
        mINP=float(np.mean(inverse_penalties)),
        queries=len(first_ranks),
        gallery=gallery,
        protocol=f"{rule}; {protocol}",
        unscored=dict(unscored),
        matches_per_query=right_matches / len(first_ranks),
        average_precisions=tuple(average_precisions),
    )


def _count_at_most(row: np.ndarray, values: np.ndarray) -> np.ndarray:
    """How many entries of a row are at most as large as each of some sorted values.

    No argsort of the row: for the few matches that a query has, comparing the whole row with each is fastest (16,000
    entries: 3 µs a match; sorting them once takes as long as a hundred comparisons).
    """
    if len(values) > 100:
        return np.searchsorted(np.sort(row), values, side="right")
    below = np.empty(len(row), bool)
    return np.array([np.count_nonzero(np.less_equal(row, value, out=below)) for value in values])


def _row_blocks(rows: int) -> Iterator[slice]:
    return (slice(start, start + _BLOCK) for start in range(0, rows, _BLOCK))
