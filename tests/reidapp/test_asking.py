"""Asking writes nothing; `keep` does."""

from pathlib import Path

from PIL import Image

from reidapp.asking import Question, ask, keep
from reidapp.gallery.saved_searches import SavedSearches
from tests.small_gallery import ColourEmbedder, ShirtDetector, make_gallery, query_crop


def test_a_question_is_kept_with_its_answers_when_that_is_said(tmp_path: Path) -> None:
    gallery, saved = make_gallery(tmp_path), []
    one, other = (tracklet.id for tracklet in gallery.tracklets()[:2])
    Image.fromarray(query_crop("red")).save(file := tmp_path / "red.png")
    searches = SavedSearches(gallery, "me")
    for question in (Question([file], save="coat", yes=[one[:8]]), Question(saved="coat", no=[other])):
        found = ask(gallery, ColourEmbedder(), ShirtDetector, question, "me")
        assert searches.all() == saved
        keep(gallery, question, found.crops, "me")
        saved = searches.all()
    (coat,) = saved
    assert (len(coat.pictures), coat.yes, coat.no) == (1, [one], [other])
    cleared = ask(gallery, ColourEmbedder(), ShirtDetector, Question(saved="coat", clear=[one]), "me")
    assert cleared.asked.without == {other}
