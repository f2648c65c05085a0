"""Crops decoded once: a uint8 array that every epoch reads from."""

import math
import os
import platform
import secrets
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reidapp.errors import UserError
from reidapp.imaging import read_image, resize
from training.data.datasets import Record
from training.distributed import first_here, from_first, wait


@dataclass(frozen=True)
class Crops:
    """Decoded crops and whose they are.

    Attributes:
        images: uint8 ``[N, H, W, 3]`` RGB. A batch is ``images[indices]``: NumPy copies whole images, which is ten
            times as fast as torch's indexing.
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
            so no copy of the pictures stays behind. Without a folder it is held in memory. In several processes
            (`training.distributed`), the first one of each machine fills the file, and the others see it.
        advance: called with the number of images done since the last call.

    Raises:
        UserError: the array does not fit into the folder.
    """
    shape = (len(records), height, width, 3)
    images = np.empty(shape, np.uint8) if folder is None else _mapped(folder, shape)
    decodes = folder is None or first_here()
    reasons: list[str | None] = [None] * len(records)

    def read(at: int) -> None:
        try:
            images[at] = resize(read_image(records[at].path), height, width)
        except UserError as error:
            reasons[at] = str(error).removeprefix(f"{records[at].path}: ")
        if advance is not None:
            advance(1)

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # decoding releases the interpreter's lock
        list(pool.map(read, range(len(records) if decodes else 0)))

    reasons = from_first(reasons)
    skipped = [(r.path, why) for r, why in zip(records, reasons, strict=True) if why is not None]
    if skipped:
        readable = [i for i, why in enumerate(reasons) if why is None]
        for to, at in enumerate(readable if decodes else []):  # in place: the array may be larger than the memory
            images[to] = images[at]
        images, records = images[: len(readable)], [records[i] for i in readable]
    wait()
    return Crops(images, list(records), skipped)


def _mapped(folder: Path, shape: tuple[int, ...]) -> np.ndarray:
    """A file without a name, the same for all processes of a machine.

    It has its name, by which the others find it, only as long as it is empty.
    """
    file = folder / f".crops-{from_first(secrets.token_hex(8))}-{platform.node()}"
    if first_here():
        _check_space(folder, math.prod(shape))
        np.memmap(file, np.uint8, "w+", shape=shape)
    wait()
    images = np.memmap(file, np.uint8, "r+", shape=shape)
    wait()
    if first_here():
        file.unlink()
    return images


def _check_space(folder: Path, needed: int) -> None:
    """Before, because a full disk under a memory map ends the process without a word."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(f"{folder}: decoded images need {needed / 1e6:,.0f} MB there; {free / 1e6:,.0f} MB are free")
