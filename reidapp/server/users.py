"""People and API keys who may get in: their rights, and hashes of their secrets.

Passwords are hashed by Argon2id (RFC 9106, its second choice of parameters, which is argon2-cffi's default: 64 MiB,
3 passes, 4 lanes). A key is 32 random bytes, so one SHA-256 is enough for it. Who was removed stays as a name for the
log's ids, without any secret; the same name later is the same one again.
"""

import copy
import functools
import hashlib
import json
import secrets
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypedDict, Unpack

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from reidapp.errors import UnknownError, UserError
from reidapp.registry import suggestion
from reidapp.server import lasting_clock
from reidapp.server.access_folder import AccessFolder
from reidapp.server.askers import HEADS, ROLES, Asker, HeadsRight, Role

FILE_NAME = "users.db"
LEAST_PASSWORD, MOST_PASSWORD = 10, 1000  # characters; a longer one would only cost time
KEY_DAYS = 90
_KEY = "reidapp"  # that keys begin with, so that one that was left somewhere is known for what it is
_TABLES = """
CREATE TABLE account (
  id TEXT PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, at TEXT NOT NULL,
  role TEXT NOT NULL, cameras TEXT, after TEXT, before TEXT,
  secret TEXT, generation INTEGER NOT NULL, expires TEXT, UNIQUE (kind, name))

CREATE TABLE ended_session (id TEXT PRIMARY KEY, expires REAL NOT NULL)
""".strip()
_LATER = ("ALTER TABLE account ADD COLUMN heads TEXT", lasting_clock.TABLE)
_hasher = PasswordHasher()
_hashing = threading.BoundedSemaphore(2)  # each takes 64 MiB

Kind = Literal["user", "key", "account"]


class Rights(TypedDict, total=False):
    """What somebody may do and see; what is left out stays, or is a viewer's without limits."""

    role: Role
    cameras: Sequence[str] | None
    after: datetime | None
    before: datetime | None
    heads: HeadsRight | None  # None: as the role has it


@dataclass(frozen=True)
class Account:
    """Somebody whom the server, or its log, knows.

    Attributes:
        kind: user, key, or an account of the system that commands were run by.
        generation: grows with every change of the password, which ends all sessions.
        expires: of a key.
        removed: has no way in any more.
    """

    id: str
    kind: Kind
    name: str
    at: datetime
    role: Role
    cameras: frozenset[str] | None
    after: datetime | None
    before: datetime | None
    heads: HeadsRight | None
    generation: int
    expires: datetime | None
    removed: bool

    @property
    def asker(self) -> Asker:
        """As routes know them."""
        return Asker(self.name, self.role, self.cameras, self.after, self.before, self.id, self.heads)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: times ISO 8601 UTC."""
        cameras = None if self.cameras is None else sorted(self.cameras)
        times = {key: _iso(getattr(self, key)) for key in ("at", "after", "before", "expires")}
        said = {"id": self.id, "name": self.name, "role": self.role, "cameras": cameras, "heads": self.heads}
        return said | times

    def __str__(self) -> str:
        cameras = "all cameras" if self.cameras is None else ", ".join(sorted(self.cameras)) or "no camera"
        span = f"  {_iso(self.after) or '…'} – {_iso(self.before) or '…'}" if self.after or self.before else ""
        heads = f"  heads {self.heads}" if self.heads else ""
        until = f"  until {_iso(self.expires)}" if self.expires else ""
        return f"{self.name}  {self.role}  {cameras}{span}{heads}{until}"


Note = Callable[[str, Account], None]


class Users:
    """The users and keys of a server. Safe from several threads and processes; a change counts at the next request.

    Args:
        note: writes a change down, in words and with whom it is of; where it fails, nothing is changed.
        clock: seconds since 1970, which may be set back.
    """

    def __init__(
        self,
        folder: AccessFolder,
        note: Note = lambda what, account: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.folder = folder
        self._note = note
        self._clock = lasting_clock.LastingClock(self._rows, clock)

    def noted(self, note: Note) -> "Users":
        """The same, of which changes are written down."""
        users = copy.copy(self)
        users._note = note
        return users

    def now(self) -> float:
        """Seconds since 1970 that do not become less where the clock is set back."""
        return self._clock.now()

    def all(self, kind: Kind = "user") -> list[Account]:
        """Those who are not removed, by name."""
        if not self.folder.has(FILE_NAME):
            return []
        with self._read() as rows:
            found = rows.execute("SELECT * FROM account WHERE kind = ? ORDER BY name", [kind]).fetchall()
        return [account for account in map(_account, found) if not account.removed]

    def named(self, kind: Kind, name: str) -> Account:
        """
        Raises:
            UnknownError: there is none of this name.
        """
        known = self.all(kind)
        for account in known:
            if account.name == name:
                return account
        names = [account.name for account in known]
        raise UnknownError(f'{kind} "{name}" is not known{suggestion(name, names)}; there are {names or "none"}')

    def called(self, id_: str) -> Account | None:
        """By an id, as the log has it; also one who was removed."""
        with self._read() as rows:
            row = rows.execute("SELECT * FROM account WHERE id = ?", [id_]).fetchone()
        return _account(row) if row else None

    def names(self) -> dict[str, str]:
        """{id: name} of all who are or were known."""
        with self._read() as rows:
            return dict(rows.execute("SELECT id, name FROM account").fetchall())

    def add(self, name: str, password: str, **rights: Unpack[Rights]) -> Account:
        """Let somebody in.

        Raises:
            UserError: the name is taken, the password too weak, or the rights make no sense.
        """
        check_password(password, name)
        self._check_free(name)
        return self._new("user", name, _hashed(password), None, rights)

    def add_key(self, name: str, days: int = KEY_DAYS, **rights: Unpack[Rights]) -> tuple[Account, str]:
        """Let a program in. Returns the key too, which is shown this once: only its hash is kept.

        Raises:
            UserError: the name is taken, or the rights make no sense.
        """
        self._check_free(name)
        secret = secrets.token_urlsafe(32)
        account = self._new("key", name, _digest(secret), self._today() + timedelta(days=days), rights)
        return account, f"{_KEY}_{account.id}_{secret}"

    def change_password(self, name: str, password: str) -> None:
        """Another password; all sessions end.

        Raises:
            UserError: no such user, or it is too weak.
        """
        check_password(password, name)
        self._change("user", name, "password", "secret = ?, generation = generation + 1", [_hashed(password)])

    def change_rights(self, name: str, **rights: Unpack[Rights]) -> Account:
        """
        Raises:
            UserError: no such user, or the rights make no sense.
        """
        was = self.named("user", name)
        now: Rights = {"role": was.role, "cameras": was.cameras, "after": was.after, "before": was.before}  # type: ignore[typeddict-item]
        now["heads"] = was.heads
        values = _stored({**now, **rights})
        return self._change("user", name, "user", "role = ?, cameras = ?, after = ?, before = ?, heads = ?", values)

    def remove(self, kind: Kind, name: str) -> Account:
        """Let a user or a key in no more; the name stays for the log.

        Raises:
            UserError: there is none of this name.
        """
        said = "key revoked" if kind == "key" else "user removed"
        return self._change(kind, name, said, "secret = NULL, generation = generation + 1", [])

    def with_password(self, name: str, password: str) -> Account | None:
        """Who signs in, if the password is theirs; it takes as long where there is nobody of this name."""
        with self._read() as rows:
            row = rows.execute("SELECT * FROM account WHERE kind = 'user' AND name = ?", [name]).fetchone()
        nobody = _nobody()  # for every name, as the first time takes longer
        stored = row["secret"] if row and row["secret"] else nobody
        if not _fits(stored, password[:MOST_PASSWORD]) or stored == nobody:
            return None
        if _hasher.check_needs_rehash(stored):
            better = _hashed(password)
            with self._rows() as rows:  # unless the password was changed meanwhile
                rows.execute("UPDATE account SET secret = ? WHERE id = ? AND secret = ?", [better, row["id"], stored])
        return _account(row)

    def with_key(self, key: str) -> Account | None:
        """Who a key is of, if it holds and has not expired."""
        prefix, _, rest = key.partition("_")
        id_, _, secret = rest.partition("_")
        if prefix != _KEY or not secret:
            return None
        with self._read() as rows:
            row = rows.execute("SELECT * FROM account WHERE kind = 'key' AND id = ?", [id_]).fetchone()
        if not row or not secrets.compare_digest(_digest(secret), row["secret"] or ""):
            return None
        account = _account(row)
        return account if account.expires and self._today() < account.expires else None

    def of_system(self, name: str) -> Asker:
        """An account of the system, which may do all here, with an id for the log."""
        with self._read() as rows:
            row = rows.execute("SELECT * FROM account WHERE kind = 'account' AND name = ?", [name]).fetchone()
        return (_account(row) if row else self._new("account", name, None, None, {"role": "admin"})).asker

    def end_session(self, id_: str, expires: float) -> None:
        """A session's cookie counts no more; it is remembered until it would have expired (seconds since 1970)."""
        surely = self.now() - lasting_clock.EVERY_S  # the next process may know no later time
        with self._rows() as rows:
            rows.execute("DELETE FROM ended_session WHERE expires < ?", [surely])
            rows.execute("INSERT OR REPLACE INTO ended_session VALUES (?, ?)", [id_, expires])

    def in_session(self, id_: str, user: str, generation: int) -> Account | None:
        """Who a session is of; None once it was ended, or the password changed, or they were removed."""
        with self._read() as rows:
            ended = rows.execute("SELECT 1 FROM ended_session WHERE id = ?", [id_]).fetchone()
            row = rows.execute("SELECT * FROM account WHERE kind = 'user' AND id = ?", [user]).fetchone()
        if ended or not row or row["generation"] != generation or not row["secret"]:
            return None
        return _account(row)

    def _today(self) -> datetime:
        return datetime.fromtimestamp(self.now(), UTC)

    def _rows(self) -> AbstractContextManager[sqlite3.Connection]:
        return self.folder.rows(FILE_NAME, _TABLES, later=_LATER)

    def _read(self) -> AbstractContextManager[sqlite3.Connection]:
        return self.folder.rows(FILE_NAME, _TABLES, changes=False, later=_LATER)

    def _check_free(self, name: str) -> None:
        if not name.strip() or name != name.strip() or not name.isprintable() or len(name) > 100:
            raise UserError(f'name "{name}": it needs 1 to 100 letters, and no blank at its ends')
        if any(account.name == name for account in [*self.all("user"), *self.all("key")]):
            raise _taken(name)

    def _new(self, kind: Kind, name: str, secret: str | None, expires: datetime | None, rights: Rights) -> Account:
        role, cameras, after, before, heads = _stored(rights)
        said = {"name": name, "kind": kind, "role": role, "cameras": cameras, "after": after, "before": before}
        said |= {"secret": secret, "expires": _iso(expires), "at": _iso(datetime.now(UTC)), "id": uuid.uuid4().hex[:16]}
        said |= {"heads": heads}
        with self._rows() as rows:
            made = rows.execute(
                "INSERT INTO account (id, kind, name, at, role, cameras, after, before, heads, secret, generation, "
                "expires) VALUES (:id, :kind, :name, :at, :role, :cameras, :after, :before, :heads, :secret, 0, "
                ":expires) ON CONFLICT (kind, name) DO UPDATE SET role = :role, cameras = :cameras, after = :after, "
                "before = :before, heads = :heads, secret = :secret, generation = generation + 1, "
                "expires = :expires, at = :at WHERE account.secret IS NULL",
                said,
            )
            if not made.rowcount:
                raise _taken(name)  # just now
            account = self._now(rows, kind, name)
            if kind != "account":
                self._note(f"new {kind}", account)
        return account

    def _change(self, kind: Kind, name: str, said: str, columns: str, values: Sequence[Any]) -> Account:
        change = f"UPDATE account SET {columns} WHERE kind = ? AND name = ? AND secret IS NOT NULL"  # noqa: S608 - this class's words
        with self._rows() as rows:
            if not rows.execute(change, [*values, kind, name]).rowcount:
                raise UnknownError(f'{kind} "{name}" is not known')
            account = self._now(rows, kind, name)
            self._note(said, account)
        return account

    @staticmethod
    def _now(rows: sqlite3.Connection, kind: Kind, name: str) -> Account:
        return _account(rows.execute("SELECT * FROM account WHERE kind = ? AND name = ?", [kind, name]).fetchone())


def _taken(name: str) -> UserError:
    return UserError(f'name "{name}": there is a user or key of this name; take another')


def check_password(password: str, name: str) -> None:
    """
    Raises:
        UserError: too short, or easily guessed.
    """
    if not LEAST_PASSWORD <= len(password) <= MOST_PASSWORD:
        raise UserError(f"password: {LEAST_PASSWORD} to {MOST_PASSWORD} characters, please; a few words are fine")
    if len(set(password)) < 5 or name.casefold() in password.casefold():
        raise UserError("password: easily guessed; take one without the name, and of several characters")


def _stored(rights: Rights) -> list[Any]:
    """As the columns role, cameras, after, before and heads have them."""
    role = rights.get("role", "viewer")
    if role not in ROLES:
        raise UserError(f'role: "{role}" is unknown; {", ".join(ROLES)}')
    heads = rights.get("heads")
    if heads not in (None, *HEADS):
        raise UserError(f'heads: "{heads}" is unknown; {" or ".join(HEADS)}')
    cameras, after, before = rights.get("cameras"), rights.get("after"), rights.get("before")
    if after and before and after >= before:
        raise UserError(f"rights: {_iso(after)} is not before {_iso(before)}, so nothing could be seen")
    return [role, None if cameras is None else json.dumps(sorted(set(cameras))), _iso(after), _iso(before), heads]


def _account(row: sqlite3.Row) -> Account:
    times = {key: datetime.fromisoformat(row[key]) if row[key] else None for key in ("after", "before", "expires")}
    return Account(
        id=row["id"],
        kind=row["kind"],
        name=row["name"],
        at=datetime.fromisoformat(row["at"]),
        role=row["role"],
        cameras=None if row["cameras"] is None else frozenset(json.loads(row["cameras"])),
        heads=row["heads"],
        generation=row["generation"],
        removed=row["secret"] is None and row["kind"] != "account",
        **times,
    )


def _iso(time: datetime | None) -> str | None:
    return time.astimezone(UTC).isoformat() if time else None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _hashed(password: str) -> str:
    with _hashing:
        return _hasher.hash(password)


def _fits(stored: str, password: str) -> bool:
    with _hashing:
        try:
            return _hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False


@functools.cache
def _nobody() -> str:
    """A hash that no password fits, to be compared with where there is no user."""
    return _hashed(secrets.token_urlsafe(32))
