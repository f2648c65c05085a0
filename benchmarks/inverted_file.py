"""Would an inverted file be worth its losses? Faiss's own (`IndexIVFScalarQuantizer`, fp16) beside our exact search.

    python -m benchmarks.inverted_file [--rows 1000000] > docs/results/inverted_file.json

The gallery, its rows and its queries are `benchmarks.made_up`'s ``people``. Rows are put into √N cells by k-means, as
Faiss does it; each search looks into 1, 2, 4, … of them, by one thread and by as many as there are cores. ``recall`` is
the share of the 80 nearest rows, by our exact search, that it finds for new pictures; half of them are of people who
are in the gallery. Both search in turns, and who is first changes; between two searches 128 MB of something else are
read, so that caches are cold for both. Filters, and rows that come later, would add to the cost of an inverted file;
they are left out.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from benchmarks.machine import machine
from benchmarks.made_up import MODEL, MadeUp, make_gallery
from benchmarks.search import TOP
from reidapp.gallery.nearest import decoded
from reidapp.gallery.snapshot import Snapshot, Snapshots

POINTS = 40  # rows that a centroid is made of
STEP = 50_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--folder", type=Path, help="for the gallery; the system's temporary one by default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        made_up = MadeUp.of_kind("people", arguments.dim, arguments.rows)
        gallery = make_gallery(made_up, Path(folder))
        Snapshots(gallery, MODEL).derive()
        snapshot = Snapshots(gallery, MODEL).current()
        started = time.perf_counter()
        inverted = inverted_file(snapshot)
        made_s = round(time.perf_counter() - started, 1)
        results = compared(snapshot, inverted, made_up.queries(arguments.queries))
    facts = {"rows": arguments.rows, "dim": arguments.dim, "top": TOP, "cells": inverted.nlist, "made_s": made_s}
    print(json.dumps({"benchmark": "inverted_file"} | facts | results | {"machine": machine()}, indent=1))


def inverted_file(snapshot: Snapshot) -> faiss.IndexIVFScalarQuantizer:
    print("making the cells", file=sys.stderr)
    rows, dim = len(snapshot.crops), snapshot.vectors(np.zeros(1, int)).shape[1]
    cells = round(rows**0.5)
    kind, metric = faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    index = faiss.IndexIVFScalarQuantizer(faiss.IndexFlatIP(dim), dim, cells, kind, metric, False)
    sample = np.linspace(0, rows - 1, min(rows, POINTS * cells)).astype(np.int64)
    index.train(decoded(snapshot.index.stored(sample)))
    for first in range(0, rows, STEP):
        index.add(decoded(snapshot.index.stored(np.arange(first, min(first + STEP, rows)))))
    index.parallel_mode = 1  # a query's cells are shared among threads
    return index


def compared(snapshot: Snapshot, inverted: faiss.IndexIVFScalarQuantizer, asked: np.ndarray) -> dict[str, Any]:
    """Medians over the queries, of each number of cells."""
    probes = [2**n for n in range(20) if 2**n <= inverted.nlist // 2]
    threads = faiss.omp_get_max_threads()

    def exact(query: np.ndarray) -> np.ndarray:
        return snapshot.index.search(query, TOP).rows

    def approximate(number: int, threads: int) -> Callable[[np.ndarray], np.ndarray]:
        def search(query: np.ndarray) -> np.ndarray:
            faiss.omp_set_num_threads(threads)
            inverted.nprobe = number
            rows: np.ndarray = inverted.search(query[None], TOP)[1][0]
            return rows

        return search

    rows = []
    for number in probes:
        print(f"{number} of {inverted.nlist} cells", file=sys.stderr)
        ways = {"exact": exact, "one thread": approximate(number, 1), "threads": approximate(number, threads)}
        seconds, found = in_turns(ways, asked)
        shares = [float(np.isin(*each).mean()) for each in zip(found["exact"], found["threads"], strict=True)]
        rows.append(
            {
                "cells_looked_into": number,
                "recall": {"people who are there": _mean(shares[::2]), "others": _mean(shares[1::2])},
                **{f"{name}_ms": round(statistics.median(each) * 1e3, 2) for name, each in seconds.items()},
            }
        )
    return {"threads": threads, "results": rows}


def in_turns(
    ways: dict[str, Callable[[np.ndarray], np.ndarray]], asked: np.ndarray
) -> tuple[dict[str, list[float]], dict[str, list[np.ndarray]]]:
    """Seconds and rows of each way for each query, after one to warm up."""
    other = np.ones(1 << 24)  # 128 MB
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    found: dict[str, list[np.ndarray]] = {name: [] for name in ways}
    for number, query in enumerate(np.concatenate([asked[:1], asked])):
        names = list(ways)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            other.sum()
            started = time.perf_counter()
            rows = ways[name](query)
            seconds[name].append(time.perf_counter() - started)
            found[name].append(rows)
    return {name: each[1:] for name, each in seconds.items()}, {name: each[1:] for name, each in found.items()}


def _mean(shares: list[float]) -> float:
    return round(statistics.mean(shares), 4)


if __name__ == "__main__":
    main()
