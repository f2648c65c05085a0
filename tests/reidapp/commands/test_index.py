"""`reidapp index` and the cameras of a gallery: what is indexed, told, left out, watched, interrupted."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from datetime import datetime
from pathlib import Path

import pytest

from reidapp.truth import Truth
from tests.conftest import World
from tests.reidapp.commands import as_json, refused, reidapp, started


def test_indexing_again_says_that_nothing_is_new(world: World) -> None:
    report = as_json("index", world.footage, "--gallery", world.gallery)
    assert report["unchanged"] == 2
    counts = ("videos", "frames", "detections", "tracklets", "crops")
    assert {key: report[key] for key in (*counts, "skipped")} == dict.fromkeys(counts, 0) | {"skipped": []}


def test_bad_files_are_counted_and_the_rest_is_indexed(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "footage"
    folder.mkdir()
    source = next(world.footage.rglob("*.mp4"))
    shutil.copy(source, folder / "gate 2026-03-02 10.00.00.mp4")
    (folder / "notes.mp4").write_text("a text")
    done = reidapp("index", folder, "--gallery", tmp_path / "gallery", "--sampling", "1fps")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 video: ")
    assert "skipped: " in done.stdout
    assert "notes.mp4: not a video that can be read" in done.stdout
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/notes.mp4").write_text("a text")
    assert "notes.mp4: not a video" in refused(2, "index", tmp_path / "bad", "--gallery", tmp_path / "gallery")


def test_a_dry_run_makes_nothing(world: World, tmp_path: Path) -> None:
    found = as_json("index", world.footage, "--dry-run", "--zone", "Europe/Berlin")
    assert [camera["name"] for camera in found["cameras"]] == sorted(Truth.read(world.footage).cameras)
    assert all(file["start_source"] == "name" and file["end"] is None for file in found["files"])
    exact = as_json("index", world.footage, "--dry-run", "--probe")
    assert all(file["duration_s"] > 0 and file["end"] > file["start"] for file in exact["files"])
    assert "missing --gallery" in refused(2, "index", world.footage)
    assert "--probe belongs to --dry-run" in refused(2, "index", world.footage, "--probe", "-g", tmp_path / "g")
    assert "is no recorder" in refused(2, "index", world.footage, "--dry-run", "--template", "frigat")
    assert list(tmp_path.iterdir()) == []
    assert not any(file["known"] for file in found["files"])
    known = ("index", world.footage, "--dry-run", "-g", world.gallery)
    assert [file["known"] for file in as_json(*known)["files"]] == ["indexed", "indexed"]
    assert "indexed already: 2 of 2 files" in reidapp(*known).stdout
    assert not any(file["known"] for file in as_json(*known[:-1], tmp_path / "none")["files"])
    assert "none: no gallery there yet" in reidapp(*known[:-1], tmp_path / "none").stderr


def test_cameras_are_listed_and_corrected(world: World, query: Path, tmp_path: Path) -> None:
    gallery = tmp_path / "gallery"
    shutil.copytree(world.gallery, gallery)
    before = as_json("gallery", "cameras", "-g", gallery)["cameras"]
    name = before[0]["name"]
    facts = as_json("gallery", "info", "-g", gallery)
    assert (facts["cameras"], facts["videos"]) == (2, 2)
    assert facts["tracklets"] == sum(camera["tracklets"] for camera in before)
    first = as_json("search", "-g", gallery, "--image", query, "--camera", name)["hits"][0]
    change = ("--offset", "-12.5s", "--rename", "The gate", "--group", "Outside")
    changed = as_json("gallery", "camera", name, "-g", gallery, *change)["camera"]
    assert (changed["name"], changed["offset_s"], changed["group"]) == ("The gate", -12.5, "Outside")
    moved = as_json("search", "-g", gallery, "--image", query, "--camera", "Outside")["hits"][0]
    assert (moved["tracklet"], moved["camera"]) == (first["tracklet"], "The gate")
    assert (datetime.fromisoformat(moved["start"]) - datetime.fromisoformat(first["start"])).total_seconds() == 12.5
    assert "The gate  UTC, 12.5 s behind  group Outside" in reidapp("gallery", "cameras", "-g", gallery).stdout
    for words, *options in (
        ('camera "nobody" is not in this gallery', "nobody", "--zone", "UTC"),
        ("--zone: unknown time zone", "The gate", "--zone", "Mars"),
        ('--offset: "soon" is no offset', "The gate", "--offset", "soon"),
        ("--rename: a camera needs a name", "The gate", "--rename", ""),
        ("give --zone, --offset, --rename or --group", "The gate"),
    ):
        assert words in refused(2, "gallery", "camera", *options, "-g", gallery)
    other = before[1]["name"]
    as_json("gallery", "camera", other, "-g", gallery, "--offset", "-12.5s")
    merged = as_json("gallery", "camera", other, "-g", gallery, "--merge-into", "The gate")
    assert merged["camera"]["videos"] == 2
    assert len(merged["overlaps"]) == 1


def test_crops_are_indexed_and_found(world: World, query: Path, tmp_path: Path) -> None:
    (tmp_path / "crops").mkdir()
    shutil.copy(query, tmp_path / "crops/0001_c3s1_000451_00.png")
    assert "it has 1 picture: --as stills" in refused(2, "index", tmp_path / "crops", "-g", tmp_path / "gallery")
    report = as_json("index", tmp_path / "crops", "-g", tmp_path / "gallery", "--as", "crops")
    assert (report["videos"], report["crops"], report["skipped"]) == (1, 1, [])
    done = reidapp("search", "-g", tmp_path / "gallery", "--image", query)
    assert "c3" in done.stdout
    assert "0001_c3s1_000451_00.png  [time uncertain (mtime)]" in done.stdout


def test_what_streams_and_watching_do_not_go_with(world: World, tmp_path: Path) -> None:
    gallery, url = ("-g", tmp_path / "gallery"), "rtsp://user:secret@127.0.0.1:9/live"
    said = [
        refused(2, "index", url, *gallery),
        refused(2, "index", url, world.footage, "--record", tmp_path, *gallery),
        refused(2, "index", world.footage, "--record", tmp_path, *gallery),
        refused(2, "index", url, "--record", tmp_path, "--as", "stills", *gallery),
        refused(2, "index", world.footage, "--watch", "--dry-run"),
        refused(2, "index", tmp_path / "nowhere", "--watch", *gallery),
        refused(2, "index", world.footage, "--as", "photos", *gallery),
    ]
    expected = [
        "missing --record FOLDER",
        "one folder, or live streams alone",
        "are for live streams",
        "are for folders, not for live streams",
        "leave --watch out",
        "nowhere: no such file or folder",
        "--as: Input should be 'videos', 'stills' or 'crops'",
    ]
    assert [text for text, line in zip(expected, said, strict=True) if text not in line] == []
    assert "secret" not in "".join(said)
    assert not (tmp_path / "gallery").exists()


@pytest.mark.slow
def test_watching_goes_on_until_ctrl_c(world: World, tmp_path: Path) -> None:
    (tmp_path / "footage").mkdir()
    command = ["index", tmp_path / "footage", "--gallery", tmp_path / "gallery", "--watch", "--json"]
    process = started(command, stderr=subprocess.DEVNULL)
    assert process.stdout
    first = json.loads(process.stdout.readline())
    assert (first["pass"], first["videos"]) == (1, 0)
    recording = next(world.footage.glob("*/*.mp4"))
    shutil.copy2(recording, tmp_path / "footage")
    os.utime(tmp_path / "footage" / recording.name, (0, 0))  # so that nobody waits for it to be complete
    second = json.loads(process.stdout.readline())
    assert (second["pass"], second["videos"]) == (2, 1)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    total = json.loads(out)
    assert (total["passes"], total["videos"], total["crops"]) == (2, 1, second["crops"])
    assert process.returncode == 0


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_committed(world: World, tmp_path: Path) -> None:
    footage = tmp_path / "footage"
    for number, recording in enumerate(2 * sorted(world.footage.glob("*/*.mp4"))):  # when one is done, some are left
        (footage / recording.parent.name).mkdir(parents=True, exist_ok=True)
        (footage / recording.parent.name / f"{number}.mp4").write_bytes(recording.read_bytes() + bytes([number]))
    command = ["index", footage, "--gallery", tmp_path / "gallery"]
    process = started(command, stderr=subprocess.PIPE)
    database = tmp_path / "gallery/gallery.db"
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None and not _chunks(database):
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "what was committed is kept" in out
    assert _chunks(database) >= 1
    report = as_json("index", footage, "--gallery", tmp_path / "gallery")
    assert report["videos"] + report["unchanged"] == 4


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_before_anything_was_begun_is_told(world: World, tmp_path: Path, stop: signal.Signals) -> None:
    os.mkfifo(tmp_path / "cameras.toml")  # of which the process begins to read, and never ends
    command = ["index", world.footage, "--gallery", tmp_path / "gallery", "--cameras", tmp_path / "cameras.toml"]
    process = started(command, stderr=subprocess.PIPE)
    with (tmp_path / "cameras.toml").open("w"):
        process.send_signal(stop)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.startswith("interrupted; what was committed before, if anything, is kept")
    assert "Traceback" not in err
    assert not (tmp_path / "gallery").exists()


def _chunks(database: Path) -> int:
    if not database.is_file():
        return 0
    with sqlite3.connect(database) as connection:
        return connection.execute("SELECT count(*) FROM chunk").fetchone()[0]
