"""What a bench of several worlds came to: each world's numbers, their mean and spread, and how a table has them."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from reidapp.breakdown import Group, PersonHere, by_camera, by_lighting
from reidapp.measures import CalibrationScores, DetectionScores, RetrievalScores, TimeScores, TrackletScores
from reidapp.worst_cases import WorstCases


@dataclass(frozen=True)
class Cost:
    """What indexing took.

    Attributes:
        index_s: seconds on the clock, decoding to commit.
        memory_mb: the most memory that this process has had resident so far, in 10⁶ bytes.
    """

    video_s: float
    index_s: float
    memory_mb: float

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "video_s_per_s": self.video_s / self.index_s}


@dataclass(frozen=True)
class WorldResult:
    """What was measured in one world, and where its pictures are; ``people`` are for errors by camera and lighting."""

    name: str
    footage: Path
    detection: DetectionScores
    tracklets: TrackletScores
    times: TimeScores
    retrieval: RetrievalScores
    calibration: CalibrationScores | None
    cost: Cost
    worst: WorstCases
    people: list[PersonHere]

    def to_dict(self) -> dict[str, Any]:
        parts = (self.detection, self.tracklets, self.times, self.retrieval, self.calibration, self.cost)
        names = ("detection", "tracklets", "times", "retrieval", "calibration", "cost")
        facts = {name: part and part.to_dict() for name, part in zip(names, parts, strict=True)}
        return {"world": self.name, **_each(facts, lambda value: round(value, 4))}


@dataclass(frozen=True)
class BenchReport:
    """All worlds; numbers are given as their mean over the worlds, and its spread as their standard deviation."""

    settings: dict[str, Any]
    worlds: list[WorldResult]

    def to_dict(self) -> dict[str, Any]:
        worlds = [world.to_dict() for world in self.worlds]
        return {
            "settings": self.settings,
            "mean": _over(worlds, statistics.mean),
            "spread": _over(worlds, statistics.stdev) if len(worlds) > 1 else None,
            "groups": {
                title: [_each(group.to_dict(), lambda value: round(value, 4)) for group in groups]
                for title, groups in self.groups.items()
            },
            "worlds": worlds,
        }

    @cached_property
    def groups(self) -> dict[str, list[Group]]:
        """Errors by camera, and by lighting."""
        people = {world.name: world.people for world in self.worlds}
        return {"camera": by_camera(people), "lighting": by_lighting(people)}

    def lines(self) -> Iterator["Line"]:
        """The table's lines, for the terminal and for the page."""
        facts = self.to_dict()
        for group, entries in _LINES.items():
            if group not in facts["mean"]:
                continue  # no world has it
            mean, spread = facts["mean"][group], (facts["spread"] or {}).get(group)
            for key, title, form in entries:
                each = [_at(world[group], key) for world in facts["worlds"]]
                if isinstance(_at(mean, key), dict):  # classes, such as of height
                    for name, value in _at(mean, key).items():
                        values = [(of or {}).get(name, {}).get("recall") for of in each]
                        deviation = (_at(spread, key) or {}).get(name, {}).get("recall")
                        yield Line(group, f"{title} {name}", form, value.get("recall"), deviation, tuple(values))
                else:
                    yield Line(group, title, form, _at(mean, key), _at(spread, key), tuple(each))

    def __str__(self) -> str:
        lines = list(self.lines())
        width = max(len(line.title) for line in lines)
        text, group = [], ""
        for line in lines:
            if line.group != group:
                text.append(f"\n{line.group}" if group else line.group)
                group = line.group
            worlds = "  ".join(f"{line.shown(value):>8}" for value in line.worlds) if len(self.worlds) > 1 else ""
            text.append(f"  {line.title:<{width}}  {line.average:>17}  {worlds}".rstrip())
        for title, groups in self.groups.items():
            text += ["", f"by {title}, {GROUP_NOTE}", *_group_lines(groups)]
        return "\n".join([*text, "", *self.notes])

    @property
    def notes(self) -> list[str]:
        """What a reader of the table has to know."""
        names = ", ".join(world.name for world in self.worlds)
        settings = self.settings
        notes = [f"Model {settings['model']}, detector {settings['detector']}, sampling {settings['sampling']}."]
        if len(self.worlds) > 1:
            notes.append(f"Mean ± standard deviation over {names}, then each of them.")
        if not any(world.calibration for world in self.worlds):
            notes.append("P(match) is not measured: the galleries have no calibration.")
        return notes


GROUP_NOTE = "with the interval (95 %) of a bootstrap over people"
GROUP_TITLES = ("", "lighting", "searches", "Rank-1", "mAP", "stays", "missed", "found in frames")


def group_cells(group: Group) -> tuple[str, ...]:
    """A group's line under the titles above."""
    estimates = [str(each) if each else "–" for each in (group.rank1, group.mAP, group.missed, group.recall)]
    rank1, mean_precision, missed, recall = estimates
    counts = f"{group.queries}", f"{group.appearances}"
    return group.name, group.lighting, counts[0], rank1, mean_precision, counts[1], missed, recall


def _group_lines(groups: Sequence[Group]) -> list[str]:
    rows = [GROUP_TITLES, *map(group_cells, groups)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


@dataclass(frozen=True)
class Line:
    """One number of the report, as a table has it."""

    group: str
    title: str
    form: str
    mean: float | None
    spread: float | None
    worlds: tuple[float | None, ...]

    def shown(self, value: float | None) -> str:
        return "–" if value is None else self.form.format(value)

    @property
    def average(self) -> str:
        """Mean ± standard deviation."""
        return self.shown(self.mean) + ("" if self.spread is None else f" ± {self.shown(self.spread)}")


_PERCENT, _NUMBER, _SECONDS = "{:.1%}", "{:.2f}", "{:.2f} s"
_LINES = {
    "retrieval": [
        ("mAP", "mAP across cameras", _PERCENT),
        ("rank1", "Rank-1 across cameras", _PERCENT),
        ("queries", "queries", "{:.0f}"),
        ("without_crop", "queries without a crop to ask with", "{:.1f}"),
        ("without_match", "queries without a right hit in the gallery", "{:.1f}"),
    ],
    "calibration": [
        ("brier", "Brier score of P(match)", "{:.3f}"),
        ("ece", "expected calibration error of P(match)", "{:.3f}"),
    ],
    "detection": [
        ("recall", "recall, half of the body visible", _PERCENT),
        ("precision", "precision", _PERCENT),
        ("overlap", "mean overlap (IoU) of matched boxes", _NUMBER),
        ("recall_by_height", "recall at", _PERCENT),
        ("recall_by_visible", "recall at", _PERCENT),
    ],
    "tracklets": [
        ("purity", "purity", _PERCENT),
        ("mixed", "tracklets of several people", _PERCENT),
        ("of_nobody", "tracklets of nobody", _PERCENT),
        ("per_appearance", "tracklets per appearance", _NUMBER),
        ("per_person", "tracklets per person", _NUMBER),
        ("missed", "appearances missed", _PERCENT),
        ("appearances", "appearances", "{:.0f}"),
    ],
    "times": [
        ("start_error_s", "mean error of the start", _SECONDS),
        ("end_error_s", "mean error of the end", _SECONDS),
        ("error_p95_s", "95th percentile of both", _SECONDS),
    ],
    "cost": [
        ("video_s_per_s", "seconds of video indexed in a second", "{:.1f}"),
        ("memory_mb", "peak memory, MB", "{:.0f}"),
    ],
}


def _at(facts: dict[str, Any] | None, key: str) -> Any:
    return (facts or {}).get(key)


def _each(value: Any, change: Callable[[float], float]) -> Any:
    """The same structure with each float changed."""
    if isinstance(value, dict):
        return {key: _each(part, change) for key, part in value.items()}
    if isinstance(value, list):
        return [_each(part, change) for part in value]
    return change(value) if isinstance(value, float) else value


def _over(worlds: Sequence[Any], of: Callable[[Sequence[float]], float]) -> Any:
    """The mean, or the deviation, of each number over those worlds that have it; names and lists are left out."""
    if any(isinstance(world, dict) for world in worlds):
        have = [world for world in worlds if isinstance(world, dict)]
        keys = dict.fromkeys(key for world in have for key in world)
        return {key: part for key in keys if (part := _over([world.get(key) for world in have], of)) is not None}
    numbers = [world for world in worlds if isinstance(world, int | float)]
    if not numbers or (len(numbers) == 1 and of is statistics.stdev):
        return None
    return round(of(numbers), 4)
