"""A gallery on disk: what opening, creating and committing promise."""

import multiprocessing
import threading
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine

from reidapp import files
from reidapp.errors import ReidappError, UserError
from reidapp.gallery import database
from reidapp.gallery.search import Searcher
from reidapp.gallery.store import Gallery
from tests.reidapp.gallery.test_search import DIM, START_MS, Model, add_video, chunk_of, new_gallery, unit


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


def test_opening_what_is_no_gallery(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no gallery here; make one with `reidapp index"):
        Gallery.open(tmp_path)
    (tmp_path / "gallery.db").write_text("a text, not a database, and long enough to be looked at " * 10)
    with pytest.raises(UserError, match="not a gallery's database"):
        Gallery.open(tmp_path)


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


@pytest.mark.slow
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


@pytest.mark.slow
def test_one_process_writes_at_a_time(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path)
    busy = pytest.raises(ReidappError, match="another process, such as `reidapp index`, is writing")
    with gallery.writing(), multiprocessing.get_context("spawn").Pool(1) as pool, busy:
        pool.apply(_write, (gallery.path,))
    _write(gallery.path)


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
