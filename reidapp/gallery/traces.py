"""Whether anything of people who were erased is left in any file: pictures, vectors, ids and names, byte for byte.

What to look for is read before the erasure. A picture is sought by parts of its file, as its whole has them; one that
another tracklet has, too, to the byte, is not sought, and neither is such a vector, since those stay.
"""

import itertools
import json
import mmap
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from reidapp.gallery import schema, vectors
from reidapp.gallery.database import listed
from reidapp.gallery.store import Gallery
from reidapp.wording import counted

_NAME = "a name"
_WORDLESS = frozenset({"tracklet", "crop", "block", "chunk"})  # tables without any; the largest ones
_KEY = 8  # bytes by which something is found
_PART = 48  # bytes of a picture's file that are sought together
_PARTS = 4  # of each picture
_LEAST_NAME = 4  # bytes; a shorter one stands in any file by chance, and is sought in the rows
_SLOTS = 20  # bits
_AT_ONCE = 1 << 24  # bytes
_ROWS = 1 << 16  # that are compared at once


@dataclass
class Traces:
    """What to look for.

    Attributes:
        data: {bytes: what they are}.
        names: sought as they are; one that others' words hold, such as a longer name, in the rows alone.
        equal: pictures and vectors that others have, too.
    """

    data: dict[bytes, str] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    equal: int = 0

    def add(self, what: str, data: bytes) -> None:
        """Look for this, too; what is too short would stand in any file by chance."""
        if len(data) >= _KEY:
            self.data[data] = what


@dataclass(frozen=True)
class Proof:
    """What a search of all bytes has found.

    Attributes:
        looked_for: traces.
        equal: see `Traces`.
        found: in words; nothing where all is gone.
    """

    files: int
    bytes: int
    looked_for: int
    equal: int
    found: list[str]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"absent": not self.found} | vars(self)

    def __str__(self) -> str:
        looked = f"{counted(self.looked_for, 'trace')} looked for in {counted(self.files, 'file')}"
        looked += f", {self.bytes / 1e6:.1f} MB"
        looked += f" (others have {self.equal} of the same pictures and vectors)" if self.equal else ""
        return "\n".join([f"{looked}: {'found' if self.found else 'none is there'}", *(f"  {s}" for s in self.found)])


def traces_of(gallery: Gallery, pieces: Iterable[str], names: Sequence[str] = ()) -> Traces:
    """What tracklets have left in a gallery; read before they are erased.

    Args:
        pieces: ids of all their pieces.
    """
    found, gone = Traces(names=list(names)), set(pieces)
    crop = schema.Crop
    for id_ in gone:
        _add_id(found, "a tracklet's id", id_)
    with Session(gallery.engine) as session:
        rows = session.scalars(select(crop).where(crop.tracklet_id.in_(listed(gone)))).all()
        digests = {row.digest for row in rows if row.digest}
        same = select(crop.digest, crop.tracklet_id).where(crop.digest.in_(listed(digests)))
        others = {digest for digest, piece in session.execute(same) if piece not in gone}
        for row in rows:
            _add_id(found, "a crop's id", row.id)
            if row.digest in others:
                found.equal += 1
            else:
                _add_picture(found, gallery.crop_path(row.chunk_id, row.id))
        _add_vectors(session, gallery, found, rows)
    return found


def traces_of_words(words: Iterable[str]) -> Traces:
    """Ids and names alone, of somebody who is gone already."""
    found = Traces()
    for word in words:
        if re.fullmatch("[0-9a-f]{16}", word):
            _add_id(found, "an id", word)
        else:
            found.names.append(word)
    return found


def searched(gallery: Gallery, traces: Traces, folders: Sequence[Path] = ()) -> Proof:
    """Look into every file of a gallery and of other folders; into rows for names, or where those are elsewhere."""
    found, sought = list[str](), dict(traces.data)
    for name in traces.names:
        tables, within = _rows_with(gallery, name)
        found += [f"a name in the table {table}" for table in tables]
        if not within and len(name.encode()) >= _LEAST_NAME:
            sought |= {form.encode(): _NAME for form in (name, json.dumps(name)[1:-1])}  # lists in rows are JSON
    search, count, size = _Search(sought), 0, 0
    for path in (file for folder in (gallery.path, *folders) for file in sorted(folder.rglob("*")) if file.is_file()):
        data = _mapped(path)
        count, size = count + 1, size + len(data)
        found += [f"{what} in {path}" for what in sorted(search.of(data))]
    if gallery.engine.dialect.name != "sqlite":
        found += _in_rows(gallery, search)
    return Proof(count, size, len(traces.data) + len(traces.names), traces.equal, found)


class _Search:
    """Finds any of many byte strings: where eight bytes of one are, that is held against them."""

    def __init__(self, sought: dict[bytes, str]) -> None:
        self._names = [data for data, what in sought.items() if what == _NAME]
        self._of_key = defaultdict[int, list[tuple[bytes, int, str]]](list)
        for data, what in sought.items():
            if what != _NAME:
                at = _most_telling(data)
                self._of_key[int.from_bytes(data[at : at + _KEY], "little")].append((data, at, what))
        self._keys = np.array(sorted(self._of_key), np.uint64)
        self._table = np.zeros(1 << _SLOTS, bool)
        self._table[_slot(self._keys)] = True

    def of(self, data: bytes | mmap.mmap) -> set[str]:
        """What is in it."""
        found = {_NAME for name in self._names if data.find(name) >= 0}
        for start, offset in itertools.product(range(0, len(data), _AT_ONCE), range(_KEY)):
            first = start + offset
            words = (min(_AT_ONCE, len(data) - first)) // _KEY
            if words <= 0:
                continue
            values = np.frombuffer(data, "<u8", words, first)
            places = np.flatnonzero(self._table[_slot(values)])
            for place in places[np.isin(values[places], self._keys)].tolist():
                here = first + place * _KEY
                for whole, at, what in self._of_key[int(values[place])]:
                    if here >= at and data[here - at : here - at + len(whole)] == whole:
                        found.add(what)
        return found


def _most_telling(data: bytes) -> int:
    """Where the eight bytes begin that stand in other data least likely."""
    return max(range(0, len(data) - _KEY + 1, 2), key=lambda start: len(set(data[start : start + _KEY])))


def _slot(values: np.ndarray) -> np.ndarray:
    return np.asarray((values * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - _SLOTS))


def _rows_with(gallery: Gallery, name: str) -> tuple[list[str], bool]:
    """(tables in which a name stands, as a word of its own; whether it stands within longer words in some).

    Within a database's file no text has an end, so what is in longer words can be told from it in rows alone.
    """
    word, tables, within = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)"), [], False
    with gallery.engine.connect() as connection:
        for table in schema.Base.metadata.sorted_tables:
            if table.name in _WORDLESS:
                continue
            texts = [text for row in connection.execute(select(table)) if name in (text := _text(row))]
            if any(word.search(text) for text in texts):
                tables.append(table.name)
            elif texts:
                within = True
    return tables, within


def _in_rows(gallery: Gallery, search: _Search) -> list[str]:
    found = []
    with gallery.engine.connect() as connection:
        for table in schema.Base.metadata.sorted_tables:
            rows = connection.execution_options(yield_per=1000).execute(select(table))
            said: set[str] = set()
            for some in rows.partitions():
                said |= search.of("\n".join(_text(row) for row in some).encode())
            found += [f"{what} in the table {table.name}" for what in sorted(said)]
    return found


def _mapped(path: Path) -> bytes | mmap.mmap:
    """A file's bytes; none of one that has gone just now."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
    except FileNotFoundError:
        return b""


def _text(row: Iterable[Any]) -> str:
    return "\n".join(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in row)


def _rows(gallery: Gallery, model_id: str, day: str, dim: int, blocks: Sequence[schema.Block]) -> np.ndarray:
    """Rows of a shard, each as one value."""
    count = max(each.first_row + each.rows for each in blocks)
    stored = vectors.read(vectors.shard_path(gallery.path, model_id, day), count, dim)
    return np.ascontiguousarray(stored).view(np.dtype((np.void, 2 * dim)))[:, 0]


def _add_id(found: Traces, what: str, id_: str) -> None:
    found.add(what, id_.encode())
    found.add(what, int(id_, 16).to_bytes(8, "little"))  # as derived files have it


def _add_vectors(session: Session, gallery: Gallery, found: Traces, rows: Sequence[schema.Crop]) -> None:
    """Those of crops, under all models."""
    block = schema.Block
    places = defaultdict[str, set[int]](set)
    for row in rows:
        places[row.chunk_id].add(row.position)
    of_shards = select(block.model_id, block.day).where(block.chunk_id.in_(listed(places))).distinct()
    for model_id, day in session.execute(of_shards).all():
        dim = session.get_one(schema.Model, model_id).card["dim"]
        blocks = session.scalars(select(block).filter_by(model_id=model_id, day=day)).all()
        stored = _rows(gallery, model_id, day, dim, blocks)
        mine = np.zeros(len(stored), bool)
        for each in blocks:
            mine[[each.first_row + place for place in places.get(each.chunk_id, ())]] = True
        own = np.unique(stored[mine])
        equal = np.zeros(len(own), bool)
        for start in range(0, len(stored), _ROWS):
            some = slice(start, start + _ROWS)
            equal |= np.isin(own, stored[some][~mine[some]])
        found.equal += int(equal.sum())
        for vector in own[~equal]:
            found.add("a vector", vector.tobytes())


def _add_picture(found: Traces, file: Path) -> None:
    if file.is_file():
        for part in _parts(file.read_bytes()):
            found.add("a picture", part)


def _parts(data: bytes) -> Iterator[bytes]:
    """Of a picture's file, behind what all have alike; the whole of one that is short."""
    if len(data) < 2 * _PARTS * _PART:
        yield data
        return
    for number in range(_PARTS):
        start = len(data) // 5 + number * (len(data) * 4 // 5 - _PART) // max(1, _PARTS - 1)
        yield data[start : start + _PART]
