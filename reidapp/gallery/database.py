"""The SQLite file of a gallery: how it is opened and brought up to date."""

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError

from reidapp.errors import UserError

FILE_NAME = "gallery.db"


def connect(path: Path) -> Engine:
    """An engine on an SQLite file in WAL mode (readers never wait for the indexer), its schema up to date.

    Raises:
        UserError: the file is not a gallery's database.
    """
    engine = create_engine(URL.create("sqlite", database=str(path)))  # in a text, "?" would end the path
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    try:
        upgrade(engine)
    except DatabaseError as error:
        raise UserError(f"{path}: not a gallery's database ({error.orig})") from error
    return engine


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
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA busy_timeout=10000")
