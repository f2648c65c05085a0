"""Exact search beside plain Faiss (`IndexScalarQuantizer`, fp16, inner product) in one run: index only, milliseconds.

    python -m benchmarks.search [--rows 10000000 1000000] [--dim 512] > docs/results/search.json

Galleries of made-up embeddings are written to a temporary folder (1.5 GB per million rows), opened, and asked; queries
are new pictures of people who are in the gallery, and of people who are not. Plain Faiss holds the same rows in memory,
with one thread and as two shards in two threads; ours has as many threads as there are cores. All take turns, query by
query, and so does our search without the filter; they find the same rows. Filters are random masks, the worst case;
``by camera and day`` is one that a user sets, with the time that making its mask takes. Two distributions:

    people    a centre per person, noise per tracklet and crop; energy in direction i ∝ exp(−16 i / D), turned. The
              shipped model's on generated people falls like that: 5 % is beyond D / 8 directions, 0.8 % beyond D / 4
    random    uniform on the sphere: no structure at all

``opening`` is a process of its own that opens the gallery and searches once: seconds, and MB of its own memory above
what it held before (file pages, which the system can drop, are not counted). ``commit`` is the time from the commit of
a chunk to a snapshot that has it. Goals: half of one thread's time, any filter 1.2 times the time without, opening in
one second and 300 MB, and two seconds from a commit.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import faiss
import numpy as np
from sqlalchemy import insert
from sqlalchemy.orm import Session

from benchmarks.machine import machine
from reidapp.box import Box
from reidapp.gallery import schema, vectors
from reidapp.gallery.facts import PathPoint, utc
from reidapp.gallery.nearest import Nearest
from reidapp.gallery.snapshot import Snapshot, Snapshots
from reidapp.gallery.store import Gallery
from reidapp.gallery.writer import NewChunk, NewCrop, NewTracklet, next_generation
from reidapp.model_card import ModelCard

MODEL = "be" * 32
SHARES = (0.001, 0.01, 0.1, 0.2, 0.25, 0.3, 0.5, 0.99)
CAMERAS, DAYS, CHUNK, TRACKLET = 20, 30, 50, 5  # rows of a chunk, and of a tracklet
START_MS = 20_000 * 86_400_000
TOP = 80  # rows, as for 20 hits
NOISE = (0.7, 0.4)  # of tracklets and of crops, people being 1

OPENING = """
import json, sys, time
from pathlib import Path
import numpy as np
from reidapp.gallery.store import Gallery
from reidapp.gallery.search import Searcher
from reidapp.gallery.snapshot import Snapshots
own = lambda: sum(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("RssAnon")) / 1e3
gallery = Gallery.open(Path(sys.argv[1]))
before, started = own(), time.perf_counter()
snapshot = Snapshots(gallery, gallery.model_id).current()
opened = time.perf_counter()
snapshot.index.search(snapshot.index.stored(np.zeros(1, int))[0].astype(np.float32), 80)
first = time.perf_counter()
print(json.dumps({"open_s": opened - started, "first_search_s": first - opened, "memory_mb": own() - before}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rows",
        type=int,
        nargs="+",
        default=[1_000_000],
        help="of the largest gallery, or of each distribution's; beside Faiss's copy 10 million people fit into 24 GB",
    )
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--distributions", nargs="+", choices=("people", "random"), default=["people", "random"])
    parser.add_argument("--queries", type=int, default=20)
    parser.add_argument("--folder", type=Path, help="for the galleries; the system's temporary one by default")
    arguments = parser.parse_args()
    kinds, largest = arguments.distributions, arguments.rows
    if len(largest) not in (1, len(kinds)):
        parser.error(f"--rows: one number, or {len(kinds)} as there are distributions")
    results = []
    for kind, most in zip(kinds, largest * len(kinds) if len(largest) == 1 else largest, strict=True):
        for rows in [rows for rows in (10_000, 100_000, 1_000_000) if rows < most] + [most]:
            print(f"{kind}, {rows} rows", file=sys.stderr)
            with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
                world = World.of_kind(kind, arguments.dim, rows)
                results.append({"distribution": kind, "rows": rows} | measured(world, Path(folder), arguments.queries))
    result = {"benchmark": "search", "dim": arguments.dim, "top": TOP, "results": results, "machine": machine()}
    print(json.dumps(result, indent=1))


class World:
    """Made-up embeddings, the same each time: float32 unit rows.

    Args:
        rows: how many.
        axes: float32 ``[K, D]``, orthonormal; along them people, their tracklets and crops differ.
        spectrum: ``[K]``, how much.
        noise: of tracklets and of crops, people being 1.
        mean: ``[D]``, of all.
    """

    def __init__(
        self,
        rows: int,
        axes: np.ndarray,
        spectrum: np.ndarray,
        noise: tuple[float, float],
        mean: np.ndarray | float = 0.0,
    ) -> None:
        self.rows, self.people, self.dim = rows, max(rows // 100, 1), axes.shape[1]
        self.axes, self.spectrum, self.noise, self.mean = axes, spectrum, noise, mean

    @classmethod
    def of_kind(cls, kind: str, dim: int, rows: int) -> Self:
        """``people`` or ``random``, see above."""
        axes = np.linalg.qr(np.random.default_rng(0).standard_normal((dim, dim)))[0].astype(np.float32)
        if kind == "people":
            return cls(rows, axes, np.exp(-8 * np.arange(dim) / dim), NOISE)
        return cls(rows, axes, np.ones(dim), (0.0, 1e3))

    @classmethod
    def like(cls, embeddings: np.ndarray, rows: int) -> Self:
        """With the mean, the directions and the energies of real ones, float32 ``[N, D]``."""
        mean = embeddings.mean(axis=0)
        _, energies, axes = np.linalg.svd(embeddings - mean, full_matrices=False)
        share = np.sqrt(1 + NOISE[0] ** 2 + NOISE[1] ** 2)  # people's, of all
        return cls(rows, axes, energies / np.sqrt(len(embeddings)) / share, NOISE, mean)

    def blocks(self) -> Iterator[np.ndarray]:
        """All rows in order, ``CHUNK`` · 100 at a time."""
        for start in range(0, self.rows, CHUNK * 100):
            count = min(CHUNK * 100, self.rows - start)
            rng = np.random.default_rng([1, start])
            people = rng.integers(0, self.people, -(-count // TRACKLET))
            yield self._pictures(people, rng)[:count]

    def queries(self, count: int) -> np.ndarray:
        """Every second one shows a person who is not there."""
        rng = np.random.default_rng(2)
        people = rng.integers(0, self.people, count) + np.arange(count) % 2 * self.people
        return self._pictures(people, rng)[::TRACKLET]

    def _pictures(self, people: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        size = len(self.axes)
        centres = np.stack([np.random.default_rng([3, person]).standard_normal(size) for person in people])
        tracklets = np.repeat(centres + self.noise[0] * rng.standard_normal(centres.shape), TRACKLET, axis=0)
        rows = ((tracklets + self.noise[1] * rng.standard_normal(tracklets.shape)) * self.spectrum).astype(np.float32)
        rows = rows @ self.axes + self.mean
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def measured(world: World, folder: Path, queries: int) -> dict[str, Any]:
    gallery = make_gallery(world, folder)
    snapshots = Snapshots(gallery, MODEL)
    started = time.perf_counter()
    snapshots.derive()
    derived_s = time.perf_counter() - started
    snapshot = snapshots.current()
    kind, metric = faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    shards = [faiss.IndexScalarQuantizer(world.dim, kind, metric) for _ in range(2)]
    half = -(-world.rows // CHUNK // 2) * CHUNK
    for at in range(0, world.rows, 50_000):
        stored = snapshot.index.stored(np.arange(at, min(at + 50_000, world.rows))).astype(np.float32)
        shards[0].add(stored[: max(half - at, 0)])
        shards[1].add(stored[max(half - at, 0) :])
    plain = Plain(shards)
    asked = world.queries(queries)
    rng = np.random.default_rng(4)
    times = {"unfiltered": compared(asked, plain, snapshot, None)}
    for share in SHARES:
        times[f"{share:.1%} of the rows"] = compared(asked, plain, snapshot, rng.random(world.rows) < share)
    segments = [segment.path.stat().st_size for segment in snapshot.segments]
    return {
        "milliseconds": times,
        "by camera and day": by_user(asked, snapshot),
        "opening": opening(gallery),
        "commit_s": round(commit(gallery, snapshots, world), 3),
        "derived": {"seconds": round(derived_s, 1), "mb": round(sum(segments) / 1e6, 1)},
    }


class Plain:
    """Faiss alone: the first half of the rows in one index, the second in another."""

    def __init__(self, shards: list[faiss.IndexScalarQuantizer]) -> None:
        self.shards = shards
        self.pool = ThreadPoolExecutor(2, initializer=lambda: faiss.omp_set_num_threads(1))

    def search(self, query: np.ndarray, kept: np.ndarray | None, two_threads: bool) -> Nearest:
        starts = (0, self.shards[0].ntotal)

        def one(shard: int) -> tuple[np.ndarray, np.ndarray]:
            index, parameters = self.shards[shard], None
            if kept is not None:
                bits = np.packbits(kept[starts[shard] : starts[shard] + index.ntotal], bitorder="little")
                selector = faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg, arg-type]
                parameters = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
            scores, rows = index.search(query[None], TOP, params=parameters)
            return scores[0][rows[0] >= 0], rows[0][rows[0] >= 0] + starts[shard]

        found = list(self.pool.map(one, (0, 1)) if two_threads else map(one, (0, 1)))
        scores, rows = (np.concatenate(each) for each in zip(*found, strict=True))
        order = np.argsort(-scores, kind="stable")[:TOP]
        return Nearest(scores[order], rows[order])


def compared(asked: np.ndarray, plain: Plain, snapshot: Snapshot, kept: np.ndarray | None) -> dict[str, float]:
    """Medians over the queries."""
    faiss.omp_set_num_threads(1)
    ways: dict[str, Callable[[np.ndarray], Nearest]] = {
        "faiss_one_thread_ms": lambda query: plain.search(query, kept, two_threads=False),
        "reidapp_unfiltered_ms": lambda query: snapshot.index.search(query, TOP),  # Faiss before both: caches are cold
        "faiss_two_threads_ms": lambda query: plain.search(query, kept, two_threads=True),
        "reidapp_ms": lambda query: snapshot.index.search(query, TOP, kept),
    }
    seconds = in_turns(ways, asked, lambda found: same(found["faiss_one_thread_ms"], found["reidapp_ms"]))
    medians = {name: statistics.median(values) * 1e3 for name, values in seconds.items()}
    ours = medians["reidapp_ms"]
    worst = max(seconds["reidapp_ms"]) * 1e3
    return {name: round(value, 2) for name, value in medians.items()} | {
        "reidapp_of_one_thread": round(ours / medians["faiss_one_thread_ms"], 3),
        "reidapp_of_two_threads": round(ours / medians["faiss_two_threads_ms"], 3),
        "reidapp_of_unfiltered": round(ours / medians["reidapp_unfiltered_ms"], 2),
        "reidapp_worst_ms": round(worst, 2),
    }


def in_turns(
    ways: dict[str, Callable[[np.ndarray], Any]], asked: np.ndarray, check: Callable[[dict[str, Any]], None]
) -> dict[str, list[float]]:
    """Seconds of each way for each query, after one round to warm up; what all found for a query is checked.

    The second and the last, which are compared with each other, change places from query to query.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number, query in enumerate(np.concatenate([asked[:1], asked])):
        found, order = {}, list(ways)
        if number % 2:
            order[1::2] = order[1::2][::-1]
        for name in order:
            started = time.perf_counter()
            found[name] = ways[name](query)
            seconds[name].append(time.perf_counter() - started)
        check(found)
    return {name: values[1:] for name, values in seconds.items()}


def same(one: Nearest, other: Nearest) -> None:
    """Rows whose scores differ by no more than float32's rounding may stand in another order."""
    assert len(one.rows) == len(other.rows)
    np.testing.assert_allclose(one.scores, other.scores, atol=2e-6)
    if len(one.scores):
        beyond = one.scores > one.scores[-1] + 4e-6
        assert set(one.rows[beyond].tolist()) <= set(other.rows.tolist())


def by_user(asked: np.ndarray, snapshot: Snapshot) -> dict[str, float]:
    """One camera of all, three days of all: its mask and the search, against both without a filter."""
    after, before = utc(START_MS + 5 * 86_400_000), utc(START_MS + 8 * 86_400_000)
    seconds: dict[str, list[float]] = {"filtered_ms": [], "unfiltered_ms": []}
    for query in asked:
        for name, some in (("filtered_ms", (["camera 3"], after, before)), ("unfiltered_ms", (None, None, None))):
            started = time.perf_counter()
            snapshot.best_rows(query[None], snapshot.selected(*some), 20)
            seconds[name].append(time.perf_counter() - started)
    return {name: round(statistics.median(values) * 1e3, 2) for name, values in seconds.items()}


def opening(gallery: Gallery) -> dict[str, float]:
    command = [sys.executable, "-c", OPENING, str(gallery.path)]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return {name: round(value, 3) for name, value in told.items()}


def commit(gallery: Gallery, snapshots: Snapshots, world: World) -> float:
    """Median seconds to a snapshot with one more chunk."""
    box, seconds = Box(0.1, 0.1, 0.2, 0.5), []
    for number in range(5):
        crops = [NewCrop(1.0, box, 0.5, b"stands for a picture")] * TRACKLET
        tracklet = NewTracklet([PathPoint(0.0, box), PathPoint(2.0, box)], crops)
        rows = world.queries(1).repeat(TRACKLET, axis=0)
        before = len(snapshots.current().crops)
        with gallery.writing() as writer:
            writer.add_chunk(f"{1:016x}", NewChunk(10**6 + number, 0.0, 1, 1, 1.0, [tracklet], rows))
        started = time.perf_counter()
        assert len(snapshots.current().crops) == before + TRACKLET
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def make_gallery(world: World, folder: Path) -> Gallery:
    """With rows of a model that is made up, too."""
    model = folder / "model.onnx"
    model.write_bytes(b"stands for a model")
    gallery = Gallery.create(folder / "gallery", model, ModelCard("made up", "1", 128, 64, world.dim), MODEL)
    fill(gallery, world)
    return gallery


def fill(gallery: Gallery, world: World) -> None:
    """Chunk after chunk on the cameras and days in turn; a block of rows is one camera's day, or a part of it."""
    rows: dict[type[schema.Base], list[dict[str, Any]]] = {}
    ends: dict[str, int] = {}
    with Session(gallery.engine) as session, session.begin():
        session.execute(
            insert(schema.Camera), [{"id": n, "name": f"camera {n}", "zone": "UTC"} for n in range(CAMERAS)]
        )
        session.execute(insert(schema.Video), [_video(n) for n in range(CAMERAS * DAYS)])
        for number, embeddings in enumerate(world.blocks()):
            video = number % (CAMERAS * DAYS)
            day = utc(START_MS + video // CAMERAS * 86_400_000).strftime("%Y-%m-%d")
            path = vectors.shard_path(gallery.path, gallery.model_id, day)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as shard:
                shard.write(embeddings.astype("<f2").tobytes())
            rows = {table: [] for table in (schema.Chunk, schema.Tracklet, schema.Crop, schema.Block)}
            for part in range(0, len(embeddings), CHUNK):
                count = min(CHUNK, len(embeddings) - part)
                place = (gallery.model_id, day, ends.get(day, 0))
                _add_chunk(rows, number * 100 + part // CHUNK, video, place, count)
                ends[day] = ends.get(day, 0) + count
            for table, new in rows.items():
                session.execute(insert(table), new)
        next_generation(session)


def _video(number: int) -> dict[str, Any]:
    start = START_MS + number // CAMERAS * 86_400_000
    return {
        "id": f"{number:016x}", "camera_id": number % CAMERAS, "path": f"/none/{number}.mp4", "size": 1, "mtime_ns": 1,
        "written": utc(start).isoformat(), "start_ms": start, "start_source": "name", "duration_s": 86_400.0,
        "width": 1920, "height": 1080, "settings": {}, "done": True,
    }  # fmt: skip


def _add_chunk(
    rows: dict[type[schema.Base], list[dict[str, Any]]],
    number: int,
    video: int,
    place: tuple[str, str, int],
    count: int,
) -> None:
    model_id, day, first_row = place
    chunk = schema.identifier("chunk", number)
    of_video = number // 100 // (CAMERAS * DAYS) * 100 + number % 100
    at = of_video * 60.0
    rows[schema.Chunk].append(
        {"id": chunk, "video_id": f"{video:016x}", "number": of_video, "frames": 1, "detections": count}
    )
    rows[schema.Block].append(
        {
            "chunk_id": chunk,
            "model_id": model_id,
            "day": day,
            "first_row": first_row,
            "rows": count,
            "sha256": chunk * 4,
        }
    )
    for position in range(count):
        tracklet = f"{number * 64 + position // TRACKLET:016x}"
        if position % TRACKLET == 0:
            rows[schema.Tracklet].append(
                {
                    "id": tracklet,
                    "chunk_id": chunk,
                    "start_s": at,
                    "end_s": at + 5.0,
                    "path": [[at, 0.1, 0.1, 0.2, 0.5]],
                }
            )
        rows[schema.Crop].append(
            {
                "id": f"{number * 64 + position + 1:016x}",
                "tracklet_id": tracklet,
                "chunk_id": chunk,
                "position": position,
                "time_s": at,
                "x1": 0.1,
                "y1": 0.1,
                "x2": 0.2,
                "y2": 0.5,
                "quality": 0.5,
            }
        )


if __name__ == "__main__":
    main()
