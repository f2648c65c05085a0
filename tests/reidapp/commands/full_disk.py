"""Commands on a disk that is full, and again once there is room.

`python -m tests.reidapp.commands.full_disk CROPS FOLDER Tmpfs|Limit` prints JSON: of each command the exit code and the
lines on standard error where the disk was full, what it has left behind, what is wrong with the gallery there, and the
exit code with room.
"""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from reidapp.gallery import verification
from reidapp.gallery.store import Gallery
from tests import small_disk
from tests.small_gallery import make_gallery

TINY = ["sampler={batch: 8}", "input={height: 64, width: 32}", "schedule={epochs: 2, lr: 1e-3}"]


def main(crops: Path, folder: Path, kind: str) -> None:
    made = make_gallery(folder).path
    tracklets = [tracklet.id for tracklet in Gallery.open(made).tracklets()]
    done("gallery", "backup", folder / "backup", "-g", made)
    changes = [word for change in TINY for word in ("--set", change)]
    train = ["train", "identity", "--small", "--data", f"market1501:{crops}", *changes, "--out"]
    done(*train, folder / "run")
    small = folder / "small"
    disk = small_disk.disk(small, kind)
    gallery = small / "gallery"
    done("gallery", "restore", folder / "backup", "-g", gallery)
    done("case", "new", "case", "-g", gallery)
    done("case", "add", "case", tracklets[0], "-g", gallery)

    def on_a_full_disk(*command: object, kilobytes: int = 0, then: Sequence[str] = ()) -> dict[str, Any]:
        before = set(small.rglob("*"))
        disk.leave(kilobytes << 10)
        code, said = small_disk.reidapp(*command)
        disk.make_room()
        left = sorted(str(path.relative_to(small)) for path in set(small.rglob("*")) - before)
        faults = [str(fault) for fault in verification.verify(Gallery.open(gallery)).faults]
        again, _ = small_disk.reidapp(*command, *then)
        for path in set(small.iterdir()) - before:  # the disk is small
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        words = [str(word) for word in command]
        return {"command": words, "code": code, "said": said, "left": left, "faults": faults, "again": again}

    runs = [
        on_a_full_disk("gallery", "backup", small / "copy", "-g", made),
        on_a_full_disk("gallery", "restore", folder / "backup", "-g", small / "restored"),
        on_a_full_disk("identity", "new", "Ann", tracklets[0], "-g", gallery),
        on_a_full_disk("case", "export", "case", "-g", gallery, "--out", small / "case.zip"),
        on_a_full_disk("gallery", "erase", "--tracklet", tracklets[1], "-g", gallery, "--yes"),
        on_a_full_disk("synth", "people", small / "people", "--identities", 2, "--cameras", 2, "--images", 2),
        on_a_full_disk(
            "synth", "footage", small / "footage", "--cameras", 1, "--people", 1, "--seconds", 10, kilobytes=40
        ),
        on_a_full_disk("export", folder / "run", "--out", small / "model.onnx"),
    ]
    if kind == "Tmpfs":  # with room for one epoch and a part of the next
        size = sum(file.stat().st_size for file in (folder / "run/epoch-002").iterdir())
        room = (size + size // 2 >> 10) + 100
        runs.append(on_a_full_disk(*train, small / "run", kilobytes=room, then=["--resume"]))
    else:
        runs.append(on_a_full_disk(*train, small / "run", kilobytes=300))
    print(json.dumps(runs))


def done(*command: object) -> None:
    code, said = small_disk.reidapp(*command)
    assert code == 0, said


if __name__ == "__main__":
    with mock.patch.object(verification, "is_model", return_value=True):
        main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
