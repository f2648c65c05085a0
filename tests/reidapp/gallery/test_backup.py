"""Back-ups of a gallery that others write to: whole, of one moment, and independent of it afterwards."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from reidapp.errors import ReidappError, UserError
from reidapp.gallery import schema
from reidapp.gallery.backup import copy_gallery
from reidapp.gallery.deletion import Selection, delete_from
from reidapp.gallery.identities import Identities
from reidapp.gallery.saved_searches import SavedSearches
from reidapp.gallery.snapshot import Snapshots
from reidapp.gallery.store import Gallery
from reidapp.gallery.verification import verify
from tests.reidapp.gallery.test_search import new_gallery
from tests.reidapp.gallery.test_snapshot import Other, check, grow, reembed, truth
from tests.small_gallery import query_crop


@pytest.fixture(autouse=True)
def any_file_is_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reidapp.gallery.verification.is_model", lambda file, id_: True)


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    opened, rng = new_gallery(tmp_path), np.random.default_rng(0)
    for number in range(4):
        grow(opened, rng, number)
    reembed(opened, Other)
    return opened


def state(gallery: Gallery) -> list[tuple]:
    return sorted((*row[:-1], row[-1].tobytes()) for row in truth(gallery))


@pytest.mark.slow
def test_a_restored_gallery_is_the_same_and_stays_so_whatever_becomes_of_the_other(
    gallery: Gallery, tmp_path: Path
) -> None:
    tracklet = truth(gallery)[0][0]
    Identities(gallery, "me").new("Anna", [tracklet])
    SavedSearches(gallery, "me").save("Anna", [query_crop("red")], [tracklet])
    before = state(gallery)
    copy_gallery(gallery, tmp_path / "backup")
    grow(gallery, np.random.default_rng(1), 10)
    with gallery.writing() as writer:
        delete_from(writer, Selection(tracklets=[tracklet]))
    assert state(gallery) != before

    backup = Gallery.open(tmp_path / "backup")
    found = copy_gallery(backup, tmp_path / "restored")
    assert found.leftovers == []
    for each in (backup, Gallery.open(tmp_path / "restored")):
        assert state(each) == before
        assert verify(each).faults == []
        check(each, Snapshots(each, each.model_id).current(), np.random.default_rng(2))
        assert [judged.tracklet for judged in Identities(each, "me").show("Anna").judged] == [tracklet]
        assert all(picture.is_file() for picture in SavedSearches(each, "me").get("Anna").pictures)
        grow(each, np.random.default_rng(3), 11)  # what is written to one is not seen in another
    assert verify(backup).faults == verify(gallery).faults == []


@pytest.mark.slow
def test_a_back_up_of_a_gallery_at_work_is_of_one_moment(gallery: Gallery, tmp_path: Path) -> None:
    over, faults, rng = threading.Event(), [], np.random.default_rng(4)

    def work() -> None:
        try:
            number = 20
            while not over.is_set():
                grow(gallery, rng, number)
                reembed(gallery, Other)
                if number % 3 == 0:
                    with gallery.writing() as writer:
                        delete_from(writer, Selection(tracklets=[truth(gallery)[0][0]]))
                number += 1
        except Exception as error:
            faults.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    for number in range(4):
        copy_gallery(gallery, tmp_path / f"backup{number}")
    over.set()
    worker.join()
    assert faults == []
    for number in range(4):
        copy = Gallery.open(tmp_path / f"backup{number}")
        check(copy, Snapshots(copy, copy.model_id).current(), rng)


def test_nothing_is_overwritten_and_what_is_not_whole_is_not_made(gallery: Gallery, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not an empty folder"):
        copy_gallery(gallery, gallery.path)
    (tmp_path / "backup.new" / "crops").mkdir(parents=True)  # of a run that was killed
    (tmp_path / "backup").mkdir()
    copy_gallery(gallery, tmp_path / "backup")
    next((tmp_path / "backup").glob("crops/*/*/*.webp")).unlink()
    with pytest.raises(ReidappError, match=r"1 of \d+ pictures missing or damaged"):
        copy_gallery(Gallery.open(tmp_path / "backup"), tmp_path / "restored")
    assert not list(tmp_path.glob("restored*"))


def test_the_commands(gallery: Gallery, tmp_path: Path, refused_here: Callable[..., str]) -> None:
    said = refused_here(2, "gallery", "backup", gallery.path, "--gallery", gallery.path)
    assert "nothing is overwritten" in said
    said = refused_here(2, "gallery", "restore", tmp_path / "none", "--gallery", tmp_path / "new")
    assert "no back-up here" in said
    assert not (tmp_path / "new").exists()


def test_a_deletion_leaves_its_files_until_a_back_up_is_done(gallery: Gallery, tmp_path: Path) -> None:
    tracklet = truth(gallery)[0][0]
    started = threading.Event()

    def delete() -> None:
        with gallery.writing() as writer:
            started.set()
            delete_from(writer, Selection(tracklets=[tracklet]))

    with gallery.files_kept():
        worker = threading.Thread(target=delete)
        worker.start()
        started.wait()
        while tracklet in {row[0] for row in truth(gallery)}:
            pass
        with Session(gallery.engine) as session:
            waiting = session.scalars(select(schema.Leftover.path)).all()
        assert {path.split("/")[0] for path in waiting if (gallery.path / path).exists()} == {"crops", "vectors"}
    worker.join()
    assert not any((gallery.path / path).exists() for path in waiting)
