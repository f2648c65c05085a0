"""A gallery on disk: what opening, creating and committing promise."""

import multiprocessing
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from reidapp.errors import ReidappError, UserError
from reidapp.gallery import database, schema, vectors
from reidapp.gallery.store import Gallery
from tests.reidapp.gallery.test_search import DIM, START_MS, Model, add_video, chunk_of, new_gallery, unit


def test_the_migrations_make_the_schema(tmp_path: Path) -> None:
    engine = database.connect(tmp_path / "gallery.db")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.Base.metadata) == []


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
    busy = pytest.raises(ReidappError, match="another `reidapp index` or `reembed` is writing")
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
