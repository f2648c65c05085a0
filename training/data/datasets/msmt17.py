"""MSMT17 (Wei et al. 2018), versions 1 and 2."""

from pathlib import Path

from training.data.datasets import Dataset, Record


class MSMT17(Dataset):
    """``train``, ``test`` and four lists: ``list_train.txt``, and the same of ``val``, ``query`` and ``gallery``.

    A line is ``0000/0000_000_01_0303morning_0008_0.jpg 0``: file and identity; the camera is the third field of the
    name. Version 2 calls the folders ``mask_train_v2`` and ``mask_test_v2``. The training part is train and val
    together, as in the literature. Numbers of training and test identities overlap, but they are different people.
    """

    protocol = "MSMT17"

    def __init__(self, folder: Path) -> None:
        skipped: list[tuple[Path, str]] = []

        def scan(kind: str, *lists: str) -> list[Record]:
            images = folder / f"mask_{kind}_v2"
            images = images if images.is_dir() else folder / kind
            return [record for name in lists for record in _read(folder / f"list_{name}.txt", images, skipped)]

        super().__init__(scan("train", "train", "val"), scan("test", "query"), scan("test", "gallery"), skipped)


def _read(file: Path, images: Path, skipped: list[tuple[Path, str]]) -> list[Record]:
    """The records of a list; none if there is no such file."""
    records = []
    for line in file.read_text("utf-8").splitlines() if file.is_file() else []:
        name, _, pid = line.strip().rpartition(" ")
        fields = name.rpartition("/")[2].split("_")
        if len(fields) > 2 and fields[2].isdecimal() and pid.isdecimal():
            records.append(Record(images / name, int(pid), int(fields[2])))
        elif line.strip():
            skipped.append((file, f'"{line}" is not like 0000/0000_000_01_0303morning_0008_0.jpg 0'))
    return records
