"""A dry run: what is known of recordings before anything is opened, and with all of them opened."""

import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from reidapp.footage.indexing import find_footage
from reidapp.footage.survey import Survey, survey
from reidapp.settings import CameraSettings, IndexSettings
from reidapp.spans import Between
from tests.reidapp.footage.numbered import write_numbered
from tests.small_gallery import write_video


def touch(folder: Path, name: str, ended: str | None = None) -> None:
    """An empty recording, whose file was last written to when the recording ended."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    end = datetime.fromisoformat(ended or "2027-01-01").replace(tzinfo=UTC).timestamp()
    os.utime(path, (end, end))


def plan(folder: Path, probing: bool = False, template: str | None = None, **cameras: CameraSettings) -> Survey:
    settings = IndexSettings(zone="Europe/Berlin", template=template)
    return survey(find_footage(folder, settings, cameras), settings.zone, probing)


def test_paths_of_a_recorder_are_noted_unless_it_was_named(tmp_path: Path) -> None:
    for camera in ("gate", "yard"):
        touch(tmp_path, f"2026-03-02/10/{camera}/00.00.mp4")
    (note,) = plan(tmp_path).to_dict()["notes"]
    assert "look like those of frigate" in note
    assert "--dry-run --template frigate" in str(plan(tmp_path))
    assert plan(tmp_path, template="frigate").notes == []


def test_files_with_camera_and_both_clocks(tmp_path: Path) -> None:
    touch(tmp_path, "gate/2026-07-15_10-00-00.mp4")
    touch(tmp_path, "yard/20260715T100000Z.mp4")
    touch(tmp_path, "hall/movie.mp4")
    touch(tmp_path, "hall/2026-10-25_02-30-00.mp4")
    gate = CameraSettings(name="Main gate", zone="Asia/Tokyo", offset=60.0, group="Outside")
    found = plan(tmp_path, gate=gate)
    files = {file["file"]: file for file in found.to_dict()["files"]}
    assert files["gate/2026-07-15_10-00-00.mp4"] == {
        "file": "gate/2026-07-15_10-00-00.mp4",
        "camera": "Main gate",
        "zone": "Asia/Tokyo",
        "start": "2026-07-15T00:59:00.000Z",
        "camera_time": "2026-07-15T09:59:00+09:00",
        "end": None,
        "start_source": "name",
        "uncertain": None,
        "known": None,
        "size": 0,
    }
    assert files["yard/20260715T100000Z.mp4"]["camera_time"] == "2026-07-15T12:00:00+02:00"
    assert files["hall/movie.mp4"]["start"] is None
    assert "no time" in files["hall/movie.mp4"]["uncertain"]
    assert "came twice" in files["hall/2026-10-25_02-30-00.mp4"]["uncertain"]
    cameras = {camera["name"]: camera for camera in found.to_dict()["cameras"]}
    assert {name: camera["files"] for name, camera in cameras.items()} == {"Main gate": 1, "hall": 2, "yard": 1}
    assert (cameras["Main gate"]["group"], cameras["Main gate"]["offset_s"]) == ("Outside", 60.0)
    assert "Main gate  2026-07-15 09:59:00 JST  gate/2026-07-15_10-00-00.mp4" in str(found)
    assert "hall  start unknown  hall/movie.mp4" in str(found)


def test_what_can_be_known_without_opening(tmp_path: Path) -> None:
    """A file's date is a recording's end, if it lies before the next start: then nothing has copied it since."""
    touch(tmp_path, "gate/20260302T100000Z.mp4", "2026-03-02T10:10:00")
    touch(tmp_path, "gate/20260302T101000Z.mp4", "2026-03-02T10:20:00")
    touch(tmp_path, "gate/20260302T110000Z.mp4")  # copied: its end is not known, so neither is a gap
    touch(tmp_path, "gate/20260302T150000Z.mp4")
    touch(tmp_path, "gate/b 20260302T150000Z.mp4")
    (camera,) = plan(tmp_path).cameras
    assert not camera.exact
    assert camera.gaps == [Between("gate/20260302T101000Z.mp4", "gate/20260302T110000Z.mp4", 2400.0)]
    assert camera.overlaps == [Between("gate/20260302T150000Z.mp4", "gate/b 20260302T150000Z.mp4", 0.0)]
    text = str(camera)
    assert "gap of about 0:40:00 from gate/20260302T101000Z.mp4 to gate/20260302T110000Z.mp4" in text
    assert "begin at the same time" in text


def test_probing_finds_lengths_gaps_overlaps_and_what_cannot_be_read(tmp_path: Path) -> None:
    frame = np.zeros((48, 64, 3), np.uint8)
    for name in ("100000", "100002", "100010"):
        path = tmp_path / f"gate/20260302T{name}Z.mp4"
        path.parent.mkdir(exist_ok=True)
        write_video(path, [frame] * 40)  # four seconds
    write_video(tmp_path / "gate/movie.mp4", [frame] * 40)
    ended = datetime(2026, 3, 2, 11, 0, 4, tzinfo=UTC).timestamp()
    os.utime(tmp_path / "gate/movie.mp4", (ended, ended))
    (tmp_path / "gate/notes.mp4").write_text("a text")
    found = plan(tmp_path, probing=True)
    (camera,) = found.cameras
    assert camera.exact
    assert [(gap.first, gap.second, gap.seconds) for gap in camera.gaps] == [
        ("gate/20260302T100002Z.mp4", "gate/20260302T100010Z.mp4", pytest.approx(4.0, abs=0.01)),
        ("gate/20260302T100010Z.mp4", "gate/movie.mp4", pytest.approx(3586.0, abs=0.01)),
    ]
    (overlap,) = camera.overlaps
    assert overlap.seconds == pytest.approx(2.0, abs=0.01)
    movie = next(file for file in found.files if file.file == "gate/movie.mp4")
    assert movie.start == datetime(2026, 3, 2, 11, tzinfo=UTC)
    assert movie.start_source == "mtime"
    assert movie.to_dict()["width"] == 64
    assert (movie.to_dict()["codec"], movie.to_dict()["frame_rate"]) == ("h264", 10.0)
    (skipped,) = found.skipped
    assert skipped.file == "gate/notes.mp4"
    assert "not a video" in skipped.reason


def test_what_does_not_fit_is_listed(tmp_path: Path) -> None:
    touch(tmp_path, "recordings/2026-07-15/08/gate/30.05.mp4")
    touch(tmp_path, "exports/holiday.mp4")
    found = plan(tmp_path, template="frigate")
    assert [file.camera for file in found.files] == ["gate"]
    assert "skipped: exports/holiday.mp4: its path does not fit the template frigate" in str(found)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_probing_names_what_was_cut_off(tmp_path: Path, suffix: str) -> None:
    for name in ("whole", "short", "cut"):
        (tmp_path / name).mkdir()
        path = tmp_path / name / f"20260302T100000Z.{suffix}"
        seconds = 1 if name == "short" else 20
        options = {"movflags": "faststart"} if suffix == "mp4" else {}
        write_numbered(path, np.arange(10 * seconds) / 10, options=options)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    found = plan(tmp_path, probing=True)
    (entry,) = found.incomplete
    assert entry.file == f"cut/20260302T100000Z.{suffix}"
    assert entry.reason.startswith("cut off: ")
    assert entry.reason.endswith(" of 20 s can be read")
    ends = {file.camera: (file.end - file.start).total_seconds() for file in found.files if file.start and file.end}
    assert ends["whole"] == pytest.approx(20, abs=0.2)
    assert ends["short"] == pytest.approx(1, abs=0.2)
    assert 5 < ends["cut"] < 16
    lengths = {file.camera: file.to_dict()["duration_s"] for file in found.files}
    assert lengths == pytest.approx(ends, abs=0.01)  # not what the header says
    assert f"{ends['cut']:.0f} s, " in str(next(file for file in found.files if file.camera == "cut"))
    assert f"incomplete: {entry.file}: cut off" in str(found)


def test_pictures_are_called_so_and_have_neither_lengths_nor_gaps(tmp_path: Path) -> None:
    for second in (0, 20):
        touch(tmp_path, f"gate/2026-03-02_10-00-{second:02}.jpg", f"2026-03-02T10:00:{second:02}")
        touch(tmp_path, f"gate/b 2026-03-02_10-00-{second:02}.jpg")
    settings = IndexSettings(zone="UTC", kind="stills")
    found = survey(find_footage(tmp_path, settings), settings.zone)
    assert "gate: 4 pictures, 2026-03-02 10:00:00 – 2026-03-02 10:00:20 UTC (UTC)" in str(found)
    assert "Files were not opened: dates taken and unreadable files need --probe." in str(found)
    assert (found.cameras[0].gaps, found.cameras[0].overlaps) == ([], [])
