"""A recording over which FFmpeg itself breaks down is named, and nothing else is lost."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from reidapp.errors import ReidappError, UserError
from reidapp.footage import trial
from reidapp.footage.decoding import frames, probe
from reidapp.footage.indexing import find_footage, index_footage
from reidapp.footage.survey import survey
from reidapp.gallery.store import Gallery
from reidapp.settings import IndexSettings
from tests.reidapp.footage.broken_footage import write_good
from tests.reidapp.footage.numbered import write_numbered
from tests.small_gallery import ColourEmbedder, ShirtDetector

ROOT = Path(__file__).resolve().parents[3]
# Changed by hand, of generated footage: its last table says H.264 of what has begun as MPEG-2 (an assertion in
# libavformat/demux.c; found by benchmarks/fuzz).
ENDS_FFMPEG = ROOT / "tests/data/ends_ffmpeg.ts"


def _in_a_process(code: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_ffmpeg_still_breaks_down_over_it() -> None:
    """Once it does not, this module and its test can go."""
    assert _in_a_process("import av, sys; av.open(sys.argv[1])", str(ENDS_FFMPEG)).returncode == -signal.SIGABRT


@pytest.mark.slow
def test_it_is_named_and_the_others_are_indexed(tmp_path: Path) -> None:
    footage = tmp_path / "footage"
    write_good(footage)
    for name in ("2026-03-02_09-00-00.ts", "2026-03-02_12-30-00.mp4"):  # whatever it is called
        shutil.copy(ENDS_FFMPEG, footage / name)
    settings, embedder = IndexSettings(zone="UTC"), ColourEmbedder()
    gallery = Gallery.create(tmp_path / "gallery", ENDS_FFMPEG, embedder.card, embedder.identity)
    for _ in range(2):
        report = index_footage(find_footage(footage, settings), gallery, embedder, ShirtDetector(), settings)
        assert [entry.file for entry in report.skipped] == ["2026-03-02_09-00-00.ts", "2026-03-02_12-30-00.mp4"]
        assert report.videos + report.unchanged == 4
    reason = "not a video that can be read (FFmpeg breaks down over this damage; export it anew)"
    assert {entry.reason for entry in report.skipped} == {reason}
    planned = survey(find_footage(footage, settings), "UTC", probing=True)
    assert [(entry.file, entry.reason) for entry in planned.skipped] == [(e.file, reason) for e in report.skipped]
    assert len(planned.files) == 4


def test_whoever_opens_it_is_told(tmp_path: Path) -> None:
    for read_it in (lambda: probe(ENDS_FFMPEG), lambda: next(frames(ENDS_FFMPEG, 0, 1, None))):
        with pytest.raises(UserError, match=r"^ends_ffmpeg\.ts: not a video that can be read \(FFmpeg breaks down"):
            read_it()


def test_a_recording_that_changes_is_tried_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    shutil.copy(ENDS_FFMPEG, path)
    assert not trial.survivable(path, {})
    write_numbered(path, np.arange(20) / 10)
    assert trial.survivable(path, {})
    assert probe(path).codec == "h264"


def test_a_process_that_was_ended_from_outside_is_no_fault_of_a_recording(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.ts", "b.ts")]
    for path in paths:
        write_numbered(path, np.arange(10) / 10)
    assert trial.survivable(paths[0], {})
    for idle in trial._idle:
        idle._process.kill()
        idle._process.wait()
    assert trial.survivable(paths[1], {})


def test_a_process_that_cannot_begin_is_no_fault_of_a_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.ts"
    write_numbered(path, np.arange(10) / 10)
    monkeypatch.setattr(trial, "_idle", [])
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(ReidappError, match="ends at once"):
        trial.survivable(path, {})
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    with pytest.raises(ReidappError, match=r"no process can be started .* \(No such file"):
        trial.survivable(path, {})


@pytest.mark.slow
def test_what_surely_is_no_transport_stream_needs_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = {path.suffix: path for path in write_good(tmp_path / "good")}
    asked: list[str] = []

    def survivable(path: Path, options: dict[str, str]) -> bool:
        asked.append(path.suffix)
        return True

    monkeypatch.setattr("reidapp.footage.decoding.survivable", survivable)
    for path in good.values():
        probe(path)
    assert set(asked) == {".ts"}


MATROSKA = b"\x1a\x45\xdf\xa3"
HEADS = (
    b"RIFF\0\0\1\0none",
    MATROSKA,
    MATROSKA + b"\x81matroska",  # a header that ends before it says so
    MATROSKA + b"\0\0webm",
    *(b"\0\0\0\x10" + name + b"isom\0\0\2\0" for name in (b"sidx", b"styp", b"moof", b"mfra", b"skip")),
    b"\0\0\0\x14ftypjp2 ",
    b"\0\0\0\5moov",
    b"\0\0\0\x10ftypisom\0\0\2\0\0\1\0\0moov\0\0\0\x20hdlr\0\0\0\0mhlrMPEG",
)


@pytest.mark.parametrize("head", HEADS, ids=repr)
def test_no_beginning_spares_it_the_trial_over_which_ffmpeg_breaks_down(tmp_path: Path, head: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(head + ENDS_FFMPEG.read_bytes())
    with pytest.raises(UserError, match="FFmpeg breaks down"):
        probe(path)


USES = """
import sys, time
from pathlib import Path
from reidapp.footage import trial
assert trial.survivable(Path(sys.argv[1]), {})
print(trial._idle[0]._process.pid, flush=True)
time.sleep(float(sys.argv[2]))
"""


def test_the_process_ends_with_who_uses_it(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    write_numbered(path, np.arange(10) / 10)
    ended = _in_a_process(USES, str(path), "0")
    assert ended.returncode == 0, ended.stderr
    assert not _is_there(int(ended.stdout))
    with subprocess.Popen(
        [sys.executable, "-c", USES, str(path), "600"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as user:
        assert user.stdout
        pid = int(user.stdout.readline())
        assert _is_there(pid)
        user.kill()
    for _ in range(1000):
        if not _is_there(pid):
            return
        time.sleep(0.01)
    pytest.fail("the process that opens recordings is still there, and nobody uses it")


def _is_there(pid: int) -> bool:
    """Whether a process is there and runs; one that nobody waits for is over."""
    stat = Path(f"/proc/{pid}/stat")
    if not Path("/proc/self").exists():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"
