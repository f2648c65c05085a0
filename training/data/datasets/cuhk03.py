"""CUHK03 (Li et al. 2014), the new protocol of Zhong et al. 2017: 767 identities train, 700 test."""

import json
from pathlib import Path

from reidapp.errors import UserError
from training.data.datasets import Dataset, Record
from training.data.datasets._market_names import scan

_PARTS = ("bounding_box_train", "query", "bounding_box_test")


class CUHK03(Dataset):
    """Hand-drawn (labelled) or detected boxes, in either layout that is passed around.

    - ``images_labeled`` or ``images_detected``, with ``splits_new_labeled.json`` or ``splits_new_detected.json`` beside
      it, as torchreid extracts them. Names are like ``1_001_1_01.png`` (third field: camera); files are looked
      for by name, so the folder may have been moved.
    - CUHK03-NP: ``bounding_box_train``, ``query`` and ``bounding_box_test``, names as in Market-1501, in ``labeled`` or
      ``detected``.

    The folder may be the one that holds a layout, or the one above if that holds labelled or detected boxes only.
    The original ``cuhk-03.mat`` has to be extracted first.
    """

    protocol = "CUHK03, new protocol"

    def __init__(self, folder: Path) -> None:
        names = ("images_labeled", "images_detected", "labeled", "detected")
        found = [f for f in (folder, *(folder / name for name in names)) if _is_layout(f)]
        if len(found) > 1:
            raise UserError(
                f"data cuhk03:{folder}: labelled and detected boxes are there; name one, for example cuhk03:{found[0]}"
            )
        if not found:
            raise UserError(f"data cuhk03:{folder}: {_advice(folder)}")
        images = found[0]
        if _split_of(images).is_file():
            train, query, gallery = _by_split(images)
            super().__init__(train, query, gallery)
        else:
            skipped: list[tuple[Path, str]] = []
            train, query, gallery = (scan(images / part, skipped) for part in _PARTS)
            super().__init__(train, query, gallery, skipped)


def _split_of(images: Path) -> Path:
    return images.parent / f"splits_new_{images.name.removeprefix('images_')}.json"


def _is_layout(folder: Path) -> bool:
    return folder.is_dir() and (_split_of(folder).is_file() or any((folder / part).is_dir() for part in _PARTS))


def _by_split(images: Path) -> list[list[Record]]:
    """Train, query and gallery; an entry of the split is file, identity and camera."""
    file = _split_of(images)
    try:
        split = json.loads(file.read_text("utf-8"))[0]
        return [[_record(images, *entry) for entry in split[part]] for part in ("train", "query", "gallery")]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise UserError(f"{file}: not a split as torchreid writes it; delete it and extract CUHK03 again") from error


def _record(images: Path, file: str, pid: int, _camera: int) -> Record:
    """The camera is taken from the name: splits count it from 0 or from 1, depending on who wrote them."""
    name = file.replace("\\", "/").rpartition("/")[2]
    return Record(images / name, int(pid), int(name.split("_")[2]))


def _advice(folder: Path) -> str:
    if any(folder.glob("images_*")):
        return "no splits_new_labeled.json or splits_new_detected.json beside the images; torchreid writes them"
    if any(folder.rglob("cuhk-03.mat")):
        return (
            "only the original cuhk-03.mat is there; extract it first (torchreid does so, with h5py, when it opens the "
            "data set), or get the images as CUHK03-NP"
        )
    return "neither images_labeled or images_detected with a splits_new_….json, nor CUHK03-NP's bounding_box_train"
