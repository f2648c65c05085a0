"""A gallery's database: its migrations, and what is refused as one."""

import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, create_engine, select
from sqlalchemy.orm import Session

from reidapp import files
from reidapp.errors import ReidappError, UserError
from reidapp.gallery import database, schema
from reidapp.gallery.store import Gallery
from reidapp.settings import CameraSettings
from tests.reidapp.commands import ROOT, as_json, refused
from tests.reidapp.gallery.test_search import Model, new_gallery


def test_the_migrations_make_the_schema(tmp_path: Path) -> None:
    engine = database.connect(tmp_path / "gallery.db")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.Base.metadata) == []


def _of_the_first_schema(path: Path) -> None:
    """A database as the first version left it: starts were read by the clock of the run's zone."""
    settings = json.dumps({"zone": "Europe/Berlin"})
    videos = [
        ("naive", "/f/gate/2026-07-15_10-00-00.mp4", "2026-07-15T08:00:00", "name", settings),
        ("twice", "/f/gate/2026-10-25_02-30-00.mp4", "2026-10-25T00:30:00", "template", settings),
        ("zulu", "/f/gate/2026-07-15T10-00-00Z.mp4", "2026-07-15T10:00:00", "name", settings),
        ("west", "/f/gate/20260715T100000-0400.mp4", "2026-07-15T14:00:00", "name", settings),
        ("until", "/f/gate/20260715_100000-1100.mp4", "2026-07-15T08:00:00", "name", settings),
        ("box", "/f/gate/1.mp4", "2026-07-15T10:00:00.500", "container", settings),
        ("bare", "/f/gate/2.mp4", "2026-07-15T10:00:00", "mtime", "{}"),
    ]
    engine = create_engine(f"sqlite:///{path}")
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.exec_driver_sql("INSERT INTO setting VALUES ('model', 'ab'), ('generation', '7')")
        connection.exec_driver_sql("INSERT INTO camera VALUES (1, 'gate', 'Europe/Berlin')")
        for id_, file, start, source, run in videos:
            start_ms = round(datetime.fromisoformat(start).replace(tzinfo=UTC).timestamp() * 1000)
            row = (id_, 1, file, 1, 1, start_ms, source, 60.0, 640, 360, run, 1, None)
            connection.exec_driver_sql(f"INSERT INTO video VALUES ({', '.join('?' * len(row))})", row)
        connection.commit()
    engine.dispose()


def test_a_gallery_of_the_first_schema_opens_and_its_clocks_can_be_corrected(tmp_path: Path) -> None:
    _of_the_first_schema(tmp_path / "gallery.db")
    gallery = Gallery.open(tmp_path)
    with Session(gallery.engine) as session:
        written = dict(session.execute(select(schema.Video.id, schema.Video.written)).all())
    assert written == {
        "naive": "2026-07-15T10:00:00",
        "twice": "2026-10-25T02:30:00",
        "zulu": "2026-07-15T10:00:00+00:00",
        "west": "2026-07-15T14:00:00+00:00",
        "until": "2026-07-15T10:00:00",
        "box": "2026-07-15T10:00:00.500000+00:00",
        "bare": "2026-07-15T10:00:00+00:00",
    }
    before = {id_: gallery.video(id_).start for id_ in written}
    with gallery.writing() as writer:
        writer.change_camera("gate", CameraSettings(zone="Europe/Berlin"))
        assert {id_: gallery.video(id_).start for id_ in written} == before
        writer.change_camera("gate", CameraSettings(zone="UTC"))
    moved = {id_ for id_ in written if gallery.video(id_).start != before[id_]}
    assert moved == {"naive", "twice", "until"}


def _said(path: Path) -> list[str]:
    """All that a database says, as statements."""
    with closing(sqlite3.connect(path)) as rows:
        return list(rows.iterdump())


DIES_AT_THE_END = """
import sys
from pathlib import Path
from reidapp.gallery import database
from reidapp.gallery.store import Gallery
from tests.killing import die_at
die_at(database, "migrated", 1)
Gallery.open(Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_an_upgrade_that_fails_or_is_killed_leaves_the_old_one_and_the_next_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _of_the_first_schema(tmp_path / "gallery.db")
    before = _said(tmp_path / "gallery.db")

    def fails(connection: Connection) -> None:
        raise ReidappError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(database, "migrated", fails)
        with pytest.raises(ReidappError, match="the disk is full"):
            Gallery.open(tmp_path)
    assert _said(tmp_path / "gallery.db") == before
    killed = subprocess.run([sys.executable, "-c", DIES_AT_THE_END, str(tmp_path)], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert _said(tmp_path / "gallery.db") == before
    assert database.versions(tmp_path)[0] == "0001"
    told = as_json("gallery", "upgrade", "--gallery", tmp_path)
    assert told["before"] == "0001" < told["after"]
    assert as_json("gallery", "upgrade", "--gallery", tmp_path)["before"] == told["after"]
    assert "no gallery here" in refused(2, "gallery", "upgrade", "--gallery", tmp_path / "nothing")


OPENS = """
import sys
from pathlib import Path
from reidapp.gallery import database
from reidapp.gallery.store import Gallery
migrated = database.migrated
def waits(connection):
    print("migrated", flush=True)
    sys.stdin.readline()
    migrated(connection)
database.migrated = waits
Gallery.open(Path(sys.argv[1]))
print("opened", flush=True)
"""


@pytest.mark.slow
def test_who_opens_a_gallery_while_another_upgrades_it_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _of_the_first_schema(tmp_path / "gallery.db")
    migrate, begun = database._migrate, threading.Event()

    def told(engine: Engine) -> None:
        begun.set()
        migrate(engine)

    monkeypatch.setattr(database, "_migrate", told)
    opens, pipe = [sys.executable, "-c", OPENS, str(tmp_path)], subprocess.PIPE
    with (
        subprocess.Popen(opens, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as first,
        ThreadPoolExecutor(1) as pool,
    ):
        try:
            assert first.stdout
            assert first.stdout.readline() == "migrated\n"
            second = pool.submit(Gallery.open, tmp_path)
            assert begun.wait(60)
            time.sleep(0.5)  # so that it is in the midst of it
            assert "opened" in first.communicate("\n")[0]
        finally:
            first.kill()
        assert len(second.result().cameras()) == 1


def test_readers_do_not_wait_for_the_writer(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path)
    with gallery.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path)
    gallery.engine.dispose()
    with sqlite3.connect(gallery.path / "gallery.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(UserError, match="written by a newer reidapp"):
        Gallery.open(gallery.path)


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "smb3", "fuse.sshfs"])
def test_sqlite_on_a_network_share_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    there = new_gallery(tmp_path)
    monkeypatch.setattr(files, "network_share", lambda path: kind if "gallery" in path.parts else None)
    said = (
        rf"gallery: lies on a network share \({kind}\), .*; keep the gallery on a local disk, or its rows in PostgreSQL"
    )
    with pytest.raises(UserError, match=said):
        Gallery.open(there.path)
    (tmp_path / "model.onnx").write_bytes(b"stands for a model")
    with pytest.raises(UserError, match=said.replace("gallery:", "new:", 1)):
        Gallery.create(tmp_path / "gallery" / "new", tmp_path / "model.onnx", Model.card, Model.identity)
