"""The rows of a gallery: where they are, how they are opened, written, copied and brought up to date.

They are in a file of the gallery's folder, or in a PostgreSQL database, which a small file there names, without a
password. What the two do differently is in `sqlite` and `postgresql`.
"""

import functools
import json
import os
import shutil
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import JSON, Connection, Engine, Select, Table, cast, delete, insert, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.functions import GenericFunction

from reidapp import files
from reidapp.errors import ReidappError, UserError
from reidapp.gallery import postgresql, sqlite
from reidapp.gallery.schema import Base, Chunk, Setting, Tracklet

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")

FILE_NAME = "gallery.db"
REFERENCE = "database.json"  # in its place, where the rows are elsewhere
_OWNER = "gallery"  # the setting by which folder and database know each other
_OWNED = select(Setting.value).where(Setting.key == _OWNER)
_AT_ONCE = 1000  # rows


@dataclass(frozen=True)
class Reference:
    """Where a gallery's rows are, without a password, and an id that the folder and the database both have."""

    url: str
    gallery: str

    @classmethod
    def read(cls, file: Path) -> "Reference | None":
        """
        Raises:
            UserError: the file is damaged.
        """
        try:
            return cls(**json.loads(file.read_bytes()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise UserError(f"{file}: damaged; restore a back-up of the gallery, or of this file") from error

    def write(self, file: Path) -> None:
        """Put it into a file, as a whole or not at all."""
        files.write_whole(file, json.dumps(asdict(self)).encode())


def is_there(folder: Path) -> bool:
    """Whether a folder has a gallery's rows, or says where they are."""
    return (folder / FILE_NAME).is_file() or (folder / REFERENCE).is_file()


def opened(folder: Path, url: str | None = None) -> Engine:
    """The rows of a gallery's folder, their schema up to date.

    Args:
        url: of a server, where it has another address than before, or with a password; the address is kept.

    Raises:
        UserError: it has none, or they are of another gallery; see `postgresql.connect` for the rest.
    """
    reference = Reference.read(folder / REFERENCE)
    if reference is None:
        if url:
            raise UserError(
                f"{folder}: its rows are in {FILE_NAME}; `reidapp gallery backup`, and then `reidapp gallery restore "
                "--database URL`, make a gallery of it whose rows are on a server"
            )
        return connect(folder / FILE_NAME)
    engine = postgresql.connect(url or reference.url)
    with Session(engine) as session:
        owner = session.scalar(_OWNED)
    if owner != reference.gallery:
        raise UserError(
            f"{place(engine)}: does not hold the rows of {folder} but {'another' if owner else 'half a'} gallery; "
            "`reidapp index --gallery … --database URL` says where they are now, or restore a back-up"
        )
    upgrade(engine)
    if place(engine) != reference.url:
        Reference(place(engine), reference.gallery).write(folder / REFERENCE)
    return engine


def connect(path: Path) -> Engine:
    """An engine on an SQLite file, its schema up to date.

    Raises:
        UserError: the file is not a gallery's database, or lies on a network share.
    """
    engine = sqlite.connect(path)
    upgrade(engine)
    return engine


@contextmanager
def founding(folder: Path, url: str | None = None) -> Iterator[Session]:
    """A session for the first rows of a gallery, in its folder or on a server; at the end they are there, and before
    not at all. A founding that was killed is begun anew.

    Raises:
        UserError: the server's database holds another gallery; see `postgresql.connect` for the rest.
    """
    if url is None:
        half_made = folder / f"{FILE_NAME}.new"
        for leftover in folder.glob(f"{half_made.name}*"):  # of a run that was killed in here
            leftover.unlink()
        engine = connect(half_made)
        with changing(engine) as session:
            yield session
        shed(engine)
        engine.dispose()
        os.replace(half_made, folder / FILE_NAME)
    else:
        half_made = folder / f"{REFERENCE}.new"
        engine = postgresql.connect(url, new=True)
        upgrade(engine)
        begun = Reference.read(half_made)
        reference = Reference(place(engine), begun.gallery if begun else uuid.uuid4().hex)
        with changing(engine) as session:
            owner = session.scalar(_OWNED)
            if owner not in (None, reference.gallery):
                raise UserError(
                    f"{place(engine)}: holds a gallery already, of another folder than {folder}; give this one a "
                    "database, or a schema, of its own (if that folder is lost, restore a back-up)"
                )
            reference.write(half_made)
            clear(session)
            session.add(Setting(key=_OWNER, value=reference.gallery))
            yield session
            postgresql.count_on(session)
        engine.dispose()
        os.replace(half_made, folder / REFERENCE)
    files.flush_folder(folder)


def empty_again(folder: Path, url: str | None) -> None:
    """An empty folder, in which `founding` begins anew what it has begun there and on a server."""
    half_made = folder / f"{REFERENCE}.new"
    begun = Reference.read(folder / REFERENCE) or Reference.read(half_made)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if url and begun:
        begun.write(half_made)


def copy_rows(source: Engine, folder: Path, url: str | None = None) -> None:
    """Copy all rows, as they are at one moment, to be those of a gallery in a folder that has none.

    Raises:
        UserError: as `founding`.
    """
    if url is None and source.dialect.name == "sqlite":
        sqlite.copy(source, folder / FILE_NAME)
        return
    with source.connect() as connection, founding(folder, url) as session:
        for table in Base.metadata.sorted_tables:
            found = connection.execution_options(yield_per=_AT_ONCE).execute(_in_order(table)).mappings()
            for rows in found.partitions():
                session.execute(insert(table), [dict(row) for row in rows])


def clear(session: Session) -> None:
    """Take all rows out."""
    for table in reversed(Base.metadata.sorted_tables):
        session.execute(delete(table))


@contextmanager
def changing(engine: Engine) -> Iterator[Session]:
    """A session that holds the right to write from its beginning, and commits at its end. What it has read and written
    stays readable afterwards."""
    with Session(engine, expire_on_commit=False) as session, session.begin():
        _of(engine).take_right_to_write(session)
        yield session


def held(engine: Engine, what: str, busy: str | None = None) -> AbstractContextManager[None]:
    """Hold a right that one machine has at a time; those of one machine have a lock of the folder for it."""
    holding: AbstractContextManager[None] = _of(engine).held(engine, what, busy)
    return holding


def blames_rows(read: Callable[Asked, Answer]) -> Callable[Asked, Answer]:
    """Whatever rows that do not fit together make a reader trip over is said as a fault of theirs.

    For what only reads, and whose first argument has the engine, or a gallery that has it. SQLite finds pages that are
    damaged, and not a value that somebody has changed.
    """

    @functools.wraps(read)
    def reading(*arguments: Asked.args, **options: Asked.kwargs) -> Answer:
        try:
            return read(*arguments, **options)
        except ReidappError:
            raise
        except (LookupError, ValueError, TypeError, ArithmeticError, AttributeError, SQLAlchemyError) as error:
            asked: Any = arguments[0]
            engine = getattr(asked, "gallery", asked).engine
            said = " ".join(str(error).split())[:100]
            raise ReidappError(
                f"{place(engine)}: its rows do not fit together ({type(error).__name__}: {said}); restore a back-up"
            ) from error

    return reading


class _Each(GenericFunction[Any]):
    """The texts of a JSON list, as rows."""

    name = "json_each"
    inherit_cache = True


@compiles(_Each, "postgresql")
def _each(element: _Each, compiler: Any, **options: Any) -> str:
    return f"json_array_elements_text({compiler.process(cast(element.clauses.clauses[0], JSON), **options)})"


def listed(values: Collection[str]) -> Select[tuple[str]]:
    """Values for ``in_``, as JSON, since databases take no more than some ten thousand one by one."""
    return select(_Each(json.dumps(list(values))).table_valued("value").c.value)


def shed(engine: Engine) -> None:
    """Let as little of deleted rows stay behind as the database can."""
    _of(engine).shed(engine)


def shed_wholly(engine: Engine) -> None:
    """Let nothing of deleted rows stay behind, as far as the database knows.

    Raises:
        BusyError: others do not let that happen.
    """
    _of(engine).shed_wholly(engine)


def faults(session: Session) -> Iterator[str]:
    """What is wrong with the database itself, apart from what its rows say."""
    found: Iterator[str] = _of(session.get_bind()).faults(session)
    return found


def size(engine: Engine) -> int:
    """Bytes on disk."""
    return int(_of(engine).size(engine))


def place(engine: Engine) -> str:
    """The file, or the address without a password."""
    return str(_of(engine).place(engine))


def name(engine: Engine) -> str:
    """How a user calls it who knows where it is."""
    return str(_of(engine).name(engine))


def versions(folder: Path) -> tuple[str | None, str]:
    """The version of the schema that a gallery's rows have now, and this program's; nothing is changed.

    Raises:
        UserError: as `opened`.
    """
    reference = Reference.read(folder / REFERENCE)
    engine = postgresql.connect(reference.url) if reference else sqlite.connect(folder / FILE_NAME)
    try:
        return _versions(engine)
    finally:
        engine.dispose()


def upgrade(engine: Engine) -> None:
    """Run the migrations that this database has not seen: all of them, or, where one fails or is killed, none."""
    current, newest = _versions(engine)
    if current != newest:
        with held(engine, "migrations"):
            _migrate(engine)


def _versions(engine: Engine) -> tuple[str | None, str]:
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    newest = ScriptDirectory(str(Path(__file__).parent / "migrations")).get_current_head()
    assert newest  # noqa: S101 - there are migrations; for mypy
    with engine.connect() as connection:
        return ", ".join(MigrationContext.configure(connection).get_current_heads()) or None, newest


def _migrate(engine: Engine) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    folder = str(Path(__file__).parent / "migrations")
    config.set_main_option("script_location", folder.replace("%", "%%"))
    with engine.connect().execution_options(writes=True) as connection:  # who comes second waits, and finds it done
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise UserError(f"{place(engine)}: written by a newer reidapp; update reidapp ({error})") from error
        except (SQLAlchemyError, AssertionError, LookupError, ValueError, TypeError) as error:  # of Alembic, too
            raise ReidappError(
                f"{place(engine)}: its tables are of no version of reidapp ({type(error).__name__}); restore a back-up"
            ) from error
        connection.commit()


def migrated(connection: Connection) -> None:
    """What a database needs after its migrations, in their transaction."""
    _of(connection).migrated(connection)


def _of(engine: Any) -> ModuleType:
    return {"sqlite": sqlite, "postgresql": postgresql}[engine.dialect.name]


def _in_order(table: Table) -> Select[Any]:
    """All rows of a table, none before one that it names; not whose rows they are."""
    rows = select(table)
    if table is Setting.__table__:
        return rows.where(Setting.key != _OWNER)
    if table is Tracklet.__table__:
        return rows.join(Chunk, Chunk.id == Tracklet.chunk_id).order_by(Chunk.number, Tracklet.id)
    return rows.order_by(*table.primary_key)
