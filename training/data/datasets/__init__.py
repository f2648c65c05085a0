"""Data sets: one file per kind, each a class that scans a folder. Importing this package loads no torch.

To add a kind, add a file with one subclass of `Dataset` whose constructor takes the folder.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from reidapp import registry
from reidapp.errors import UserError
from reidapp.imaging import IMAGE_SUFFIXES

NO_CAMERA = -1


@dataclass(frozen=True)
class Record:
    """One crop: its file, whose it is, and which camera took it (`NO_CAMERA`: not known)."""

    path: Path
    pid: int
    camid: int = NO_CAMERA


class Dataset:
    """Crops to train on, and crops to search (query) and be found (gallery).

    Attributes:
        spec: how it was asked for, ``KIND:DIR``.
        train, query, gallery: the records; a list may be empty. A query image may be in the gallery too.
        protocol: what a score on it is called.
        skipped: (file, reason) of every image that was left out.
    """

    spec: str = ""
    protocol: str = ""

    def __init__(
        self,
        train: Iterable[Record] = (),
        query: Iterable[Record] = (),
        gallery: Iterable[Record] = (),
        skipped: Sequence[tuple[Path, str]] = (),
    ) -> None:
        self.train, self.query, self.gallery = list(train), list(query), list(gallery)
        self.skipped = list(skipped)

    def __str__(self) -> str:
        return (
            f"{self.spec}: {len(self.train)} training images of {len({r.pid for r in self.train})} people, "
            f"{len(self.query)} queries, {len(self.gallery)} gallery images"
        )


def load_dataset(spec: str) -> Dataset:
    """The data set that ``KIND:DIR`` names, for example ``market1501:~/data/Market-1501``.

    Raises:
        UserError: not of that form, an unknown kind, no such folder, or no usable image in it.
    """
    kind, colon, folder = spec.partition(":")
    if not colon or not folder:
        kinds = ", ".join(registry.names(__name__))
        raise UserError(f'data "{spec}": write KIND:DIR, for example folder:crops; kinds: {kinds}')
    cls = registry.find(__name__, kind)
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise UserError(f"data {spec}: no such folder")
    dataset: Dataset = registry.build(cls, None, f"data {spec}", folder=path)
    dataset.spec = spec
    if not (dataset.train or dataset.query or dataset.gallery):
        raise UserError(f"data {spec}: no usable image in it{_first_of(dataset.skipped)}")
    return dataset


def images_in(folder: Path) -> list[Path]:
    """The image files directly in a folder, sorted by name; none if there is no such folder."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        names = [e.name for e in entries if os.path.splitext(e.name)[1].lower() in IMAGE_SUFFIXES]
    return [folder / name for name in sorted(names)]


def first_of_each(records: Sequence[Record]) -> list[Record]:
    """The first image of every (identity, camera), in the order given."""
    seen: dict[tuple[int, int], Record] = {}
    for record in records:
        seen.setdefault((record.pid, record.camid), record)
    return list(seen.values())


def _first_of(skipped: Sequence[tuple[Path, str]]) -> str:
    return f" ({len(skipped)} left out; the first: {skipped[0][0].name}: {skipped[0][1]})" if skipped else ""
