import errno
import os
from datetime import datetime
from pathlib import Path

import pytest

from reidapp.errors import UserError
from reidapp.footage.sources import Skipped, scan

TEN = datetime(2026, 3, 2, 10)


def write(folder: Path, name: str) -> Path:
    base = folder / "recordings"
    path = base / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"video")
    return base


def test_scan_takes_videos_in_order_and_nothing_else(tmp_path: Path) -> None:
    for name in ("b/2.mp4", "b/1.MKV", "a/9.ts", "a/notes.txt", "a/picture.jpg", "c.mp4.part", ".trash/1.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(bytes(7))
    (tmp_path / "folder.mp4").mkdir()
    sources, skipped = scan(tmp_path)
    assert [source.path for source in sources] == [tmp_path / name for name in ("a/9.ts", "b/1.MKV", "b/2.mp4")]
    assert {source.size for source in sources} == {7}
    assert sources[0].mtime_ns == (tmp_path / "a/9.ts").stat().st_mtime_ns
    assert skipped == []


def test_some_fit_the_template_and_some_do_not(tmp_path: Path) -> None:
    for name in ("gate_20260302_100000.mp4", "holiday.mp4"):
        (tmp_path / name).touch()
    sources, skipped = scan(tmp_path, "{camera}_{start}")
    assert [source.camera for source in sources] == ["gate"]
    assert skipped == [Skipped("holiday.mp4", "its path does not fit the template {camera}_{start}")]


def test_one_file(tmp_path: Path) -> None:
    base = write(tmp_path, "gate/20260302_100000.mp4")
    ((source,), _) = scan(base / "gate/20260302_100000.mp4")
    assert (source.camera, source.written) == ("gate", TEN)


def test_relative_folder_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write(tmp_path, "20260302_100000.mp4"))
    ((source,), _) = scan(Path("."))
    assert source.camera == "recordings"
    assert source.path == tmp_path / "recordings/20260302_100000.mp4"


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no such file or folder"):
        scan(tmp_path / "nowhere")


def test_links_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    nas = tmp_path / "nas"
    (nas / "20260302").mkdir(parents=True)
    (nas / "20260302/20260302_100000.mp4").touch()
    base = tmp_path / "recordings"
    base.mkdir()
    (base / "gate").symlink_to(nas)
    (nas / "again").symlink_to(nas)
    (nas / "up").symlink_to(base)
    sources, skipped = scan(base)
    assert [(s.path, s.camera) for s in sources] == [(base / "gate/20260302/20260302_100000.mp4", "gate")]
    assert skipped == []


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("gate/1.mp4", "yard/2.mp4"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    really = os.scandir

    def scandir(path: Path) -> object:
        if Path(path).name == "yard":
            raise PermissionError(13, "Permission denied", str(path))
        return really(path)

    monkeypatch.setattr(os, "scandir", scandir)
    sources, skipped = scan(tmp_path)
    assert [source.camera for source in sources] == ["gate"]
    assert skipped == [Skipped("yard", "cannot be read (Permission denied)")]


def test_a_link_to_itself_is_named(tmp_path: Path) -> None:
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    (tmp_path / "video.mp4").touch()
    sources, skipped = scan(tmp_path)
    assert [source.file for source in sources] == ["video.mp4"]
    assert [(entry.file, entry.reason.partition(" (")[0]) for entry in skipped] == [("loop.mp4", "cannot be read")]


def test_a_share_that_went_away_is_a_missing_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stale(*args: object, **kwargs: object) -> os.stat_result:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(os, "stat", stale)
    with pytest.raises(UserError, match="no such file or folder"):
        scan(tmp_path)


def test_a_name_that_is_no_text_is_named(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/t\xfcr.mp4", "wb"):
        pass
    (tmp_path / "门 🚪 بوابة.mp4").touch()
    sources, skipped = scan(tmp_path)
    assert [source.camera for source in sources] == ["门 🚪 بوابة"]
    assert skipped == [Skipped("t\N{REPLACEMENT CHARACTER}r.mp4", "its name is not UTF-8 text; rename it")]
    skipped[0].file.encode()


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    found, skipped = scan(tmp_path)
    assert not found
    assert {entry.file: entry.reason for entry in skipped} == {
        "gone.mp4": "a link to nothing",
        "pipe.mp4": "no file that can be read from its start",
    }
