"""What a gallery takes on disk: bytes of pictures, vectors and rows, each for one best shot.

    python -m benchmarks.storage [--footage DIR] [--detector hog] > docs/results/storage.json

Generated footage (or DIR's, with its truth) is indexed as `reidapp index` does it. Rows are the database's growth
beyond an empty one, so a tracklet's, its path's and its chunk's are in them. There is no goal. Generated people are
smoother than real ones, whose pictures take more; recordings stay where they are, and are not counted.
"""

import argparse
import json
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.galleries import SMALL_WORLD, footage_in, index_into, new_gallery
from benchmarks.machine import machine, without_folder
from models import zoo
from reidapp.footage.detection import open_detector
from reidapp.truth import Truth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--footage", type=Path, help="with its truth.csv; drawn by default")
    parser.add_argument("--detector", default="hog")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        footage = arguments.footage or footage_in(Path(name) / "footage", **SMALL_WORLD)
        result = measured(footage, Path(name) / "gallery", arguments.detector)
    detector = without_folder(arguments.detector)
    facts = {
        "benchmark": "storage",
        "command": f"python -m benchmarks.storage{' --footage DIR' if arguments.footage else ''} --detector {detector}",
        "detector": detector,
        "model": zoo.DEFAULT,
    }
    print(json.dumps(facts | result | {"machine": machine()}, indent=1))


def measured(footage: Path, folder: Path, detector: str) -> dict[str, Any]:
    gallery, embedder = new_gallery(folder)
    empty = rows_of(folder)
    index_into(gallery, embedder, footage, open_detector(detector))
    found = gallery.summary()
    rows = rows_of(folder) - empty

    def size(pattern: str) -> int:
        return sum(file.stat().st_size for file in folder.glob(pattern))

    taken = {"picture": size("crops/**/*.webp"), "vector": size("vectors/**/*.f16"), "rows": rows}
    return {
        "appearances": len(Truth.read(footage).appearances()),
        "tracklets": found.tracklets,
        "crops": found.crops,
        "dim": embedder.card.dim,
        "bytes_per_crop": {what: round(amount / found.crops) for what, amount in taken.items()},
    }


def rows_of(folder: Path) -> int:
    """Bytes of a gallery's database without pages that are free, or not folded in yet."""
    compact = folder.with_name("compact.db")
    with closing(sqlite3.connect(folder / "gallery.db")) as database:
        database.execute("VACUUM INTO ?", [str(compact)])
    size = compact.stat().st_size
    compact.unlink()
    return size


if __name__ == "__main__":
    main()
