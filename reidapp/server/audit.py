"""What was done, by whom and when: a table that only grows, each row chained to the one before it.

    mac_n = HMAC-SHA-256(key, mac_{n-1} ‖ JSON of n, at, by, action, gallery, about),    mac_0 = ""

Who changes a row, puts one in or takes one out breaks the chain there, unless they have the key; who cuts rows off at
the end has fewer than the head says, which a file beside the key keeps, and `reidapp audit head` prints for another
place. The table has no names, no files and no pictures: people, cameras and recordings are ids, and other words are
hashed by the key, so that who knows a word can look for it. A purpose is kept as it was written, but not there: the row
has its digest, with a salt that goes with the text. So a text that names somebody can be erased, nobody can guess it
from the row, and the chain holds.
"""

import hashlib
import hmac
import json
import os
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from reidapp import files
from reidapp.errors import ReidappError, UserError
from reidapp.gallery.schema import now
from reidapp.server.access_folder import AccessFolder

FILE_NAME, TEXTS, KEY, HEAD = "audit.db", "texts.db", "audit.key", "audit.head"
GONE = "(erased)"
_PLAIN = frozenset({"video", "tracklet", "search", "job", "heads", "kind", "account", "what", "day"})
_WRITTEN = "purpose"  # kept in a file of its own
_OF_TEXT = "text:"  # what its digest begins with in a row
_TABLES = """
CREATE TABLE entry (
  n INTEGER PRIMARY KEY, at TEXT NOT NULL, by TEXT NOT NULL, action TEXT NOT NULL, gallery TEXT NOT NULL,
  about TEXT NOT NULL, mac TEXT NOT NULL)

CREATE TRIGGER entry_stays BEFORE UPDATE ON entry BEGIN SELECT RAISE(ABORT, 'entries are not changed'); END

CREATE TRIGGER entry_remains BEFORE DELETE ON entry BEGIN SELECT RAISE(ABORT, 'entries are not deleted'); END
""".strip()
_TABLE_OF_TEXTS = "CREATE TABLE text (digest TEXT PRIMARY KEY, salt TEXT NOT NULL, text TEXT NOT NULL)"
_AT_ONCE = 10_000  # rows
_ONCE_WITHIN_S = 600.0


@dataclass(frozen=True)
class Entry:
    """A row of the log. ``by``: an id of `Users.names`, or empty where nobody knows."""

    n: int
    at: str
    by: str
    action: str
    gallery: str
    about: dict[str, Any]
    mac: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return dict(vars(self))

    def told(self, names: dict[str, str]) -> str:
        """With the name of who did it, as far as that is known."""
        about = "  ".join(f"{key} {value}" for key, value in self.about.items())
        return f"{self.n:>6}  {self.at}  {names.get(self.by, self.by or '?')}  {self.action}  {about}".rstrip()


@dataclass(frozen=True)
class Check:
    """What a look at all rows has found. ``broken``: in words, nothing where the log is whole."""

    rows: int
    head: str
    broken: str | None

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return dict(vars(self))

    def __str__(self) -> str:
        return f"{self.rows} rows: {self.broken or 'whole, each as it was written'}"


class Audit:
    """The log of a server and of the commands beside it. Safe from several threads and processes.

    A row is on the disk before `add` comes back: what cannot be written down is not done.
    """

    def __init__(self, folder: AccessFolder) -> None:
        self.folder = folder
        if folder.has(FILE_NAME) and not folder.has(KEY):
            raise ReidappError(f"{folder.path / KEY}: missing, so the log cannot be gone on with; restore it")
        self._key = folder.secret(KEY)
        self._seen: dict[tuple[str, ...], float] = {}
        self._lock = threading.Lock()

    def add(self, action: str, by: str = "", gallery: str = "", **about: str | int | None) -> Entry:
        """Write a row.

        Args:
            by: an account's id.
            gallery: its name; the log has a hash of it.
            about: ids and the like; what is none is hashed.
        """
        said = {key: self._stands_for(key, value) for key, value in about.items() if value}
        at = now("milliseconds")
        with self._rows() as rows:
            last = rows.execute("SELECT n, mac FROM entry ORDER BY n DESC LIMIT 1").fetchone()
            n, before = (last["n"] + 1, last["mac"]) if last else (1, "")
            values = (n, at, by, action, self.opaque(gallery) if gallery else "", _json(said))
            entry = (*values, self._mac(before, values))
            rows.execute("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?)", entry)
        self._keep_head()
        return Entry(*values[:5], said, entry[-1])

    def forget(self, words: Sequence[str]) -> int:
        """Erase the texts in which one of some words stands, in upper or lower case. Returns how many those are."""
        if not words or not self.folder.has(TEXTS):
            return 0
        any_of = re.compile("|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in words), re.IGNORECASE)
        with self._texts() as rows:
            gone = [(row["digest"],) for row in rows.execute("SELECT * FROM text") if any_of.search(row["text"])]
            rows.execute("PRAGMA secure_delete = ON")
            rows.executemany("DELETE FROM text WHERE digest = ?", gone)
        self.folder.compact(TEXTS)
        return len(gone)

    def add_once(self, action: str, by: str, gallery: str, **about: str) -> None:
        """Write a row, unless the same was written just now: a player asks for a recording in many parts."""
        key, now = (action, by, gallery, *sorted(about.values())), time.monotonic()
        with self._lock:
            self._seen = {each: at for each, at in self._seen.items() if now - at < _ONCE_WITHIN_S}
            if key not in self._seen:
                self.add(action, by, gallery, **about)
                self._seen[key] = now  # not before: what could not be written down is tried again

    def opaque(self, word: str) -> str:
        """16 hex digits that stand for a word; the same ones each time."""
        return hmac.new(self._key, b"word:" + word.encode(), hashlib.sha256).hexdigest()[:16]

    def last(self, count: int = 100, before: int | None = None) -> list[Entry]:
        """The last rows, the newest first; those before a row."""
        with self._read() as rows:
            found = rows.execute(
                "SELECT * FROM entry WHERE n < ? ORDER BY n DESC LIMIT ?", [before or 2**62, count]
            ).fetchall()
        return self._with_texts([_entry(row) for row in found])

    def head(self) -> str:
        """The last row's number and mac, to be kept elsewhere; ``0:`` of an empty log."""
        last = self.last(1)
        return f"{last[0].n}:{last[0].mac}" if last else "0:"

    def verify(self, head: str | None = None) -> Check:
        """Look at every row.

        Args:
            head: as `head` gave it at some time; without one, the file beside the key has the last.

        Raises:
            UserError: it is no head.
        """
        number, mac = _head(head or self._kept_head())
        n, before, broken = 0, "", None
        for entry, values in self._all():
            if entry.n != n + 1:
                broken = f"row {n + 1} is missing"
            elif entry.mac != self._mac(before, values):
                broken = f"row {entry.n} is not as it was written, or one before it was put in or taken out"
            elif entry.n == number and not hmac.compare_digest(entry.mac, mac):
                broken = f"row {entry.n} is another one than the head's"
            if broken:
                break
            n, before = entry.n, entry.mac
        if not broken and n < number:
            broken = f"rows {n + 1} to {number} were cut off at the end"
        return Check(n, f"{n}:{before}", broken or self._other_texts())

    def _all(self) -> Iterator[tuple[Entry, tuple[Any, ...]]]:
        last = 0
        while True:
            with self._read() as rows:
                found = rows.execute("SELECT * FROM entry WHERE n > ? ORDER BY n LIMIT ?", [last, _AT_ONCE]).fetchall()
            if not found:
                return
            for row in found:
                yield _entry(row), tuple(row)[:6]
            last = found[-1]["n"]

    def _stands_for(self, key: str, value: str | int) -> str | int:
        if key == _WRITTEN:
            return self._keep_text(str(value))
        return value if key in _PLAIN else self.opaque(str(value))

    def _keep_text(self, text: str) -> str:
        """Before the row that names it: one that no row names does no harm."""
        salt = secrets.token_hex(16)
        digest = self._digest_of(salt, text)
        with self._texts() as rows:
            rows.execute("INSERT INTO text VALUES (?, ?, ?)", (digest, salt, text))
        return digest

    def _digest_of(self, salt: str, text: str) -> str:
        return _OF_TEXT + hmac.new(self._key, f"text:{salt}:{text}".encode(), hashlib.sha256).hexdigest()[:32]

    def _with_texts(self, entries: list[Entry]) -> list[Entry]:
        """As they were written; rows of before there were digests have the text itself."""
        digests = {n: text for n, text in enumerate(str(e.about.get(_WRITTEN)) for e in entries) if _is_digest(text)}
        known: dict[str, str] = {}
        if digests and self.folder.has(TEXTS):
            wanted = "SELECT digest, text FROM text WHERE digest IN (SELECT value FROM json_each(?))"
            with self._texts(changes=False) as rows:
                known = dict(rows.execute(wanted, [_json(list(digests.values()))]).fetchall())
        for n, digest in digests.items():
            entries[n] = replace(entries[n], about={**entries[n].about, _WRITTEN: known.get(digest, GONE)})
        return entries

    def _other_texts(self) -> str | None:
        """In words, if a text is not the one that its row has been written with."""
        if not self.folder.has(TEXTS):
            return None
        with self._texts(changes=False) as rows:
            found = rows.execute("SELECT digest, salt, text FROM text").fetchall()
        other = sum(digest != self._digest_of(salt, text) for digest, salt, text in found)
        return f"texts that are not as they were written: {other}" if other else None

    def _mac(self, before: str, values: tuple[Any, ...]) -> str:
        return hmac.new(self._key, before.encode() + _json(list(values)).encode(), hashlib.sha256).hexdigest()

    def _keep_head(self) -> None:
        """After the row itself, so that a power cut leaves an older head, never one of a row that is not there.

        Nobody writes a row meanwhile, so that no writer puts its head in the place of a newer one.
        """
        file = self.folder.path / HEAD
        half_made = file.with_name(f"{HEAD}.{os.getpid()}.{threading.get_ident()}")
        with self._rows() as rows, files.disk_named(file):
            n, mac = rows.execute("SELECT n, mac FROM entry ORDER BY n DESC LIMIT 1").fetchone()
            try:
                half_made.write_text(f"{n}:{mac}")
                os.replace(half_made, file)
            finally:
                half_made.unlink(missing_ok=True)

    def _kept_head(self) -> str:
        try:
            return (self.folder.path / HEAD).read_text().strip()
        except FileNotFoundError:
            return "0:"

    def _rows(self) -> AbstractContextManager[sqlite3.Connection]:
        return self.folder.rows(FILE_NAME, _TABLES)

    def _texts(self, changes: bool = True) -> AbstractContextManager[sqlite3.Connection]:
        return self.folder.rows(TEXTS, _TABLE_OF_TEXTS, changes=changes)

    def _read(self) -> AbstractContextManager[sqlite3.Connection]:
        return self.folder.rows(FILE_NAME, _TABLES, changes=False)


def _is_digest(text: str) -> bool:
    return re.fullmatch(rf"{_OF_TEXT}[0-9a-f]{{32}}", text) is not None


def _entry(row: sqlite3.Row) -> Entry:
    try:
        about = json.loads(row["about"])
    except ValueError:
        about = {"damaged": row["about"]}
    return Entry(row["n"], row["at"], row["by"], row["action"], row["gallery"], about, row["mac"])


def _head(text: str) -> tuple[int, str]:
    number, colon, mac = text.partition(":")
    if not colon or not number.isdecimal():
        raise UserError(f'--head: "{text}" is none; give it as `reidapp audit head` printed it, NUMBER:MAC')
    return int(number), mac


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
