"""The command line as a user meets it: a process, its output, its exit code."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reidapp.cli import _export_summary
from reidapp.demo import view_image
from reidapp.footage.decoding import frames
from reidapp.model_card import ModelCard
from reidapp.truth import Truth
from tests.conftest import World

ROOT = Path(__file__).parents[2]


def reidapp(*arguments: object, env: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "reidapp", *map(str, arguments)]
    environment = {**os.environ, "TZ": "UTC", "COLUMNS": "200", **(env or {})}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


def hears_ctrl_c() -> None:
    """In a process about to start: a shell that runs tests in the background makes its children deaf to Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def started(command: Sequence[object], stderr: int) -> "subprocess.Popen[str]":
    """A command at work, that can be interrupted."""
    return subprocess.Popen(
        [sys.executable, "-m", "reidapp", *map(str, command)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        preexec_fn=hears_ctrl_c,
    )


def as_json(*arguments: object) -> dict[str, Any]:
    done = reidapp(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refused(code: int, *arguments: object) -> str:
    """The one line that says what is wrong."""
    done = reidapp(*arguments)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("reidapp")]
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.fixture(scope="session")
def query(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A crop of person 1 in the first camera."""
    truth = Truth.read(world.footage)
    path = tmp_path_factory.mktemp("query") / "person 1.png"
    Image.fromarray(view_image(world.footage, truth.best_view(1, truth.cameras[0]))).save(path)
    return path


def test_help_names_every_command() -> None:
    text = reidapp("--help").stdout
    commands = "demo synth train evaluate her export index search serve adapt reembed models doctor gallery"
    for command in commands.split():
        assert f" {command} " in text


def test_version() -> None:
    assert reidapp("--version").stdout.strip() == "0.1.0"


@pytest.mark.parametrize(
    ("missing", "command", "extra"),
    [
        ("torch", ["train", "small", "--data", "folder:people", "--out", "run"], "reidapp[train]"),
        ("torch", ["demo", "--out", "new"], "reidapp[train]"),
        ("faiss", ["search", "--gallery", "gallery", "--image", "query.png"], "reidapp[cpu]"),
    ],
)
def test_a_package_that_is_not_installed_is_named(tmp_path: Path, missing: str, command: list[str], extra: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; from reidapp.cli import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, *command], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"reidapp: {missing} is not installed; ")
    assert extra in line
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    line = refused(1, "synth", "people", tmp_path / "file" / "people", "--identities", 2)
    assert line.startswith(f"reidapp: {tmp_path / 'file'}")
    assert line.endswith(": Not a directory")


def test_a_negative_seed_is_bad_usage(tmp_path: Path) -> None:
    for command in (["synth", "people", tmp_path / "out"], ["demo", "--out", tmp_path / "out"], ["train", "small"]):
        assert "'--seed'" in refused(2, *command, "--seed", -1)
    assert not (tmp_path / "out").exists()


def test_bad_usage_is_one_line() -> None:
    bare = reidapp()
    assert bare.returncode == 2
    assert "Usage: reidapp" in bare.stdout + bare.stderr
    assert refused(2, "evalate") == "reidapp: No such command 'evalate'. Did you mean 'evaluate'?"
    assert refused(2, "evaluate", "run") == "reidapp evaluate: Missing option '--data'."
    assert refused(2, "train", "small", "--data", "folder:people").startswith("reidapp: train: missing --out RUN (")
    assert refused(2, "train").startswith("reidapp: train: missing RECIPE, --data KIND:DIR, --out RUN (")


def test_one_data_set_at_a_time_is_scored() -> None:
    twice = ("--data", "folder:a", "--data", "folder:b")
    assert "--data: 2 data sets given; a model is scored on one" in refused(2, "evaluate", "small", *twice)
    assert "--data: 2 data sets given" in refused(2, "export", "run", "--out", "model.onnx", *twice)


def test_an_export_is_summed_up_in_percent() -> None:
    measured = {
        "cosine; folder": {"rank1": 0.1356, "mAP": 0.094},
        "against fp32": {"mAP_loss": 0.0081, "cosine": 0.99912, "queries": 34},
    }
    text = _export_summary(ModelCard("mine", "1", 128, 64, 512, precision="int8", scores=measured))
    assert text.splitlines() == [
        "mine, int8, 128×64 → 512-d",
        "  Rank-1 13.6%  mAP 9.4%; cosine; folder",
        "  against fp32: int8 loses 0.8 points of mAP on 34 queries, mean cosine 0.999",
    ]


def test_search_prints_what_the_contract_says(world: World, query: Path) -> None:
    result = as_json("search", "--gallery", world.gallery, "--image", query, "--top", 5)
    hits = result["hits"]
    assert [hit["rank"] for hit in hits] == list(range(1, len(hits) + 1))
    assert len({hit["tracklet"] for hit in hits}) == len(hits)
    for hit in hits:
        assert 0 <= hit["score"] <= 1
        assert hit["p_match"] is None
        assert Path(hit["thumbnail"]).is_file()
        assert Path(hit["video"]).is_file()
        start, end = (datetime.fromisoformat(hit[key]) for key in ("start", "end"))
        assert start.utcoffset().total_seconds() == 0  # type: ignore[union-attr]
        assert start <= end
    scores = [hit["score"] for hit in hits]
    assert scores == sorted(scores, reverse=True)


def test_the_person_is_found_where_the_query_is_from(world: World, query: Path) -> None:
    from reidapp.gallery.store import Gallery

    truth, gallery = Truth.read(world.footage), Gallery.open(world.gallery)
    first = as_json("search", "--gallery", world.gallery, "--image", query)["hits"][0]
    assert truth.who(first["camera"], gallery.tracklet(first["tracklet"]).path) == 1


def test_filters(world: World, query: Path) -> None:
    camera = Truth.read(world.footage).cameras[1]
    base = ("search", "--gallery", world.gallery, "--image", query)
    only = as_json(*base, "--camera", camera)["hits"]
    assert only
    assert {hit["camera"] for hit in only} == {camera}
    late = as_json(*base, "--after", "2026-03-02T10:00:15")["hits"]  # without a zone: the cameras', here UTC
    assert late
    assert all(hit["end"] >= "2026-03-02T10:00:15" for hit in late)
    assert as_json(*base, "--before", "2026-03-01")["hits"] == []
    assert "no tracklet is left after the filters" in reidapp(*base, "--before", "2026-03-01").stdout


def test_a_whole_frame_asks_which_person_is_meant(world: World, tmp_path: Path) -> None:
    from reidapp.footage.detection import open_detector

    hog = open_detector("hog")
    looked_at = (
        (frame, len(hog.detect([frame.image])[0]))
        for video in sorted(world.footage.rglob("*.mp4"))
        for frame in frames(video, 0, 30, 2.0)
    )
    frame, found = next((frame, found) for frame, found in looked_at if found >= 2)
    picture = tmp_path / "frame.png"
    Image.fromarray(frame.image).save(picture)
    base = ("search", "--gallery", world.gallery, "--image", picture)
    assert f"{found} people in the picture; say which with --person N (1: x " in refused(2, *base)
    assert as_json(*base, "--person", 2)["hits"]
    assert f"person {found + 1}: there are {found} people" in refused(2, *base, "--person", found + 1)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.png", "nowhere.png: no such image file"),
        ("empty.png", "empty.png: not an image"),
        ("text.png", "text.png: not an image"),
        ("huge.png", "huge.png: 20000×20000 pixels; at most 50 megapixels"),
        ("cut.jpg", "cut.jpg: a damaged image"),
    ],
)
def test_bad_query_images(world: World, tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no picture")
    if name == "huge.png":
        Image.new("1", (20_000, 20_000)).save(tmp_path / name)
    noise = np.random.default_rng(0).integers(0, 256, (200, 100, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.jpg")
    whole = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    assert message in refused(2, "search", "--gallery", world.gallery, "--image", tmp_path / name)


def test_other_bad_input(world: World, query: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_text("no model")
    (tmp_path / "empty").mkdir()
    base = ("search", "--gallery", world.gallery, "--image", query)
    assert "no gallery here" in refused(2, "search", "--gallery", tmp_path / "none", "--image", query)
    assert 'camera "nowhere" is not in this gallery' in refused(2, *base, "--camera", "nowhere")
    assert "model.onnx: not" in refused(2, *base, "--model", tmp_path / "model.onnx")
    index = ("index", world.footage, "--gallery", tmp_path / "new")
    assert "no such file or shipped model" in refused(2, *index, "--model", "nothing")
    assert "not an ONNX model" in refused(2, *index, "--model", tmp_path / "model.onnx")
    assert 'unknown detector "hogg"; did you mean "hog"?' in refused(2, *index, "--detector", "hogg")
    assert "no such file" in refused(2, *index, "--detector", "yolox:nothing.onnx")
    assert 'unknown sampling "often"' in refused(2, *index, "--sampling", "often")
    assert "unknown field {kamera}" in refused(2, *index, "--template", "{kamera}/{start}")
    assert 'unknown time zone "Mars"' in refused(2, *index, "--zone", "Mars")
    assert not (tmp_path / "new").exists()
    assert "no video in it" in refused(2, "index", tmp_path / "empty", "--gallery", tmp_path / "other")
    assert not (tmp_path / "other").exists(), "a gallery was left behind by a run that had nothing to index"
    assert '--before: "soon" is not a time' in refused(2, *base, "--before", "soon")


def test_a_gallery_made_by_another_model_is_refused(world: World, query: Path, tmp_path: Path) -> None:
    other = another_model(tmp_path / "other.onnx")
    base = ("search", "--gallery", world.gallery, "--image", query, "--model", other)
    assert 'made by model "small"' in refused(2, *base)
    assert 'made by model "small"' in refused(2, "index", world.footage, "--gallery", world.gallery, "--model", other)


def another_model(path: Path) -> Path:
    """The shipped model with one weight changed."""
    import onnx
    from onnx import numpy_helper

    from models import zoo

    model = onnx.load(zoo.path_of(zoo.DEFAULT))
    weight = next(w for w in model.graph.initializer if w.data_type == onnx.TensorProto.FLOAT and len(w.dims) == 4)
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * 1.01, weight.name))
    onnx.save(model, path)
    return path


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


def test_lost_recordings_are_marked(world: World, query: Path, tmp_path: Path) -> None:
    gallery = tmp_path / "gallery"
    shutil.copytree(world.gallery, gallery)
    with sqlite3.connect(gallery / "gallery.db") as connection:
        connection.execute("UPDATE video SET path = '/nowhere/1.mp4', start_source = 'mtime'")
    done = reidapp("search", "-g", gallery, "--image", query)
    assert "[time uncertain (mtime), recording gone]" in done.stdout
    hit = as_json("search", "-g", gallery, "--image", query)["hits"][0]
    assert (hit["recording"], hit["start_source"]) == ("gone", "mtime")
    assert "file's date" in hit["uncertain"]


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
    for number, recording in enumerate(3 * sorted(world.footage.glob("*/*.mp4"))):  # when one is done, some are left
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
    assert report["videos"] + report["unchanged"] == 6


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


@pytest.mark.slow
def test_train_evaluate_export_index(world: World, tmp_path: Path) -> None:
    """The researcher's line, each step by its command."""
    assert "small" in as_json("train", "--list")["recipes"]
    shown = as_json("train", "bot", "--small", "--set", "loss.triplet.margin=0.5", "--show")
    assert shown["loss"]["triplet"]["margin"] == 0.5
    assert shown["backbone"] == {"osnet": {"width": 0.25}}
    people = as_json("synth", "people", tmp_path / "people", "--identities", 12, "--images", 6, "--test-share", 0.5)
    assert people["identities"] == 12
    data = f"market1501:{tmp_path / 'people'}"
    run = as_json(
        "train", "small", "--data", data, "--out", tmp_path / "run", "--set", "schedule.epochs=2",
        "--set", "sampler.identities=4",
    )  # fmt: skip
    assert run["epochs"] == 2
    card = as_json("export", tmp_path / "run", "--out", tmp_path / "mine.onnx")
    assert card["name"] == "mine"
    of_run = as_json("evaluate", tmp_path / "run", "--data", data, "--figures", tmp_path / "figures")
    assert {p.name for p in (tmp_path / "figures").iterdir()} >= {"cmc.png", "ranked.png", "activation.png"}
    of_file = as_json("evaluate", tmp_path / "mine.onnx", "--data", data)
    assert set(of_file) >= {"rank1", "rank5", "mAP", "mINP", "queries", "gallery", "protocol"}
    assert of_file["mAP"] == pytest.approx(of_run["mAP"], abs=0.005)
    assert "re-ranking" in as_json("evaluate", tmp_path / "mine.onnx", "--data", data, "--rerank")["protocol"]
    assert 'unknown key "epochz"' in refused(
        2, "train", "small", "--data", data, "--out", tmp_path / "x", "--set", "schedule.epochz=2"
    )
    folder = tmp_path / "one"
    folder.mkdir()
    shutil.copy(next(world.footage.rglob("*.mp4")), folder)
    report = as_json("index", folder, "--gallery", tmp_path / "gallery", "--model", tmp_path / "mine.onnx")
    assert report["crops"] > 0


@pytest.mark.slow
def test_demo(tmp_path: Path) -> None:
    """Shorter training than the demo's own: that it runs to its end and judges honestly, not that it is good."""
    from reidapp.demo import run_demo
    from reidapp.errors import UserError

    report = run_demo(tmp_path / "demo", images=2_000, say=lambda text: None)
    facts = report.to_dict()
    assert len(facts["searches"]) == 12
    truth = Truth.read(tmp_path / "demo/footage")
    for found in report.found:
        assert found.query.person == found.person
        assert found.query.camera in truth.cameras
        verdicts = [who == found.person for hit, who in found.elsewhere if hit.camera != found.query.camera]
        assert found.right == (bool(verdicts) and verdicts[0])
    with Image.open(report.sheet) as sheet:
        assert sheet.height > 12 * 128
    assert report.shipped.startswith("small/")
    assert report.right_by_shipped >= 9 > report.right  # 2,000 images teach little
    assert as_json("gallery", "info", "--gallery", report.gallery)["model"] == "demo"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/precious.txt").touch()
    with pytest.raises(UserError, match="holds things that no demo made"):
        run_demo(tmp_path / "mine")
    assert (tmp_path / "mine/precious.txt").exists()
