"""CMC, mAP and mINP at Market-1501's size (3,368 × 15,913), distances given: processor seconds, and memory above them.

    python -m benchmarks.metrics [--torchreid DIR] [--fastreid DIR] [--reid DIR] > docs/results/metrics.json

The peers are other projects' folders, as cloned or unpacked: KaiyangZhou/deep-person-reid, JDAI-CV/fast-reid (their
Cython evaluation too, where ``rank_cylib`` was built in place), and Roboflow's package ``reid`` (0.1.0rc1). Their
scores are checked against ours. What takes more than ten seconds is run once.
"""

import argparse
import json
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import Cost, machine, median_of
from benchmarks.market_size import load, market_size
from reidapp.metrics import evaluate_distances

Scores = tuple[float, float, float | None]  # Rank-1, mAP, mINP


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for peer in ("torchreid", "fastreid", "reid"):
        parser.add_argument(f"--{peer}", type=Path, help="its folder; left out without")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # the peers', about Cython
    query, gallery = market_size()
    distances = 1 - query.rows @ gallery.rows.T

    def ours() -> Scores:
        scores = evaluate_distances(distances, query.pids, query.camids, gallery.pids, gallery.camids)
        return scores.rank1, scores.mAP, scores.mINP

    people = query.pids, gallery.pids, query.camids, gallery.camids
    ours()
    expected, rows = ours(), {"reidapp": median_of(arguments.repeats, ours).to_dict()}
    for name, score in peers(arguments, distances, people):
        cost, found = measure(score, arguments.repeats)
        difference = max(abs(a - b) for a, b in zip(found, expected, strict=True) if a is not None and b is not None)
        times = round(cost.processor_s / rows["reidapp"]["processor_s"], 1)
        rows[name] = cost.to_dict() | {"times_ours": times, "largest_score_difference": float(difference)}
    result = {
        "benchmark": "metrics",
        "queries": len(query.rows),
        "gallery": len(gallery.rows),
        "scores": dict(zip(("rank1", "mAP", "mINP"), expected, strict=True)),
        "rows": rows,
        "not_run": [peer for peer in ("torchreid", "fastreid", "reid") if getattr(arguments, peer) is None],
        "machine": machine(),
    }
    print(json.dumps(result, indent=1))


def measure(score: Callable[[], Scores], repeats: int) -> tuple[Cost, Scores]:
    found: list[Scores] = []
    cost = median_of(1, lambda: found.append(score()))
    return (cost if cost.processor_s > 10 else median_of(repeats, score)), found[0]


def peers(
    arguments: argparse.Namespace, distances: np.ndarray, people: tuple[np.ndarray, ...]
) -> Iterator[tuple[str, Callable[[], Scores]]]:
    """(name, function that scores) of each peer that is there."""
    if arguments.torchreid:
        rank = load(arguments.torchreid, "torchreid.metrics.rank")
        for name, cython in _paths("torchreid", rank):
            yield name, partial(_torchreid, rank, distances, people, cython)
    if arguments.fastreid:
        rank = load(arguments.fastreid, "fastreid.evaluation.rank")
        for name, cython in _paths("fastreid", rank):
            yield name, partial(_fastreid, rank, distances, people, cython)
    if arguments.reid:
        metrics = load(arguments.reid, "reid.eval.metrics")
        yield "roboflow reid", partial(_roboflow, metrics, distances, people)


def _paths(name: str, rank: Any) -> list[tuple[str, bool]]:
    return [(f"{name} python", False)] + ([(f"{name} cython", True)] if rank.IS_CYTHON_AVAI else [])


def _torchreid(rank: Any, distances: np.ndarray, people: tuple[np.ndarray, ...], cython: bool) -> Scores:
    cmc, mean_ap = rank.evaluate_rank(distances, *people, use_cython=cython)
    return float(cmc[0]), float(mean_ap), None


def _fastreid(rank: Any, distances: np.ndarray, people: tuple[np.ndarray, ...], cython: bool) -> Scores:
    cmc, precisions, penalties = rank.evaluate_rank(distances, *people, use_cython=cython)
    return float(cmc[0]), float(np.mean(precisions)), float(np.mean(penalties))


def _roboflow(metrics: Any, distances: np.ndarray, people: tuple[np.ndarray, ...]) -> Scores:
    found = metrics._compute_reid_metrics(distances, *people)
    return found.rank1 / 100, found.mean_average_precision / 100, found.minp / 100


if __name__ == "__main__":
    main()
