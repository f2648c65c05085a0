"""File names of Market-1501 and of the many sets that copy them: ``0002_c1s1_000451_03.jpg``."""

import re
from pathlib import Path

from training.data.datasets import Record, images_in

_NAME = re.compile(r"(-?\d+)_c(\d+)")


def scan(folder: Path, skipped: list[tuple[Path, str]]) -> list[Record]:
    """The crops in a folder, by name; files named otherwise go to ``skipped``."""
    records = []
    for path in images_in(folder):
        if found := _NAME.match(path.name):
            records.append(Record(path, int(found[1]), int(found[2])))
        else:
            skipped.append((path, "not named like 0002_c1s1_000451_03.jpg"))
    return records
