"""What camera normalisation is worth, and how often its check without labels decides rightly.

    python -m benchmarks.camera_normalisation --market DIR [--work DIR] > docs/results/camera_normalisation.json

``market``: Market-500/251, real crops and the shipped model; a query's camera is not known, as of a picture, or known,
as of a tracklet that asks. ``shuffled``: the same crops with cameras drawn at random for tracklets, where there is
nothing to gain. ``parts``: 60 small galleries of the first 500 identities: 15, 40 or 120 people, 2, 3 or 6 cameras, in
half of them 70 % of the people before one camera alone. The check switches on or not; ``gain`` is of mAP; galleries
have 20 queries or more. ``rows``: generated worlds, searched as users do, see `benchmarks.worlds`. The 10
tracklets that the mean of all weighs as much as were chosen on parts, and on other worlds.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine
from benchmarks.market_crops import Crops, market_crops
from benchmarks.worlds import World, opened, options, world_facts
from reidapp.gallery.label_free import LabelFreeScores, label_free_scores
from reidapp.gallery.normalisation import fitted, normalise, switch_off

PARTS, QUERIES = 60, 20


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--market", type=Path, required=True, help="folder of Market-1501's training images")
    arguments = parser.parse_args()
    crops = market_crops(arguments.market, arguments.work and arguments.work / "market.npy")
    market = measured(crops.test)
    rng = np.random.default_rng(0)
    camera = rng.permutation(crops.test.camera[np.unique(crops.test.tracklet, return_index=True)[1]])
    of = np.unique(crops.test.tracklet, return_inverse=True)[1]
    shuffled = measured(crops.test, camera[of])
    parts = [measured(each) for each in some_parts(crops, rng)]
    rows = []
    with opened(arguments) as worlds:
        for seed, world in zip(arguments.seeds, worlds, strict=True):
            rows.append({"world": seed} | searched(world))
            print(rows[-1], file=sys.stderr)
        facts = world_facts("camera_normalisation", arguments, worlds, " --market DIR")
    result = {"market": market, "shuffled": shuffled, "parts": summary(parts), "rows": rows}
    print(json.dumps(facts | result | {"machine": machine()}, indent=1))


def some_parts(crops: Crops, rng: np.random.Generator) -> list[Crops]:
    found = []
    for number in range(PARTS):
        people = rng.choice(np.unique(crops.pid)[:500], (15, 40, 120)[number % 3], replace=False)
        cameras = rng.choice(np.unique(crops.camera), (2, 3, 6)[number // 3 % 3], replace=False)
        kept = np.isin(crops.pid, people) & np.isin(crops.camera, cameras)
        for person in people[rng.random(len(people)) < 0.7] if number % 2 else ():
            own = kept & (crops.pid == person)
            if own.any():
                kept &= ~own | (crops.camera == rng.choice(crops.camera[own]))
        part = crops.of(kept)
        cameras_of = np.unique(part.pid[part.queries], return_counts=True)[1]
        if cameras_of[cameras_of > 1].sum() >= QUERIES:
            found.append(part)
    return found


def measured(crops: Crops, camera: np.ndarray | None = None) -> dict[str, Any]:
    """Crops without and with normalisation by their cameras, or by others."""
    camera = crops.camera if camera is None else camera
    means = fitted(crops.tracklet, camera, lambda some: crops.embeddings[some])
    centred = means.centred(crops.embeddings, camera)
    asking = crops.embeddings[crops.queries]
    before, after = (checked(crops, rows, camera) for rows in (crops.embeddings, centred))
    scores = {
        "as_they_are": crops.scores(asking, crops.embeddings),
        "camera_not_known": crops.scores(means.centred(asking), centred),
        "camera_known": crops.scores(centred[crops.queries], centred),
    }
    rounded = {key: {"rank1": _percent(each.rank1), "mAP": _percent(each.mAP)} for key, each in scores.items()}
    check = {"on": after.improves(before), "before": before.to_dict(), "after": after.to_dict()}
    return {"crops": len(camera), "queries": scores["as_they_are"].queries, **rounded, "check": check}


def checked(crops: Crops, rows: np.ndarray, camera: np.ndarray) -> LabelFreeScores:
    return label_free_scores(rows, crops.tracklet, camera, crops.together)


def summary(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    gain = np.array([part["camera_not_known"]["mAP"] - part["as_they_are"]["mAP"] for part in parts])
    on = np.array([part["check"]["on"] for part in parts])
    rows = {"switched_on": gain[on], "left_off": gain[~on]}
    rightly = {"better_with_it": int((gain > 0).sum()), "switched_rightly": int(((gain > 0) == on).sum())}
    return {"galleries": len(parts)} | rightly | {key: _gains(each) for key, each in rows.items() if len(each)}


def _gains(gain: np.ndarray) -> dict[str, Any]:
    numbers = {"gain": gain.mean(), "least": gain.min(), "most": gain.max()}
    return {"galleries": len(gain)} | {key: round(float(value), 2) for key, value in numbers.items()}


def searched(world: World) -> dict[str, Any]:
    """Everybody from each camera in all others, without and with normalisation."""
    before = _searched(world)
    switched = normalise(world.gallery)
    after = _searched(world)
    switch_off(world.gallery)
    assert switched.before
    assert switched.after
    check = {"on": switched.on, "before": switched.before.to_dict(), "after": switched.after.to_dict()}
    return {"as_they_are": before, "normalised": after, "check": check}


def _searched(world: World) -> dict[str, float]:
    found = [world.searched(*each).precision_and_rank1 for each in world.sought()]
    mAP, rank1 = np.mean(found, axis=0)  # noqa: N806
    return {"rank1": _percent(rank1), "mAP": _percent(mAP)}


def _percent(share: float) -> float:
    return round(100 * float(share), 2)


if __name__ == "__main__":
    main()
