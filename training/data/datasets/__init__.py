"""Data sets: one file per kind, each a class that scans a folder. Importing this package loads no torch.

To add a kind, add a file with one subclass of `Dataset` whose constructor takes ``folder``, or ``file``.
"""

import inspect
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from reidapp import metrics, registry
from reidapp.errors import UserError
from reidapp.imaging import IMAGE_SUFFIXES

NO_CAMERA = metrics.NO_CAMERA
UNLABELLED = -1
NO_TRACKLET = -1
_CAMERA = re.compile(r"(?:^|_)c(\d+)(?=[s_.])")


@dataclass(frozen=True)
class Record:
    """One crop.

    Attributes:
        path: its file.
        pid: whose it is; `UNLABELLED`: not known.
        camid: which camera took it; `NO_CAMERA`: not known.
        domain: which data set it is from, if there are several, from 0.
        source: of labelled data that a method for unlabelled crops may learn from besides.
        tracklet: the crops of one camera that tracking took for one person's; `NO_TRACKLET`: not known.
        time_s: when it was taken, in seconds since 1970 UTC; None: not known.
    """

    path: Path
    pid: int
    camid: int = NO_CAMERA
    domain: int = 0
    source: bool = False
    tracklet: int = NO_TRACKLET
    time_s: float | None = None


class Dataset:
    """Crops to train on, and crops to search (query) and be found (gallery).

    Attributes:
        spec: how it was asked for, ``KIND:DIR`` or ``KIND:FILE``.
        train, query, gallery: the records; a list may be empty. A query image may be in the gallery too.
        protocol: what a score on it is called.
        skipped: (file, reason) of every image that was left out.
        together: groups of tracklets that are of one person for certain; no tracklet is in two groups.
        apart: pairs of tracklets that are of two people for certain, each pair once; what holds for one of a group
            holds for all of it.
        remarks: for whoever trains on it.
    """

    spec: str = ""
    protocol: str = ""
    together: Sequence[Sequence[int]] = ()
    apart: Sequence[tuple[int, int]] = ()
    remarks: Sequence[str] = ()

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
    """The data set that ``KIND:DIR`` (or ``KIND:FILE``) names, for example ``market1501:~/data/Market-1501``.

    Raises:
        UserError: not of that form, an unknown kind, no such folder or file, or no usable image in it.
    """
    kind, colon, place = spec.partition(":")
    if not colon or not place:
        kinds = ", ".join(registry.names(__name__))
        raise UserError(f'data "{spec}": write KIND:DIR, for example folder:crops; kinds: {kinds}')
    cls = registry.find(__name__, kind)
    path = Path(place).expanduser()
    takes_file = "file" in inspect.signature(cls).parameters
    if not (path.is_file() if takes_file else path.is_dir()):
        raise UserError(f"data {spec}: no such {'file' if takes_file else 'folder'}")
    dataset: Dataset = registry.build(cls, None, f"data {spec}", folder=path, file=path)
    dataset.spec = spec
    if not (dataset.train or dataset.query or dataset.gallery):
        what = _first_of(dataset.skipped) or f", as {kind} lays them out"
        raise UserError(f"data {spec}: no usable image in it{what}")
    return dataset


def load_datasets(specs: Sequence[str], sources: Sequence[str] = ()) -> Dataset:
    """Several data sets as one, to train on: nobody, and no camera, is in two of them.

    A record's domain says which one it is from. With several, identities, cameras and tracklets are numbered anew
    from 0, those that are not known excepted. The training images of ``sources`` come last.

    Raises:
        UserError: see `load_dataset`; or no data set at all.
    """
    if not specs:
        raise UserError("data: none given; write KIND:DIR, for example folder:crops")
    datasets = [load_dataset(spec) for spec in [*specs, *sources]]
    if len(datasets) == 1:
        return datasets[0]
    pids: dict[tuple[int, int], int] = {}
    cameras: dict[tuple[int, int], int] = {}
    tracklets: dict[tuple[int, int], int] = {}

    def number(known: dict[tuple[int, int], int], domain: int, own: int) -> int:
        return -1 if own == -1 else known.setdefault((domain, own), len(known))

    def renumbered(records: Iterable[Record], domain: int) -> list[Record]:
        return [
            replace(
                record,
                pid=number(pids, domain, record.pid),
                camid=number(cameras, domain, record.camid),
                tracklet=number(tracklets, domain, record.tracklet),
                domain=domain,
                source=domain >= len(specs),
            )
            for record in records
        ]

    joined = Dataset(skipped=[left_out for dataset in datasets for left_out in dataset.skipped])
    for domain, dataset in enumerate(datasets):
        joined.train += renumbered(dataset.train, domain)
        joined.query += renumbered(dataset.query, domain)
        joined.gallery += renumbered(dataset.gallery, domain)
        groups = ([number(tracklets, domain, each) for each in group] for group in dataset.together)
        pairs = ((number(tracklets, domain, one), number(tracklets, domain, other)) for one, other in dataset.apart)
        joined.together, joined.apart = [*joined.together, *groups], [*joined.apart, *pairs]
        joined.remarks = [*joined.remarks, *dataset.remarks]
    joined.spec = ", ".join([*specs, *sources])
    joined.protocol = " + ".join(dataset.protocol for dataset in datasets)
    return joined


def images_in(folder: Path) -> list[Path]:
    """The image files directly in a folder, sorted by name; none if there is no such folder."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        names = [e.name for e in entries if os.path.splitext(e.name)[1].lower() in IMAGE_SUFFIXES]
    return [folder / name for name in sorted(names)]


def camera_of(image: Path) -> int:
    """The camera in an image's name, ``c1_`` at the start or after an underscore; else `NO_CAMERA`."""
    found = _CAMERA.search(image.name)
    return int(found[1]) if found else NO_CAMERA


def first_of_each(records: Sequence[Record]) -> list[Record]:
    """The first image of every (identity, camera), in the order given."""
    seen: dict[tuple[int, int], Record] = {}
    for record in records:
        seen.setdefault((record.pid, record.camid), record)
    return list(seen.values())


def _first_of(skipped: Sequence[tuple[Path, str]]) -> str:
    return f" ({len(skipped)} left out; the first: {skipped[0][0].name}: {skipped[0][1]})" if skipped else ""
