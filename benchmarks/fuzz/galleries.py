"""A gallery one of whose files was damaged, or forged: shards, derived files, crops, the database and its rows."""

import hashlib
import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import numpy as np

from benchmarks.fuzz.harness import FirstParserError, Reader
from benchmarks.fuzz.mutation import TEXTS, bytes_changed, json_changed, odd, odd_float
from reidapp.errors import ReidappError
from reidapp.gallery import listing, snapshot
from reidapp.gallery.cases import Cases
from reidapp.gallery.derived import SUFFIX
from reidapp.gallery.identities import Identities
from reidapp.gallery.search import Searcher
from reidapp.gallery.snapshot import Snapshots
from reidapp.gallery.store import Gallery
from reidapp.gallery.verification import verify
from tests.small_gallery import ColourEmbedder, make_gallery, query_crop

_DATABASE, _REFERENCE = "gallery.db", "database.json"
_PAGE = 4096


class Galleries(Reader):
    """An input is two lines, what is done with the gallery and the name of one of its files; and what is in that."""

    code: ClassVar = {
        "reidapp.gallery.derived": ("Segment.open",),
        "reidapp.gallery.vectors": ("read", "shard_path"),
        "reidapp.gallery.snapshot": (),
        "reidapp.gallery.sqlite": ("connect", "_prepare", "_say", "faults"),
        "reidapp.gallery.verification": ("verify",),
        "reidapp.imaging": ("decode_crop",),
    }
    first_parser: ClassVar = "the gallery opens: SQLite knows its file, and the schema is known"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.made = folder / "made" / "gallery"
        if not self.made.exists():
            _make(folder / "made")
        mock.patch.object(snapshot, "_WORTH", 1).start()  # small galleries have derived files, too

    def seeds(self) -> list[bytes]:
        files = [file for file in sorted(self.made.rglob("*")) if file.name.endswith((SUFFIX, ".f16", ".webp"))]
        reference = json.dumps({"url": "postgresql://127.0.0.1:1/none", "gallery": "0" * 32})
        rows = (self.made / _DATABASE).read_bytes()
        seeds = [_joined(look, _DATABASE, rows) for look in _LOOKS for _ in range(3)]
        for file in files:
            name, content = str(file.relative_to(self.made)), file.read_bytes()
            copies = 4 if name.endswith(SUFFIX) else 1
            seeds += [_joined(look, name, content) for look in ("search", "verify") for _ in range(copies)]
        return [*seeds, _joined("facts", _REFERENCE, reference.encode())]

    def changed(self, data: bytes, other: bytes, draw: random.Random) -> bytes:
        look, name, content = _parted(data)
        *_, more = _parted(other)
        if name.endswith(_DATABASE):
            changed = _rows_changed(content, draw) if draw.random() < 0.7 else _pages_changed(content, draw)
        elif name.endswith(SUFFIX):
            changed = _derived_changed(content, more, draw)
        elif name.endswith(_REFERENCE):
            changed = json.dumps(json_changed(json.loads(content), draw)).encode()
            if b"127.0.0.1:1/" not in changed:  # nobody else's server is asked
                changed = bytes_changed(content[:20], b"", draw, first=1)
        else:
            changed = bytes_changed(content, more, draw)
        return _joined(look, name, changed)

    def read(self, data: bytes) -> bool:
        look, name, content = _parted(data)
        folder = self.folder / "gallery"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.made, folder)
        if name.endswith(_REFERENCE):
            (folder / _DATABASE).unlink()
        (folder / name).write_bytes(content)
        try:
            gallery = Gallery.open(folder)
        except ReidappError as refusal:
            raise FirstParserError(str(refusal)) from refusal
        try:
            _LOOKS[look](gallery)
        finally:
            gallery.engine.dispose()
        return True


def _search(gallery: Gallery, **options: Any) -> None:
    embedder = ColourEmbedder()
    query = embedder.embed([query_crop("red")])
    for hit in Searcher(gallery, embedder).search(query, top=5, **options).hits:
        json.dumps(hit.to_dict(), default=str)


def _tracklets(gallery: Gallery) -> None:
    for tracklet in gallery.tracklets()[:2]:
        gallery.tracklet(tracklet.id)


def _people(gallery: Gallery) -> None:
    Identities(gallery, "me").all()
    Cases(gallery, "me").all()
    listing.tracklets(gallery)
    listing.videos(gallery)


# What commands and requests do with a gallery.
_LOOKS: dict[str, Callable[[Gallery], object]] = {
    "search": _search,
    "reranked": lambda gallery: _search(gallery, rerank=True, cameras=["Gate"]),
    "verify": verify,
    "facts": lambda gallery: (str(gallery.facts()), [camera.to_dict() for camera in gallery.cameras()]),
    "tracklets": _tracklets,
    "people": _people,
}


def _make(folder: Path) -> None:
    """A gallery with rows of most kinds, its log emptied into the file."""
    folder.mkdir(parents=True)
    gallery = make_gallery(folder)
    with mock.patch.object(snapshot, "_WORTH", 1):
        Snapshots(gallery, gallery.model_id).derive()
    tracklets = [tracklet.id for tracklet in gallery.tracklets()]
    Identities(gallery, "me").new("Ann", tracklets[:2])
    Cases(gallery, "me").new("case")
    gallery.engine.dispose()
    with closing(sqlite3.connect(folder / "gallery" / _DATABASE)) as rows:
        rows.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _joined(look: str, name: str, content: bytes) -> bytes:
    return f"{look}\n{name}\n".encode() + content


def _parted(data: bytes) -> tuple[str, str, bytes]:
    look, name, content = data.split(b"\n", 2)
    return look.decode(), name.decode(), content


def _derived_changed(data: bytes, other: bytes, draw: random.Random) -> bytes:
    """Mostly with the digest that fits, as somebody would forge it."""
    begin = 16 + 32 + 8
    header_end = begin + int.from_bytes(data[48:56], "little")
    way = draw.randrange(6)
    if way == 0:
        return bytes_changed(data, other, draw)
    if way < 4 and header_end <= len(data):
        try:
            header = json.loads(data[begin:header_end])
        except ValueError:
            header = []
        known = ("codes", "basis", "steps", "longest", "|u1", "<u8", "<f4", "<f8", "O", "<U9", [0], [1, 2], [2**40])
        text = json.dumps(json_changed(header, draw, known)).encode()
        text += b" " * (max(0, header_end - begin - len(text)))
        data = data[:48] + len(text).to_bytes(8, "little") + text + data[header_end:]
    else:
        data = bytes_changed(data, other, draw, first=48)
    return data[:16] + hashlib.sha256(data[48:]).digest() + data[48:]


def _pages_changed(data: bytes, draw: random.Random) -> bytes:
    """Bytes of some pages; the first one is told apart by its first hundred bytes, and stays in most."""
    return bytes_changed(data, data, draw, first=draw.choice((0, 100, _PAGE, _PAGE)), most=draw.choice((2, 20)))[
        : len(data)
    ]


def _rows_changed(data: bytes, draw: random.Random) -> bytes:
    """Values of rows, as somebody would change them who has the file."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as rows:
        try:
            rows.deserialize(data.replace(b"\x02\x02", b"\x01\x01", 1) if data[18:20] == b"\x02\x02" else data)
            tables = [name for (name,) in rows.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for _ in range(draw.randint(1, 3)):
                table = draw.choice([name for name in tables if not name.startswith("sqlite_")])
                columns = [(each[1], each[5]) for each in rows.execute(f'PRAGMA table_info("{table}")')]
                column = draw.choice([name for name, _ in columns])
                ids = [row for (row,) in rows.execute(f'SELECT rowid FROM "{table}"')]
                if not ids:
                    continue
                row = draw.choice(ids)
                (now,) = rows.execute(f'SELECT "{column}" FROM "{table}" WHERE rowid = ?', [row]).fetchone()
                new = _value_changed(rows, table, column, now, draw)
                if draw.random() < 0.1:
                    rows.execute(f'DELETE FROM "{table}" WHERE rowid = ?', [row])
                else:
                    rows.execute(f'UPDATE OR IGNORE "{table}" SET "{column}" = ? WHERE rowid = ?', [new, row])
            return bytes(rows.serialize())
        except (sqlite3.Error, TypeError):
            return _pages_changed(data, draw)


def _value_changed(rows: sqlite3.Connection, table: str, column: str, now: object, draw: random.Random) -> object:
    way = draw.randrange(6)
    if way == 0:
        return None
    if way == 1:  # another row's
        return draw.choice([value for (value,) in rows.execute(f'SELECT "{column}" FROM "{table}"')])
    if isinstance(now, str) and now[:1] in ("{", "["):
        return json.dumps(json_changed(json.loads(now), draw)) if way < 5 else draw.choice(TEXTS)
    if isinstance(now, int | float) and way < 5:
        value = draw.choice((now + 1, now - 1, now * 1000, -now, 2**31, 2**62, odd_float(draw)))
        return int(np.clip(value, -(2**62), 2**62)) if isinstance(value, int) else value
    if isinstance(now, str) and way < 5:
        return bytes_changed(now.encode(), b"", draw, most=2).decode(errors="replace")
    value = odd(draw)
    return value if isinstance(value, str | float) or value is None else str(value)
