"""The SQLite file of a gallery: how it is opened and brought up to date."""

import json
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, Select, create_engine, event, false, func, select, update
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.orm import Session

from reidapp import files
from reidapp.errors import ReidappError, UserError
from reidapp.gallery.schema import Setting

FILE_NAME = "gallery.db"

# By the beginnings of SQLite's names of errors.
_FAULTS = {
    "SQLITE_FULL": files.FULL,
    "SQLITE_READONLY": "cannot be written; make the folder writable, or copy the gallery to where it is",
    "SQLITE_CANTOPEN": "cannot be opened or written; make the folder readable and writable for this user",
    "SQLITE_IOERR": "its disk cannot be read or written; if it is back, run the same command again",
    "SQLITE_CORRUPT": "the database is damaged; restore a back-up",
    "SQLITE_BUSY": "another process has kept the database to itself for too long; try again when it has ended",
}


def connect(path: Path) -> Engine:
    """An engine on an SQLite file in WAL mode (readers never wait for the indexer), its schema up to date.

    Faults of the disk and of the file are raised as `ReidappError`, whatever is asked of the engine.

    Raises:
        UserError: the file is not a gallery's database, or lies on a network share.
    """
    if share := files.network_share(path):
        raise UserError(
            f"{path.parent}: lies on a network share ({share}), where SQLite's write-ahead log is not safe; keep the "
            "gallery on a local disk (recordings may stay on the share)"
        )
    engine = create_engine(URL.create("sqlite", database=str(path)))  # in a text, "?" would end the path
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    event.listen(engine, "handle_error", lambda context: _say(path, context))
    upgrade(engine)
    return engine


@contextmanager
def changing(engine: Engine) -> Iterator[Session]:
    """A session that holds the right to write from its beginning, and commits at its end.

    Who reads first and writes then is refused by SQLite when another process has written in between.
    """
    with Session(engine) as session, session.begin():
        session.execute(update(Setting).where(false()).values(value=""))  # nothing, but it takes that right
        yield session


def listed(values: Collection[str]) -> Select[tuple[str]]:
    """Values for ``in_``, as JSON, since SQLite takes no more than 32,766 one by one."""
    return select(func.json_each(json.dumps(list(values))).table_valued("value").c.value)


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


def upgrade(engine: Engine) -> None:
    """Run the migrations that this database has not seen."""
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    config = Config()
    folder = str(Path(__file__).parent / "migrations")
    config.set_main_option("script_location", folder.replace("%", "%%"))
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
        if current == ScriptDirectory.from_config(config).get_current_head():
            return
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise UserError(f"{engine.url.database}: written by a newer reidapp; update reidapp ({error})") from error
        connection.commit()


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
    connection.execute("PRAGMA busy_timeout=10000")


def _file_of(connection: sqlite3.Connection) -> str:
    return str(connection.execute("PRAGMA database_list").fetchone()[2])


def _say(path: Path, context: ExceptionContext) -> None:
    error = context.original_exception
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_NOTADB":
        raise UserError(f"{path}: not a gallery's database ({error})") from error
    for fault, text in _FAULTS.items():
        if name.startswith(fault):
            raise ReidappError(f"{path}: {text} ({error})") from error
