"""How pure and how whole tracklets are, on generated footage with people who cross, in groups.

    python -m benchmarks.tracklets [--detectors hog yolox:PATH] [--seeds 3] > docs/results/tracklets.json

A world: two cameras, a minute each, 12 people in groups of up to three, one to three groups at a time. Each is indexed
in every way of sampling, by what `reidapp index` does, and held against its truth; counts are of all seeds together.
`purity`: boxes that show their tracklet's main person; `fragmentation`: tracklets of an appearance that was not missed;
`wrong_crops`: best shots that show somebody else, or nobody. Goal: purity of 0.98 at 2 fps, 0.95 with keyframes.
Settings were chosen on seeds of other worlds.
"""

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.galleries import index_into, new_gallery
from benchmarks.machine import machine, without_folder
from models import zoo
from reidapp.footage.detection import Detection, Detector, open_detector
from reidapp.gallery.facts import PathPoint
from reidapp.measures import Followed, Stay, measure_tracklets, stays
from reidapp.truth import Truth
from training.data.synthetic.footage import write_footage
from training.data.synthetic.seeds import bench_seed

CAMERAS, PEOPLE, SECONDS = 2, 12, 60
GOALS = {"2fps": 0.98, "keyframes": 0.95}


@dataclass(frozen=True)
class World:
    """What came out of one: its tracklets, and the appearances that they were made of."""

    truth: Truth
    followed: list[Followed]
    found: list[Stay]

    @property
    def crops(self) -> list[bool]:
        """Of each best shot of somebody's tracklet, whether it shows him."""
        return [
            self.truth.who(one.tracklet.camera, [PathPoint(crop.time_s, crop.box)]) == one.person
            for one in self.followed
            if one.person is not None
            for crop in one.tracklet.crops
        ]


class Remembering:
    """A detector that is asked once about each picture, whichever ways of sampling take it."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.provider = detector.provider
        self._known: dict[bytes, list[Detection]] = {}

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Detection]]:
        keys = [hashlib.blake2b(frame.tobytes(), digest_size=16).digest() for frame in frames]
        new = {key: frame for key, frame in zip(keys, frames, strict=True) if key not in self._known}
        self._known |= zip(new, self.detector.detect(list(new.values())), strict=True)
        return [self._known[key] for key in keys]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detectors", nargs="+", default=["hog"], help="hog, yolox:PATH, …")
    parser.add_argument("--sampling", nargs="+", default=["2fps", "keyframes", "motion"])
    parser.add_argument("--crowds", nargs="+", type=int, default=[1, 2, 3], help="groups in the picture at a time")
    parser.add_argument("--seeds", type=int, default=3, help="worlds of each crowd")
    arguments = parser.parse_args()
    rows = []
    for crowd in arguments.crowds:
        with tempfile.TemporaryDirectory() as name:
            worlds = [draw(Path(name) / str(seed), crowd, bench_seed(seed)) for seed in range(arguments.seeds)]
            for detector in arguments.detectors:
                finder = Remembering(open_detector(detector))
                for sampling in arguments.sampling:
                    indexed = [index(world, sampling, finder) for world in worlds]
                    what = {"detector": detector.partition(":")[0], "crowd": crowd, "sampling": sampling}
                    rows.append(what | facts(indexed))
                    print(rows[-1], file=sys.stderr)
    result = {
        "benchmark": "tracklets",
        "command": "python -m benchmarks.tracklets " + " ".join(without_folder(word) for word in sys.argv[1:]),
        "worlds": f"{CAMERAS} cameras, {PEOPLE} people, {SECONDS} s; of reidapp bench: 0 to {arguments.seeds - 1}",
        "model": zoo.DEFAULT,
        "goals": {f"purity {sampling}": goal for sampling, goal in GOALS.items()},
        "reached": all(row["purity"] >= GOALS.get(row["sampling"], 0.0) for row in rows),
        "rows": rows,
        "machine": machine(),
    }
    print(json.dumps(result, indent=1))


def draw(folder: Path, crowd: int, seed: int) -> Path:
    write_footage(folder / "footage", cameras=CAMERAS, people=PEOPLE, seconds=SECONDS, crowd=crowd, seed=seed)
    return folder


def index(world: Path, sampling: str, detector: Detector) -> World:
    with tempfile.TemporaryDirectory() as name:
        gallery, embedder = new_gallery(Path(name) / "gallery")
        index_into(gallery, embedder, world / "footage", detector, sampling)
        truth = Truth.read(world / "footage")
        followed = [Followed(one, tuple(truth.people_in(one.camera, one.path))) for one in gallery.tracklets()]
        gallery.engine.dispose()
    return World(truth, followed, stays(truth.appearances(), followed))


def facts(worlds: Sequence[World]) -> dict[str, Any]:
    scores = measure_tracklets(
        [stay for world in worlds for stay in world.found], [one for world in worlds for one in world.followed]
    )
    assert scores.purity.share is not None
    assert scores.per_appearance is not None
    crops = [right for world in worlds for right in world.crops]
    several = [len(one.tracklet.crops) > 1 for world in worlds for one in world.followed]
    return {
        "purity": round(scores.purity.share, 4),
        "fragmentation": round(scores.per_appearance, 3),
        "missed": scores.missed.share and round(scores.missed.share, 4),
        "mixed": scores.mixed.share and round(scores.mixed.share, 4),
        "of_nobody": scores.of_nobody.share and round(scores.of_nobody.share, 4),
        "wrong_crops": round(1 - float(np.mean(crops)), 4),
        "with_two_crops": round(float(np.mean(several)), 4),
        "boxes": scores.purity.of,
        "tracklets": scores.mixed.of,
        "crops": len(crops),
        "appearances": scores.missed.of,
    }


if __name__ == "__main__":
    main()
