"""The folder of who may get in, and of what was done: beside a gallery, not in it.

GALLERY-access/      mode 700
  users.db           people and API keys: their rights, hashes of their secrets
  session.key        what sign-ins are signed by
  audit.db           the log of what was done (`audit`)
  texts.db           what people wrote for it, which can be erased
  audit.key          what the log is chained by
  audit.head         its last row

A copy of a gallery (a back-up, one given to somebody else) so carries neither passwords nor the log's key, and a
gallery that is deleted and made anew keeps both. Beside it, so that whoever has a gallery at hand finds its log;
a server of several galleries uses the first one's, unless a folder is given.
"""

import os
import secrets
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from reidapp import files
from reidapp.errors import ReidappError, UnavailableError, UserError

VARIABLE = "REIDAPP_ACCESS"
NOTED = "REIDAPP_NOTED"  # set where the log has already, by whoever asked for it, what a command is to do
_SECRET_BYTES = 32
_LOCK_PATIENCE_S = 30.0  # with another process that writes
_KINDS = (("SQLITE_BUSY", UnavailableError), ("SQLITE_FULL", files.DiskError), ("SQLITE_IOERR", files.DiskError))


@dataclass(frozen=True)
class AccessFolder:
    """The folder's files. None is made before something is written."""

    path: Path

    @classmethod
    def of(
        cls, gallery: Path | None, given: Path | None = None, environment: Mapping[str, str] = os.environ
    ) -> "AccessFolder":
        """The folder that is given, that the environment names, or the one beside a gallery.

        Raises:
            UserError: nothing of these is known.
        """
        if named := given or environment.get(VARIABLE):
            return cls(Path(named).absolute())
        if gallery is None:
            raise UserError(f"missing --gallery FOLDER, or --access FOLDER ({VARIABLE}): whose users and log are meant")
        path = gallery.resolve()
        return cls(path.with_name(f"{path.name}-access"))

    def has(self, name: str) -> bool:
        """Whether a file of it is there."""
        return (self.path / name).is_file()

    def secret(self, name: str) -> bytes:
        """A secret of 32 bytes that its owner alone may read, made when it is asked for the first time.

        Raises:
            ReidappError: it is damaged, or others may read it.
        """
        file = self._made() / name
        if not file.exists():
            half_made = file.with_name(f"{name}.{secrets.token_hex(8)}")
            with files.disk_named(self.path):
                try:
                    with os.fdopen(os.open(half_made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as opened:
                        opened.write(secrets.token_bytes(_SECRET_BYTES))
                        opened.flush()
                        os.fsync(opened.fileno())
                    with suppress(FileExistsError):  # another process was first: its secret counts
                        os.link(half_made, file)
                finally:
                    half_made.unlink(missing_ok=True)
                files.flush_folder(self.path)
        if os.name == "posix" and file.stat().st_mode & 0o077:
            raise ReidappError(f"{file}: others may read this secret; `chmod 600`, if nobody has")
        if len(data := file.read_bytes()) != _SECRET_BYTES:
            raise ReidappError(f"{file}: damaged; restore it from a back-up")
        return data

    @contextmanager
    def rows(
        self, name: str, tables: str, changes: bool = True, later: Sequence[str] = ()
    ) -> Iterator[sqlite3.Connection]:
        """A transaction on an SQLite file, which is made with its tables if it is not there.

        Args:
            tables: the statements that make them, a blank line between two.
            later: statements by which each later version of the tables comes from the one before.
            changes: it has the file to itself. Without, many read at the same time: every request looks who asks.

        Raises:
            ReidappError: it cannot be read or written, or was made by a newer version.
        """
        file = self._made() / name
        with files.disk_named(file):
            os.close(os.open(file, os.O_CREAT | os.O_RDONLY, 0o600))  # as SQLite would make it, others could read it
        newest = 1 + len(later)
        try:
            with closing(sqlite3.connect(file, timeout=_LOCK_PATIENCE_S, isolation_level=None)) as connection:
                connection.row_factory = sqlite3.Row
                if changes or _version(connection) < newest:
                    connection.execute("BEGIN IMMEDIATE")
                else:
                    connection.execute("BEGIN")
                if (version := _version(connection)) > newest:
                    raise ReidappError(f"{file}: made by a newer version of reidapp; use that one")
                for number, statements in enumerate((tables, *later)[version:], start=version + 1):
                    for statement in statements.split("\n\n"):
                        connection.execute(statement)
                    connection.execute(f"PRAGMA user_version = {number}")
                yield connection
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            fault = getattr(error, "sqlite_errorname", "")  # Python's own faults, of a text for instance, have none
            kinds = (kind for begins, kind in _KINDS if fault.startswith(begins))
            raise next(kinds, ReidappError)(f"{file}: {error}; nothing was written") from error

    def compact(self, name: str) -> None:
        """Write an SQLite file anew, so that nothing of deleted rows stays behind.

        Raises:
            ReidappError: it cannot be written.
        """
        file = self.path / name
        try:
            with closing(sqlite3.connect(file, timeout=_LOCK_PATIENCE_S, isolation_level=None)) as connection:
                connection.execute("VACUUM")
        except sqlite3.Error as error:
            raise ReidappError(f"{file}: {error}; run the same command again") from error

    def _made(self) -> Path:
        if not self.path.is_dir():
            with files.disk_named(self.path):
                try:
                    files.make_folder(self.path.parent)
                    self.path.mkdir(mode=0o700, exist_ok=True)
                except (PermissionError, FileExistsError, NotADirectoryError) as error:
                    why = f"cannot be made ({error.strerror})"
                    raise ReidappError(
                        f"{self.path}: {why}; give another --access FOLDER, or set {VARIABLE}"
                    ) from error
                files.flush_folder(self.path.parent)
        return self.path


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
