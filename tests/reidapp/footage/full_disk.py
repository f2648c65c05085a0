"""Index onto a disk that is full again and again.

`python -m tests.reidapp.footage.full_disk FOOTAGE FOLDER Tmpfs|Limit` prints JSON: of each run the exit code, the lines
on standard error, and, once there is room, the faults found and the recordings committed; and whether the gallery is
that of an undisturbed run at the end.
"""

import json
import sys
from pathlib import Path
from typing import Any
from unittest import mock

from reidapp.commands import index as index_command
from reidapp.gallery import database, verification
from reidapp.gallery.store import Gallery
from tests import small_disk
from tests.reidapp.footage.test_indexing import ShirtEmbedder, contents, new_gallery
from tests.small_gallery import ShirtDetector

SIZES = {  # kilobytes left for a new gallery, and for what comes into it
    "Tmpfs": ([0, 200], range(0, 108, 12)),
    "Limit": ([0, 200], range(0, 360, 48)),
}


def index(footage: Path, gallery: Path) -> tuple[int, list[str]]:
    """By the command, with the figures' own detector and embedder."""

    def to_write(path: Path, *_: object, **__: object) -> tuple[Gallery, ShirtEmbedder]:
        return Gallery.open(path) if (path / database.FILE_NAME).is_file() else new_gallery(path), ShirtEmbedder()

    with (
        mock.patch.object(index_command, "_gallery_to_write", to_write),
        mock.patch("reidapp.footage.detection.open_detector", return_value=ShirtDetector()),
    ):
        return small_disk.reidapp("index", footage, "--gallery", gallery, "--zone", "UTC")


def main(footage: Path, folder: Path, kind: str) -> None:
    undisturbed, gallery = folder / "undisturbed", folder / "small/gallery"
    assert index(footage, undisturbed)[0] == 0
    disk = small_disk.disk(folder / "small", kind)

    def with_room_for(kilobytes: int) -> dict[str, Any]:
        disk.leave(kilobytes << 10)
        code, said = index(footage, gallery)
        disk.make_room()
        faults, videos = [], 0
        if (gallery / database.FILE_NAME).is_file():
            found = verification.verify(Gallery.open(gallery))
            faults, videos = [str(fault) for fault in found.faults], found.videos - found.unfinished
        return {"kilobytes": kilobytes, "code": code, "said": said, "faults": faults, "videos": videos}

    runs = [with_room_for(kilobytes) for kilobytes in SIZES[kind][0]]
    new_gallery(gallery)
    runs += [with_room_for(kilobytes) for kilobytes in SIZES[kind][1]]
    code, _ = index(footage, gallery)
    same = contents(Gallery.open(gallery)) == contents(Gallery.open(undisturbed))
    print(json.dumps({"runs": runs, "code": code, "same": same}))


if __name__ == "__main__":
    with mock.patch.object(verification, "is_model", return_value=True):
        main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
