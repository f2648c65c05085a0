"""The product's own number: generated footage indexed and searched as a user would, held against the truth.

A world is a set of people and camera looks that no model has learnt from (`training/data/synthetic/seeds.py`). What is
measured is in `measures.py`, and the page with the worst cases in `bench_page.py`.
"""

import hashlib
import os
import shutil
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

import reidapp
from reidapp import measures
from reidapp.breakdown import Group, PersonHere, by_camera, by_lighting, people_here
from reidapp.detector_files import pulled
from reidapp.embedding import Embedder
from reidapp.errors import UserError
from reidapp.files import locked, write_whole
from reidapp.footage.decoding import frames
from reidapp.footage.detection import Detection, Detector, open_detector
from reidapp.footage.indexing import Footage, find_footage, index_footage
from reidapp.footage.pipeline import peak_memory_mb
from reidapp.footage.report import IndexReport
from reidapp.gallery.search import Searcher
from reidapp.gallery.store import Gallery
from reidapp.measures import (
    CalibrationScores,
    DetectionScores,
    Followed,
    Look,
    Query,
    RankedHit,
    RetrievalScores,
    Stay,
    TimeScores,
    TrackletScores,
    WorstCases,
)
from reidapp.query import embed_query
from reidapp.settings import IndexSettings
from reidapp.truth import LIGHTING_FILE, Truth

_CASES, _HITS = 6, 8  # kept of each world for the page: worst cases of each kind, and hits of each query

Bars = Callable[[str, str], AbstractContextManager[Callable[..., None]]]
"""Of a step's title and its unit of work: opens a progress bar, and yields ``advance(done, total, label)``."""


@dataclass(frozen=True)
class WorldSize:
    """How much is drawn of a world."""

    cameras: int = 4
    people: int = 24
    seconds: float = 120
    crowd: int = 2


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

    def write_page(self, folder: Path) -> Path:
        """One HTML file that needs nothing else; returns its path."""
        from reidapp.bench_page import page

        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "index.html"
        write_whole(file, page(self).encode())
        return file

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


def run_bench(
    out: Path,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    world: Path | None = None,
    size: WorldSize = WorldSize(),
    model: str | None = None,
    detector: str | None = None,
    sampling: str | None = None,
    bars: Bars,
) -> BenchReport:
    """Measure the product on generated worlds.

    What is finished stays in ``out`` and is not done again, unless the program, the model or a setting has changed.

    Args:
        out: folder for worlds, galleries and results.
        seeds: numbers of the worlds to draw, from 0; they are no seeds of what may be trained on.
        world: an existing folder of footage with its ``truth.csv``, in place of drawn ones.
        model: name of a shipped model, or an ONNX file.
        detector, sampling: as `IndexSettings` has them.
        bars: shows progress.

    Raises:
        UserError: a folder, model or setting that cannot be used.
        ReidappError: another process works in ``out``.
        KeyboardInterrupt: stopped; finished worlds are kept.
    """
    from models import zoo

    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: not a folder; give another --out")
    out = out.resolve()  # results are kept with the paths of their pictures
    settings = IndexSettings.checked(sampling=sampling, detector=detector, zone="UTC")
    open_detector(settings.detector)  # refused now, not after minutes of drawing
    embedder = Embedder(zoo.path_of(model or zoo.DEFAULT))
    if world is not None:
        _check_videos(Truth.read(world), world)  # so is a world without its truth
    out.mkdir(parents=True, exist_ok=True)
    with locked(out / ".lock", f"{out}: another `reidapp bench` works here; wait until it ends, or give another --out"):
        if world is not None:
            results = [_measured(world.resolve(), world.resolve().name, out, settings, embedder, bars)]
        else:
            results = []
            for seed in dict.fromkeys(seeds):
                footage = _drawn(out, seed, size, bars)
                results.append(_measured(footage, f"world {seed}", footage.parent, settings, embedder, bars))
    shown = {
        "version": reidapp.__version__,
        "model": embedder.card.name,
        "model_id": embedder.identity[:16],
        "detector": Path(settings.detector).name,
        "sampling": settings.sampling,
        "world": str(world) if world else asdict(size),
        "cores": os.cpu_count(),
    }
    return BenchReport(shown, results)


def _check_videos(truth: Truth, world: Path) -> None:
    """Truth and tracklets are compared by camera and second of the video, so a camera must have one video only."""
    of_camera = Counter(camera for camera, _ in {(s.camera, s.video) for s in truth.sightings})
    camera, videos = of_camera.most_common(1)[0]
    if videos > 1:
        raise UserError(f"{world}: {videos} videos of camera {camera}; a world has one of each, give others as worlds")


def _drawn(out: Path, number: int, size: WorldSize, bars: Bars) -> Path:
    """The footage of a world, drawn now or by an earlier run."""
    from training.data import synthetic
    from training.data.synthetic.footage import write_footage
    from training.data.synthetic.seeds import bench_seed

    seed = bench_seed(number)
    sources = sorted(Path(synthetic.__file__).parent.glob("*.py"))
    key = _digest(str((seed, asdict(size))), *(path.read_bytes() for path in sources))
    footage = out / f"world-{number}-{key}" / "footage"
    if not footage.is_dir():
        half_made = footage.with_name("footage.new")
        shutil.rmtree(half_made, ignore_errors=True)
        with bars(f"world {number}: filming", "cameras") as advance:
            write_footage(half_made, **asdict(size), seed=seed, progress=advance)
        half_made.rename(footage)
    return footage


def _measured(
    footage: Path, name: str, out: Path, settings: IndexSettings, embedder: Embedder, bars: Bars
) -> WorldResult:
    """The result of a world, measured now or by an earlier run of this very program."""
    file = out / _key(footage, settings, embedder) / "result.json"
    stored = TypeAdapter(WorldResult)
    if file.is_file():
        try:
            return stored.validate_json(file.read_bytes())
        except ValidationError as error:
            raise UserError(f"{file}: damaged; delete it, and run this again") from error
    shutil.rmtree(file.parent, ignore_errors=True)  # of a run that was stopped: detections and times must be whole
    gallery = Gallery.create(file.parent / "gallery", embedder.path, embedder.card, embedder.identity)
    result = _measure(footage, name, gallery, settings, embedder, bars)
    write_whole(file, stored.dump_json(result))
    return result


def _measure(
    footage: Path, name: str, gallery: Gallery, settings: IndexSettings, embedder: Embedder, bars: Bars
) -> WorldResult:
    truth, listening = Truth.read(footage), _Listening(open_detector(settings.detector))
    found = find_footage(footage, settings)
    started = time.monotonic()
    with bars(f"{name}: indexing", "s of video") as advance:
        report = index_footage(found, gallery, embedder, listening, settings, advance)
    index_s = time.monotonic() - started
    _check_whole(report, footage)
    looks = list(_looks(found, settings, listening.heard))
    followed = [Followed(one, tuple(truth.people_in(one.camera, one.path))) for one in gallery.tracklets()]
    found_stays = measures.stays(truth.appearances(), followed)
    with bars(f"{name}: searching", "queries") as advance:
        searcher = Searcher(gallery, embedder)
        queries = _queries(truth, followed, found_stays, searcher, embedder, listening.detector, advance)
    return WorldResult(
        name=name,
        footage=footage,
        detection=measures.measure_detection(truth, looks),
        tracklets=measures.measure_tracklets(found_stays, followed),
        times=measures.measure_times(found_stays),
        retrieval=measures.measure_retrieval(queries),
        calibration=measures.measure_calibration(queries),
        cost=Cost(report.video_s, index_s, peak_memory_mb()),
        worst=WorstCases(
            missed=measures.least_found(truth, looks, found_stays, _CASES),
            impure=measures.least_pure(followed, _CASES),
            poor=measures.poorest(queries, _CASES, _HITS),
            late=measures.latest(found_stays, _CASES),
        ),
        people=people_here(truth, looks, found_stays, queries),
    )


def retrieval(gallery: Gallery, footage: Path) -> RetrievalScores:
    """How well a gallery's model finds people, of footage with its truth."""
    truth, embedder = Truth.read(footage), Embedder(gallery.model_file)
    followed = [Followed(one, tuple(truth.people_in(one.camera, one.path))) for one in gallery.tracklets()]
    found = measures.stays(truth.appearances(), followed)
    searcher, detector = Searcher(gallery, embedder), open_detector(gallery.detector)
    return measures.measure_retrieval(_queries(truth, followed, found, searcher, embedder, detector))


class _Listening:
    """A detector whose detections are kept, by picture: a gallery has only those that made a tracklet."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.provider = detector.provider
        self.heard: dict[bytes, list[Detection]] = {}

    def detect(self, images: Sequence[np.ndarray]) -> list[list[Detection]]:
        found = self.detector.detect(images)
        self.heard |= zip(map(_fingerprint, images), found, strict=True)
        return found


def _looks(found: Footage, settings: IndexSettings, heard: Mapping[bytes, list[Detection]]) -> Iterator[Look]:
    """The frames that indexing has looked at, each with what was detected in it."""
    for source in found.sources:
        for frame in frames(source.path, 0.0, float("inf"), settings.fps, settings.keyframes):
            if (detections := heard.get(_fingerprint(frame.image))) is not None:
                boxes = tuple(detection.box for detection in detections)
                yield Look(source.camera, frame.time_s, frame.image.shape[0], boxes)


def _fingerprint(image: np.ndarray) -> bytes:
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()


def _queries(
    truth: Truth,
    followed: Sequence[Followed],
    found: Sequence[Stay],
    searcher: Searcher,
    embedder: Embedder,
    detector: Detector,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> list[Query]:
    """Search for everybody from each camera with a stored crop, as `reidapp search` does, in all other cameras."""
    who = {one.tracklet.id: one.person for one in followed}
    present = {(stay.appearance.person, stay.appearance.camera) for stay in found}
    wanted = sorted(
        (p, camera) for p, camera in present if any((p, c) in present for c in truth.cameras if c != camera)
    )
    indexed = {camera.name for camera in searcher.gallery.cameras()}
    queries = []
    for done, (person, camera) in enumerate(wanted, start=1):
        crop = measures.best_crop(truth, followed, person, camera)
        hits: tuple[RankedHit, ...] = ()
        if crop:
            embedding = embed_query([crop.file], searcher.gallery, embedder, detector)
            result = searcher.search(embedding, cameras=sorted(indexed - {camera}), top=len(followed))
            hits = tuple(RankedHit(hit, who[hit.tracklet]) for hit in result.hits)
        queries.append(Query(person, camera, crop, hits, measures.missed_elsewhere(found, person, camera)))
        advance(done, len(wanted))
    return queries


def _check_whole(report: IndexReport, footage: Path) -> None:
    if report.interrupted:
        raise KeyboardInterrupt
    if faults := [*report.skipped, *report.incomplete]:
        raise UserError(f"{footage}: {faults[0].file}: {faults[0].reason}; a world has to be whole")


def _key(footage: Path, settings: IndexSettings, embedder: Embedder) -> str:
    """Stands for all that a result depends on, this program's source included."""
    detector = pulled().get(settings.detector) or Path(settings.detector.partition(":")[2]).expanduser()
    weights = detector.read_bytes() if detector.is_file() else b""
    videos = sorted((path.name, path.stat().st_size) for path in footage.rglob("*") if path.is_file())
    root = Path(reidapp.__file__).parent
    showing = {root / "cli.py", root / "bench_page.py", *(root / "commands").iterdir()}  # they only show what came out
    sources = sorted(set(root.rglob("*.py")) - showing)
    facts = str((str(footage.resolve()), videos, settings.model_dump(), embedder.identity))
    truth = [file.read_bytes() for file in (footage / "truth.csv", footage / LIGHTING_FILE) if file.is_file()]
    return _digest(facts, *truth, weights, *(path.read_bytes() for path in sources))


def _digest(*parts: str | bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part.encode() if isinstance(part, str) else part).digest())
    return digest.hexdigest()[:10]


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
