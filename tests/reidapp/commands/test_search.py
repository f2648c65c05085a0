"""`search`: what it prints, filters and refuses."""

import shutil
import sqlite3
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reidapp.footage.decoding import frames
from reidapp.truth import Truth
from tests.conftest import World
from tests.reidapp.commands import another_model, as_json, refused, reidapp


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
    backwards = ("--after", "2026-03-02T10:00:15", "--before", "2026-03-02T10:00")
    assert "ends (2026-03-02 10:00:00+00:00) before it begins" in refused(2, *base, *backwards)
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
    assert f"{found} people in the picture; say which --person by its number (1: x " in refused(2, *base)
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
