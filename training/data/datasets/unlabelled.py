"""Your own crops, nobody named."""

import os
import re
from pathlib import Path

from training.data.datasets import NO_CAMERA, UNLABELLED, Dataset, Record, camera_of, images_in

_CAMERA_FOLDER = re.compile(r"c(?:am(?:era)?)?[-_ ]?(\d+)", re.IGNORECASE)


class Unlabelled(Dataset):
    """All images in a folder and below it, for methods that need no identities: every one is of identity −1.

    Cameras are optional: from names with ``c1_`` at the start or after an underscore, else from the nearest folder
    that is called ``c1``, ``cam1`` or ``camera 1``.
    """

    protocol = "unlabelled"

    def __init__(self, folder: Path) -> None:
        below = sorted(Path(path) for path, _, _ in os.walk(folder))
        super().__init__(
            Record(image, UNLABELLED, _camera(image, folder)) for directory in below for image in images_in(directory)
        )


def _camera(image: Path, folder: Path) -> int:
    camera = camera_of(image)
    if camera != NO_CAMERA:
        return camera
    folders = reversed(image.relative_to(folder).parent.parts)
    return next((int(found[1]) for name in folders if (found := _CAMERA_FOLDER.fullmatch(name))), NO_CAMERA)
