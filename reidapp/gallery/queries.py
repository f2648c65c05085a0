"""What a search asks for: pictures, hits, a named identity, and answers to earlier hits; and how they make one score.

Several images q_1 … q_Q of one person against a tracklet's rows r:

    mean   max_r cos(mean_q q, r)           one query, robust to a bad image
    max    max_q max_r cos(q, r)            one image that fits is enough, such as the person from behind
    set    mean_q max_r cos(q, r)           every image has its say, by the row it fits best

With answers the query becomes one direction w (`refined`): with few of them Rocchio's formula, with more a linear
model that starts from it. Scores stay cosines, so they need no other search.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from scipy.special import expit
from sqlalchemy import select
from sqlalchemy.orm import Session

from reidapp.errors import ReidappError, UserError
from reidapp.gallery import schema, vectors
from reidapp.gallery.camera_means import current_means
from reidapp.gallery.pieces import first_pieces, roots
from reidapp.gallery.snapshot import Snapshot
from reidapp.gallery.store import Gallery

COMBINE = ("mean", "max", "set")

_BETA, _GAMMA = 1.0, 0.25  # weights of a yes and of all that is no, the query's being 1 (benchmarks/feedback.py)
_ENOUGH, _EACH = 16, 3  # answers, and answers of each kind, from which the linear model beats Rocchio (there too)
_SCALE, _RIDGE = 10.0, 1.0  # of its logits, and of its distance to Rocchio's direction
_MOST = 32  # images of a query: each costs a pass over the gallery

Read = TypeVar("Read")


@dataclass(frozen=True)
class Asked:
    """A query as the index takes it.

    Attributes:
        embeddings: float32 ``[Q, D]``, rows of length one; with camera normalisation, what is that once it is centred.
        combine: see the module.
        without: tracklets that are not shown: those asked with, and those judged.
        refined: answers have changed the query.
        seen: tracklets that show the person: those asked with, those that are a yes, and those of best shots.
    """

    embeddings: np.ndarray
    combine: str = "mean"
    without: frozenset[str] = field(default_factory=frozenset)
    refined: bool = False
    seen: frozenset[str] = field(default_factory=frozenset)

    @property
    def partial(self) -> bool:
        """Tracklets that may show the person are no hits, so what was learnt of hits that all are does not hold."""
        return bool(self.without)


def asked(
    gallery: Gallery,
    model_id: str,
    images: np.ndarray | None = None,
    *,
    tracklets: Sequence[str] = (),
    known: Sequence[str] = (),
    yes: Sequence[str] = (),
    no: Sequence[str] = (),
    combine: str | None = None,
) -> Asked:
    """A query of all that is given.

    Args:
        images: embeddings float32 ``[Q, D]`` of pictures.
        tracklets: to ask with, all their best shots.
        known: tracklets that are left out and tell nothing, such as those that an identity is not.
        yes, no: tracklets that were judged; they refine the query.
        combine: ``mean`` for one picture or several, ``set`` where tracklets are asked with, unless another is said.

    Raises:
        UserError: nothing to ask with, an unknown tracklet, or one that is both yes and no.
    """
    if combine is not None and combine not in COMBINE:
        raise UserError(f'combine: "{combine}" is unknown; one of {", ".join(COMBINE)}')
    vectors_of = unmoved(gallery, lambda: tracklet_vectors(gallery, model_id, [*tracklets, *yes, *no]))
    first = unmoved(gallery, lambda: first_pieces(gallery, [*tracklets, *yes, *no, *known], missing_ok=True))
    accepted, refused = ({first[id_] for id_ in ids} for ids in (yes, no))
    if both := accepted & refused:
        raise UserError(f"tracklet {min(both)}: both yes and no; say one of them")
    parts = [vectors_of[first[id_]] for id_ in dict.fromkeys(tracklets)]
    if images is not None and len(images):
        parts.append(images)
    if not parts and not accepted:
        raise UserError("search: nothing to search with; give a picture, a tracklet or an identity")
    without, seen = frozenset(first.values()), frozenset(first[id_] for id_ in [*tracklets, *yes])
    if accepted or refused:
        means = current_means(gallery, model_id)
        centred: Callable[[np.ndarray], np.ndarray] = means.centred if means else np.asarray
        liked, disliked = ([mean_of(centred(vectors_of[id_])) for id_ in sorted(ids)] for ids in (accepted, refused))
        query = centred(np.concatenate(parts)) if parts else np.empty((0, len((liked + disliked)[0])), np.float32)
        found = refined(query, liked, disliked)
        return Asked((means.asking(found) if means else found)[None], "mean", without, refined=True, seen=seen)
    embeddings = _spread(np.concatenate(parts).astype(np.float32), _MOST)
    return Asked(embeddings, combine or ("set" if tracklets else "mean"), without, seen=seen)


def refined(query: np.ndarray, yes: Sequence[np.ndarray], no: Sequence[np.ndarray]) -> np.ndarray:
    """The direction to search in after answers (Rocchio 1971; then logistic regression drawn to that).

    w_0 = mean(q) + β Σ yes − γ mean(no);  from 16 answers on, three of each kind among them,
    w = argmin mean_i log(1 + exp(−y_i (s w·x_i − b))) + λ/2 ‖w − w_0‖², with w_0 of length one.

    Args:
        query: float32 ``[Q, D]``; Q may be 0.
        yes, no: a judged tracklet's mean ``[D]`` each, of length one.

    Returns:
        float32 ``[D]`` of length one.
    """
    rows = [*([mean_of(query)] if len(query) else []), *(_BETA * row for row in yes)]
    start: np.ndarray = np.stack(rows).astype(np.float64).sum(axis=0)
    start /= np.linalg.norm(start) + 1e-12
    if no:
        start -= _GAMMA * mean_of(np.stack(no))
        start /= np.linalg.norm(start) + 1e-12
    if len(yes) + len(no) >= _ENOUGH and min(len(yes), len(no)) >= _EACH:
        start = _fitted(start, np.stack([*yes, *no]).astype(np.float64), len(yes))
    return start.astype(np.float32)


def _fitted(start: np.ndarray, rows: np.ndarray, accepted: int) -> np.ndarray:
    from scipy.optimize import minimize  # not above: it takes a third of what a command needs to start

    signs = np.where(np.arange(len(rows)) < accepted, 1.0, -1.0)
    weights = np.where(signs > 0, 0.5 / accepted, 0.5 / (len(rows) - accepted))  # both kinds count alike

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        w, b = values[:-1], values[-1]
        margins = signs * (_SCALE * rows @ w - b)
        slopes = -weights * signs * expit(-margins)
        away = w - start
        value = weights @ np.logaddexp(0, -margins) + _RIDGE / 2 * away @ away
        return float(value), np.append(_SCALE * slopes @ rows + _RIDGE * away, -slopes.sum())

    middle = _SCALE * float((weights * (rows @ start)).sum())
    w = minimize(loss, np.append(start, middle), jac=True, method="L-BFGS-B").x[:-1]
    return np.asarray(w / (np.linalg.norm(w) + 1e-12))


def ranked(
    snapshot: Snapshot, queries: np.ndarray, combine: str, kept: np.ndarray, top: int
) -> list[tuple[int, float]]:
    """The best ``top`` tracklets of the kept rows by the combined score, exactly: (best row, score).

    ``max`` is the best of each image's own list. ``set`` takes longer and longer lists, and scores all that are in any
    of them, until no tracklet beyond them can be better (Fagin's threshold).
    """

    def best_rows(query: np.ndarray, among: np.ndarray | None, count: int) -> list[tuple[int, float]]:
        return snapshot.best_rows(query, kept if among is None else kept & snapshot.of_tracklets(among), count)

    tracklet_of = snapshot.tracklet_of
    if combine == "mean" or len(queries) == 1:
        return best_rows(mean_of(queries)[None], None, top)
    each = [query[None] for query in queries.astype(np.float32)]
    if combine == "max":
        found = [pair for query in each for pair in best_rows(query, None, top)]
        return _each_once(sorted(found, key=lambda pair: -pair[1]), tracklet_of)[:top]
    count = 2 * top
    while True:
        lists = [best_rows(query, None, count) for query in each]
        seen = np.unique([tracklet_of[row] for pairs in lists for row, _ in pairs])
        scores: dict[int, float] = dict.fromkeys(map(int, seen), 0.0)
        best: dict[int, tuple[float, int]] = {}
        for query in each:
            for row, score in best_rows(query, seen, len(seen)):
                tracklet = int(tracklet_of[row])
                scores[tracklet] += score / len(queries)
                best[tracklet] = max(best.get(tracklet, (-math.inf, row)), (score, row))
        order = sorted(scores, key=lambda tracklet: -scores[tracklet])[:top]
        beyond = float(np.mean([pairs[-1][1] for pairs in lists])) if seen.size else 0.0
        if len(lists[0]) < count or (len(order) == top and scores[order[-1]] >= beyond):
            return [(best[tracklet][1], scores[tracklet]) for tracklet in order]
        count *= 4


def combined(queries: np.ndarray, combine: str, rows: np.ndarray) -> np.ndarray:
    """The combined score of each row ``[N, D]``, as of a tracklet of its own: float ``[N]``."""
    if combine == "mean" or len(queries) == 1:
        return np.asarray(rows @ mean_of(queries))
    scores = rows @ queries.T
    return np.asarray(scores.max(axis=1) if combine == "max" else scores.mean(axis=1))


def tracklet_vectors(gallery: Gallery, model_id: str, tracklets: Sequence[str]) -> dict[str, np.ndarray]:
    """{first piece: float32 ``[shots, D]``} of tracklets, pieces together, as a model has them; with camera
    normalisation as if no camera in particular had seen them.

    Raises:
        UserError: no such tracklet.
    """
    first = first_pieces(gallery, tracklets)
    found: dict[str, list[np.ndarray]] = {id_: [] for id_ in first.values()}
    if not found:
        return {}
    with Session(gallery.engine) as session:
        dim = session.get_one(schema.Model, model_id).card["dim"]
        pieces = {id_: root for id_, root in roots(session).items() if root in found} | {id_: id_ for id_ in found}
        rows = session.execute(
            select(
                schema.Crop.tracklet_id,
                schema.Video.camera_id,
                schema.Block,
                schema.Crop.position,
            )
            .join(schema.Block, schema.Block.chunk_id == schema.Crop.chunk_id)
            .join(schema.Chunk, schema.Chunk.id == schema.Crop.chunk_id)
            .join(schema.Video, schema.Video.id == schema.Chunk.video_id)
            .where(schema.Block.model_id == model_id, schema.Crop.tracklet_id.in_(list(pieces)))
            .order_by(schema.Block.day, schema.Block.first_row, schema.Crop.position)
        ).all()
        means = current_means(gallery, model_id)
        of_chunk = {block.chunk_id: block for _, _, block, _ in rows}
        blocks = {chunk: vectors.read_block(gallery.path, block, dim) for chunk, block in of_chunk.items()}
        for piece, camera, block, position in rows:
            shot = blocks[block.chunk_id][position].astype(np.float32)
            found[pieces[piece]].append(means.moved(shot[None], np.array([camera]))[0] if means else shot)
    if empty := [id_ for id_, each in found.items() if not each]:
        raise UserError(f"tracklet {empty[0]}: the model in use has no vector of it; `reidapp reembed` makes them")
    return {id_: np.stack(each) for id_, each in found.items()}


def tracklets_of_shots(gallery: Gallery, crops: Sequence[str]) -> frozenset[str]:
    """First pieces of the tracklets that best shots are of, by their ids."""
    with Session(gallery.engine) as session:
        pieces = session.scalars(select(schema.Crop.tracklet_id).where(schema.Crop.id.in_(crops))).all()
    return frozenset(first_pieces(gallery, pieces).values())


def unmoved(gallery: Gallery, read: Callable[[], Read]) -> Read:
    """What ``read`` gives; once more where it failed since rows were deleted, or vectors moved, meanwhile."""
    while True:
        generation = gallery.generation
        try:
            return read()
        except ReidappError:
            if gallery.generation == generation:
                raise


def mean_of(rows: np.ndarray) -> np.ndarray:
    """The direction of the mean of rows ``[N, D]``: float32 ``[D]`` of length one."""
    mean = rows.mean(0)
    return np.asarray(mean / (np.linalg.norm(mean) + 1e-12), np.float32)


def _spread(rows: np.ndarray, most: int) -> np.ndarray:
    """At most so many rows, each time the one that is least like those taken."""
    if len(rows) <= most:
        return rows
    taken = [int(np.argmax(rows @ mean_of(rows)))]
    nearest = rows @ rows[taken[0]]
    while len(taken) < most:
        taken.append(int(np.argmin(nearest)))
        nearest = np.maximum(nearest, rows @ rows[taken[-1]])
    return rows[taken]


def _each_once(pairs: list[tuple[int, float]], tracklet_of: np.ndarray) -> list[tuple[int, float]]:
    best: dict[int, tuple[int, float]] = {}
    for row, score in pairs:
        best.setdefault(int(tracklet_of[row]), (row, score))
    return list(best.values())
