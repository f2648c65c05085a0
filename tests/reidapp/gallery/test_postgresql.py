"""Rows in PostgreSQL: the same rows, hits and orders as in SQLite, and what can go wrong with a server."""

import json
import multiprocessing
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, select, text
from sqlalchemy.orm import Session

from reidapp.cli import app
from reidapp.errors import ReidappError, UserError
from reidapp.files import BusyError
from reidapp.gallery import database, deletion, erasure, postgresql, schema, snapshot, vectors
from reidapp.gallery.backup import copy_gallery
from reidapp.gallery.calibration import Calibration, Point, current, keep
from reidapp.gallery.deletion import Selection, delete_from
from reidapp.gallery.erasure import Subject
from reidapp.gallery.identities import Identities
from reidapp.gallery.repair import repair
from reidapp.gallery.saved_searches import SavedSearches
from reidapp.gallery.search import Searcher
from reidapp.gallery.store import Gallery
from reidapp.gallery.traces import searched
from reidapp.gallery.verification import verify
from reidapp.model_card import ModelCard
from tests.killing import die_at
from tests.postgres import GUARDED, Server
from tests.reidapp.footage import test_indexing as indexing
from tests.reidapp.gallery import test_cameras as cameras
from tests.reidapp.gallery import test_deletion as deletions
from tests.reidapp.gallery import test_identities as identities
from tests.reidapp.gallery import test_listing as listing
from tests.reidapp.gallery import test_reembedding as reembedding
from tests.reidapp.gallery.test_search import DIM, START_MS, Model, add_video, chunk_of, new_gallery, unit
from tests.small_gallery import make_gallery, png, query_crop

NewUrl = Callable[[], str]

footage = indexing.footage
whole = indexing.whole  # in SQLite


@pytest.fixture(scope="module")
def migrated(postgres: Server) -> str:
    """A database from which others are copied, since migrations take a while."""
    name = postgres.new_database()
    engine = postgresql.connect(postgres.url(name), new=True)
    database.upgrade(engine)
    engine.dispose()
    return name


@pytest.fixture
def new_url(postgres: Server, migrated: str) -> Iterator[NewUrl]:
    names: list[str] = []

    def make() -> str:
        names.append(postgres.new_database(f"TEMPLATE {migrated}"))
        return postgres.url(names[-1])

    yield make
    for name in names:
        postgres.drop(name)


@pytest.fixture
def on_server(new_url: NewUrl, monkeypatch: pytest.MonkeyPatch) -> None:
    """Galleries that are made have their rows on the server."""
    create = Gallery.create

    def there(path: Path, model: Path, card: ModelCard, model_id: str, url: str | None = None) -> Gallery:
        return create(path, model, card, model_id, url or new_url())

    monkeypatch.setattr(Gallery, "create", there)
    for module in ("verification", "repair"):
        monkeypatch.setattr(f"reidapp.gallery.{module}.is_model", lambda file, id_: True)


@pytest.fixture
def gallery(on_server: None, tmp_path: Path) -> Gallery:
    """Two tracklets of a camera; the second has two crops."""
    made = new_gallery(tmp_path)
    rows = unit(np.random.default_rng(0).normal(size=(3, DIM)))
    add_video(made, 0, "gate", [chunk_of(0, [(1.0, rows[:1]), (5.0, rows[1:])])], START_MS)
    return made


def rows_of(gallery: Gallery) -> dict[str, list[tuple]]:
    """Every row of what indexing makes, in the order of their keys."""
    kinds = (schema.Camera, schema.Video, schema.Chunk, schema.Tracklet, schema.Crop, schema.Block, schema.Model)
    with gallery.engine.connect() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))]
            for table in (kind.__table__ for kind in kinds)
        }


def hits(gallery: Gallery) -> list[tuple]:
    searcher, embedder = Searcher(gallery, indexing.ShirtEmbedder()), indexing.ShirtEmbedder()
    found = [searcher.search(embedder.embed([query_crop(shirt)]), top=50).hits for shirt in ("red", "blue", "green")]
    return [(h.tracklet, h.camera, h.start, h.end, h.score, h.video) for each in found for h in each]


def test_the_migrations_make_the_schema_and_texts_are_ordered_by_their_bytes(postgres: Server, migrated: str) -> None:
    engine = postgresql.connect(postgres.url(migrated))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.Base.metadata) == []
        collations = text(
            "SELECT DISTINCT collation_name FROM information_schema.columns "
            "WHERE table_schema = 'public' AND data_type IN ('character varying', 'text')"
        )
        assert connection.scalars(collations).all() == ["C"]
    engine.dispose()


def test_an_upgrade_that_fails_leaves_the_old_rows(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    now, newest = database.versions(gallery.path)
    assert now == newest
    before = rows_of(gallery)
    with gallery.engine.begin() as connection:  # as if the last migration had not been made
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0006'")
        connection.exec_driver_sql("DROP TABLE erasure")

    def fails(connection: Connection) -> None:
        raise ReidappError("the server has stopped")

    with monkeypatch.context() as patch:
        patch.setattr(database, "migrated", fails)
        with pytest.raises(ReidappError, match="the server has stopped"):
            Gallery.open(gallery.path)
    assert database.versions(gallery.path) == ("0006", newest)
    assert rows_of(Gallery.open(gallery.path)) == before
    assert database.versions(gallery.path) == (newest, newest)


# --- the same as in SQLite ---


def test_killed_and_resumed_it_ends_with_the_rows_and_hits_of_sqlite(
    footage: Path, whole: tuple[Gallery, Any], on_server: None, tmp_path: Path
) -> None:
    gallery = indexing.new_gallery(tmp_path / "gallery")
    arguments = (footage, gallery.path, "vectors", 2)
    process = multiprocessing.get_context("spawn").Process(target=indexing._run_until_killed, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    begun = rows_of(gallery)["chunk"]
    assert 0 < len(begun) < len(rows_of(whole[0])["chunk"])
    indexing.run(footage, gallery)
    assert rows_of(gallery) == rows_of(whole[0])
    assert hits(gallery) == hits(whole[0])
    assert [c.name for c in gallery.cameras()] == [c.name for c in whole[0].cameras()]
    for kind in ("crops", "vectors"):
        stored = [
            {file.relative_to(each.path): file.read_bytes() for file in (each.path / kind).rglob("*.[wf]*[6p]")}
            for each in (gallery, whole[0])
        ]
        assert stored[0] == stored[1]


def test_a_server_that_stops_meanwhile_is_one_line_and_nothing_is_lost(
    footage: Path, whole: tuple[Gallery, Any], on_server: None, postgres: Server, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    gallery = indexing.new_gallery(tmp_path / "gallery")
    append, calls = vectors.append, 0

    def stopping(*given: Any) -> str:
        nonlocal calls
        calls += 1
        if calls == 3:
            postgres.stop()
        return append(*given)

    monkeypatch.setattr(vectors, "append", stopping)
    try:
        with pytest.raises(ReidappError, match="run the same command again, what is finished is kept"):
            indexing.run(footage, gallery)
        with pytest.raises(ReidappError, match="the server cannot be reached"):
            gallery.summary()
    finally:
        postgres.start()
    assert len(rows_of(gallery)["chunk"]) == 2  # the same gallery finds the server again
    indexing.run(footage, gallery)
    assert rows_of(gallery) == rows_of(whole[0])


def test_names_are_ordered_as_in_sqlite(new_url: NewUrl, tmp_path: Path) -> None:
    names = ["b", "A", "a", "Ä", "_z", "Z", "10", "9", "é", "e", "人", "-", "a b"]
    both = []
    for number, url in enumerate((None, new_url())):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "model.onnx").write_bytes(b"stands for a model")
        gallery = Gallery.create(folder / "gallery", folder / "model.onnx", Model.card, Model.identity, url)
        for i, name in enumerate(names):
            add_video(gallery, i, name, [chunk_of(0, [(1.0, unit(np.ones((1, DIM))))])], START_MS)
            Identities(gallery, "me").new(name)
            SavedSearches(gallery, "me").save(name, [], filters={"cameras": [name]})
        both.append(gallery)
    one, other = both
    assert rows_of(one) == rows_of(other)
    assert [c.name for c in one.cameras()] == [c.name for c in other.cameras()] == sorted(names)
    assert [each.name for each in Identities(other, "me").all()] == sorted(names)
    assert [each.name for each in SavedSearches(other, "me").all()] == sorted(names)
    with pytest.raises(UserError, match=r"there is one of this name"):
        Identities(other, "me").new("A")


@pytest.mark.parametrize(
    "behaviour",
    [
        identities.test_a_name_gathers_tracklets,
        identities.test_a_tracklet_shows_one_person,
        identities.test_a_merge_is_taken_apart_after_other_actions,
        identities.test_names_last,
        lambda gallery: identities.test_whatever_was_done_is_undone_and_redone(gallery, 0),
    ],
)
def test_identities(behaviour: Callable[[Gallery], None], on_server: None, tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path)
    identities.fill(gallery)
    behaviour(gallery)


@pytest.mark.parametrize(
    "behaviour",
    [
        lambda folder: deletions.test_the_same_hits_as_brute_force_after_any_deletions(folder, 0),
        deletions.test_pruned_of_its_old_model_a_gallery_is_searched_as_before,
        deletions.test_a_deleted_picture_comes_back_only_if_it_is_asked_for,
        cameras.test_a_corrected_clock_moves_hits_filters_and_spans_at_once,
        cameras.test_merged_cameras_keep_hits_and_links_and_tell_overlaps,
    ],
)
def test_life(
    behaviour: Callable[[Path], None], on_server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "_WORTH", 1)
    behaviour(tmp_path)


@pytest.fixture
def pictured(on_server: None, tmp_path: Path) -> Gallery:
    """Of two cameras, with pictures that can be embedded again."""
    file, embedder = tmp_path / "colours.onnx", reembedding.ColourEmbedder
    file.write_bytes(b"stands for a model")
    made = Gallery.create(tmp_path / "gallery", file, embedder.card, embedder.identity)
    chunks = [reembedding.chunk(0, reembedding.COLOURS[:3]), reembedding.chunk(1, reembedding.COLOURS[3:7])]
    add_video(made, 0, "gate", chunks, START_MS)
    add_video(made, 1, "hall", [reembedding.chunk(0, reembedding.COLOURS[7:9])], START_MS)
    return made


def test_to_another_model_and_back(pictured: Gallery, tmp_path: Path) -> None:
    (tmp_path / "half.onnx").write_bytes(b"stands for another model")
    before = rows_of(pictured)
    reembedding.reembed(pictured, reembedding.Half(), tmp_path / "half.onnx")
    assert pictured.model_id == reembedding.Half.identity
    assert verify(pictured).faults == []
    report = reembedding.reembed(pictured, reembedding.ColourEmbedder(), pictured.model_path("c0" * 32))
    assert (report.embedded, report.reused) == (0, 18)
    after = rows_of(pictured)
    assert after["tracklet"] == before["tracklet"]
    assert set(after["block"]) > set(before["block"])


def test_lists_by_time_and_a_deletion_by_time(on_server: None, tmp_path: Path) -> None:
    gallery = make_gallery(tmp_path)
    listing.test_pages_hold_everything_once_and_in_order(gallery)
    listing.test_filters_of_videos(gallery)
    listing.test_tracklets_of_a_time(gallery)
    listing.test_a_video_says_what_of_it_is_indexed(gallery)
    deletions.test_a_part_of_a_recording_goes_and_its_crops_keep_their_vectors(gallery)


def test_a_deletion_that_is_killed_is_whole_or_was_not(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    (first, second) = sorted(tracklet.id for tracklet in gallery.tracklets())
    for where, left in ((deletion, [first, second]), (Gallery, [second])):
        name = "next_generation" if where is deletion else "remove_leftovers"
        killed = multiprocessing.get_context("fork").Process(target=_delete_and_die, args=(gallery.path, where, name))
        killed.start()
        killed.join()
        assert killed.exitcode == -signal.SIGKILL
        assert [tracklet.id for tracklet in gallery.tracklets()] == left
        assert verify(gallery).faults == []
    with gallery.writing():
        pass
    assert verify(gallery).leftovers == []


def _delete_and_die(path: Path, owner: Any, name: str) -> None:
    gallery = Gallery.open(path)
    first = min(tracklet.id for tracklet in gallery.tracklets())
    with gallery.writing() as writer:
        die_at(owner, name, 1 if owner is deletion else 2)  # it begins by removing earlier leftovers
        delete_from(writer, Selection(tracklets=[first]))


def test_who_is_erased_is_in_no_table_and_a_back_up_follows(gallery: Gallery, tmp_path: Path) -> None:
    mine, other = (tracklet.id for tracklet in gallery.tracklets())
    Identities(gallery, "me").new("Änne Kowalska", [mine])
    SavedSearches(gallery, "me").save("Änne Kowalska, again", [], [other])
    copy_gallery(gallery, tmp_path / "backup")
    erasure.remember_backup(gallery, tmp_path / "backup")
    subject = Subject("Änne Kowalska")
    sought = erasure.traces_before(gallery, subject)
    assert {"a name in the table identity", "a tracklet's id in the table tracklet"} <= set(
        searched(gallery, sought).found
    )
    with gallery.writing() as writer:
        erasure.erase(writer, subject, "a0")
    assert searched(gallery, sought).found == []
    assert [tracklet.id for tracklet in gallery.tracklets()] == [other]
    assert erasure.erase_from_backups(gallery) == ([f"{tmp_path / 'backup'}: 1 erasure done there, too"], [])
    assert searched(Gallery.open(tmp_path / "backup"), sought).found == []
    assert verify(gallery).faults == []


def test_a_calibration_is_kept(gallery: Gallery) -> None:
    made = Calibration("answers", "2026-03-02T10:00:00Z", 3, 1, 2, 3, 1.5, -2.0, None, None, (Point(0.5, 0.4, 2.0),))
    for calibration in (made, replace(made, a=2.5)):
        keep(gallery, gallery.model_id, calibration)
        assert current(gallery, gallery.model_id) == calibration


def test_facts_say_where_the_rows_are(gallery: Gallery) -> None:
    facts = gallery.facts()
    assert facts.rows.startswith("postgresql://reidapp@/test")
    assert f"rows in {facts.rows}" in str(facts)
    assert facts.bytes["database"] > 100_000


def test_damage_is_named_and_mended(pictured: Gallery) -> None:
    before = rows_of(pictured)
    (shard,) = pictured.path.glob("vectors/*/*.f16")
    shard.write_bytes(shard.read_bytes()[:-2])
    with pictured.engine.connect() as connection:
        connection.execute(text("SET session_replication_role = replica"))  # as a restored dump may have left it
        connection.execute(text("UPDATE video SET camera_id = 77 WHERE camera_id = 1"))
        connection.commit()
        connection.invalidate()
    found = [fault.what for fault in verify(pictured).faults]
    assert any(what.endswith("4 of 18 vectors missing or damaged, the first in row 14") for what in found)
    assert any(what.endswith("1 rows of video name a camera that is not there") for what in found)
    with pictured.engine.begin() as connection:
        connection.execute(text("UPDATE video SET camera_id = 1 WHERE camera_id = 77"))
    report = repair(pictured, lambda file: reembedding.ColourEmbedder())
    assert (report.vectors, report.exact_vectors, report.after.faults) == (4, 4, [])
    assert rows_of(pictured) == before


# --- several machines ---


def machine(gallery: Gallery, folder: Path) -> Gallery:
    """Another machine, on whose share locks are not those of the first."""
    shutil.copytree(gallery.path, folder)
    return Gallery.open(folder)


def test_one_machine_writes_at_a_time(gallery: Gallery, tmp_path: Path) -> None:
    other = machine(gallery, tmp_path / "other")
    with (
        gallery.writing(),
        pytest.raises(BusyError, match="another process, such as `reidapp index`"),
        other.writing(),
    ):
        pass
    with other.writing() as writer:
        writer.clock_of("gate")
    with gallery.files_kept():
        waiting = threading.Thread(target=lambda: other.files_kept().__enter__(), daemon=True)
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
    waiting.join(10)
    assert not waiting.is_alive()


def test_who_lost_the_right_to_write_writes_no_more(gallery: Gallery, postgres: Server) -> None:
    name = str(gallery.engine.url.database)
    generation = gallery.generation
    with gallery.writing() as writer:
        postgres.execute(name, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
        with pytest.raises(ReidappError, match="the connection to the server was lost"):
            writer.change_camera("gate", cameras.CameraSettings(zone="Asia/Tokyo"))
    assert gallery.generation == generation
    with gallery.writing() as writer:
        writer.change_camera("gate", cameras.CameraSettings(zone="Asia/Tokyo"))


def test_actions_of_several_at_once_wait_for_each_other(gallery: Gallery, tmp_path: Path) -> None:
    other, faults = machine(gallery, tmp_path / "other"), []

    def name_people(of: Gallery, who: str) -> None:
        try:
            for number in range(8):
                Identities(of, who).new(f"{who} {number}")
                with database.changing(of.engine) as session:
                    session.merge(schema.Setting(key="last", value=who))
        except Exception as error:
            faults.append(error)

    workers = [threading.Thread(target=name_people, args=each) for each in ((gallery, "one"), (other, "two"))]
    for worker in workers:
        worker.start()
    rows = unit(np.random.default_rng(1).normal(size=(1, DIM)))
    for number in range(1, 5):
        add_video(gallery, number, "hall", [chunk_of(0, [(1.0, rows)])], START_MS)
    for worker in workers:
        worker.join()
    assert faults == []
    assert len(Identities(gallery, "me").all()) == 16
    assert len(Identities(gallery, "me").log()) == 16


def test_a_reader_sees_one_state(gallery: Gallery) -> None:
    crops = select(schema.Crop.id)
    with Session(gallery.engine) as session:
        before = session.scalars(crops).all()
        add_video(gallery, 1, "hall", [chunk_of(0, [(1.0, unit(np.ones((1, DIM))))])], START_MS)
        assert session.scalars(crops).all() == before
    assert gallery.summary().crops == len(before) + 1


# --- back-ups ---


def test_back_ups_go_from_one_to_the_other_and_back(gallery: Gallery, new_url: NewUrl, tmp_path: Path) -> None:
    rows = unit(np.random.default_rng(1).normal(size=(2, DIM)))
    before = schema.identifier(schema.identifier(schema.identifier("video", 1), 0), 0)
    later = chunk_of(1, [(60.0, rows[1:])], continues=before)
    add_video(gallery, 1, "yard", [chunk_of(0, [(1.0, rows[:1])]), later], START_MS)
    people = Identities(gallery, "me")
    people.new("Anna", [gallery.tracklets()[0].id])
    people.undo()
    people.redo()
    copy_gallery(gallery, tmp_path / "backup")
    assert not (tmp_path / "backup" / database.REFERENCE).exists()
    backup = Gallery.open(tmp_path / "backup")
    copy_gallery(backup, tmp_path / "restored", url=new_url())
    restored = Gallery.open(tmp_path / "restored")
    for each in (backup, restored):
        assert rows_of(each) == rows_of(gallery)
        assert [str(action) for action in Identities(each, "me").log()] == [str(action) for action in people.log()]
        assert verify(each).faults == []
    assert "://" not in backup.facts().rows
    add_video(restored, 2, "attic", [chunk_of(0, [(1.0, rows[:1])])], START_MS)  # numbers go on behind the copied ones
    Identities(restored, "me").new("Ben")
    assert len(gallery.cameras()) == 2
    assert len(restored.cameras()) == 3


def test_a_restore_that_is_not_whole_or_was_killed_can_be_done_again(
    gallery: Gallery, new_url: NewUrl, tmp_path: Path
) -> None:
    copy_gallery(gallery, tmp_path / "backup")
    backup, url, target = Gallery.open(tmp_path / "backup"), new_url(), tmp_path / "restored"
    killed = multiprocessing.get_context("fork").Process(target=_restore_and_die, args=(backup.path, target, url))
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    with pytest.raises(UserError, match="holds a gallery already"):  # it does: half of one, for that folder alone
        copy_gallery(backup, tmp_path / "elsewhere", url=url)
    crop = next(backup.path.glob("crops/*/*/*.webp"))
    content = crop.read_bytes()
    crop.unlink()
    with pytest.raises(ReidappError, match="not whole"):
        copy_gallery(backup, target, url=url)
    crop.write_bytes(content)
    copy_gallery(backup, target, url=url)
    assert rows_of(Gallery.open(target)) == rows_of(gallery)
    assert not list(target.glob("*.new"))


def _restore_and_die(backup: Path, target: Path, url: str) -> None:
    from reidapp.gallery import backup as module

    module.verify = lambda *_: signal.raise_signal(signal.SIGKILL)
    copy_gallery(Gallery.open(backup), target, url=url)


def test_the_commands(new_url: NewUrl, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The address is given once; from then on the folder is enough."""

    def said(*command: object) -> dict[str, Any]:
        app([*map(str, command), "--json"], standalone_mode=False)
        return dict(json.loads(capsys.readouterr().out))

    crops, gallery, url = tmp_path / "crops", tmp_path / "gallery", new_url()
    (crops / "gate").mkdir(parents=True)
    for second, shirt in enumerate(("red", "blue")):
        (crops / f"gate/2026-03-02_10-00-0{second}.png").write_bytes(png(query_crop(shirt)))
    index = ("index", crops, "--as", "crops", "--gallery")
    assert said(*index, gallery, "--zone", "UTC", "--database", url)["crops"] == 2
    assert said(*index, gallery, "--database", url)["crops"] == said(*index, gallery)["crops"] == 0
    search = ("search", "--image", crops / "gate/2026-03-02_10-00-00.png", "--gallery")
    hits = said(*search, gallery)["hits"]
    assert [hit["start"] for hit in hits] == ["2026-03-02T10:00:00.000Z", "2026-03-02T10:00:01.000Z"]
    assert said("gallery", "info", "--gallery", gallery)["rows"].startswith(url.partition("?")[0])
    assert said("gallery", "backup", tmp_path / "backup", "--gallery", gallery)["whole"]
    restore = ("gallery", "restore", tmp_path / "backup", "--gallery", tmp_path / "again", "--database", new_url())
    assert said(*restore)["whole"]
    again = said(*search, tmp_path / "again")["hits"]
    assert [hit["tracklet"] for hit in again] == [hit["tracklet"] for hit in hits]


# --- addresses, and what is wrong with them ---


def create(folder: Path, url: str) -> Gallery:
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(b"stands for a model")
    return Gallery.create(folder / "gallery", folder / "model.onnx", Model.card, Model.identity, url)


def test_a_password_is_used_and_not_kept(
    postgres: Server, new_url: NewUrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused_here: Callable[..., str]
) -> None:
    name = postgres.new_database(f"OWNER {GUARDED}")
    url = postgres.url(name, GUARDED)
    made = create(tmp_path, url.replace(f"{GUARDED}@", f"{GUARDED}:secret@"))
    assert made.summary().crops == 0
    assert "secret" not in (made.path / database.REFERENCE).read_text()
    info = ("gallery", "info", "--gallery", made.path)
    for password in (None, "wrong"):
        if password:
            monkeypatch.setenv("PGPASSWORD", password)
        said = refused_here(2, *info)
        assert "by PGPASSWORD, or a line of ~/.pgpass" in said
        assert "secret" not in said
    monkeypatch.setenv("PGPASSWORD", "secret")
    assert Gallery.open(made.path).summary().crops == 0
    with pytest.raises(ReidappError, match="this user lacks a right there"):
        create(tmp_path / "denied", postgres.url(postgres.new_database(), GUARDED))
    postgres.drop(name)


def test_a_server_that_is_not_there(gallery: Gallery, postgres: Server, refused_here: Callable[..., str]) -> None:
    reference = gallery.path / database.REFERENCE
    there = json.loads(reference.read_text())
    info = ("gallery", "info", "--gallery", gallery.path)
    for url, code, told in (
        (postgres.url("none"), 2, "createdb makes a database"),
        ("postgresql://me@/none?host=/no/such/folder", 1, "the server cannot be reached; see whether it runs"),
        ("mysql://me@host/none", 2, "--database: not an address such as postgresql://USER@HOST/DATABASE"),
        ("postgresql://me:pass@host:port/none", 2, "--database: not an address such as"),
    ):
        reference.write_text(json.dumps(there | {"url": url}))
        said = refused_here(code, *info)
        assert told in said
        assert "pass@" not in said
    reference.write_text("half a fi")
    assert f"{database.REFERENCE}: damaged; restore a back-up" in refused_here(2, *info)


def test_without_psycopg(gallery: Gallery, monkeypatch: pytest.MonkeyPatch, refused_here: Callable[..., str]) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    said = refused_here(1, "gallery", "info", "--gallery", gallery.path)
    assert "pip install '.[postgres]'" in said


def test_folders_and_databases_that_do_not_belong_together(
    gallery: Gallery, new_url: NewUrl, postgres: Server, tmp_path: Path
) -> None:
    url = gallery.engine.url.set(drivername="postgresql").render_as_string()
    with pytest.raises(UserError, match="holds a gallery already, of another folder"):
        create(tmp_path / "second", url)
    assert [entry.name for entry in (tmp_path / "second/gallery").iterdir()] == ["files.lock"]
    other = create(tmp_path / "third", new_url())
    theirs = database.Reference.read(other.path / database.REFERENCE)
    assert theirs
    theirs.write(gallery.path / database.REFERENCE)
    replace(theirs, url=url).write(other.path / database.REFERENCE)
    with pytest.raises(UserError, match=r"does not hold the rows of .* but another gallery"):
        Gallery.open(other.path)
    assert Gallery.open(other.path, theirs.url).summary().crops == 0  # said anew, and kept
    assert Gallery.open(other.path).summary().crops == 0
    name = postgres.new_database()
    postgres.execute(name, "CREATE TABLE setting (id int)")
    with pytest.raises(UserError, match="holds other tables; give a gallery a database, or a schema, of its own"):
        create(tmp_path / "fourth", postgres.url(name))
    postgres.execute(name, "DROP TABLE setting")
    replace(theirs, url=postgres.url(name)).write(other.path / database.REFERENCE)
    with pytest.raises(UserError, match="holds no gallery"):
        Gallery.open(other.path)
    postgres.drop(name)


def test_rows_in_a_file_are_not_taken_to_a_server_by_the_way(new_url: NewUrl, tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path)
    with pytest.raises(UserError, match=r"its rows are in gallery\.db; `reidapp gallery backup`"):
        Gallery.open(gallery.path, new_url())


def test_a_database_of_a_newer_version_is_left_alone(gallery: Gallery, postgres: Server) -> None:
    postgres.execute(str(gallery.engine.url.database), "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(UserError, match="written by a newer reidapp; update reidapp"):
        Gallery.open(gallery.path)


def test_a_schema_of_a_database_is_enough(new_url: NewUrl, postgres: Server, tmp_path: Path) -> None:
    first, url = create(tmp_path / "first", new_url()), ""
    name = str(first.engine.url.database)
    url = f"{postgres.url(name)}&options=-csearch_path%3Dsecond"
    with pytest.raises(ReidappError, match="CREATE SCHEMA makes it"):
        create(tmp_path / "second", url)
    postgres.execute(name, "CREATE SCHEMA second")
    second = create(tmp_path / "second", url)
    with first.writing(), second.writing():  # they are two
        pass
    add_video(second, 0, "gate", [chunk_of(0, [(1.0, unit(np.ones((1, DIM))))])], START_MS)
    assert (first.summary().crops, Gallery.open(second.path).summary().crops) == (0, 1)


def test_a_creation_that_was_killed_is_done_again(new_url: NewUrl, tmp_path: Path) -> None:
    made, url = create(tmp_path, new_url()), ""
    url = made.engine.url.set(drivername="postgresql").render_as_string()
    file = made.path / database.REFERENCE
    file.rename(file.with_name(f"{database.REFERENCE}.new"))  # after the rows were committed
    again = create(tmp_path, url)
    assert again.summary().crops == 0
    assert not list(again.path.glob("*.new"))
