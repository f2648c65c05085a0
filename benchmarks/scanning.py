"""Finding recordings in a folder of 100,000 files, and finding that none of them is new.

Goals: a scan under 20 s, a second run with nothing new under 5 s. The files are empty: a scan lists and stats them, and
reads their paths. The second run is all that indexing does but for loading its models: the scan, one question to the
gallery, the final count. The operating system has just written the folders, so they are in its cache.

OMP_NUM_THREADS=1 python -m benchmarks.scanning > docs/results/scanning.json
"""

import json
import tempfile
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from sqlalchemy import insert
from sqlalchemy.orm import Session

from benchmarks.machine import machine, median_of
from reidapp.footage.detection import Detection
from reidapp.footage.indexing import find_footage, index_footage
from reidapp.footage.sources import Source
from reidapp.footage.survey import survey
from reidapp.gallery import schema
from reidapp.gallery.store import Gallery
from reidapp.model_card import ModelCard
from reidapp.settings import IndexSettings

CAMERAS, DAYS, FILES_A_DAY = 25, 40, 100
REPEATS = 3
LIMITS_S = {"scan": 20.0, "nothing_new": 5.0}


class Unused:
    """Stands for models that are not asked."""

    card = ModelCard("unused", "1", 128, 64, 8)
    identity = "00" * 32
    provider = "none"

    def embed(self, crops: Sequence[np.ndarray], camera: str | None = None) -> np.ndarray:
        raise AssertionError

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Detection]]:
        raise AssertionError


def write_files(folder: Path) -> int:
    """A recorder's tree: a folder per camera and day, a file each quarter of an hour or so."""
    first = datetime(2026, 1, 1)
    for camera in range(CAMERAS):
        for day in range(DAYS):
            inside = folder / f"camera {camera:02}" / f"{first + timedelta(days=day):%Y-%m-%d}"
            inside.mkdir(parents=True)
            for number in range(FILES_A_DAY):
                at = first + timedelta(days=day, minutes=14 * number)
                (inside / f"{at:%Y%m%d_%H%M%S}.mp4").touch()
    return CAMERAS * DAYS * FILES_A_DAY


def remember(gallery: Gallery, sources: Sequence[Source]) -> None:
    """Rows as if all of them had been indexed."""
    cameras = {name: number for number, name in enumerate(sorted({source.camera for source in sources}), 1)}
    with Session(gallery.engine) as session, session.begin():
        session.execute(insert(schema.Camera), [{"id": i, "name": name, "zone": "UTC"} for name, i in cameras.items()])
        rows = [
            {
                "id": f"{number:016x}",
                "camera_id": cameras[source.camera],
                "path": str(source.path),
                "size": source.size,
                "mtime_ns": source.mtime_ns,
                "written": str(source.written),
                "start_ms": 0,
                "start_source": source.start_source,
                "duration_s": 840.0,
                "width": 1920,
                "height": 1080,
                "settings": {},
                "done": True,
            }
            for number, source in enumerate(sources)
        ]
        session.execute(insert(schema.Video), rows)


def main() -> None:
    settings = IndexSettings(zone="UTC")
    by_template = IndexSettings(zone="UTC", template="{camera}/{any}/{start:%Y%m%d_%H%M%S}")
    with tempfile.TemporaryDirectory() as work:
        folder, model = Path(work) / "recordings", Path(work) / "model.onnx"
        files = write_files(folder)
        model.write_bytes(b"stands for a model")
        gallery = Gallery.create(Path(work) / "gallery", model, Unused.card, Unused.identity)
        runs = {
            "scan": median_of(REPEATS, lambda: find_footage(folder, settings)),
            "scan_by_template": median_of(REPEATS, lambda: find_footage(folder, by_template)),
            "dry_run": median_of(REPEATS, lambda: survey(find_footage(folder, settings), "UTC").cameras),
        }
        found = find_footage(folder, settings)
        assert len(found.sources) == files
        remember(gallery, found.sources)

        def again() -> None:
            report = index_footage(find_footage(folder, settings), gallery, Unused(), Unused(), settings)
            assert (report.unchanged, report.videos) == (files, 0)

        runs["nothing_new"] = median_of(REPEATS, again)
    result = {
        "benchmark": "scanning",
        "files": files,
        "folders": CAMERAS * DAYS,
        "costs": {name: cost.to_dict() for name, cost in runs.items()},
        "limits_s": LIMITS_S,
        "within_limits": all(runs[name].wall_s < limit for name, limit in LIMITS_S.items()),
        "machine": machine(),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
