"""What `search --travel-times` is worth: mAP and Rank-1 over cameras, without and with it.

    python -m benchmarks.travel_times --market DIR [--work DIR] > docs/results/travel_times.json

``market``: real crops of Market-500/251 as tracklets (a gap of 10 s begins another), the shipped model, times by the
frames' numbers, learnt without labels; ``random``: the same with times changed about within each camera, so that they
say nothing. ``rows``: generated worlds, searched as users do, see `benchmarks.worlds`; learnt without labels, and
from names of the other half of the people. Generated people all take about the same time from camera to camera, which
real ones do not: there it can only be said that it works. The weight of log r was chosen on other worlds and people.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine
from benchmarks.market_crops import Crops, market_crops
from benchmarks.worlds import World, named, opened, options, world_facts
from reidapp.gallery.search import RERANKED, by_travel_times, placed
from reidapp.gallery.travel_times import Sightings, learn, learnt, mutual


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--market", type=Path, required=True, help="folder of Market-1501's training images")
    arguments = parser.parse_args()
    crops = market_crops(arguments.market, arguments.work and arguments.work / "market.npy").test
    result = {"market": measured(crops), "random": measured(at_random(crops))}
    print(result, file=sys.stderr)
    rows = []
    with opened(arguments) as worlds:
        for seed, world in zip(arguments.seeds, worlds, strict=True):
            rows.append({"world": seed} | searched(world))
            print(rows[-1], file=sys.stderr)
        facts = world_facts("travel_times", arguments, worlds, " --market DIR")
    print(json.dumps(facts | result | {"rows": rows, "machine": machine()}, indent=1))


def at_random(crops: Crops) -> Crops:
    """Tracklets at times of others of their camera."""
    rng = np.random.default_rng(0)
    first, of = np.unique(crops.tracklet, return_index=True, return_inverse=True)[1:]
    time_s, camera = crops.time_s[first].copy(), crops.camera[first]
    for each in np.unique(camera):
        time_s[camera == each] = rng.permutation(time_s[camera == each])
    return replace(crops, time_s=time_s[of])


def measured(crops: Crops) -> dict[str, Any]:
    """The first crop of each identity in each camera in all other cameras, by tracklets' best crops, as a search has
    it."""
    tracklets, first, of = np.unique(crops.tracklet, return_index=True, return_inverse=True)
    shots = np.bincount(of)
    sightings = Sightings(tracklets, crops.camera[first], np.bincount(of, crops.time_s) / shots)
    means = np.zeros((len(tracklets), crops.embeddings.shape[1]), np.float32)
    np.add.at(means, of, crops.embeddings)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    times = learnt("label-free", sightings, list(mutual(means, sightings.camera)))
    order = np.argsort(of, kind="stable")
    starts = np.concatenate([[0], np.cumsum(shots)[:-1]])
    found: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    for query in crops.queries:
        background = crops.embeddings @ crops.embeddings[query]
        scores = np.maximum.reduceat(background[order], starts)
        elsewhere = np.flatnonzero(sightings.camera != crops.camera[query])
        hits = elsewhere[np.argsort(-scores[elsewhere], kind="stable")]
        cameras, middle_s = (array[hits[:RERANKED]] for array in (sightings.camera, sightings.middle_s))
        priors = times.log_ratio(int(crops.camera[query]), sightings.middle_s[of[query]], cameras, middle_s)
        right = crops.pid[first[hits]] == crops.pid[query]
        if right.any():
            for with_times, each in found.items():
                by_times = by_travel_times(scores[hits], background, priors)
                places = np.flatnonzero(right[placed(by_times, len(hits))] if with_times else right)
                each.append((float(np.mean(np.arange(1, len(places) + 1) / (places + 1))), float(places[0] == 0)))
    return {"tracklets": len(tracklets), "pairs": times.pairs} | compared(found[False], found[True])


def searched(world: World) -> dict[str, Any]:
    """Everybody from each camera in all others."""
    plain = _searched(world, 0, False) + _searched(world, 1, False)
    times = learn(world.gallery, "label-free")
    free = _searched(world, 0, True) + _searched(world, 1, True)
    by_names = []
    for number in (0, 1):
        with named(world, world.half(1 - number)):
            learn(world.gallery, "identities")
            by_names += _searched(world, number, True)
    return {"label-free": {"pairs": times.pairs} | compared(plain, free), "identities": compared(plain, by_names)}


def _searched(world: World, half: int, with_times: bool) -> list[tuple[float, float]]:
    tracklet_of = {crop.id: one.id for one in world.gallery.tracklets() for crop in one.crops}
    found = []
    for person, camera in world.sought():
        if person in world.half(half):
            seen = [tracklet_of[world.crops[person, camera][0].id]] if with_times else []
            found.append(world.searched(person, camera, travel_times=with_times, seen=seen).precision_and_rank1)
    return found


def compared(before: Sequence[tuple[float, float]], after: Sequence[tuple[float, float]]) -> dict[str, Any]:
    (mAP, rank1), (mAP_with, rank1_with) = (100 * np.mean(each, axis=0) for each in (before, after))  # noqa: N806
    changes = np.subtract(after, before)[:, 0]
    numbers = {"mAP": mAP, "mAP_with": mAP_with, "rank1": rank1, "rank1_with": rank1_with}
    counts = {"queries": len(before), "better": int((changes > 0).sum()), "worse": int((changes < 0).sum())}
    return {key: round(float(value), 2) for key, value in numbers.items()} | counts


if __name__ == "__main__":
    main()
