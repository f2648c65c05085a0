"""Your own crops: a folder per identity."""

from collections import Counter
from pathlib import Path

from reidapp.errors import UserError
from training.data.datasets import NO_CAMERA, Dataset, Record, camera_of, first_of_each, images_in


class Folder(Dataset):
    """``DIR/ANY-NAME/*.jpg``; cameras optional, from names with ``c1_`` at the start or after an underscore.

    With subfolders ``train``, ``query`` and ``gallery`` (each with a folder per identity), these are used. Else all
    images train, and a score is measured on them all: queries are the first image of every (identity, camera); without
    cameras, the first image of every identity, which is then taken out of the gallery.

    Raises:
        UserError: the folder has Market-1501's layout, whose parts would become identities.
    """

    protocol = "folder per identity"

    def __init__(self, folder: Path) -> None:
        if (folder / "bounding_box_train").is_dir():
            raise UserError(f"data folder:{folder}: this is the layout of Market-1501; write market1501:{folder}")
        parts = [folder / name for name in ("train", "query", "gallery")]
        if any(p.is_dir() and _identities(p) for p in parts):
            pids = {name: pid for pid, name in enumerate(sorted({n for p in parts for n in _identities(p)}))}
            train, query, gallery = (_scan(p, pids) for p in parts)
            super().__init__(train, query, gallery)
            return
        records = _scan(folder, {name: pid for pid, name in enumerate(_identities(folder))})
        query = first_of_each(records)
        if all(r.camid == NO_CAMERA for r in records):
            images = Counter(r.pid for r in records)
            query = [r for r in query if images[r.pid] > 1]
            asked = {r.path for r in query}
            super().__init__(records, query, [r for r in records if r.path not in asked])
        else:
            super().__init__(records, query, records)


def _identities(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []


def _scan(folder: Path, pids: dict[str, int]) -> list[Record]:
    return [
        Record(path, pids[name], camera_of(path)) for name in _identities(folder) for path in images_in(folder / name)
    ]
