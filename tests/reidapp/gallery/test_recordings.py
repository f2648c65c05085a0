import os
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reidapp.files import fingerprint
from reidapp.gallery import recordings
from reidapp.gallery.facts import VideoInfo
from reidapp.gallery.recordings import GONE, PRESENT, REPLACED, SILENT, Recordings

CONTENT = b"a recording" * 1000


def indexed(path: Path) -> VideoInfo:
    """A file as a gallery remembers it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(CONTENT)
    stat = path.stat()
    name, now = fingerprint(path, stat.st_size), datetime.now(UTC)
    return VideoInfo(name, "gate", "UTC", path, stat.st_size, stat.st_mtime_ns, now, "name", None, 60.0, 640, 360)


def later(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize(
    ("happens", "state"),
    [
        (lambda path: None, PRESENT),
        (lambda path: os.utime(path, ns=(1, 1)), PRESENT),  # copied, and back
        (lambda path: path.unlink(), GONE),
        (lambda path: (path.unlink(), path.parent.rmdir()), GONE),
        (lambda path: later(path, b"another"), REPLACED),
        (lambda path: later(path, b"b" + CONTENT[1:]), REPLACED),  # recorders write files of one size
    ],
)
def test_state(tmp_path: Path, happens: object, state: str) -> None:
    video = indexed(tmp_path / "gate/1.mp4")
    happens(video.path)  # type: ignore[operator]
    assert Recordings().state(video) == state


def test_a_path_that_can_be_none_keeps_no_other_from_its_state(tmp_path: Path) -> None:
    here = indexed(tmp_path / "gate/1.mp4")
    damaged = VideoInfo(**{**vars(here), "id": "damaged", "path": tmp_path / "gate/\0.mp4"})
    assert Recordings().states([damaged, here]) == {"damaged": GONE, here.id: PRESENT}


def test_a_share_that_hangs_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    share, disk = indexed(tmp_path / "share/1.mp4"), indexed(tmp_path / "disk/2.mp4")
    answers, asked = threading.Event(), []
    really = recordings._state

    def hang(video: VideoInfo) -> str:
        if video is share:
            asked.append(video)
            answers.wait(20)
        return really(video)

    monkeypatch.setattr(recordings, "_state", hang)
    look = Recordings(wait_s=0.2)
    other = VideoInfo(**{**vars(disk), "id": "other"})
    began = time.monotonic()
    assert look.states([share, other]) == {share.id: SILENT, "other": PRESENT}
    assert look.states([share, other]) == {share.id: SILENT, "other": PRESENT}
    assert time.monotonic() - began < 10
    time.sleep(0.3)
    assert look.state(share) == SILENT
    assert len(asked) <= 2  # not once more while it hangs
    answers.set()
    for thread, _ in look._looking.values():
        thread.join()
    assert look.state(share) == PRESENT
