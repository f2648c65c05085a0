"""Indexing and a gallery's cameras: what is said of them before, what was corrected since, recordings that move."""

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from reidapp.footage.indexing import IndexReport, find_footage, index_footage
from reidapp.gallery.search import Searcher
from reidapp.gallery.store import Gallery
from reidapp.settings import CameraSettings, IndexSettings
from tests.small_gallery import (
    FPS,
    ColourEmbedder,
    ShirtDetector,
    Walk,
    frame_at,
    make_gallery,
    query_crop,
    write_video,
)

TEN = datetime(2026, 3, 2, 10, tzinfo=UTC)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three seconds of one person each."""
    folder = tmp_path_factory.mktemp("videos")
    for shirt in ("red", "blue"):
        walk = Walk(shirt, 0, 3, 0.3, 0.6)
        write_video(folder / f"{shirt}.mp4", [frame_at([walk], i / FPS) for i in range(3 * FPS)])
    return {path.stem: path for path in folder.iterdir()}


def put(video: Path, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(video, path)
    return path


def run(folder: Path, gallery: Gallery, zone: str | None = "UTC", **cameras: CameraSettings) -> IndexReport:
    settings = IndexSettings(zone=zone) if zone else IndexSettings()
    found = find_footage(folder, settings, cameras)
    return index_footage(found, gallery, ColourEmbedder(), ShirtDetector(), settings)


def best(gallery: Gallery, shirt: str) -> dict[str, object]:
    embedder = ColourEmbedder()
    crop: np.ndarray = embedder.embed([query_crop(shirt)])
    return Searcher(gallery, embedder).search(crop, top=1).hits[0].to_dict()


@pytest.mark.slow
def test_what_is_said_of_cameras_holds_from_the_first_recording(tmp_path: Path, videos: dict[str, Path]) -> None:
    gallery = make_gallery(tmp_path, empty=True)
    folder = tmp_path / "footage"
    put(videos["red"], folder / "gate/2026-03-02_10-00-00.mp4")
    put(videos["blue"], folder / "yard/2026-03-02_10-00-00.mp4")
    gate = CameraSettings(name="Main gate", zone="Asia/Tokyo", offset=60.0, group="Outside")
    report = run(folder, gallery, gate=gate, gaet=CameraSettings())
    assert report.notes == ['no recording of a camera "gaet" here; did you mean "gate"?']
    found = {camera.name: camera for camera in gallery.cameras()}
    assert found["Main gate"].first == datetime(2026, 3, 2, 0, 59, tzinfo=UTC)
    assert (found["Main gate"].group, found["yard"].group) == ("Outside", None)
    assert (found["yard"].first, found["yard"].zone) == (TEN, "UTC")
    # Said again, it changes nothing; said otherwise, it corrects what is there.
    assert run(folder, gallery, gate=gate).unchanged == 2
    assert {camera.name: camera for camera in gallery.cameras()} == found
    run(folder, gallery, gate=CameraSettings(zone="UTC"))
    assert gallery.cameras()[0].first == datetime(2026, 3, 2, 9, 59, tzinfo=UTC)


@pytest.mark.slow
def test_a_zone_that_has_no_effect_is_noted(tmp_path: Path, videos: dict[str, Path]) -> None:
    gallery = make_gallery(tmp_path, empty=True)
    folder = tmp_path / "footage"
    put(videos["red"], folder / "north gate/2026-03-02_10-00-00.mp4")
    assert run(folder, gallery).notes == []
    put(videos["blue"], folder / "north gate/2026-03-02_11-00-00.mp4")
    (note,) = run(folder, gallery, zone="Asia/Tokyo").notes
    assert "--zone Asia/Tokyo does not change that: north gate (UTC)" in note
    assert gallery.cameras()[0].last == datetime(2026, 3, 2, 11, 0, 3, tzinfo=UTC)
    assert run(folder, gallery, zone=None).notes == []


@pytest.mark.slow
def test_a_recording_is_found_again_where_another_one_took_its_place(tmp_path: Path, videos: dict[str, Path]) -> None:
    """A recorder moves yesterday's file to an archive, and writes the next one under its name."""
    gallery = make_gallery(tmp_path, empty=True)
    folder = tmp_path / "footage"
    path = put(videos["red"], folder / "gate/2026-03-02_10-00-00.mp4")
    run(folder, gallery)
    path.parent.joinpath("archive").mkdir()
    moved = path.rename(path.parent / "archive/2026-03-02_10-00-00.mp4")
    put(videos["blue"], path)
    os.utime(path, ns=(7, 7))
    assert best(gallery, "red")["recording"] == "replaced"
    report = run(folder, gallery)
    assert (report.videos, report.unchanged, report.skipped) == (1, 1, [])
    red, blue = best(gallery, "red"), best(gallery, "blue")
    assert (red["video"], red["recording"]) == (str(moved), "present")
    assert (blue["video"], blue["recording"]) == (str(path), "present")
    again = run(folder, gallery)
    assert (again.videos, again.unchanged, again.skipped) == (0, 2, [])


@pytest.mark.slow
def test_a_recording_that_is_gone_keeps_its_hits(tmp_path: Path, videos: dict[str, Path]) -> None:
    gallery = make_gallery(tmp_path, empty=True)
    folder = tmp_path / "footage"
    path = put(videos["red"], folder / "gate/2026-03-02_10-00-00.mp4")
    put(videos["blue"], folder / "gate/2026-03-02_11-00-00.mp4")
    run(folder, gallery)
    path.unlink()
    assert run(folder, gallery).unchanged == 1
    hit = best(gallery, "red")
    assert hit["recording"] == "gone"
    assert Path(str(hit["thumbnail"])).is_file()
    assert best(gallery, "blue")["recording"] == "present"


@pytest.mark.slow
def test_a_start_from_the_file_is_uncertain(tmp_path: Path, videos: dict[str, Path]) -> None:
    gallery = make_gallery(tmp_path, empty=True)
    path = put(videos["red"], tmp_path / "footage/gate/movie.mp4")
    os.utime(path, (TEN.timestamp() + 3, TEN.timestamp() + 3))
    run(tmp_path / "footage", gallery, zone="Asia/Tokyo")
    hit = best(gallery, "red")
    assert hit["start_source"] == "mtime"
    assert "file's date" in str(hit["uncertain"])
    assert gallery.cameras()[0].first == TEN
