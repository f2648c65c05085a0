"""A gallery on disk: what opening, creating and committing promise."""

import json
import multiprocessing
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

import numpy as np
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, create_engine, select
from sqlalchemy.orm import Session

from reidapp import files
from reidapp.errors import ReidappError, UserError
from reidapp.gallery import database, schema, vectors
from reidapp.gallery.search import Searcher
from reidapp.gallery.store import Gallery
from reidapp.settings import CameraSettings
from tests.reidapp.commands import ROOT, as_json, refused
from tests.reidapp.gallery.test_search import DIM, START_MS, Model, add_video, chunk_of, new_gallery, unit


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


def test_facts_of_a_gallery(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path)
    add_video(gallery, 0, "gate", [chunk_of(0, [(1.0, unit(np.ones((2, DIM))))])], START_MS)
    facts = gallery.facts()
    told = facts.to_dict()
    assert {key: told[key] for key in ("cameras", "videos", "tracklets", "crops")} == {
        "cameras": 1, "videos": 1, "tracklets": 1, "crops": 2,
    }  # fmt: skip
    assert (told["first"], told["last"]) == ("2024-10-04T00:00:00.000Z", "2024-10-04T00:01:00.000Z")
    assert told["bytes"]["vectors"] == 2 * DIM * 2
    assert told["bytes"]["crops"] > 0
    assert told["bytes"]["database"] >= (gallery.path / "gallery.db").stat().st_size
    assert "1 camera, 1 recording, 1 tracklet, 2 crops" in str(facts)
    (tmp_path / "empty").mkdir()
    assert "0 cameras, 0 recordings" in str(new_gallery(tmp_path / "empty").facts())


def test_readers_do_not_wait_for_the_writer(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path)
    with gallery.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_opening_what_is_no_gallery(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no gallery here; make one with `reidapp index"):
        Gallery.open(tmp_path)
    (tmp_path / "gallery.db").write_text("a text, not a database, and long enough to be looked at " * 10)
    with pytest.raises(UserError, match="not a gallery's database"):
        Gallery.open(tmp_path)


def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path)
    gallery.engine.dispose()
    with sqlite3.connect(gallery.path / "gallery.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(UserError, match="written by a newer reidapp"):
        Gallery.open(gallery.path)


def test_a_folder_with_other_things_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"a picture")
    with pytest.raises(UserError, match="not a gallery and not an empty folder"):
        Gallery.create(tmp_path, Path(__file__), Model.card, Model.identity)
    assert [p.name for p in tmp_path.iterdir()] == ["holiday.jpg"]


def test_a_creation_that_was_killed_is_done_again(tmp_path: Path) -> None:
    folder = tmp_path / "gallery"
    (folder / "models").mkdir(parents=True)
    (folder / "models/abab.onnx").write_bytes(b"half a mod")
    for name in ("gallery.db.new", "gallery.db.new-wal"):
        (folder / name).write_text("half a database")
    assert new_gallery(tmp_path).summary().crops == 0
    assert not list(folder.glob("*.new*"))


def test_two_processes_create_one_gallery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, made = Path(__file__), list[Gallery]()
    connect = database.connect

    def create() -> None:
        made.append(Gallery.create(tmp_path / "gallery", file, Model.card, Model.identity))

    second = threading.Thread(target=create)

    def meanwhile(path: Path) -> Engine:
        of_second, half_made = threading.current_thread() is second, path.suffix == ".new"
        if not of_second and not half_made:
            second.join()
        engine = connect(path)
        if not of_second and half_made:
            second.start()
            second.join(2.0)
        return engine

    monkeypatch.setattr(database, "connect", meanwhile)
    create()
    assert len(made) == 2
    assert [gallery.summary().crops for gallery in made] == [0, 0]


def test_what_is_committed_is_on_the_disk_with_the_folders_that_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut takes away names that their folder was not flushed with."""
    named, flush = set[Path](), files.flush_folder

    def flushing(folder: Path) -> None:
        flush(folder)
        named.update(folder.iterdir())

    monkeypatch.setattr(files, "flush_folder", flushing)
    gallery = new_gallery(tmp_path)
    add_video(gallery, 0, "gate", [chunk_of(n, [(60.0 * n, unit(np.ones((1, DIM))))]) for n in (0, 1)], START_MS)
    kinds = [gallery.path / kind for kind in ("crops", "vectors", "models")]
    pictures = set(gallery.path.glob("crops/*/*/*"))  # flushed in a folder that then gets its name
    there = {path for kind in kinds for path in [kind, *kind.rglob("*")]} - pictures
    assert len(pictures) == 2
    assert {gallery.path, gallery.path / database.FILE_NAME} | there <= named


def test_any_name_will_do_for_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "50 % sure? #1 &x=y"
    folder.mkdir()
    assert new_gallery(folder).summary().crops == 0
    assert (folder / "gallery/gallery.db").is_file()
    assert [entry.name for entry in tmp_path.iterdir()] == [folder.name]


def test_a_shard_that_is_gone_is_counted_as_nothing(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path)
    video_id = add_video(gallery, 0, "gate", [chunk_of(0, [(1.0, unit(np.ones((2, DIM))))])], START_MS)
    with gallery.writing() as writer:
        assert writer.counted([video_id]) == (2, 2, 2)
        for shard in (gallery.path / "vectors").rglob("*.f16"):
            shard.unlink()
        assert writer.counted([video_id]) == (2, 2, 0)


def test_unknown_ids_are_said(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path)
    for ask in (gallery.tracklet, gallery.video, gallery.crop_file):
        with pytest.raises(UserError, match="no-such-id: not in this gallery"):
            ask("no-such-id")


def _write(path: Path) -> None:
    with Gallery.open(path).writing():
        pass


def test_one_process_writes_at_a_time(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path)
    busy = pytest.raises(ReidappError, match="another process, such as `reidapp index`, is writing")
    with gallery.writing(), multiprocessing.get_context("spawn").Pool(1) as pool, busy:
        pool.apply(_write, (gallery.path,))
    _write(gallery.path)


def test_vectors_are_stored_as_they_came_in_half_precision(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    chunks = [unit(rng.normal(size=(3, DIM))), unit(rng.normal(size=(2, DIM)))]
    gallery = new_gallery(tmp_path)
    add_video(gallery, 0, "gate", [chunk_of(n, [(60.0 * n + 1, rows)]) for n, rows in enumerate(chunks)], START_MS)
    (shard,) = (gallery.path / "vectors").rglob("*.f16")
    np.testing.assert_array_equal(vectors.read(shard, 5, DIM), np.concatenate(chunks).astype(np.float16))


def test_a_shard_longer_than_its_rows_is_written_over(tmp_path: Path) -> None:
    """A run was killed after it wrote vectors and before it committed."""
    rng = np.random.default_rng(1)
    first, second = unit(rng.normal(size=(3, DIM))), unit(rng.normal(size=(2, DIM)))
    shard = tmp_path / "day.f16"
    vectors.append(shard, 0, first)
    vectors.append(shard, 3, unit(rng.normal(size=(4, DIM))))  # never committed
    vectors.append(shard, 3, second)
    assert shard.stat().st_size == 5 * DIM * 2
    np.testing.assert_array_equal(vectors.read(shard, 5, DIM), np.concatenate([first, second]).astype(np.float16))


def test_a_shard_that_lost_rows_is_said(tmp_path: Path) -> None:
    shard = tmp_path / "day.f16"
    vectors.append(shard, 0, np.ones((3, DIM), np.float32))
    with pytest.raises(ReidappError, match="5 vectors should be there and 3 are"):
        vectors.read(shard, 5, DIM)


def test_a_commit_that_fails_leaves_nothing_visible(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path)
    good = chunk_of(0, [(1.0, unit(np.ones((1, DIM))))])
    video_id = add_video(gallery, 0, "gate", [], START_MS)
    before = gallery.summary(), gallery.generation
    with gallery.writing() as writer:
        torn = chunk_of(0, [(1.0, unit(np.ones((1, DIM))))], continues="no such tracklet")
        with pytest.raises(Exception, match="FOREIGN KEY"):
            writer.add_chunk(video_id, torn)
        assert (gallery.summary(), gallery.generation) == before
        writer.add_chunk(video_id, good)
    assert gallery.summary().crops == 1


def test_a_shard_cut_short_is_said_by_a_search(tmp_path: Path) -> None:
    gallery, rows = new_gallery(tmp_path), unit(np.random.default_rng(2).normal(size=(6, 1, DIM)))
    add_video(gallery, 0, "gate", [chunk_of(0, [(1.0 + 5 * i, row) for i, row in enumerate(rows)])], START_MS)
    (shard,) = (gallery.path / "vectors").rglob("*.f16")
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-10])

    with pytest.raises(ReidappError, match=r"6 vectors should be there and 5 are; `reidapp gallery repair` makes them"):
        Searcher(gallery, Model())
    shard.write_bytes(whole)
    assert len(Searcher(gallery, Model()).search(rows[0], top=9).hits) == 6


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
