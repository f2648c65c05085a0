"""k-reciprocal re-ranking at Market-1501's size (3,368 × 15,913, D = 512), from embeddings to distances: wall seconds.

    python -m benchmarks.reranking [--torchreid DIR] > docs/results/reranking.json

The peer is ``re_ranking`` of KaiyangZhou/deep-person-reid, the authors' dense code. It squares what it is given, so it
gets Euclidean distances, and the two compute the same d*. Two rankings disagree where the order of a pair differs; such
a pair counts as a tie when its distances are closer than 1e-5. Where an image's last neighbour and the next one are as
far but for float32's rounding, either may be taken, and d* changes by up to 0.01 about it: so each is also held against
ours in float64. Goal: 12× faster, in at most 1 GB.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine, median_of
from benchmarks.market_size import load, market_size
from reidapp.kreciprocal import Reranking
from reidapp.metrics import evaluate_distances

TIE = 1e-5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torchreid", type=Path, help="its folder; left out without")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    query, gallery = market_size()
    distances = np.empty((len(query.rows), len(gallery.rows)), np.float32)
    fill(distances, query.rows, gallery.rows)
    cost = median_of(arguments.repeats, lambda: fill(distances, query.rows, gallery.rows))
    people = query.pids, query.camids, gallery.pids, gallery.camids
    before = evaluate_distances(-(query.rows @ gallery.rows.T), *people)
    result: dict[str, Any] = {
        "benchmark": "reranking",
        "queries": len(query.rows),
        "gallery": len(gallery.rows),
        "dim": query.rows.shape[1],
        "mAP": {"before": before.mAP, "after": evaluate_distances(distances, *people).mAP},
        "rows": {"reidapp": cost.to_dict()},
        "machine": machine(),
    }
    if arguments.torchreid:
        module = load(arguments.torchreid, "torchreid.utils.rerank")
        dense: list[np.ndarray] = []
        peer = median_of(1, lambda: dense.append(_dense(module, query.rows, gallery.rows)))
        result["rows"]["torchreid"] = peer.to_dict() | {"times_ours": round(peer.wall_s / cost.wall_s, 1)}
        exact = np.empty(distances.shape)
        fill(exact, query.rows.astype(float), gallery.rows.astype(float))
        result["agreement"] = {
            "reidapp and torchreid": agreement(distances, dense[0]),
            "float64 and reidapp": agreement(exact, distances),
            "float64 and torchreid": agreement(exact, dense[0]),
        }
    print(json.dumps(result, indent=1))


def fill(distances: np.ndarray, query: np.ndarray, gallery: np.ndarray) -> None:
    reranking = Reranking(query, gallery)
    for start in range(0, len(distances), 64):
        distances[start : start + 64] = reranking.distances(slice(start, start + 64))


def _dense(module: Any, query: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    def euclidean(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.sqrt(np.maximum(2 - 2 * (a @ b.T), 0))

    distances: np.ndarray = module.re_ranking(
        euclidean(query, gallery), euclidean(query, query), euclidean(gallery, gallery)
    )
    return distances


def agreement(ours: np.ndarray, theirs: np.ndarray) -> dict[str, float]:
    """How far two rankings differ: walking down ours, their distance may only grow, but for ties."""
    places = differing = 0
    largest = 0.0
    for mine, other in zip(ours, theirs, strict=True):
        along = other[np.argsort(mine, kind="stable")]
        back = np.maximum.accumulate(along) - along
        places += int((np.argsort(mine, kind="stable") != np.argsort(other, kind="stable")).sum())
        differing += int((back > TIE).sum())
        largest = max(largest, float(back.max()))
    return {
        "largest_distance_difference": float(np.abs(ours - theirs).max()),
        "places_with_another_image": places,
        "of_places": ours.size,
        "places_out_of_order_by_more_than_a_tie": differing,
        "largest_disorder": largest,
    }


if __name__ == "__main__":
    main()
