"""Another process keeps the rows to itself: one line, nothing lost, and it goes on when that process has ended."""

import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from reidapp.errors import UnavailableError
from reidapp.footage.indexing import Footage, find_footage, index_footage
from reidapp.footage.report import IndexReport
from reidapp.footage.watching import Watcher, watch
from reidapp.gallery import sqlite
from reidapp.gallery.identities import Identities
from reidapp.gallery.store import Gallery
from reidapp.gallery.verification import verify
from reidapp.gallery.writer import GalleryWriter
from reidapp.settings import IndexSettings
from tests.locking import kept
from tests.reidapp.commands import refused, reidapp
from tests.reidapp.footage.broken_footage import write_good
from tests.small_gallery import ColourEmbedder, ShirtDetector, make_gallery

SETTINGS = IndexSettings(zone="UTC")
TOLD = "another process has kept the database to itself for too long; try again when it has ended"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_LOCK_PATIENCE_S", 0.2)


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    make_gallery(tmp_path).engine.dispose()
    return Gallery.open(tmp_path / "gallery")


def test_who_reads_does_not_notice_and_who_writes_is_told(gallery: Gallery) -> None:
    people = Identities(gallery, "me")
    with kept(gallery.path / "gallery.db"):
        assert people.all() == []
        assert len(gallery.tracklets()) == 6
        with pytest.raises(UnavailableError, match=f"gallery.db: {TOLD}"):
            people.new("Ann")
        assert people.all() == []
    people.new("Ann")
    assert [person.name for person in people.all()] == ["Ann"]


def test_commands_say_it_in_a_line(gallery: Gallery) -> None:
    command = ["identity", "new", "Ann", "--gallery", gallery.path]
    with kept(gallery.path / "gallery.db"):
        assert TOLD in refused(1, *command)
    assert reidapp(*command).returncode == 0


def _indexed(gallery: Gallery, footage: Footage) -> IndexReport:
    return index_footage(footage, gallery, ColourEmbedder(), ShirtDetector(), SETTINGS, workers=1)


@pytest.mark.slow
def test_indexing_says_it_and_goes_on_where_it_was(
    gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_good(tmp_path / "yard")
    footage, finish = find_footage(tmp_path / "yard", SETTINGS), GalleryWriter.finish_video
    with ExitStack() as other:

        def finish_and_lose(writer: GalleryWriter, *arguments: Any) -> None:
            finish(writer, *arguments)
            other.enter_context(kept(gallery.path / "gallery.db"))

        monkeypatch.setattr(GalleryWriter, "finish_video", finish_and_lose)
        with pytest.raises(UnavailableError, match=TOLD):
            _indexed(gallery, footage)
        monkeypatch.setattr(GalleryWriter, "finish_video", finish)
    report = _indexed(gallery, footage)
    assert (report.unchanged, report.videos, report.skipped) == (1, 3, [])
    assert [fault for fault in verify(gallery).faults if "models/" not in fault.what] == []


@pytest.mark.slow
def test_who_watches_a_folder_waits_for_it(gallery: Gallery, tmp_path: Path) -> None:
    write_good(tmp_path / "yard")
    stop, told, took = threading.Event(), list[str](), list[IndexReport]()

    def take(report: IndexReport) -> None:
        took.append(report)
        stop.set()

    with ExitStack() as other:
        other.enter_context(kept(gallery.path / "gallery.db"))

        def say(line: str) -> None:
            told.append(line)
            other.close()

        watcher = Watcher(tmp_path / "yard", SETTINGS, quiet_s=0)
        total = watch(watcher, lambda footage: _indexed(gallery, footage), take, say, every_s=0.05, stop=stop)
    assert len(told) == 1
    assert TOLD in told[0]
    assert (total.videos, len(took)) == (4, 1)
