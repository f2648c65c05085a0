"""Rows in an SQLite file in the gallery's folder, in WAL mode: readers never wait for the indexer.

`postgresql` has the same functions.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, false, update
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from reidapp import files
from reidapp.errors import ReidappError, UnavailableError, UserError
from reidapp.gallery.schema import Setting

_UNREADABLE = "cannot be opened or made; the folder must be readable and writable for this user, its disk not full"
_BROKEN = "its disk cannot be read or written; if it is back, run the same command again"
_KEPT = "another process has kept the database to itself for too long; try again when it has ended"
# By the beginnings of SQLite's names of errors; the first that fits.
_FAULTS: dict[str, tuple[type[ReidappError], str]] = {
    "SQLITE_FULL": (files.DiskError, files.FULL),
    "SQLITE_IOERR_SHMSIZE": (files.DiskError, files.FULL),  # no room for the log's index, which readers need, too
    "SQLITE_CANTOPEN": (ReidappError, _UNREADABLE),
    "SQLITE_IOERR": (files.DiskError, _BROKEN),
    "SQLITE_CORRUPT": (ReidappError, "the database is damaged; restore a back-up"),
    "SQLITE_BUSY": (UnavailableError, _KEPT),
}
_OF_READING = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_IOERR_READ", "SQLITE_IOERR_SHORT_READ", "SQLITE_IOERR_SHM")

_PATIENCE_S = 60.0  # with others, until a log can be emptied
_LOCK_PATIENCE_S = 10.0  # with another process that writes


def connect(path: Path) -> Engine:
    """An engine on a file. Faults of the disk and of the file are raised as `ReidappError`, whatever is asked of it.

    Where the folder can only be read, so can the rows: who changes them gets a `UserError`.

    Raises:
        UserError: the file lies on a network share.
    """
    if share := files.network_share(path):
        raise UserError(
            f"{path.parent}: lies on a network share ({share}), where SQLite's write-ahead log is not safe; keep the "
            "gallery on a local disk, or its rows in PostgreSQL (--database); recordings may stay on the share"
        )
    url = URL.create("sqlite", database=str(path))  # in a text, "?" would end the path
    writable = files.writable(path) and files.writable(path.parent)
    engine = create_engine(url) if writable else create_engine(url, creator=lambda: _reading(path), poolclass=NullPool)
    event.listen(engine, "connect", _prepare if writable else _prepare_to_read)
    event.listen(engine, "begin", lambda connection: _begin(connection, writable))
    event.listen(engine, "handle_error", lambda context: _say(path, context.original_exception))
    return engine


def place(engine: Engine) -> str:
    """How errors name it."""
    return str(engine.url.database)


def name(engine: Engine) -> str:
    """How a user calls it who knows the folder."""
    return Path(place(engine)).name


def take_right_to_write(session: Session) -> None:
    """Who reads first and writes then is refused when another process has written in between."""
    session.execute(update(Setting).where(false()).values(value=""))  # nothing, but it takes that right


def held(engine: Engine, what: str, busy: str | None) -> AbstractContextManager[None]:
    """One machine has the file, so the locks of its folder do."""
    return nullcontext()


def migrated(connection: Connection) -> None:
    """After the migrations: nothing."""


def shed(engine: Engine) -> None:
    """Let nothing of deleted rows stay behind in the log, and give room back where a quarter of the file is free.

    Where others read or write just then, that is left to a later time: deleted rows are overwritten in any case.
    """
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        free, pages = (cursor.execute(f"PRAGMA {count}").fetchone()[0] for count in ("freelist_count", "page_count"))
        with suppress(sqlite3.OperationalError):
            if 4 * free > pages:
                cursor.execute("VACUUM")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()


def shed_wholly(engine: Engine) -> None:
    """Write the file anew with what it has now, and empty the log.

    Raises:
        BusyError: others read or write all the time, and keep the log.
    """
    until = time.monotonic() + _PATIENCE_S
    with closing(engine.raw_connection()) as connection:
        cursor = connection.cursor()
        while not _shed(cursor, Path(place(engine))):
            if time.monotonic() > until:
                raise files.BusyError(
                    f"{place(engine)}: others keep it busy, so its log still has what was deleted; run the same "
                    "command again, or stop them first"
                )
            time.sleep(0.2)


def _shed(cursor: Any, path: Path) -> bool:
    """Whether others let it happen."""
    try:
        cursor.execute("VACUUM")
        (busy, _, _) = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return False
        _say(path, error)
        raise ReidappError(f"{path}: not emptied ({error})") from error
    return not busy


def faults(session: Session) -> Iterator[str]:
    """What is wrong with the database itself."""
    connection = session.connection()
    for (said,) in connection.exec_driver_sql("PRAGMA integrity_check"):
        if said != "ok":
            yield said
    lacking = [(row[0], row[2]) for row in connection.exec_driver_sql("PRAGMA foreign_key_check")]
    for table, parent in sorted(set(lacking) - {("tracklet", "tracklet")}):  # these are links, which are mended
        yield f"{lacking.count((table, parent))} rows of {table} name a {parent} that is not there"


def size(engine: Engine) -> int:
    """Bytes on disk."""
    path = Path(place(engine))
    return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))


def copy(engine: Engine, target: Path) -> None:
    """All rows, as they are at one moment, as another file."""
    try:
        with closing(engine.raw_connection()) as rows, closing(sqlite3.connect(target)) as made:
            driver: Any = rows.driver_connection
            driver.backup(made)
    except sqlite3.Error as error:
        of_what_is_read = getattr(error, "sqlite_errorname", "").startswith(_OF_READING)
        _say(Path(place(engine)) if of_what_is_read else target, error)
        raise


def _reading(path: Path) -> sqlite3.Connection:
    """A connection to a file in a folder that can only be read.

    Rows that a writer's log has are read with it, be that at work there now or killed. Without a log the file is taken
    not to change; each connection looks anew, and lasts for one question.

    Raises:
        UserError: there is a log without its index, which SQLite would have to make.
    """
    log, index = (path.with_name(f"{path.name}-{end}") for end in ("wal", "shm"))
    if not index.is_file() and log.is_file() and log.stat().st_size:
        raise UserError(
            f"{log}: has rows that are not in {path.name} yet, and its {index.name} was not copied with it; "
            "copy that, too, or open the gallery once where it can be written"
        )
    how = "mode=ro" if log.is_file() and index.is_file() else "mode=ro&immutable=1"
    return sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, check_same_thread=False)


def _begin(connection: Connection, writable: bool) -> None:
    """One that is going to write what it reads first has the right to write from the beginning."""
    writes = writable and connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _prepare_to_read(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # as below
    connection.execute(f"PRAGMA busy_timeout={_LOCK_PATIENCE_S * 1000:.0f}")


def _prepare(connection: sqlite3.Connection, _record: Any) -> None:
    # The sqlite3 module would begin a transaction only before the first write, and several SELECTs of one session
    # would see different states; with its own handling off, SQLAlchemy's "begin" opens a real snapshot.
    connection.isolation_level = None
    (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    if mode != "wal":
        raise UserError(f"{_file_of(connection)}: this file system knows no write-ahead log; use another disk")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA secure_delete=ON")  # what is deleted is overwritten
    connection.execute(f"PRAGMA busy_timeout={_LOCK_PATIENCE_S * 1000:.0f}")


def _file_of(connection: sqlite3.Connection) -> str:
    return str(connection.execute("PRAGMA database_list").fetchone()[2])


def _say(path: Path, error: BaseException) -> None:
    """Raise an error of SQLite's in words, with what mends it, if that is known."""
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_NOTADB":
        raise UserError(f"{path}: not a gallery's database ({error})") from error
    if name.startswith("SQLITE_READONLY"):
        raise UserError(f"{path.parent}: {files.READ_ONLY} ({error})") from error
    for fault, (kind, text) in _FAULTS.items():
        if name.startswith(fault):
            raise kind(f"{path}: {text} ({error})") from error
