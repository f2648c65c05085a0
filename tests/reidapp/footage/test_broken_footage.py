"""Three hundred broken recordings among good ones: nothing crashes or hangs, and each is accounted for."""

import json
import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.text import Text

from reidapp.commands.output import progress
from reidapp.errors import UserError
from reidapp.files import one_line
from reidapp.footage import decoding
from reidapp.footage.decoding import Damage, frames, probe
from reidapp.footage.indexing import IndexReport, find_footage, index_footage
from reidapp.footage.survey import survey
from reidapp.gallery import vectors
from reidapp.gallery.store import Gallery
from reidapp.gallery.verification import verify
from reidapp.settings import IndexSettings
from tests.reidapp.footage.broken_footage import FORMS, NAMES, write_broken, write_good
from tests.reidapp.footage.numbered import write_numbered
from tests.small_gallery import ColourEmbedder, ShirtDetector

ROOT = Path(__file__).resolve().parents[3]


def _indexed(footage: Path, gallery: Path) -> dict:
    """Index in a process of its own, which may crash, hang or take all memory without harm to others."""
    command = [sys.executable, "-m", "tests.reidapp.footage.broken_footage", str(footage), str(gallery)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=540, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return json.loads(ended.stdout)


def _stored(gallery: Gallery, below: Path) -> list[tuple]:
    """Rows, best shots and vectors of the recordings below a folder, byte for byte."""
    query = """
        SELECT tracklet.id, tracklet.path, tracklet.continues, crop.*, block.day, block.first_row + crop.position
        FROM crop JOIN tracklet ON tracklet.id = crop.tracklet_id JOIN block ON block.chunk_id = crop.chunk_id
        JOIN chunk ON chunk.id = crop.chunk_id JOIN video ON video.id = chunk.video_id
        WHERE video.path LIKE ? ORDER BY crop.id
    """
    with gallery.engine.connect() as connection:
        rows = connection.exec_driver_sql(query, (f"{below}/%",)).all()
    dim = ColourEmbedder.card.dim
    shards = {day: vectors.shard_path(gallery.path, gallery.model_id, day) for *_, day, _ in rows}
    return [
        (*facts, gallery.crop_file(facts[3]).read_bytes(), vectors.read(shards[day], row + 1, dim)[row].tobytes())
        for *facts, day, row in rows
    ]


def _seen(gallery: Gallery) -> dict[Path, list]:
    """{recording: when and where people were}, however the recording is called."""
    paths: dict[Path, list] = {Path(path): [] for path in _paths(gallery)}
    for tracklet in gallery.tracklets():
        paths[tracklet.video.path].append([(point.time_s, *point.box) for point in tracklet.path])
    return {path: sorted(seen) for path, seen in paths.items()}


def _paths(gallery: Gallery) -> list[str]:
    with gallery.engine.connect() as connection:
        return list(connection.exec_driver_sql("SELECT path FROM video WHERE done").scalars())


@pytest.mark.slow
def test_broken_recordings_are_named_and_good_ones_are_as_without_them(tmp_path: Path) -> None:
    footage = tmp_path / "footage"
    good = write_good(footage / "good")
    alone = _indexed(footage, tmp_path / "alone")
    assert (alone["videos"], alone["skipped"], alone["incomplete"]) == (len(FORMS), [], [])
    broken = write_broken(footage / "broken", good, 300, seed=0)
    report = _indexed(footage, tmp_path / "gallery")
    gallery = Gallery.open(tmp_path / "gallery")
    whole = _stored(Gallery.open(tmp_path / "alone"), footage / "good")
    assert len(whole) >= 2 * len(good)
    assert _stored(gallery, footage / "good") == whole
    left_out = [footage / entry["file"] for entry in report["skipped"]]
    in_part = [footage / entry["file"] for entry in report["incomplete"]]
    named, seen = {*left_out, *in_part}, _seen(gallery)
    assert len(named) == len(left_out) + len(in_part)  # each once
    assert not named & set(good)
    assert not set(left_out) & set(seen)
    assert {*left_out, *seen} == {*good, *(footage / "broken" / name for name in broken)}
    sure = ("empty", "something else", "truncated", "body")
    assert {footage / "broken" / name for name, way in broken.items() if way in sure} <= named
    # What is not named has lost nothing; but a few bytes became others that are as valid, and no reader can tell.
    original = {path.suffix: seen[path] for path in good}
    unnoticed = [path for path in seen if path not in named and seen[path] != original[path.suffix]]
    assert len(unnoticed) <= 30, unnoticed
    assert all(entry["reason"].isprintable() for entry in [*report["skipped"], *report["incomplete"]])
    assert (
        report["most_mb"] < 600
    )  # about 220 with two chunks at work; a frame of the 50 megapixels that may be has 150
    found = verify(gallery)
    assert [str(fault) for fault in found.faults if "models/" not in fault.what] == []


@pytest.mark.slow
def test_a_recording_that_may_not_be_read_is_named(tmp_path: Path, needs: Callable[[object, str], None]) -> None:
    needs(hasattr(os, "geteuid"), "needs the file permissions of a Unix")
    with tempfile.TemporaryDirectory() as temporary:  # pytest's own folders are closed to other users
        folder = Path(temporary)
        good = write_good(folder / "footage")
        settings, embedder = IndexSettings(zone="UTC"), ColourEmbedder()
        footage = find_footage(folder / "footage", settings)

        def index(name: str) -> IndexReport:
            gallery = Gallery.create(folder / name, good[-1], embedder.card, embedder.identity)
            return index_footage(footage, gallery, embedder, ShirtDetector(), settings)

        assert index("readable").skipped == []  # and all is imported that another user may not read
        good[0].chmod(0)
        folder.chmod(0o777)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            report = index("gallery")
        finally:
            if root:
                os.seteuid(0)
        (skipped,) = report.skipped
        assert (Path(skipped.file).name, "Permission denied" in skipped.reason) == (good[0].name, True)
        assert report.videos == len(good) - 1


@pytest.mark.parametrize("name", [*NAMES, "[/b]"])
def test_any_name_is_shown_while_it_is_at_work(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for key, value in {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "1000"}.items():
        monkeypatch.setenv(key, value)  # as if in a wide terminal, without which there is no bar
    with progress("indexing", "s of video") as advance:
        advance(1.0, 2.0, name)
    shown = Text.from_ansi(capsys.readouterr().err).plain
    assert f" {one_line(name).strip()}" in shown


def test_a_picture_larger_than_any_cameras_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "huge.mp4"
    write_numbered(path, np.arange(10) / 10)
    monkeypatch.setattr(decoding, "MAX_PIXELS", 128 * 64 - 1)
    with pytest.raises(UserError, match=r"huge\.mp4: 128×64 pixels; at most 0 megapixels"):
        probe(path)


def test_a_frame_that_claims_to_be_huge_takes_no_memory(tmp_path: Path) -> None:
    avi = next(path for path in write_good(tmp_path / "good") if path.suffix == ".avi")
    size = struct.Struct(">BHH")  # in the header of a JPEG picture: bits, height, width
    data = avi.read_bytes()
    huge = data.replace(size.pack(8, 136, 240), size.pack(8, 65_500, 65_500))
    assert huge != data
    avi.write_bytes(huge)
    assert list(frames(avi, 0, 10, None)) == []


@pytest.mark.parametrize("content", [b"GIF", b"ffconcat version 1.0\nfile other.ts\n"])
def test_pictures_and_lists_of_files_are_no_recordings(tmp_path: Path, content: bytes) -> None:
    from PIL import Image

    write_numbered(tmp_path / "other.ts", np.arange(10) / 10)
    if content == b"GIF":
        Image.new("RGB", (64, 64)).save(tmp_path / "a.gif")
        content = (tmp_path / "a.gif").read_bytes()
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(UserError, match="a picture or a list of files, not a video"):
        probe(tmp_path / "a.mp4")


def test_a_length_that_the_file_cannot_hold_is_none(tmp_path: Path) -> None:
    path = tmp_path / "long.mkv"
    write_numbered(path, np.arange(20) / 10)
    assert probe(path).duration_s == pytest.approx(2, abs=0.2)
    data, mark = bytearray(path.read_bytes()), b"\x44\x89\x88"  # of the duration, eight bytes
    at = data.find(mark) + len(mark)
    data[at : at + 8] = struct.pack(">d", 1e13)
    path.write_bytes(data)
    assert probe(path).duration_s == 0
    assert len(list(frames(path, 0, 60, None))) == 20


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_the_end_is_missed_to_the_last_bytes(tmp_path: Path, suffix: str) -> None:
    path = next(path for path in write_good(tmp_path / "gate") if path.suffix == suffix)
    whole = path.read_bytes()
    assert not decoding.lacks_bytes(path)
    path.write_bytes(whole + b"what a recorder puts behind it")
    assert not decoding.lacks_bytes(path)
    path.write_bytes(whole[:-5])
    assert decoding.lacks_bytes(path)
    settings, embedder = IndexSettings(zone="UTC"), ColourEmbedder()
    gallery = Gallery.create(tmp_path / "gallery", path, embedder.card, embedder.identity)
    report = index_footage(find_footage(path, settings), gallery, embedder, ShirtDetector(), settings)
    (planned,) = survey(find_footage(path, settings), "UTC", probing=True).incomplete
    assert planned.reason == "cut off: its end is missing"
    (entry,) = report.incomplete
    assert entry.reason == "cut off: its end is missing; what could be read is indexed"


class _Endless:
    """A container whose index names the same packet for ever."""

    def __init__(self, container: object, packet: object) -> None:
        self._container, self._packet = container, packet

    size = 1000

    def demux(self, stream: object) -> object:
        while True:
            yield self._packet


def test_an_index_that_goes_in_circles_comes_to_an_end(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_numbered(path, np.arange(10) / 10)
    with decoding._opened(path) as container:
        stream = container.streams.video[0]
        packet, damage = next(container.demux(stream)), Damage()
        assert 0 < sum(1 for _ in decoding._packets(_Endless(container, packet), stream, damage)) < 20_000
        assert damage.count


class _Failing(_Endless):
    name = "/share/gate/a.mp4"

    def demux(self, stream: object) -> object:
        import errno

        import av

        yield self._packet
        raise av.error.OSError(errno.EIO, "Input/output error", self.name)


def test_a_disk_that_fails_is_no_end_of_the_recording(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_numbered(path, np.arange(10) / 10)
    with decoding._opened(path) as container:
        stream = container.streams.video[0]
        packet = next(container.demux(stream))
        with pytest.raises(UserError, match=r"a\.mp4: its disk or share cannot be read"):
            list(decoding._packets(_Failing(container, packet), stream, Damage()))


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi"])
def test_damage_is_said_once_and_what_is_whole_is_not_damaged(tmp_path: Path, suffix: str) -> None:
    good = next(path for path in write_good(tmp_path / "good") if path.suffix == suffix)
    data = bytearray(good.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000 : 40] = bytes(len(range(0, 3000, 40)))
    (tmp_path / "gate").mkdir()
    spoilt = tmp_path / "gate" / good.name
    spoilt.write_bytes(data)
    for path, hurt in ((good, False), (spoilt, True)):
        damages = [Damage() for _ in range(3)]
        for number, damage in enumerate(damages):
            list(frames(path, 2.0 * number, 2.0 * number + 2, None, threads=1, damage=damage))
        assert any(damage.count for damage in damages) == hurt
    settings, embedder = IndexSettings(zone="UTC", chunk_s=2.0), ColourEmbedder()
    gallery = Gallery.create(tmp_path / "gallery", good, embedder.card, embedder.identity)
    footage = find_footage(tmp_path / "gate", settings)
    report = index_footage(footage, gallery, embedder, ShirtDetector(), settings)
    assert [(entry.file, entry.reason.partition(";")[0]) for entry in report.incomplete] == [(good.name, "damaged")]
    assert report.videos == 1


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize(("share", "cut"), [(1.0, False), (0.7, True)])
def test_keyframes_alone_tell_a_cut_from_a_long_way_to_the_end(
    tmp_path: Path, suffix: str, share: float, cut: bool
) -> None:
    """Of 25 seconds in one chunk the last keyframe is at 20."""
    path = tmp_path / "gate" / f"2026-03-02_10-00-00.{suffix}"
    path.parent.mkdir()
    write_numbered(path, np.arange(250) / 10, gop=100, options={"movflags": "faststart"} if suffix == "mp4" else {})
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    settings, embedder = IndexSettings(zone="UTC", sampling="keyframes"), ColourEmbedder()
    gallery = Gallery.create(tmp_path / "gallery", path, embedder.card, embedder.identity)
    report = index_footage(find_footage(path.parent, settings), gallery, embedder, ShirtDetector(), settings)
    assert report.videos == 1
    assert [entry.reason.partition(":")[0] for entry in report.incomplete] == ["cut off"] * cut
