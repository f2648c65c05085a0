from pathlib import Path

import pytest

from reidapp.errors import UnknownError, UserError
from reidapp.gallery.case_export import export_case
from reidapp.gallery.cases import CaseInfo, Cases, NewCaseHit
from reidapp.gallery.deletion import Selection, delete_from
from reidapp.gallery.store import Gallery
from tests.small_gallery import make_gallery


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
