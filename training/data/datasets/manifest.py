"""Your own crops, listed in a table."""

import csv
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from reidapp.errors import UserError
from reidapp.registry import suggestion
from training.data.datasets import NO_CAMERA, UNLABELLED, Dataset, Record

_COLUMNS = ("path", "pid", "camera", "split")
_PARTS = ("train", "query", "gallery")


class Manifest(Dataset):
    """``manifest:FILE``: a CSV or Parquet file with the columns ``path``, ``pid`` and, optional, ``camera``, ``split``.

    Paths are relative to the file. Identities and cameras are whole numbers, or names, which are numbered in sorted
    order; −1 or nothing is an unlabelled person, or an unknown camera. ``split`` is train (also where it is empty),
    query or gallery. Other columns are left alone. A file that is listed twice in a split counts once.

    Raises:
        UserError: not such a table, or a row with a wrong split; the row is named.
    """

    protocol = "manifest"

    def __init__(self, file: Path) -> None:
        where = f"data manifest:{file}"
        rows = [dict.fromkeys(_COLUMNS, "") | row for row in _rows(file, where)]
        pids = _numbers([row["pid"] for row in rows], UNLABELLED)
        cameras = _numbers([row["camera"] for row in rows], NO_CAMERA)
        parts: dict[str, dict[Path, Record]] = {part: {} for part in _PARTS}
        skipped = []
        for number, (row, pid, camera) in enumerate(zip(rows, pids, cameras, strict=True), start=1):
            if not row["path"]:
                raise UserError(f"{where}: row {number} has no path")
            split = row["split"] or "train"
            if split not in parts:
                hint = suggestion(split, list(_PARTS))
                raise UserError(f'{where}: row {number}: unknown split "{split}"{hint}; known: {", ".join(_PARTS)}')
            path = file.parent / row["path"]
            if path in parts[split]:
                skipped.append((path, f"listed again in row {number}"))
            else:
                parts[split][path] = Record(path, pid, camera)
        train, query, gallery = (parts[part].values() for part in _PARTS)
        super().__init__(train, query, gallery, skipped)


def _rows(file: Path, where: str) -> list[dict[str, str]]:
    """The table with every cell as text; a cell that is not there is empty."""
    if file.suffix.lower() in (".parquet", ".pq"):
        columns, rows = _read_parquet(file, where)
    else:
        columns, rows = _read_csv(file, where)
    for name in ("path", "pid"):
        if name not in columns:
            raise UserError(
                f'{where}: no column "{name}" in {", ".join(columns) or "it"}; {", ".join(_COLUMNS)} are read'
            )
    return [{name: _text(row.get(name)) for name in _COLUMNS} for row in rows]


def _read_csv(file: Path, where: str) -> tuple[list[str], list[dict[str, Any]]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            table = csv.DictReader(lines)
            table.fieldnames = [name.strip() for name in table.fieldnames or []]
            return list(table.fieldnames), list(table)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{where}: not a CSV file in UTF-8 ({error})") from error


def _read_parquet(file: Path, where: str) -> tuple[list[str], list[dict[str, Any]]]:
    try:
        from pyarrow import ArrowInvalid, parquet
    except ImportError:
        advice = "pip install '.[parquet]' in a copy of the repository, or save it as CSV"
        raise UserError(f"{where}: reading Parquet needs pyarrow: {advice}") from None
    try:
        table = parquet.read_table(file)
    except ArrowInvalid as error:
        raise UserError(f"{where}: not a Parquet file ({error})") from error
    return table.column_names, table.to_pylist()


def _text(cell: Any) -> str:
    """A cell as CSV would have it; a column of whole numbers with gaps comes as floats."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    return str(int(cell) if isinstance(cell, float) and cell.is_integer() else cell).strip()


def _numbers(cells: Iterable[str], missing: int) -> list[int]:
    cells = [cell or str(missing) for cell in cells]
    if all(re.fullmatch(r"-?\d+", cell) for cell in cells):
        return [int(cell) for cell in cells]
    numbers = {name: number for number, name in enumerate(sorted(set(cells) - {str(missing)}), start=1)}
    return [numbers.get(cell, missing) for cell in cells]
