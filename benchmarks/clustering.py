"""Jaccard distance and DBSCAN, from features to labels: wall and processor seconds, and memory above the features.

    python -m benchmarks.clustering [--cluster-contrast DIR] [--sizes 1000,…,200000] > docs/results/clustering.json

First at the size of Market-1501's training set (12,936 × 2048), beside ``compute_jaccard_distance`` of
alibaba/cluster-contrast-reid, searching by Faiss on the CPU, and scikit-learn's DBSCAN on what it gives; options are
that project's (k1 30, k2 6, eps 0.6, 4 samples). Then, of ours alone, how the cost grows with the images (D = 256):
neighbours of every image among all take N² whoever seeks them, and what comes after should take N. The exponent is the
slope of the logarithms from 25,000 images on (below, an image has few look-alikes). Beside it stands that of the
entries which one image's neighbour weights share with others', for that is how the work of an exact method grows with
these features. Each candidate runs in a process of its own; the peer runs once.

Features: 17 images of an identity on average, of some only one and of some 70, in six cameras. An image is the sum of
random directions, of its identity (length 1), its camera (0.7), its identity in this camera (0.7) and its own (1; in
every twelfth image, a bad crop, 2.5), scaled to length one. Clusters, outliers and ARI are in the result.

Goals: labels equal to the peer's, 12× faster, at most 0.8 GB; 100,000 × 256 in 75 s and 1.5 GB; exponent at most 1.1.
"""

import argparse
import json
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from benchmarks.machine import machine, median_of
from benchmarks.market_size import load
from reidapp import kreciprocal
from training.clustering import describe
from training.clustering._graph import jaccard_of_neighbours, nearest, pair_distances
from training.clustering.dbscan import density

IMAGES, DIM = 12_936, 2048
GROWTH_DIM, CAMERAS = 256, 6
FITTED_IMAGES = 25_000  # from which on growth is fitted
SIZES = "1000,5000,10000,25000,50000,100000,200000"
K1, K2, EPS, MIN_SAMPLES = 30, 6, 0.6, 4
Result = TypeVar("Result")


@dataclass(frozen=True)
class Row:
    """What one call cost, and its labels int64 ``[N]``."""

    cost: dict[str, Any]
    labels: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cluster-contrast", type=Path, help="its folder; left out without")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sizes", default=SIZES, help="images of the growth rows; may be empty")
    arguments = parser.parse_args()
    own = alone(ours, IMAGES, DIM, arguments.repeats)
    rows = {"reidapp": own.cost}
    result: dict[str, Any] = {
        "benchmark": "clustering",
        "images": IMAGES,
        "dim": DIM,
        "labels": describe(own.labels, people(IMAGES)),
        "rows": rows,
    }
    if arguments.cluster_contrast:
        peer = alone(cluster_contrast, IMAGES, DIM, arguments.cluster_contrast)
        times = {
            f"{clock}_times_ours": round(peer.cost[clock] / own.cost[clock], 1) for clock in ("wall_s", "processor_s")
        }
        rows["cluster-contrast"] = peer.cost | times
        result["same_labels"] = same_partition(own.labels, peer.labels)
    sizes = [int(size) for size in arguments.sizes.split(",") if size]
    growth = [
        {"images": size} | alone(ours, size, GROWTH_DIM, 1).cost | {"meetings_per_image": alone(meetings, size)}
        for size in sizes
    ]
    result["growth"] = {"dim": GROWTH_DIM, "rows": growth}
    fitted = [row for row in growth if row["images"] >= FITTED_IMAGES]
    if len(fitted) > 1:
        for cost in ("after_search_wall_s", "after_search_processor_s", "meetings_per_image"):
            logarithms = [np.log([row[name] for row in fitted]) for name in ("images", cost)]
            slope = np.polyfit(logarithms[0], logarithms[1], 1)[0]
            result["growth"][f"exponent_of_{cost}"] = round(float(slope), 3)
    print(json.dumps(result | {"machine": machine()}, indent=1))


def alone(candidate: Callable[..., Result], *arguments: Any) -> Result:
    """In a fresh process, so that none lives on memory that another one freed."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(candidate, *arguments).result()


def ours(images: int, dim: int, repeats: int) -> Row:
    x = features(images, dim)
    searches: list[tuple[float, float]] = []
    labels: list[np.ndarray] = []

    def cluster() -> None:
        wall, processor = time.perf_counter(), time.process_time()
        indices = nearest(x, K1)
        searches.append((time.perf_counter() - wall, time.process_time() - processor))
        labels.append(density(jaccard_of_neighbours(x, indices, EPS, K1, K2), EPS, MIN_SAMPLES))

    cost = median_of(repeats, cluster)
    wall, processor = np.median(searches, axis=0)
    rest = {"after_search_wall_s": cost.wall_s - wall, "after_search_processor_s": cost.processor_s - processor}
    return Row(cost.to_dict() | {name: round(float(seconds), 4) for name, seconds in rest.items()}, labels[0])


def meetings(images: int) -> float:
    """How many entries of V an image's entries meet, each pair of images counted once: a property of the data."""
    x = features(images, GROWTH_DIM)
    indices = nearest(x, K1)
    sets = kreciprocal.reciprocal_sets(indices, K1)
    weights = kreciprocal.expand(kreciprocal.encode(sets, pair_distances(x, sets)), indices, K2)
    shared_by = np.bincount(weights.indices).astype(np.int64)
    return round(float((shared_by * (shared_by - 1)).sum() / 2 / images), 1)


def cluster_contrast(images: int, dim: int, root: Path) -> Row:
    from sklearn.cluster import DBSCAN

    distance = load(root, "clustercontrast.utils.faiss_rerank").compute_jaccard_distance
    x = torch.from_numpy(features(images, dim))
    labels: list[np.ndarray] = []

    def cluster() -> None:
        distances = distance(x, k1=K1, k2=K2, print_flag=False, search_option=3)
        labels.append(DBSCAN(eps=EPS, min_samples=MIN_SAMPLES, metric="precomputed", n_jobs=-1).fit_predict(distances))

    return Row(median_of(1, cluster).to_dict(), labels[0])


def people(images: int) -> np.ndarray:
    """Whose the images are: 17 of an identity on average."""
    rng = np.random.default_rng(0)
    share = rng.gamma(2.0, size=max(2, images // 17)) + 0.1
    return rng.choice(len(share), images, p=share / share.sum())


def features(images: int, dim: int) -> np.ndarray:
    """float32 ``[images, dim]``, rows of length one; see the top of this file."""
    pids = people(images)
    rng = np.random.default_rng(1)
    camids = rng.integers(0, CAMERAS, images)

    def directions(count: int) -> np.ndarray:
        """About of length one."""
        return rng.standard_normal((count, dim), dtype=np.float32) / np.float32(dim**0.5)

    identities = pids.max() + 1
    x = directions(images)
    x *= np.where(rng.random(images) < 1 / 12, np.float32(2.5), np.float32(1))[:, None]
    x += directions(identities)[pids]
    x += 0.7 * directions(CAMERAS)[camids]
    x += 0.7 * directions(identities * CAMERAS)[pids * CAMERAS + camids]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x


def same_partition(one: np.ndarray, other: np.ndarray) -> bool:
    """Equal outliers, and equal clusters whatever their numbers."""
    pairs = set(zip(one.tolist(), other.tolist(), strict=True))
    together = len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
    return bool(together and ((one < 0) == (other < 0)).all())


if __name__ == "__main__":
    main()
