"""What adapting to a gallery's own footage gains: mAP and Rank-1 between cameras, against the truth.

Each world is generated footage of people and camera looks that no model has learnt from, indexed with the shipped
model. Its gallery is searched as it is, after `adapt --quick`, and after training by `adapt`; both begin anew from the
shipped model. What is finished stays in FOLDER.

python -m benchmarks.adapting --out FOLDER [--worlds 0 1 2] > docs/results/adapting.json
"""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.galleries import footage_in, index_with_shipped
from benchmarks.machine import machine
from reidapp.bench import retrieval
from reidapp.embedding import Embedder
from reidapp.gallery.reembedding import reembed
from reidapp.gallery.store import Gallery
from training.adapting import AdaptResult, adapt, adapt_quick
from training.data.synthetic.seeds import bench_seed

SIZE: dict[str, Any] = {"cameras": 4, "people": 40, "seconds": 120}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--worlds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    rows = [_row(arguments.out / f"world-{number}", number) for number in arguments.worlds]
    worlds = " ".join(map(str, arguments.worlds))
    result = {
        "benchmark": "adapting",
        "command": f"python -m benchmarks.adapting --out FOLDER --worlds {worlds}",
        "size": SIZE,
        "worlds": rows,
        "machine": machine(),
    }
    print(json.dumps(result, indent=1))


def _row(folder: Path, number: int) -> dict[str, Any]:
    footage, indexed = footage_in(folder / "footage", **SIZE, seed=bench_seed(number)), folder / "gallery"
    gallery, _ = index_with_shipped(footage, indexed, "hog")
    row: dict[str, Any] = {"world": number, "crops": gallery.summary().crops, "before": _found(gallery, footage)}
    _note(str(row))
    for name, work in (
        ("quick", lambda g: adapt_quick(g, folder / "quick.onnx")),
        ("trained", lambda g: adapt(g, folder / "run", device="cpu", quiet=True)),
    ):
        row[name] = _after(folder, footage, indexed, work)
        _note(f"{name}: {row[name]}")
    return row


def _after(folder: Path, footage: Path, indexed: Path, work: Callable[[Gallery], AdaptResult]) -> dict[str, Any]:
    """What a copy of the gallery finds once it is adapted."""
    copy = folder / "adapted"
    for old in (copy, folder / "run"):
        shutil.rmtree(old, ignore_errors=True)
    shutil.copytree(indexed, copy)
    gallery, began = Gallery.open(copy), time.monotonic()
    result = work(gallery)
    seconds = round(time.monotonic() - began, 1)
    reembed(gallery, Embedder(result.model), result.model)
    label_free = {key: value for key, value in result.to_dict().items() if key in ("before", "after", "tried")}
    found = _found(gallery, footage)
    return found | {"improved": result.improved, "seconds": seconds, "label_free": label_free}


def _found(gallery: Gallery, footage: Path) -> dict[str, float]:
    scores = retrieval(gallery, footage)
    return {"mAP": round(scores.mAP or 0.0, 4), "rank1": round(scores.rank1 or 0.0, 4), "queries": scores.queries}


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
