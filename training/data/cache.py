"""Crops decoded once: a uint8 array that every epoch reads from."""

import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reidapp.errors import UserError
from reidapp.imaging import read_image, resize
from training.data.datasets import Record


@dataclass(frozen=True)
class Crops:
    """Decoded crops and whose they are.

    Attributes:
        images: uint8 ``[N, H, W, 3]`` RGB.
        records: the N records that could be read.
        skipped: (file, reason) of those that could not.
    """

    images: np.ndarray
    records: list[Record]
    skipped: list[tuple[Path, str]]


def decode(
    records: Sequence[Record],
    height: int,
    width: int,
    folder: Path | None = None,
    advance: Callable[[int], object] | None = None,
) -> Crops:
    """Read and resize every record, with the resize that serving uses.

    Args:
        folder: where to put the array, as a file without a name: it is gone when the process ends, however it ends,
            so no copy of the pictures stays behind. Without a folder it is held in memory.
        advance: called with the number of images done since the last call.
    """
    shape = (len(records), height, width, 3)
    if folder is None:
        images = np.empty(shape, np.uint8)
    else:
        with tempfile.TemporaryFile(dir=folder) as file:
            images = np.memmap(file, np.uint8, "w+", shape=shape)
    reasons: list[str | None] = [None] * len(records)

    def read(at: int) -> None:
        try:
            images[at] = resize(read_image(records[at].path), height, width)
        except UserError as error:
            reasons[at] = str(error).removeprefix(f"{records[at].path}: ")
        if advance is not None:
            advance(1)

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # decoding releases the interpreter's lock
        list(pool.map(read, range(len(records))))

    skipped = [(r.path, why) for r, why in zip(records, reasons, strict=True) if why is not None]
    if skipped:
        readable = [i for i, why in enumerate(reasons) if why is None]
        images, records = images[readable], [records[i] for i in readable]
    return Crops(images, list(records), skipped)
