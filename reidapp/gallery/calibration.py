"""P(match): how likely a hit shows the person who is asked for, and whether that person is in the gallery at all.

    logit P = a z + c − log max(1, n / n₀)        z = (s − mean) / deviation

s is the hit's score; mean and deviation are those of the query's scores with rows from all over the gallery, since a
picture that is like everybody has high scores that say little. (s beside z made it no better on few people's pairs.)
a is not negative, so P never contradicts the ranking. c holds how rare a match was in the gallery when it was
calibrated, at n₀ rows. Those that came later, of n rows now, are taken to show other people, which errs to the side of
doubt. Whether the person is in the gallery at all is told without this term, or it would be denied of ever more people.

Both are fitted by logistic regression to pairs of a query and a tracklet (`trials`). They belong to one model and one
gallery. Where the pairs come from decides what P means, so it is said with every P (`SOURCES`).
"""

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit
from sqlalchemy.orm import Session

from reidapp.embedding import Embeds
from reidapp.errors import UserError
from reidapp.gallery import database, schema
from reidapp.gallery.camera_means import means_digest
from reidapp.gallery.identities import Identities
from reidapp.gallery.snapshot import Snapshots
from reidapp.gallery.store import Gallery
from reidapp.gallery.trials import (
    SHOWN,
    TooFewError,
    Trial,
    of_answers,
    of_one_camera,
    of_people,
    read_labels,
    standing,
)

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
        """Why P may mislead, in words; None where nothing speaks against it."""
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
                trials = of_answers(gallery, snapshot, model_id, cache(embedder))
            elif name == "label-free":
                trials = of_one_camera(gallery, snapshot)
            else:
                people = read_labels(gallery, labels) if labels else Identities(gallery, by="").of()
                trials = of_people(gallery, snapshot, people)
            found = calibrated(name, trials, len(snapshot.crops), snapshot.means_digest)
        except TooFewError as error:
            lacking.append(f"{name}: {error}")
            continue
        gallery.check_in_use(model_id)
        keep(gallery, model_id, found)
        return found
    raise UserError(f"{gallery.path}: too little to calibrate by; {'; '.join(lacking)}")


def calibrated(source: str, trials: Sequence[Trial], rows: int, means: str | None = None) -> Calibration:
    """Fitted to all trials; what is said of its quality is of trials that a fit had not seen.

    Raises:
        UserError: a fit would see pairs of one kind only.
    """
    matches, pairs = sum(int(trial.match.sum()) for trial in trials), sum(len(trial.match) for trial in trials)
    a, c = _fit(trials, held=[])
    groups = sorted({trial.group for trial in trials})
    predicted, right, pairs_of, there, left_out = [], [], [], [], []
    for held in (groups[fold::_FOLDS] for fold in range(min(_FOLDS, len(groups)))):
        weights = _fit(trials, held)
        for trial in (trial for trial in trials if trial.group in held):
            predicted.append(_probability(trial.z[trial.shown], *weights))
            right.append(trial.match[trial.shown])
            pairs_of.append(trial.weight[trial.shown])
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
        reliability=reliability(*(np.concatenate(parts) for parts in (predicted, right, pairs_of))),
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
        raise TooFewError("without a fifth of those who are asked for, no pairs of one person or none of two are left")
    return fitted(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _key(model_id: str) -> str:
    return f"calibration {model_id}"
