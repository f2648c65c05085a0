"""Rows in a PostgreSQL database, for galleries that several machines write to or search.

One gallery has a database, or a schema of one (``?options=-csearch_path=NAME``), to itself. A transaction sees one
state from its beginning to its end (REPEATABLE READ), texts are ordered as in SQLite (``COLLATE "C"``), and the right
to write is held across machines by advisory locks, which end with their connection. `sqlite` has the same functions.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, func, inspect, select, text
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.orm import Session

from reidapp.errors import ReidappError, UnavailableError, UserError
from reidapp.files import BusyError
from reidapp.gallery.schema import Base

_FORM = "postgresql://USER@HOST/DATABASE"
_WAIT_S = 10  # for the server, and for another process that writes
_AGAIN = "run the same command again, what is finished is kept"

# By the beginnings of SQLSTATE.
_FAULTS = {
    "08": f"the connection to the server was lost; when it is back, {_AGAIN}",
    "25006": "can only be read: it is a stand-by, or set so; give the server that takes writes",
    "3F": "its schema is not there; CREATE SCHEMA makes it",
    "40": f"another process changed the same rows at the same time; {_AGAIN}",
    "42501": "this user lacks a right there; the gallery's user must own the database, or its schema",
    "531": f"the server's disk is full; make room there and {_AGAIN}",
    "533": "the server has too many connections; close some, or raise its max_connections",
    "55P03": "another process has kept the database to itself for too long; try again when it has ended",
    "57P": f"the server has stopped, or is starting; when it is back, {_AGAIN}",
    "58": "the server's disk cannot be read or written; its log says more",
    "XX": "the database is damaged; restore a back-up",
}
_PASSING = ("08", "40", "533", "55P03", "57P")  # by itself

# Who is gone without a word loses its locks after a minute; nobody waits for ever.
_SESSION = {
    "lock_timeout": f"{_WAIT_S}s",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}


def connect(url: str, new: bool = False) -> Engine:
    """An engine. Faults of the server and of the network are raised as `ReidappError`, whatever is asked of it.

    Args:
        new: it may be empty.

    Raises:
        UserError: no address of a server, a refused password, no such database, or one that holds no gallery.
        ReidappError: the server cannot be reached.
        ModuleNotFoundError: psycopg is not installed.
    """
    address = _address(url)
    waiting = {"connect_timeout": address.query.get("connect_timeout", _WAIT_S), "keepalives_idle": 30}
    engine = create_engine(address, isolation_level="REPEATABLE READ", pool_pre_ping=True, connect_args=waiting)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "handle_error", partial(_say, place(engine)))
    tables = inspect(engine).get_table_names()
    if not {"setting", "tracklet"} <= set(tables) and (tables or not new):
        raise UserError(
            f"{place(engine)}: holds "
            + ("other tables; give a gallery a database, or a schema, of its own" if tables else "no gallery")
        )
    return engine


def place(engine: Engine) -> str:
    """Its address, without a password."""
    url = engine.url.difference_update_query(["password", "sslpassword"])
    bare = URL.create("postgresql", url.username, None, url.host, url.port, url.database, url.query)
    return bare.render_as_string()


def name(engine: Engine) -> str:
    """How a user calls it who knows the server."""
    return f"database {engine.url.database or engine.url.username}"


def take_right_to_write(session: Session) -> None:
    """The transaction's state is the one after the wait: LOCK TABLE is no query, which would fix it before."""
    session.execute(text("LOCK TABLE setting IN SHARE ROW EXCLUSIVE MODE"))


@contextmanager
def held(engine: Engine, what: str, busy: str | None) -> Iterator[None]:
    """Hold a right that one process has at a time, on whatever machine.

    While it is held, each transaction of the engine begins by asking whether it still is.

    Args:
        busy: the error's text when another process holds it; without one, wait for it.

    Raises:
        BusyError: another process holds it.
        ReidappError: from within, it was lost.
    """
    lock = func.pg_try_advisory_lock if busy else func.pg_advisory_lock
    right = func.hashtext(f"reidapp {what}"), func.hashtext(func.current_schema())
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        driver: Any = connection.connection.driver_connection

        def still_held(_: Connection) -> None:
            try:
                driver.execute("SELECT 1")
            except engine.dialect.loaded_dbapi.Error as error:
                raise UnavailableError(f"{place(engine)}: {_FAULTS['08']}") from error

        try:
            connection.execute(text("SET lock_timeout = 0"))
            if not connection.scalar(select(lock(*right))) and busy:
                raise BusyError(busy)
            event.listen(engine, "begin", still_held)
            try:
                yield
            finally:
                event.remove(engine, "begin", still_held)
                # It goes with its connection as well, but only when the server notices: too late for who comes next.
                with suppress(DBAPIError, ReidappError):
                    connection.execute(select(func.pg_advisory_unlock(*right)))
        finally:
            connection.invalidate()


def migrated(connection: Connection) -> None:
    """Order texts by their bytes, as SQLite does, whatever the database's language; after the migrations."""
    columns = text(
        "SELECT table_name, string_agg(format('ALTER %I TYPE varchar COLLATE \"C\"', column_name), ', ') "
        "FROM information_schema.columns WHERE table_schema = current_schema() AND data_type = 'character varying' "
        "AND collation_name IS DISTINCT FROM 'C' GROUP BY table_name ORDER BY table_name"
    )
    for table, changes in connection.execute(columns).all():
        connection.exec_driver_sql(f'ALTER TABLE "{table}" {changes}')


def shed(engine: Engine) -> None:
    """Take deleted rows out of the tables. Their bytes go when others are written there, and the server's log has them
    for as long as it keeps that."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"VACUUM (SKIP_LOCKED) {_every_table()}")


def _every_table() -> str:
    return ", ".join(f'"{table}"' for table in Base.metadata.tables)


def shed_wholly(engine: Engine) -> None:
    """Write the tables anew with what they have now; waits for all who use them. The server's log has the rest for as
    long as it keeps that."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"VACUUM FULL {_every_table()}")


def faults(session: Session) -> Iterator[str]:
    """What is wrong with the database itself."""
    for table in Base.metadata.sorted_tables:
        for key in sorted(table.foreign_keys, key=lambda key: key.column.table.name):
            parent = key.column.table
            if parent is table:
                continue  # links, which are mended, and what an action undoes
            named = key.column == key.parent
            lacking = select(func.count()).select_from(table).where(key.parent.is_not(None))
            if count := session.scalar(lacking.where(~select(parent).where(named).exists())):
                yield f"{count} rows of {table.name} name a {parent.name} that is not there"


def size(engine: Engine) -> int:
    """Bytes on the server's disk."""
    tables = (
        "SELECT sum(pg_total_relation_size(oid)) FROM pg_class "
        "WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
    )
    with engine.connect() as connection:
        return int(connection.scalar(text(tables)) or 0)


def count_on(session: Session) -> None:
    """New rows' numbers begin behind those of rows that were copied with theirs."""
    for table in Base.metadata.tables.values():
        if (column := table.autoincrement_column) is not None:
            sequence = func.pg_get_serial_sequence(f'"{table.name}"', column.name)
            last = select(func.coalesce(func.max(column), 0)).scalar_subquery()
            session.execute(select(func.setval(sequence, last + 1, False)))


def _address(given: str) -> URL:
    with suppress(ArgumentError, ValueError):
        url = make_url(given)
        if url.drivername in ("postgresql", "postgresql+psycopg"):
            return url.set(drivername="postgresql+psycopg")
    raise UserError(f"--database: not an address such as {_FORM}")  # without what was given: it may be a password


def _prepare(connection: Any, _record: Any) -> None:
    if (encoding := connection.info.parameter_status("server_encoding")) != "UTF8":
        named = connection.info.dbname
        raise UserError(f"database {named}: its texts are {encoding}; make one that takes all: createdb -E UTF8")
    connection.autocommit = True  # or the settings would go with the first transaction that is rolled back
    connection.execute("SELECT " + ", ".join(f"set_config('{key}', '{to}', false)" for key, to in _SESSION.items()))
    connection.autocommit = False


def _say(place: str, context: ExceptionContext) -> None:
    error: Any = context.original_exception
    if context.is_pre_ping or not hasattr(error, "sqlstate"):
        return
    said = " ".join(str(error).split())
    if context.connection is None:
        raise _unreachable(place, said) from error
    state = "08" if context.is_disconnect and not error.sqlstate else error.sqlstate or ""
    for fault, told in _FAULTS.items():
        if state.startswith(fault):
            kind = UnavailableError if fault in _PASSING else ReidappError
            raise kind(f"{place}: {told} ({said})") from error


def _unreachable(place: str, said: str) -> ReidappError:
    if "password" in said:
        remedy = "give the password by PGPASSWORD, or a line of ~/.pgpass"
    elif "does not exist" in said:
        remedy = "createdb makes a database, createuser a user"
    else:
        return UnavailableError(f"{place}: the server cannot be reached; see whether it runs, and the address ({said})")
    return UserError(f"{place}: {remedy} ({said})")
