"""`gallery calibrate`, and what `search` and `gallery info` say of it, as commands."""

import shutil
from pathlib import Path

import pytest

from reidapp.gallery.calibration import Calibration, Point, keep
from reidapp.gallery.store import Gallery
from tests.conftest import World
from tests.reidapp.commands import as_json, refused, reidapp

MADE = Calibration("identities", "2026-03-02T10:00:00Z", 999, 8, 30, 90, 1.0, -2.0, 1.0, 0.8, (Point(0.5, 0.4, 120.0),))


@pytest.fixture
def gallery(world: World, tmp_path: Path) -> Path:
    shutil.copytree(world.gallery, tmp_path / "gallery")
    return tmp_path / "gallery"


def picture(gallery: Path) -> Path:
    return sorted(gallery.glob("crops/*/*/*.webp"))[0]


def test_without_one_it_is_said_how_to_get_one(gallery: Path) -> None:
    found = as_json("search", "-g", gallery, "-i", picture(gallery))
    assert (found["calibration"], found["expected_false_hits"], found["probably_absent"]) == (None, None, None)
    assert as_json("gallery", "info", "-g", gallery)["calibration"] is None
    last = reidapp("search", "-g", gallery, "-i", picture(gallery), "--top", 1).stdout.splitlines()[-1]
    assert last == f"The scores only rank; for P(match): reidapp gallery calibrate -g {gallery}"
    line = refused(2, "gallery", "calibrate", "-g", gallery)
    for source in ("identities: 0 people", "answers: 0 yes and 0 no", "label-free: "):
        assert source in line
    assert "identities" not in refused(2, "gallery", "calibrate", "-g", gallery, "--from", "answers")
    assert '"name" is no file' in refused(2, "gallery", "calibrate", "-g", gallery, "--from", "name")
    assert refused(2, "gallery", "calibrate", "-g", gallery, "--plot", "x.jpg").endswith("the name must end in .png")


def test_with_one_each_hit_has_its_p_match(gallery: Path) -> None:
    opened = Gallery.open(gallery)
    keep(opened, opened.model_id, MADE)
    found = as_json("search", "-g", gallery, "-i", picture(gallery), "--top", 3)
    odds = [hit["p_match"] for hit in found["hits"]]
    assert all(0 < p < 1 for p in odds)
    assert odds == sorted(odds, reverse=True)
    assert found["expected_false_hits"] == pytest.approx(3 - sum(odds), abs=0.01)
    assert found["probably_absent"] is True  # the limit is above all that can be
    assert (found["calibration"]["source"], found["calibration"]["pairs"]["matches"]) == ("identities", 30)
    *table, wrong, absent = reidapp("search", "-g", gallery, "-i", picture(gallery), "--top", 3).stdout.splitlines()
    assert [line.split()[1] for line in table] == [f"{p:.0%}" for p in odds]
    assert wrong == f"about {found['expected_false_hits']:.0f} of these 3 are expected to be wrong"
    assert absent == "probably not in this gallery"
    assert as_json("gallery", "info", "-g", gallery)["calibration"] == found["calibration"]
    assert "P(match) by identities" in reidapp("gallery", "info", "-g", gallery).stdout


def test_the_reliability_is_drawn(tmp_path: Path) -> None:
    from PIL import Image

    from training.figures import write_reliability

    write_reliability(tmp_path / "new" / "plot.png", MADE)
    with Image.open(tmp_path / "new" / "plot.png") as image:
        assert image.width > 500
