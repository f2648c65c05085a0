"""Pairs of a query and a tracklet of which it is known what they are, by which P(match) is calibrated (`calibration`).

They come from people who have names, from answers to hits of saved searches, or, without labels, from what is certain
within one camera. Each source says how much of it is needed.
"""

import csv
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from reidapp.embedding import Embeds
from reidapp.errors import UserError
from reidapp.gallery import database, schema
from reidapp.gallery.identities import Identities
from reidapp.gallery.nearest import decoded
from reidapp.gallery.pieces import first_pieces
from reidapp.gallery.queries import Asked, asked, combined, ranked
from reidapp.gallery.saved_searches import SavedSearches, SavedSearchInfo
from reidapp.gallery.simultaneous import simultaneous
from reidapp.gallery.snapshot import Snapshot
from reidapp.gallery.store import Gallery
from reidapp.imaging import read_image
from reidapp.query import QueryCrop, embed_crops

SHOWN = 20  # first hits, in which P(match) is to be right, and by which somebody is said to be absent
_TRIALS = 500  # at most; more change the two numbers little
_PEOPLE, _MATCHES = 8, 30  # named people seen by two cameras, and pairs of theirs: fewer say too little of strangers
_SEARCHES, _ANSWERS, _EACH = 4, 40, 8  # for different people; answers in all; of each kind
_PAIRS = 30  # of each kind, without labels


@dataclass(frozen=True)
class Trial:
    """A query with pairs of which it is known what they are: arrays ``[N]``.

    Attributes:
        group: whom it asks for. Trials of one group are fitted to or predicted, never both.
        z: float ``[N]``.
        match: the pair is of one person.
        weight: pairs of the gallery that it stands for.
        groups: whom its tracklets show; −1: none of those who are asked for, as far as is known.
        shown: it is among the query's first hits.
        there, left_out: z of the first hits, with the person in the gallery and without; None: not known.
        rows: among which ``there`` is.
    """

    group: int
    z: np.ndarray
    match: np.ndarray
    weight: np.ndarray
    groups: np.ndarray
    shown: np.ndarray
    there: np.ndarray | None = None
    left_out: np.ndarray | None = None
    rows: int = 0


class TooFewError(UserError):
    """A source has less than it takes."""


def standing(scores: np.ndarray, background: np.ndarray) -> np.ndarray:
    """z, how far scores stand above the query's scores with anybody: float64 ``[N]``."""
    return (np.asarray(scores, np.float64) - background.mean()) / (background.std() + 1e-6)


def read_labels(gallery: Gallery, file: Path) -> dict[str, str]:
    """{tracklet: person} of a CSV file; ids may be beginnings of ids. Lines without a person tell nothing.

    Raises:
        UserError: no such file or columns, an unknown tracklet, or one that is two people.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            rows = [(row["tracklet"].strip(), row["person"].strip()) for row in csv.DictReader(lines)]
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from error
    except (KeyError, AttributeError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file}: not a CSV file with the columns tracklet and person in every line") from error
    rows = [(tracklet, person) for tracklet, person in rows if person]
    first = first_pieces(gallery, [tracklet for tracklet, _ in rows])
    people: dict[str, str] = {}
    for tracklet, person in rows:
        if people.setdefault(first[tracklet], person) != person:
            raise UserError(f"{file}: tracklet {tracklet} is {people[first[tracklet]]} and {person}; leave one line")
    return people


def of_people(gallery: Gallery, snapshot: Snapshot, people: Mapping[str, str]) -> list[Trial]:
    """One query for each person and camera, with the best shot, as a user would take it.

    Its pairs are with the first of the tracklets of other cameras whose person is known too. A tracklet of somebody
    else stands for as many as the gallery has for each that is known.
    """
    rows = np.flatnonzero(snapshot.of_tracklets(_numbers(list(people))))
    rows = rows[np.argsort(snapshot.tracklet_of[rows], kind="stable")]
    tracklets, starts, of = np.unique(snapshot.tracklet_of[rows], return_index=True, return_inverse=True)
    person = np.unique([people[f"{id_:016x}"] for id_ in tracklets.tolist()], return_inverse=True)[1]
    camera = snapshot.camera_of[rows[starts]]
    cameras_of = {who: set(camera[person == who].tolist()) for who in np.unique(person).tolist()}
    asking = [(who, where) for who, seen in cameras_of.items() if len(seen) > 1 for where in sorted(seen)]
    if (enough := sum(len(seen) > 1 for seen in cameras_of.values())) < _PEOPLE:
        raise TooFewError(f"{enough} people seen by two cameras ({_PEOPLE} are needed)")
    vectors, quality = snapshot.vectors(rows), _quality(gallery, snapshot.crops[rows])
    in_cameras = np.bincount(snapshot.camera_of[np.unique(snapshot.tracklet_of, return_index=True)[1]])
    trials = []
    for who, where in asking[:: -(-len(asking) // _TRIALS)]:
        own = np.flatnonzero((person[of] == who) & (camera[of] == where))
        query = _asking(snapshot, rows[own[quality[own].argmax()]])
        elsewhere = np.flatnonzero(camera != where)
        scores = np.maximum.reduceat(vectors @ query, starts)[elsewhere]
        match = person[elsewhere] == who
        if match.all():
            continue
        strangers = (in_cameras.sum() - in_cameras[where] - match.sum()) / (~match).sum()
        first = np.argsort(-scores, kind="stable")[:SHOWN]
        background = combined(query[None], "mean", snapshot.sample)
        kept = snapshot.camera_of != where
        there = _first(snapshot, query[None], kept)
        left_out = _first(snapshot, query[None], kept & ~snapshot.of_tracklets(tracklets[person == who]))
        trials.append(
            Trial(
                group=who,
                z=standing(scores[first], background),
                match=match[first],
                weight=np.where(match, 1.0, strangers)[first],
                groups=person[elsewhere][first],
                shown=scores[first] >= there[-1],
                there=standing(there, background),
                left_out=standing(left_out, background),
                rows=int(kept.sum()),
            )
        )
    if (matches := sum(int(trial.match.sum()) for trial in trials)) < _MATCHES:
        raise TooFewError(f"{matches} pairs of one person among the first {SHOWN} hits ({_MATCHES} are needed)")
    return trials


def of_answers(gallery: Gallery, snapshot: Snapshot, model_id: str, embedder: Callable[[], Embeds]) -> list[Trial]:
    """One query for each saved search, as it was before its answers; its pairs are with the hits that were judged."""
    trials, searches, names = [], SavedSearches(gallery, by="").all(), Identities(gallery, by="").of()
    group_of = _people(searches, names)
    for number, info in enumerate(searches):
        ask = _asked_first(gallery, snapshot, model_id, info, embedder) if info.yes or info.no else None
        judged = [id_ for id_ in [*info.yes, *info.no] if ask and id_ not in ask.without]
        if ask is None or not (of := snapshot.of_tracklets(_numbers(judged))).any():
            continue
        queries = snapshot.asking(ask.embeddings)
        background = combined(queries, ask.combine, snapshot.sample)
        found = ranked(snapshot, queries, ask.combine, of, len(judged))
        hits = [f"{snapshot.tracklet_of[row]:016x}" for row, _ in found]
        match = np.isin(hits, info.yes)
        there, among = None, 0
        kept = snapshot.selected(_cameras(snapshot, info))
        if match.any() and kept.any() and not ask.partial and not info.filters.keys() & {"after", "before"}:
            there, among = standing(_first(snapshot, queries, kept, ask.combine), background), int(kept.sum())
        trials.append(
            Trial(
                group=group_of[number],
                z=standing(np.array([score for _, score in found]), background),
                match=match,
                weight=np.ones(len(found)),
                groups=np.array([group_of.get(names.get(id_, id_), -1) for id_ in hits]),
                shown=np.ones(len(found), bool),
                there=there,
                rows=among,
            )
        )
    answers = np.concatenate([trial.match for trial in trials]) if trials else np.empty(0, bool)
    yes, no = int(answers.sum()), int((~answers).sum())
    people = len({trial.group for trial in trials})
    if people < _SEARCHES or yes + no < _ANSWERS or min(yes, no) < _EACH:
        raise TooFewError(
            f"{yes} yes and {no} no to hits of {len(trials)} saved searches for {people} people ({_ANSWERS} answers, "
            f"{_EACH} of each kind, to searches for {_SEARCHES} people are needed)"
        )
    return trials


def of_one_camera(gallery: Gallery, snapshot: Snapshot) -> list[Trial]:
    """A tracklet's first shot asks; its other shots are a match, tracklets seen at the same time are none.

    How many matches there are elsewhere nobody has said: one for each query is assumed.
    """
    order = np.argsort(snapshot.tracklet_of, kind="stable")
    tracklets, starts, shots = np.unique(snapshot.tracklet_of[order], return_index=True, return_counts=True)
    rows_of = {
        id_: order[start : start + count]
        for id_, start, count in zip(tracklets.tolist(), starts.tolist(), shots.tolist(), strict=True)
    }
    apart: defaultdict[int, list[int]] = defaultdict(list)
    for one, other in ((int(one, 16), int(other, 16)) for one, other in simultaneous(gallery)):
        if one in rows_of and other in rows_of:
            apart[one].append(other)
            apart[other].append(one)
    asking = [id_ for id_, rows in rows_of.items() if len(rows) > 1 or id_ in apart]
    asking = asking[:: -(-len(asking) // _TRIALS) or 1]
    same, other = sum(len(rows_of[id_]) > 1 for id_ in asking), sum(len(apart[id_]) for id_ in asking)
    if min(same, other) < _PAIRS:
        raise TooFewError(
            f"{same} tracklets with several shots, {other} pairs seen at the same time ({_PAIRS} of each are needed)"
        )
    strangers = same * (len(tracklets) - 1) / other
    trials, group_of = [], {id_: group for group, id_ in enumerate(asking)}
    for group, id_ in enumerate(asking):
        query = _asking(snapshot, rows_of[id_][0])
        own = rows_of[id_][1:]
        against = [*([own] if len(own) else []), *(rows_of[each] for each in apart[id_])]
        scores = np.array([(snapshot.vectors(rows) @ query).max() for rows in against])
        match = np.arange(len(against)) < min(len(own), 1)
        shown = [*([id_] if len(own) else []), *apart[id_]]
        trials.append(
            Trial(
                group=group,
                z=standing(scores, combined(query[None], "mean", snapshot.sample)),
                match=match,
                weight=np.where(match, 1.0, strangers),
                groups=np.array([group_of.get(each, -1) for each in shown]),
                shown=np.ones(len(against), bool),
            )
        )
    return trials


def _people(searches: Sequence[SavedSearchInfo], names: Mapping[str, str]) -> dict[int | str, int]:
    """Whom a search, by its number, asks for, and whom a name or an unnamed tracklet is.

    Searches are for one person if they share an identity or a tracklet that asks or is a yes, directly or by others.
    """
    group_of: dict[int | str, int] = {}
    for number, info in enumerate(searches):
        own: set[int | str] = {number, *(names.get(id_, id_) for id_ in [*info.tracklets, *info.yes])}
        own |= {info.identity} if info.identity else set()
        same = {group_of[each] for each in own & group_of.keys()}
        group_of = {each: number if group in same else group for each, group in group_of.items()}
        group_of |= dict.fromkeys(own, number)
    return group_of


def _asked_first(
    gallery: Gallery, snapshot: Snapshot, model_id: str, info: SavedSearchInfo, embedder: Callable[[], Embeds]
) -> Asked | None:
    """A saved search without its answers; None if what it asked with is gone."""
    tracklets = info.tracklets
    if info.identity:
        tracklets = [*tracklets, *Identities(gallery, by="").show(info.identity).tracklets("yes")]
    tracklets = [id_ for id_ in tracklets if snapshot.of_tracklets(_numbers([id_])).any()]
    crops = [QueryCrop(read_image(file), None, []) for file in info.pictures]
    if not crops and not tracklets:
        return None
    images = embed_crops(crops, embedder()) if crops else None
    return asked(gallery, model_id, images, tracklets=tracklets, combine=info.filters.get("combine"))


def _cameras(snapshot: Snapshot, info: SavedSearchInfo) -> list[str] | None:
    """The cameras that a saved search looks at, as far as they still bear these names; None: all."""
    wanted = info.filters.get("cameras")
    return [name for name in wanted if name in snapshot.cameras] if wanted else None


def _asking(snapshot: Snapshot, row: int) -> np.ndarray:
    """A shot as a picture that asks: float32 ``[D]``."""
    return snapshot.asking(decoded(snapshot.index.stored(np.array([row]))))[0]


def _first(snapshot: Snapshot, queries: np.ndarray, kept: np.ndarray, combine: str = "mean") -> np.ndarray:
    """Scores of the first hits among kept rows."""
    return np.array([score for _, score in ranked(snapshot, queries, combine, kept, SHOWN)])


def _quality(gallery: Gallery, crops: np.ndarray) -> np.ndarray:
    """Of best shots, by their ids: float ``[N]``."""
    ids = [f"{crop:016x}" for crop in crops.tolist()]
    with Session(gallery.engine) as session:
        known = select(schema.Crop.id, schema.Crop.quality).where(schema.Crop.id.in_(database.listed(ids)))
        quality = dict(session.execute(known).all())
    return np.array([quality.get(id_, 0.0) for id_ in ids])


def _numbers(ids: Sequence[str]) -> np.ndarray:
    return np.array([int(id_, 16) for id_ in ids], np.uint64)
