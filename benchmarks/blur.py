"""How much of people's heads is blurred, on generated footage whose heads are known to the pixel.

    python -m benchmarks.blur [--detector hog] [--crowds 1 2 3] [--seeds 2] [--seconds 60] > docs/results/blur.json

A world: two cameras, a minute or less each, 12 people in groups of up to three, one to three groups at a time. Each is
indexed as `reidapp index` does it (2 fps), and every frame of every recording (10 fps) is held against what an export
or a viewer's clip blurs there. A head's pixels are those inside its outline that nobody and nothing hides. They are
told apart by whether a tracklet of this person was stored: `followed`, it has boxes before and after that moment;
`coming or going`, it begins at most a few seconds later, or ended at most so long before; `missed`, the rest: whom the
detector has not found, or the tracker has not believed. Goal: 0.98 of all. `picture`: how much of the frames is blurred
for it.
Margins were chosen on seeds of other worlds.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine
from models import zoo
from reidapp.embedding import Embedder
from reidapp.footage.detection import Detector, open_detector
from reidapp.footage.indexing import find_footage, index_footage
from reidapp.gallery.heads import Heads
from reidapp.gallery.store import Gallery, TrackletInfo
from reidapp.settings import IndexSettings
from reidapp.truth import Truth
from training.data.synthetic.footage import camera_name, write_footage
from training.data.synthetic.plan import plan_visits
from training.data.synthetic.seeds import FOOTAGE_PLAN, bench_seed, stream
from training.data.synthetic.studio import Studio, footage_appearances, footage_view

CAMERAS, PEOPLE, FPS, SIZE = 2, 12, 10, (640, 360)
GOAL = 0.98
NEAR_S = 2.5
KINDS = ("followed", "coming or going", "missed")

Spans = dict[int, list[tuple[float, float]]]  # of each person: times from the first to the last box of a tracklet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detector", default="hog", help="hog, yolox:PATH, …")
    parser.add_argument("--crowds", nargs="+", type=int, default=[1, 2, 3], help="groups in the picture at a time")
    parser.add_argument("--seeds", type=int, default=2, help="worlds of each crowd")
    parser.add_argument("--seconds", type=int, default=60, help="of each recording")
    arguments = parser.parse_args()
    detector, embedder = open_detector(arguments.detector), Embedder(zoo.path_of(zoo.DEFAULT))
    total: Counter[str] = Counter()
    rows = []
    for crowd in arguments.crowds:
        for seed in range(arguments.seeds):
            counts = measure(bench_seed(seed), crowd, arguments.seconds, detector, embedder)
            rows.append({"crowd": crowd, "world": seed} | shares(counts))
            total += counts
            print(rows[-1], file=sys.stderr)
    everything = shares(total)
    result = {
        "benchmark": "blur",
        "command": "python -m benchmarks.blur " + " ".join(sys.argv[1:]),
        "worlds": f"{CAMERAS} cameras, {PEOPLE} people, {arguments.seconds} s",
        "of_reidapp_bench": list(range(arguments.seeds)),
        "detector": arguments.detector.partition(":")[0],
        "goal": GOAL,
        "reached": everything["blurred"] >= GOAL,
        "all": everything,
        "rows": rows,
        "machine": machine(),
    }
    print(json.dumps(result, indent=1))


def measure(seed: int, crowd: int, seconds: int, detector: Detector, embedder: Embedder) -> Counter[str]:
    """One world: pixels of heads, and blurred ones, of each kind; and of the frames as a whole."""
    counts: Counter[str] = Counter()
    settings = IndexSettings(zone="UTC")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_footage(folder / "footage", cameras=CAMERAS, people=PEOPLE, seconds=seconds, crowd=crowd, seed=seed)
        gallery = Gallery.create(folder / "gallery", embedder.path, embedder.card, embedder.identity)
        index_footage(find_footage(folder / "footage", settings), gallery, embedder, detector, settings)
        truth, tracklets = Truth.read(folder / "footage"), gallery.tracklets()
        for camera, studio in studios(seed, crowd, seconds):
            own = [tracklet for tracklet in tracklets if tracklet.camera == camera]
            heads = Heads(gallery, own[0].video.id, 0, seconds)
            count_camera(counts, studio, seconds, heads, spans(truth, own))
        gallery.engine.dispose()
    return counts


def studios(seed: int, crowd: int, seconds: int) -> Iterator[tuple[str, Studio]]:
    """The cameras of a world as `write_footage` has drawn them, by name."""
    views = [footage_view(seed, camera, SIZE) for camera in range(CAMERAS)]
    visits = plan_visits(stream(seed, FOOTAGE_PLAN), views=views, people=PEOPLE, seconds=seconds, crowd=crowd)
    everyone = footage_appearances(seed, PEOPLE)
    for camera in range(CAMERAS):
        yield camera_name(camera), Studio(seed, camera, everyone, list(visits[camera]), SIZE)


def spans(truth: Truth, tracklets: list[TrackletInfo]) -> Spans:
    found: Spans = defaultdict(list)
    for tracklet in tracklets:
        if (person := truth.who(tracklet.camera, tracklet.path)) is not None:
            found[person].append((tracklet.path[0].time_s, tracklet.path[-1].time_s))
    return found


def count_camera(counts: Counter[str], studio: Studio, seconds: int, heads: Heads, stored: Spans) -> None:
    for number in range(seconds * FPS):
        time_s = number / FPS
        blurred = np.zeros(SIZE[::-1], bool)
        for box in heads.at(time_s):
            if box.area > 0:
                x1, y1, x2, y2 = box.pixels(*blurred.shape)
                blurred[y1:y2, x1:x2] = True
        counts["picture"] += blurred.size
        counts["picture blurred"] += int(blurred.sum())
        for person, head in studio.heads(time_s):
            kind = kind_of(time_s, stored.get(person, []))
            counts[kind] += int(head.sum())
            counts[f"{kind} blurred"] += int((head & blurred).sum())


def kind_of(time_s: float, of_person: list[tuple[float, float]]) -> str:
    away_s = min((max(begin - time_s, time_s - end) for begin, end in of_person), default=float("inf"))
    return KINDS[0] if away_s <= 1e-6 else KINDS[1] if away_s <= NEAR_S else KINDS[2]


def shares(counts: Counter[str]) -> dict[str, Any]:
    """Of a world or several: shares that are blurred, and what share of all head pixels each kind is."""
    every = sum(counts[kind] for kind in KINDS)
    return {
        "blurred": round(sum(counts[f"{kind} blurred"] for kind in KINDS) / max(every, 1), 4),
        "of_stored_people": round(share(counts, *KINDS[:2]), 4),
        "kinds": {
            kind: {"blurred": round(share(counts, kind), 4), "of_all": round(counts[kind] / max(every, 1), 4)}
            for kind in KINDS
        },
        "head_pixels": every,
        "picture": round(share(counts, "picture"), 4),
    }


def share(counts: Counter[str], *kinds: str) -> float:
    return sum(counts[f"{kind} blurred"] for kind in kinds) / max(sum(counts[kind] for kind in kinds), 1)


if __name__ == "__main__":
    main()
