"""Approximate searches beside exact ones: milliseconds, what is found, and what it takes to make the cells.

    python -m benchmarks.approximate [--rows 1000000] [--recalls 0.9 0.95 0.98 0.99] > docs/results/approximate.json

A gallery of made-up embeddings as `benchmarks.search`'s (``people``) is searched exactly, then with cells for each
recall, query by query in turns. ``measured`` is what making the cells told, of the gallery's own rows; ``found`` is the
share of the 80 exact best that new pictures find, half of them of people who are in the gallery, half of others.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine
from benchmarks.search import MODEL, TOP, World, make_gallery
from reidapp.errors import UserError
from reidapp.gallery.approximate import search_approximately
from reidapp.gallery.nearest import ExactIndex
from reidapp.gallery.snapshot import Snapshots
from reidapp.gallery.store import Gallery


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--recalls", type=float, nargs="+", default=[0.9, 0.95, 0.98, 0.99])
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--folder", type=Path, help="for the gallery; the system's temporary one by default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        world = World.of_kind("people", arguments.dim, arguments.rows)
        gallery = make_gallery(world, Path(folder))
        Snapshots(gallery, MODEL).derive()
        exact = Snapshots(gallery, MODEL).current().index
        asked = world.queries(arguments.queries)
        results = [measured(gallery, exact, asked, recall) for recall in arguments.recalls]
    facts = {"rows": arguments.rows, "dim": arguments.dim, "top": TOP, "queries": len(asked)}
    print(json.dumps({"benchmark": "approximate"} | facts | {"results": results, "machine": machine()}, indent=1))


def measured(gallery: Gallery, exact: ExactIndex, asked: np.ndarray, recall: float) -> dict[str, Any]:
    print(f"recall {recall}", file=sys.stderr)
    started = time.perf_counter()
    try:
        search_approximately(gallery, recall)
    except UserError as error:
        return {"wanted": recall, "refused": str(error).partition(": ")[2]}
    made_s = time.perf_counter() - started
    snapshot = Snapshots(gallery, MODEL).current()
    cells = [segment.cells for segment in snapshot.segments if segment.cells]
    seconds: dict[str, list[float]] = {"exact": [], "approximate": []}
    shares = []
    for query in np.concatenate([asked[:1], asked]):
        found = {}
        for name, index in (("exact", exact), ("approximate", snapshot.index)):
            started = time.perf_counter()
            found[name] = index.search(query, TOP)
            seconds[name].append(time.perf_counter() - started)
        shares.append(float(np.isin(found["exact"].rows, found["approximate"].rows).mean()))
    times = {f"{name}_ms": round(statistics.median(values[1:]) * 1e3, 2) for name, values in seconds.items()}
    return {
        "wanted": recall,
        "measured": round(snapshot.index.recall or 1.0, 4),
        "found": {"people who are there": _mean(shares[1::2]), "others": _mean(shares[2::2])},
        "cells": [len(each.centroids) for each in cells],
        "looked_into": [each.probes for each in cells],
        **times,
        "made_s": round(made_s, 1),
    }


def _mean(shares: list[float]) -> float:
    return round(statistics.mean(shares), 4)


if __name__ == "__main__":
    main()
