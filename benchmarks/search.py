"""Exact search beside plain Faiss (`IndexScalarQuantizer`, fp16, inner product) in one run: index only, milliseconds.

    python -m benchmarks.search [--rows 10000000 1000000] [--dim 512] > docs/results/search.json

Galleries of made-up embeddings are written to a temporary folder (1.5 GB per million rows), opened, and asked; queries
are new pictures of people who are in the gallery, and of people who are not. Plain Faiss holds the same rows in memory,
with one thread and as two shards in two threads; ours has as many threads as there are cores. All take turns, query by
query, and so does our search without the filter; they find the same rows. Filters are random masks, the worst case;
``by camera and day`` is one that a user sets, with the time that making its mask takes. Rows like people, and random
ones: see `benchmarks.made_up`.

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
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from benchmarks.machine import machine
from benchmarks.made_up import CHUNK, MODEL, START_MS, TRACKLET, MadeUp, make_gallery
from reidapp.box import Box
from reidapp.gallery.facts import PathPoint, utc
from reidapp.gallery.nearest import Nearest
from reidapp.gallery.snapshot import Snapshot, Snapshots
from reidapp.gallery.store import Gallery
from reidapp.gallery.writer import NewChunk, NewCrop, NewTracklet

SHARES = (0.001, 0.01, 0.1, 0.2, 0.25, 0.3, 0.5, 0.99)
TOP = 80  # rows, as for 20 hits

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
                made_up = MadeUp.of_kind(kind, arguments.dim, rows)
                results.append(
                    {"distribution": kind, "rows": rows} | measured(made_up, Path(folder), arguments.queries)
                )
    result = {"benchmark": "search", "dim": arguments.dim, "top": TOP, "results": results, "machine": machine()}
    print(json.dumps(result, indent=1))


def measured(made_up: MadeUp, folder: Path, queries: int) -> dict[str, Any]:
    gallery = make_gallery(made_up, folder)
    snapshots = Snapshots(gallery, MODEL)
    started = time.perf_counter()
    snapshots.derive()
    derived_s = time.perf_counter() - started
    snapshot = snapshots.current()
    kind, metric = faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    shards = [faiss.IndexScalarQuantizer(made_up.dim, kind, metric) for _ in range(2)]
    half = -(-made_up.rows // CHUNK // 2) * CHUNK
    for at in range(0, made_up.rows, 50_000):
        stored = snapshot.index.stored(np.arange(at, min(at + 50_000, made_up.rows))).astype(np.float32)
        shards[0].add(stored[: max(half - at, 0)])
        shards[1].add(stored[max(half - at, 0) :])
    plain = Plain(shards)
    asked = made_up.queries(queries)
    rng = np.random.default_rng(4)
    times = {"unfiltered": compared(asked, plain, snapshot, None)}
    for share in SHARES:
        times[f"{share:.1%} of the rows"] = compared(asked, plain, snapshot, rng.random(made_up.rows) < share)
    segments = [segment.path.stat().st_size for segment in snapshot.segments]
    return {
        "milliseconds": times,
        "by camera and day": by_user(asked, snapshot),
        "opening": opening(gallery),
        "commit_s": round(commit(gallery, snapshots, made_up), 3),
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


def commit(gallery: Gallery, snapshots: Snapshots, made_up: MadeUp) -> float:
    """Median seconds to a snapshot with one more chunk."""
    box, seconds = Box(0.1, 0.1, 0.2, 0.5), []
    for number in range(5):
        crops = [NewCrop(1.0, box, 0.5, b"stands for a picture")] * TRACKLET
        tracklet = NewTracklet([PathPoint(0.0, box), PathPoint(2.0, box)], crops)
        rows = made_up.queries(1).repeat(TRACKLET, axis=0)
        before = len(snapshots.current().crops)
        with gallery.writing() as writer:
            writer.add_chunk(f"{1:016x}", NewChunk(10**6 + number, 0.0, 1, 1, 1.0, [tracklet], rows))
        started = time.perf_counter()
        assert len(snapshots.current().crops) == before + TRACKLET
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
