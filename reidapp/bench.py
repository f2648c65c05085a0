"""The product's own number: generated footage indexed and searched as a user would, held against the truth.

A world is a set of people and camera looks that no model has learnt from (`training/data/synthetic/seeds.py`). What is
measured is in `measures.py`; how it is shown, in `bench_report.py` and `bench_page.py`.
"""

import hashlib
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

import reidapp
from reidapp import measures, worst_cases
from reidapp.bench_report import BenchReport, Cost, WorldResult
from reidapp.breakdown import people_here
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
from reidapp.measures import Followed, Look, Query, RankedHit, RetrievalScores, Stay
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
        with bars(f"world {number}: filming", "cameras") as advance:
            write_footage(footage, **asdict(size), seed=seed, progress=advance)
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
        worst=worst_cases.WorstCases(
            missed=worst_cases.least_found(truth, looks, found_stays, _CASES),
            impure=worst_cases.least_pure(followed, _CASES),
            poor=worst_cases.poorest(queries, _CASES, _HITS),
            late=worst_cases.latest(found_stays, _CASES),
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
