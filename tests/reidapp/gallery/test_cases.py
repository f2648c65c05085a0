import csv
import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from reidapp.box import Box
from reidapp.errors import UnknownError, UserError
from reidapp.footage.decoding import frames, probe
from reidapp.gallery.case_export import export_case
from reidapp.gallery.cases import CaseInfo, Cases, NewCaseHit
from reidapp.gallery.deletion import Selection, delete_from
from reidapp.gallery.store import Gallery
from reidapp.imaging import cut
from tests.small_gallery import FOOTAGE, frame_at, make_gallery


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    return make_gallery(tmp_path)


def of_camera(gallery: Gallery, camera: str) -> list[str]:
    """Its tracklets, in order of time."""
    found = [each for each in gallery.tracklets() if each.camera == camera]
    return [each.id for each in sorted(found, key=lambda each: each.start)]


def test_hits_are_kept_judged_and_taken_out(gallery: Gallery) -> None:
    cases, ids = Cases(gallery, "me"), of_camera(gallery, "Gate")
    cases.new("coat", "whose?")
    cases.add("coat", [NewCaseHit(ids[0], score=0.9), NewCaseHit(ids[1][:8], verdict="no")])
    cases.judge("coat", ids[0], verdict="yes", note="certain")
    hits = {hit.info.id: hit for hit in cases.hits("coat")}
    assert (hits[ids[0]].verdict, hits[ids[0]].note, hits[ids[0]].score) == ("yes", "certain", 0.9)
    assert hits[ids[1]].crop == gallery.tracklet(ids[1]).crops[0].id
    cases.judge("coat", ids[0], verdict=None)
    assert next(hit for hit in cases.hits("coat") if hit.info.id == ids[0]).note == "certain"
    cases.judge("coat", ids[0], verdict="yes")
    other = Cases(gallery, "other")
    other.add("coat", [NewCaseHit(ids[0])])
    hit = next(hit for hit in cases.hits("coat") if hit.info.id == ids[0])
    assert (hit.verdict, hit.note, hit.score, hit.by) == ("yes", "certain", 0.9, "me")
    other.add("coat", [NewCaseHit(ids[0], verdict="no")])
    hit = next(hit for hit in cases.hits("coat") if hit.info.id == ids[0])
    assert (hit.verdict, hit.note, hit.score, hit.by) == ("no", "certain", 0.9, "other")
    cases.remove("coat", ids[:1])
    assert cases.get("coat").hits == 1
    cases.change("coat", "hat")
    cases.delete("hat")
    assert cases.all() == []
    assert len(of_camera(gallery, "Gate")) == 2


def test_a_closed_case_changes_no_more_until_it_is_opened_again(gallery: Gallery) -> None:
    cases, ids = Cases(gallery, "me"), of_camera(gallery, "Gate")
    cases.new("coat", "whose?")
    cases.add("coat", [NewCaseHit(ids[0], verdict="unsure")])
    assert cases.get("coat").closed is None
    cases.change("coat", note="hers", closed=True)
    since = cases.get("coat").closed
    assert since
    changes = [
        lambda: cases.add("coat", [NewCaseHit(ids[1])]),
        lambda: cases.judge("coat", ids[0], verdict="yes"),
        lambda: cases.remove("coat", ids[:1]),
        lambda: cases.change("coat", to="hat"),
        lambda: cases.change("coat", note="his"),
    ]
    for change in changes:
        with pytest.raises(UserError, match="closed; open it again"):
            change()
    cases.change("coat", closed=True)
    now = cases.get("coat")
    assert now == CaseInfo("coat", "hers", "me", now.at, since, 1, now.id)
    assert [hit.verdict for hit in cases.hits("coat")] == ["unsure"]
    cases.change("coat", to="hat", closed=False)
    cases.judge("hat", ids[0], verdict="yes")
    assert cases.get("hat").closed is None


def test_what_is_not_there_or_taken_is_said(gallery: Gallery) -> None:
    cases, ids = Cases(gallery, "me"), of_camera(gallery, "Gate")
    cases.new("coat")
    with pytest.raises(UserError, match="take another"):
        cases.new("coat")
    with pytest.raises(UserError, match="needs a letter"):
        cases.new(" ")
    with pytest.raises(UnknownError, match='did you mean "coat"'):
        cases.get("coatt")
    with pytest.raises(UnknownError, match="not in the case"):
        cases.judge("coat", ids[0], verdict="yes")
    other = gallery.tracklet(ids[1]).crops[0].id
    with pytest.raises(UserError, match="not of tracklet"):
        cases.add("coat", [NewCaseHit(ids[0], crop=other)])
    with pytest.raises(UserError, match="nothing in it"):
        export_case(gallery, "coat", gallery.path / "x.zip", "me")


def test_what_is_deleted_goes_from_cases(gallery: Gallery) -> None:
    cases, ids = Cases(gallery, "me"), of_camera(gallery, "Gate")
    cases.new("coat")
    cases.add("coat", [NewCaseHit(id_) for id_ in ids])
    with gallery.writing() as writer:
        assert delete_from(writer, Selection(tracklets=ids[:1])).said == 1
    assert [hit.info.id for hit in cases.hits("coat")] == ids[1:]


@pytest.mark.parametrize("show_heads", [False, True])
def test_an_archive_is_whole_and_heads_are_blurred_in_it(gallery: Gallery, tmp_path: Path, show_heads: bool) -> None:
    cases, ids = Cases(gallery, "me"), of_camera(gallery, "Gate")
    cases.new("coat")
    cases.add("coat", [NewCaseHit(ids[0], verdict="yes", note="=1+1")])
    cases.add("coat", [NewCaseHit(of_camera(gallery, "Hall")[0])])
    gallery.tracklet(of_camera(gallery, "Hall")[0]).video.path.unlink()
    found = export_case(gallery, "coat", tmp_path / "coat.zip", "me", show_heads=show_heads)
    assert (found.hits, found.clips) == (2, 1)
    assert "clip 2: recording gone" in found.left_out[0]
    assert found.to_dict()["file"] == "coat.zip"  # where it lies is the server's business
    assert found.sha256 == hashlib.sha256(found.file.read_bytes()).hexdigest()
    with pytest.raises(UserError, match="is there already"):
        export_case(gallery, "coat", found.file, "me")

    archive = zipfile.ZipFile(found.file)
    manifest = dict(reversed(line.split("  ", 1)) for line in archive.read("manifest.sha256").decode().splitlines())
    assert sorted([*manifest, "manifest.sha256"]) == sorted(archive.namelist())
    for name, digest in manifest.items():
        assert hashlib.sha256(archive.read(name)).hexdigest() == digest
    told = json.loads(archive.read("case.json"))
    assert told["heads_blurred"] != show_heads
    assert str(tmp_path) not in archive.read("case.json").decode()
    rows = list(csv.DictReader(io.StringIO(archive.read("hits.csv").decode("utf-8-sig"))))
    assert [row["camera"] for row in rows] == ["Gate", "Hall"]
    assert rows[0]["note"] == "'=1+1"  # no spreadsheet shall take it for a formula

    (name,) = (name for name in archive.namelist() if name.endswith(".mp4"))
    (clip := tmp_path / "clip.mp4").write_bytes(archive.read(name))
    assert probe(clip).codec == "h264"
    walk = FOOTAGE["Gate", "Europe/Berlin"][0]
    changed = [
        np.abs(cut(frame.image, head).astype(int) - cut(frame_at([walk], frame.time_s), head)).mean()
        for frame in frames(clip, 2, 4.5, None)  # the clip begins with the recording, and nobody else is there yet
        for box in [walk.box(frame.time_s)]
        for head in [Box(box.x1, box.y1, box.x2, box.y1 + 0.2 * box.height)]
    ]
    assert max(changed) < 7 if show_heads else min(changed) > 12
