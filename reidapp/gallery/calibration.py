"""P(match): how likely a hit shows the person who is asked for, and whether that person is in the gallery at all.

    logit P = a z + c − log max(1, n / n₀)        z = (s − mean) / deviation

s is the hit's score; mean and deviation are those of the query's scores with rows from all over the gallery, since a
picture that is like everybody has high scores that say little. (s beside z made it no better on few people's pairs.)
a is not negative, so P never contradicts the ranking. c holds how rare a match was in the gallery when it was
calibrated, at n₀ rows. Those that came later, of n rows now, are taken to show other people, which errs to the side of
doubt. Whether the person is in the gallery at all is told without this term, or it would be denied of ever more people.

Both are fitted by logistic regression to pairs of a query and a tracklet. They belong to one model and one gallery.
Where the pairs come from decides what P means, so it is said with every P (`SOURCES`).
"""

import csv
import json
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit
from sqlalchemy import select
from sqlalchemy.orm import Session

from reidapp.embedding import Embeds
from reidapp.errors import UserError
from reidapp.gallery import database, schema
from reidapp.gallery.camera_means import means_digest
from reidapp.gallery.identities import Identities
from reidapp.gallery.nearest import decoded
from reidapp.gallery.queries import Asked, asked, combined, first_pieces, ranked
from reidapp.gallery.saved_searches import SavedSearches, SavedSearchInfo
from reidapp.gallery.simultaneous import simultaneous
from reidapp.gallery.snapshot import Snapshot, Snapshots
from reidapp.gallery.store import Gallery
from reidapp.imaging import read_image
from reidapp.query import QueryCrop, embed_crops

SHOWN = 20  # first hits, in which P(match) is to be right, and by which somebody is said to be absent
FALSE_ALARMS = 0.1  # share of the people who are there of whom "probably not in this gallery" is said
_NARROW = 0.8  # of the rows by which that is calibrated; among fewer a person has too few tracklets to be told so
SOURCES = {
    "identities": "tracklets of named people, across cameras",
    "answers": "yes and no to hits of saved searches",
    "label-free": "shots of one tracklet, and tracklets seen at the same time in one camera",
}
LABELS = "labels"
_WARNING = (
    "these pairs are of one camera each and do not stand for pairs across cameras, of which nothing is known without "
    "labels: name people (`reidapp identity`) or answer hits of saved searches (--yes, --no), and calibrate again"
)

_TRIALS = 500  # at most; more change the two numbers little
_PEOPLE, _MATCHES = 8, 30  # named people seen by two cameras, and pairs of theirs: fewer say too little of strangers
_SEARCHES, _ANSWERS, _EACH = 4, 40, 8  # for different people; answers in all; of each kind
_PAIRS = 30  # of each kind, without labels
_FOLDS, _BINS = 5, 15
_RIDGE = 1e-3  # of a in deviations of z, beside the mean loss
_BOUND = 30.0  # of |c|, where all pairs are of one kind


@dataclass(frozen=True)
class Point:
    """A bin of pairs: their mean P, the share of matches, and how many pairs they stand for."""

    p_match: float
    right: float
    weight: float


@dataclass(frozen=True)
class Calibration:
    """What turns scores of one model in one gallery into P(match).

    Attributes:
        source: see `SOURCES`; or labels, of a file.
        at: ISO 8601 UTC.
        rows: n₀.
        groups: people, searches (those for one person as one) or tracklets that the queries are of.
        matches, others: pairs of one person, and of two.
        a, c: see the module.
        absent_below: a search whose `presence` is lower is answered "probably not in this gallery"; None: not known.
        absent_told: share of searches for people who were left out that are answered so.
        reliability: of pairs that a search shows, each predicted by a fit without the person who is asked for.
        absent_rows: `absent_below` is not for searches among fewer rows.
        means: digest of the cameras' means that scores were without (`camera_means`); None: of none.
    """

    source: str
    at: str
    rows: int
    groups: int
    matches: int
    others: int
    a: float
    c: float
    absent_below: float | None
    absent_told: float | None
    reliability: tuple[Point, ...]
    absent_rows: int = 0
    means: str | None = None

    @property
    def error(self) -> float:
        """Expected calibration error of the reliability."""
        return calibration_error(self.reliability)

    @property
    def warning(self) -> str | None:
        return _WARNING if self.source == "label-free" else None

    def p_match(self, scores: np.ndarray, background: np.ndarray, rows: int) -> np.ndarray:
        """P(match) of a search's hits: float ``[N]``.

        Args:
            scores: float ``[N]``.
            background: the query's scores with a sample of the gallery's rows, float ``[M]``.
            rows: of the gallery now.
        """
        grown = np.log(max(1.0, rows / self.rows))
        return _probability(standing(scores, background), self.a, self.c - grown)

    def probably_absent(self, scores: np.ndarray, background: np.ndarray, rows: int) -> bool | None:
        """Whether the person is probably not among the rows compared, by the first hits' scores; None: not known."""
        if self.absent_below is None or rows < self.absent_rows:
            return None
        return presence(_probability(standing(scores, background), self.a, self.c)) < self.absent_below

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "source": self.source,
            "at": self.at,
            "pairs": {"of": self.groups, "matches": self.matches, "others": self.others},
            "expected_calibration_error": round(self.error, 4),
            "absent_told": self.absent_told,
            "warning": self.warning,
        }

    def __str__(self) -> str:
        what = {"answers": "searches", "label-free": "tracklets"}.get(self.source, "people")
        pairs = f"{self.matches:,} pairs of one person and {self.others:,} of two"
        lines = [
            f"P(match) by {self.source} ({SOURCES.get(self.source, 'of a file')}), {self.at}",
            f"{self.groups} {what}, {pairs}; expected calibration error {self.error:.3f}",
        ]
        if self.absent_told is not None:
            lines.append(
                f'"probably not in this gallery" is said of {self.absent_told:.0%} of people who are not in it'
            )
        return "\n  ".join([*lines, *([f"note: {self.warning}"] if self.warning else [])])


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


class _TooFewError(UserError):
    """A source has less than it takes."""


def standing(scores: np.ndarray, background: np.ndarray) -> np.ndarray:
    """z, how far scores stand above the query's scores with anybody: float64 ``[N]``."""
    return (np.asarray(scores, np.float64) - background.mean()) / (background.std() + 1e-6)


def presence(p_match: np.ndarray) -> float:
    """That one of the first hits at least is right, as if they were independent."""
    return float(1 - np.prod(1 - p_match[:SHOWN]))


def fitted(z: np.ndarray, match: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """a ≥ 0 and c of the weighted logistic regression, with a ridge."""
    from scipy.optimize import minimize  # not above: see `queries`

    middle, deviation = z.mean(), z.std() + 1e-9
    columns = np.stack([(z - middle) / deviation, np.ones(len(z))], axis=1)
    signs, weight = np.where(match, 1.0, -1.0), weight / weight.sum()

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        margins = signs * (columns @ values)
        drawn = np.array([_RIDGE * values[0], 0.0])
        value = weight @ np.logaddexp(0, -margins) + drawn @ values / 2
        return float(value), drawn - columns.T @ (weight * signs * expit(-margins))

    bounds = [(0.0, None), (-_BOUND, _BOUND)]
    slope, offset = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=bounds).x.tolist()
    return float(slope / deviation), float(offset - slope / deviation * middle)


def reliability(p_match: np.ndarray, right: np.ndarray, weight: np.ndarray | None = None) -> tuple[Point, ...]:
    """15 bins of equal weight, the lowest P first; pairs of equal P are in one bin."""
    weight = np.ones(len(p_match)) if weight is None else weight
    _, of = np.unique(p_match, return_inverse=True)
    total = np.bincount(of, weight)
    middle = (np.cumsum(total) - total / 2) / total.sum()
    bins = np.minimum((middle * _BINS).astype(int), _BINS - 1)[of]
    points = []
    for each in (bins == number for number in np.unique(bins)):
        p, share = (np.average(values[each], weights=weight[each]) for values in (p_match, right))
        points.append(Point(float(p), float(share), float(weight[each].sum())))
    return tuple(points)


def calibration_error(points: Sequence[Point]) -> float:
    """Expected calibration error: the mean difference between P and the share that is right."""
    return sum(abs(each.p_match - each.right) * each.weight for each in points) / sum(each.weight for each in points)


def current(gallery: Gallery, model_id: str) -> Calibration | None:
    """The calibration of a model in a gallery; None without one, and where it is of scores by other means."""
    return calibration_for(gallery, model_id, means_digest(gallery, model_id))


def calibration_for(gallery: Gallery, model_id: str, means: str | None) -> Calibration | None:
    """The calibration of a model in a gallery, if it is of scores by these means, by their digest."""
    found = stored_calibration(gallery, model_id)
    return found if found and found.means == means else None


def stored_calibration(gallery: Gallery, model_id: str) -> Calibration | None:
    """The last calibration of a model in a gallery, whether it is `current` or not."""
    with Session(gallery.engine) as session:
        stored = session.get(schema.Setting, _key(model_id))
    if stored is None:
        return None
    facts = json.loads(stored.value)
    return Calibration(**facts | {"reliability": tuple(Point(**point) for point in facts["reliability"])})


def keep(gallery: Gallery, model_id: str, calibration: Calibration) -> None:
    """Make a calibration the one of a model in a gallery."""
    with database.changing(gallery.engine) as session:
        session.merge(schema.Setting(key=_key(model_id), value=json.dumps(asdict(calibration))))


def calibrate(
    gallery: Gallery, embedder: Callable[[], Embeds], source: str | None = None, labels: Path | None = None
) -> Calibration:
    """Calibrate the model that a gallery is searched with, and keep the result in the gallery.

    Args:
        embedder: opened only for pictures of saved searches.
        source: one of `SOURCES`; None takes the first of which there is enough.
        labels: CSV with the columns tracklet and person, in place of a source.

    Raises:
        UserError: an unknown source, a damaged file, too few pairs, or a gallery that can only be read.
        ReidappError: the gallery was moved to another model meanwhile.
    """
    if source is not None and source not in SOURCES:
        raise UserError(f'--from: "{source}" is unknown; {", ".join(SOURCES)}, or a CSV file with tracklet and person')
    gallery.check_writable()
    model_id = gallery.model_id
    snapshot = Snapshots(gallery, model_id).current()
    lacking = []
    for name in [LABELS] if labels else [source] if source else list(SOURCES):
        try:
            if name == "answers":
                trials = _of_answers(gallery, snapshot, model_id, cache(embedder))
            elif name == "label-free":
                trials = _of_one_camera(gallery, snapshot)
            else:
                people = read_labels(gallery, labels) if labels else Identities(gallery, by="").of()
                trials = _of_people(gallery, snapshot, people)
            found = calibrated(name, trials, len(snapshot.crops), snapshot.means_digest)
        except _TooFewError as error:
            lacking.append(f"{name}: {error}")
            continue
        gallery.check_in_use(model_id)
        keep(gallery, model_id, found)
        return found
    raise UserError(f"{gallery.path}: too little to calibrate by; {'; '.join(lacking)}")


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


def calibrated(source: str, trials: Sequence[Trial], rows: int, means: str | None = None) -> Calibration:
    """Fitted to all trials; what is said of its quality is of trials that a fit had not seen.

    Raises:
        UserError: a fit would see pairs of one kind only.
    """
    matches, pairs = sum(int(trial.match.sum()) for trial in trials), sum(len(trial.match) for trial in trials)
    a, c = _fit(trials, held=[])
    groups = sorted({trial.group for trial in trials})
    predicted, right, standing, there, left_out = [], [], [], [], []
    for held in (groups[fold::_FOLDS] for fold in range(min(_FOLDS, len(groups)))):
        weights = _fit(trials, held)
        for trial in (trial for trial in trials if trial.group in held):
            predicted.append(_probability(trial.z[trial.shown], *weights))
            right.append(trial.match[trial.shown])
            standing.append(trial.weight[trial.shown])
            if trial.there is not None:
                there.append(presence(_probability(trial.there, *weights)))
            if trial.left_out is not None:
                left_out.append(presence(_probability(trial.left_out, *weights)))
    below = float(np.quantile(there, FALSE_ALARMS, method="lower")) if there else None
    told = float(np.mean(np.less(left_out, below))) if left_out and below is not None else None
    return Calibration(
        source=source,
        at=schema.now(),
        rows=rows,
        groups=len(groups),
        matches=matches,
        others=pairs - matches,
        a=a,
        c=c,
        absent_below=below,
        absent_told=told,
        reliability=reliability(*(np.concatenate(parts) for parts in (predicted, right, standing))),
        absent_rows=int(_NARROW * min((trial.rows for trial in trials if trial.there is not None), default=0)),
        means=means,
    )


def _probability(z: np.ndarray, a: float, c: float) -> np.ndarray:
    return np.asarray(expit(a * z + c))


def _fit(trials: Sequence[Trial], held: Collection[int]) -> tuple[float, float]:
    """`fitted` to all pairs in which neither the query nor the tracklet is of a group that is held back.

    A query's other pairs then stand for those as well, or matches would seem less rare than they are.
    """
    parts = []
    for trial in trials:
        others, kept = ~trial.match, ~np.isin(trial.groups, list(held))
        before, after = trial.weight[others].sum(), trial.weight[others & kept].sum()
        if trial.group in held or (before and not after):
            continue
        weight = np.where(others, trial.weight * (before / after if after else 1.0), trial.weight)
        parts.append((trial.z[kept], trial.match[kept], weight[kept]))
    if len({match for _, matches, _ in parts for match in matches.tolist()}) < 2:
        raise _TooFewError("without a fifth of those who are asked for, no pairs of one person or none of two are left")
    return fitted(*(np.concatenate(part) for part in zip(*parts, strict=True)))


# Where trials come from


def _of_people(gallery: Gallery, snapshot: Snapshot, people: Mapping[str, str]) -> list[Trial]:
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
        raise _TooFewError(f"{enough} people seen by two cameras ({_PEOPLE} are needed)")
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
        raise _TooFewError(f"{matches} pairs of one person among the first {SHOWN} hits ({_MATCHES} are needed)")
    return trials


def _of_answers(gallery: Gallery, snapshot: Snapshot, model_id: str, embedder: Callable[[], Embeds]) -> list[Trial]:
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
        raise _TooFewError(
            f"{yes} yes and {no} no to hits of {len(trials)} saved searches for {people} people ({_ANSWERS} answers, "
            f"{_EACH} of each kind, to searches for {_SEARCHES} people are needed)"
        )
    return trials


def _of_one_camera(gallery: Gallery, snapshot: Snapshot) -> list[Trial]:
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
        raise _TooFewError(
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


def _key(model_id: str) -> str:
    return f"calibration {model_id}"
