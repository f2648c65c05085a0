"""Search by Milvus Lite beside our own, in one run: index only, milliseconds.

    .venv-milvus/bin/python -m benchmarks.milvus_search [--rows 20000] [--dim 512] > docs/results/milvus_search.json

The galleries are `benchmarks.made_up`'s ``people``. The same snapshot is asked twice, rows found
by our own pass and by Milvus Lite, in turns, query by query; rows and scores are held to be the same. Filters are masks
of chunks, as a user's are, and of rows at random, the worst case: Milvus is told blocks, and ids where a block is kept
in part. ``copying_s`` is how long the copy takes, ``alone_ms`` Milvus Lite without what is done around it.

Milvus Lite is for tests and small galleries; on a cluster, what is added to Milvus' own time is the difference of
``milvus_ms`` and ``alone_ms``.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine
from benchmarks.made_up import CHUNK, MODEL, MadeUp, make_gallery
from benchmarks.search import TOP, in_turns
from reidapp.gallery import mirror
from reidapp.gallery.milvus import MilvusIndex
from reidapp.gallery.nearest import ExactIndex, Nearest
from reidapp.gallery.snapshot import Snapshots


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=10)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measured(MadeUp.of_kind("people", arguments.dim, arguments.rows), Path(folder), arguments.queries)
    result = {"benchmark": "milvus_search", "dim": arguments.dim, "rows": arguments.rows, "top": TOP}
    print(json.dumps(result | found | {"machine": machine()}, indent=1))


def measured(made_up: MadeUp, folder: Path, queries: int) -> dict[str, Any]:
    gallery = make_gallery(made_up, folder)
    Snapshots(gallery, MODEL).derive()
    own = Snapshots(gallery, MODEL).current().index
    started = time.perf_counter()
    mirror.move(gallery, f"milvus://{folder}/copy.db")
    copying_s = time.perf_counter() - started
    index = Snapshots(gallery, MODEL).current().index
    assert isinstance(index, MilvusIndex)
    rng = np.random.default_rng(4)
    masks: dict[str, np.ndarray | None] = {"unfiltered": None}
    chunks = -(-made_up.rows // CHUNK)
    for share in (0.5, 0.99):
        masks[f"{share:.0%} of the chunks"] = np.repeat(rng.random(chunks) < share, CHUNK)[: made_up.rows]
        masks[f"{share:.0%} of the rows"] = rng.random(made_up.rows) < share
    asked = made_up.queries(queries)
    return {"copying_s": round(copying_s, 1)} | {
        name: compared(own, index, asked, kept) for name, kept in masks.items()
    }


def compared(own: ExactIndex, index: MilvusIndex, asked: np.ndarray, kept: np.ndarray | None) -> dict[str, float]:
    """Medians over the queries."""
    expression = index._expression(kept) or ""
    ways: dict[str, Callable[[np.ndarray], Any]] = {
        "reidapp_ms": lambda query: own.search(query, TOP, kept),
        "milvus_ms": lambda query: index.search(query, TOP, kept),
        "alone_ms": lambda query: index.collection.top(query, TOP, expression),
    }
    seconds = in_turns(ways, asked, lambda found: same(found["reidapp_ms"], found["milvus_ms"]))
    return {name: round(statistics.median(values) * 1e3, 2) for name, values in seconds.items()}


def same(one: Nearest, other: Nearest) -> None:
    np.testing.assert_array_equal(one.rows, other.rows)
    np.testing.assert_array_equal(one.scores, other.scores)


if __name__ == "__main__":
    main()
