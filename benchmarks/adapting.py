"""What adapting to a gallery's own footage gains: mAP and Rank-1 between cameras, against the truth.

Each world is generated footage of people whom no model has learnt from, once with cameras like those of the training
and once with looks that the generator has for nothing else, indexed with the shipped model. Its gallery is searched as
it is, after `adapt --quick`, and after training by each recipe; all begin anew from the shipped model.

    python -m benchmarks.adapting [--worlds 0 1 2] [--work FOLDER] > docs/results/adapting.json

FOLDER keeps the worlds and what is measured of each, for a run that goes on.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.galleries import footage_in, index_with_shipped
from benchmarks.machine import machine
from benchmarks.worlds import DETECTOR
from reidapp.bench import retrieval
from reidapp.embedding import Embedder
from reidapp.files import write_whole
from reidapp.gallery.reembedding import reembed
from reidapp.gallery.store import Gallery
from training.adapting import adapt, adapt_quick
from training.data.synthetic.seeds import bench_seed

SIZE: dict[str, Any] = {"cameras": 4, "people": 40, "seconds": 120}
WAYS = ("quick", "ise", "cluster_contrast")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, nargs="+", default=[0, 1, 2], help="worlds of reidapp bench")
    parser.add_argument("--work", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = arguments.work or Path(name)
        rows = [_row(work, number, unseen) for unseen in (True, False) for number in arguments.worlds]
    worlds = " ".join(map(str, arguments.worlds))
    result = {
        "benchmark": "adapting",
        "command": f"python -m benchmarks.adapting --worlds {worlds}",
        "size": SIZE,
        "detector": DETECTOR,
        "worlds": rows,
        "machine": machine(),
    }
    print(json.dumps(result, indent=1))


def _row(work: Path, number: int, unseen: bool) -> dict[str, Any]:
    folder = work / f"{'unseen' if unseen else 'usual'}-{number}"
    if (done := folder / "row.json").is_file():
        return dict(json.loads(done.read_text()))
    footage = footage_in(folder / "footage", **SIZE, seed=bench_seed(number), unseen_looks=unseen)
    gallery, _ = index_with_shipped(footage, folder / "gallery", DETECTOR)
    row: dict[str, Any] = {"world": number, "unseen_looks": unseen, "crops": gallery.summary().crops}
    row["before"] = _found(gallery, footage)
    for way in WAYS:
        row[way] = _after(folder, footage, way)
        print(row, file=sys.stderr, flush=True)
    write_whole(done, json.dumps(row).encode())
    return row


def _after(folder: Path, footage: Path, way: str) -> dict[str, Any]:
    """What a copy of the gallery finds once it is adapted."""
    copy, run = folder / "adapted", folder / "run"
    for old in (copy, run):
        shutil.rmtree(old, ignore_errors=True)
    shutil.copytree(folder / "gallery", copy)
    gallery, began = Gallery.open(copy), time.monotonic()
    if way == "quick":
        result = adapt_quick(gallery, folder / "quick.onnx")
    else:
        result = adapt(gallery, run, way, device="cpu", quiet=True)
    seconds = round(time.monotonic() - began, 1)
    reembed(gallery, Embedder(result.model), result.model)
    label_free = {"before": result.before.to_dict(), "after": result.after.to_dict()}
    told = {"improved": result.improved, "statistics": result.chosen.name, "label_free": label_free}
    return _found(gallery, footage) | {"seconds": seconds} | told


def _found(gallery: Gallery, footage: Path) -> dict[str, float]:
    scores = retrieval(gallery, footage)
    return {"mAP": round(scores.mAP or 0.0, 4), "rank1": round(scores.rank1 or 0.0, 4), "queries": scores.queries}


if __name__ == "__main__":
    main()
