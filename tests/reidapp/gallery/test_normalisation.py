"""Camera normalisation: searches are held against all centred cosines, the switch against worlds that are known."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from reidapp.errors import ReidappError, UserError
from reidapp.gallery import calibration, database, normalisation, schema, search
from reidapp.gallery.calibration import calibrate, current, stored_calibration
from reidapp.gallery.camera_means import CameraMeans, current_means
from reidapp.gallery.facts import utc
from reidapp.gallery.identities import Identities
from reidapp.gallery.nearest import Centring, ExactIndex
from reidapp.gallery.normalisation import normalise, switch_off
from reidapp.gallery.queries import asked, refined
from reidapp.gallery.search import Hit, Searcher
from reidapp.gallery.snapshot import Snapshots
from reidapp.gallery.store import Gallery
from tests.reidapp.gallery.test_nearest import coded
from tests.reidapp.gallery.test_search import DIM, START_MS, Model, add_video, chunk_of, new_gallery, unit

CAMERAS, PEOPLE = ("gate", "hall", "yard"), 24


def world(folder: Path, tint: float) -> tuple[Gallery, np.ndarray]:
    """Everybody once before each camera, which adds a direction of its own to embeddings; and the people."""
    rng = np.random.default_rng(3)
    gallery, people, looks = new_gallery(folder), rng.normal(size=(PEOPLE, DIM)), rng.normal(size=(3, DIM))
    for number, camera in enumerate(CAMERAS):
        rows = [(2.0 + who % 6, _shots(rng, people[who] + tint * looks[number])) for who in range(PEOPLE)]
        chunks = [chunk_of(part, [(60 * part + at, shots) for at, shots in rows[6 * part :][:6]]) for part in range(4)]
        add_video(gallery, number, camera, chunks, START_MS)
    return gallery, people


def _shots(rng: np.random.Generator, person: np.ndarray) -> np.ndarray:
    return unit(person + 0.4 * rng.normal(size=(int(rng.integers(1, 4)), DIM)))


@pytest.fixture
def tinted(tmp_path: Path) -> tuple[Gallery, np.ndarray]:
    return world(tmp_path, 1.5)


@pytest.mark.slow
def test_cameras_that_tint_are_found_out_and_searches_find_people_again(tinted: tuple[Gallery, np.ndarray]) -> None:
    gallery, people = tinted
    searcher = Searcher(gallery, Model())

    def found() -> int:
        hits = [searcher.search(unit(person)[None], top=3).hits for person in people]
        return sum(_who(hit) == number for number, each in enumerate(hits) for hit in each)

    before = found()
    switched = normalise(gallery)
    assert switched.on
    assert current_means(gallery, Model.identity) is not None
    assert switched.before
    assert switched.after
    assert switched.after.improves(switched.before)
    assert found() > before
    assert not switch_off(gallery).on
    assert found() == before


def test_cameras_that_see_alike_are_left_alone(tmp_path: Path) -> None:
    gallery, _ = world(tmp_path, 0.0)
    switched = normalise(gallery)
    assert not switched.on
    assert "would not help" in str(switched)
    assert current_means(gallery, Model.identity) is None


def test_scores_are_centred_cosines_of_the_stored_rows(tinted: tuple[Gallery, np.ndarray]) -> None:
    gallery, people = tinted
    normalise(gallery)
    means, snapshot = current_means(gallery, Model.identity), Snapshots(gallery, Model.identity).current()
    assert means is not None
    rows = snapshot.index.stored(np.arange(len(snapshot.crops))).astype(np.float64)
    every = np.array([rows[snapshot.tracklet_of == id_].mean(0) for id_ in np.unique(snapshot.tracklet_of)])
    np.testing.assert_allclose(means.means[0], every.mean(0), atol=1e-6)  # each tracklet counts once
    first = snapshot.camera_of == means.cameras[0]
    own = np.array([rows[snapshot.tracklet_of == id_].mean(0) for id_ in np.unique(snapshot.tracklet_of[first])])
    drawn = (own.sum(0) + 10 * every.mean(0)) / (len(own) + 10)
    np.testing.assert_allclose(means.means[1], drawn, atol=1e-6)

    centred = rows - means.means[means.of(snapshot.camera_of)]
    query = unit(people[0]) - means.means[0]
    cosines = centred @ query / np.linalg.norm(centred, axis=1) / np.linalg.norm(query)
    best = {int(id_): cosines[snapshot.tracklet_of == id_].max() for id_ in np.unique(snapshot.tracklet_of)}
    hits = Searcher(gallery, Model()).search(unit(people[0])[None], top=len(best)).hits
    assert [int(hit.tracklet, 16) for hit in hits] == sorted(best, key=lambda id_: -best[id_])
    np.testing.assert_allclose([hit.reason.score for hit in hits if hit.reason], sorted(best.values())[::-1], atol=2e-6)


def test_rows_that_come_later_are_compared_by_the_means_there_are(tinted: tuple[Gallery, np.ndarray]) -> None:
    gallery, people = tinted
    normalise(gallery)
    searcher = Searcher(gallery, Model())
    count = len(_all(searcher, people[:1]))
    means = current_means(gallery, Model.identity)
    add_video(gallery, 9, "new", [chunk_of(0, [(1.0, unit(people[:1]))])], START_MS)
    hits = _all(searcher, people[:1])
    assert len(hits) == count + 1
    assert hits[0].camera == "new"
    assert hits[0].score == pytest.approx(1.0, abs=1e-3)
    after = current_means(gallery, Model.identity)
    assert means
    assert after
    assert means.digest == after.digest


def test_a_tracklet_that_asks_is_compared_without_its_cameras_mean(tinted: tuple[Gallery, np.ndarray]) -> None:
    gallery, _ = tinted
    tracklet = next(one.id for one in gallery.tracklets() if one.camera == CAMERAS[0])
    before = asked(gallery, Model.identity, tracklets=[tracklet]).embeddings
    normalise(gallery)
    means = current_means(gallery, Model.identity)
    assert means is not None
    ask = asked(gallery, Model.identity, tracklets=[tracklet])
    compared = Snapshots(gallery, Model.identity).current().asking(ask.embeddings)
    np.testing.assert_allclose(compared, unit(before - means.means[1]), atol=2e-6)


@pytest.mark.parametrize("answers", [2, 18])  # Rocchio's formula, and the linear model
def test_answers_refine_what_is_compared(tinted: tuple[Gallery, np.ndarray], answers: int) -> None:
    """Everything that a refined query is made of is without a mean before, each row without its own camera's."""
    gallery, people = tinted
    normalise(gallery)
    means, snapshot = current_means(gallery, Model.identity), Snapshots(gallery, Model.identity).current()
    assert means is not None
    picture = unit(people[0])[None].astype(np.float32)
    judged = gallery.tracklets()[:answers]
    yes, no = [one.id for one in judged[::3]], [one.id for one in judged if one not in judged[::3]]

    def mean(id_: str) -> np.ndarray:
        rows = snapshot.tracklet_of == int(id_, 16)
        stored = snapshot.index.stored(np.flatnonzero(rows)).astype(np.float64)
        of_camera = means.means[means.of(snapshot.camera_of[rows])]
        return unit(unit(stored - of_camera).mean(0))

    expected = refined(
        unit(picture - means.means[0]), [mean(id_) for id_ in sorted(yes)], [mean(i) for i in sorted(no)]
    )
    ask = asked(gallery, Model.identity, picture, yes=yes, no=no)
    assert ask.refined
    np.testing.assert_allclose(snapshot.asking(ask.embeddings)[0], expected, atol=1e-5)


@pytest.mark.slow
def test_p_match_holds_for_the_means_it_was_made_with(tinted: tuple[Gallery, np.ndarray]) -> None:
    gallery, people = tinted
    every = _all(Searcher(gallery, Model()), people[:1])
    for person in range(PEOPLE):
        Identities(gallery, by="").new(f"person {person}", [hit.tracklet for hit in every if _who(hit) == person])
    calibrate(gallery, Model, "identities")
    assert current(gallery, Model.identity)
    switched = normalise(gallery)
    assert switched.recalibrate
    assert "calibrate again" in str(switched)
    assert current(gallery, Model.identity) is None
    assert stored_calibration(gallery, Model.identity)
    assert Searcher(gallery, Model()).search(unit(people[0])[None]).hits[0].p_match is None
    calibrate(gallery, Model, "identities")
    assert Searcher(gallery, Model()).search(unit(people[0])[None]).hits[0].p_match is not None
    assert switch_off(gallery).recalibrate


@pytest.mark.slow
def test_a_search_has_no_p_match_of_other_means_than_its_own(
    tinted: tuple[Gallery, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Normalisation is switched off, and that calibrated, after the search has read what it compares."""
    gallery, people = tinted
    every = _all(Searcher(gallery, Model()), people[:1])
    for person in range(PEOPLE):
        Identities(gallery, by="").new(f"person {person}", [hit.tracklet for hit in every if _who(hit) == person])
    of_none = calibrate(gallery, Model, "identities")
    normalise(gallery)
    searcher = Searcher(gallery, Model())
    monkeypatch.setattr("reidapp.gallery.search.ranked", _then(search.ranked, lambda: switch_off(gallery)))
    result = searcher.search(unit(people[0])[None])
    assert current(gallery, Model.identity) == of_none
    assert result.calibration is None
    assert result.hits[0].p_match is None


def test_nothing_is_kept_of_a_model_that_is_not_searched_any_more(
    tinted: tuple[Gallery, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery, _ = tinted
    before = _keys(gallery)

    def moved() -> None:
        with database.changing(gallery.engine) as session:
            session.get_one(schema.Setting, "model").value = "cd" * 32

    def back() -> None:
        with database.changing(gallery.engine) as session:
            session.get_one(schema.Setting, "model").value = Model.identity

    monkeypatch.setattr(normalisation, "compared", _then(normalisation.compared, moved))
    with pytest.raises(ReidappError, match="moved to another model meanwhile"):
        normalise(gallery)
    back()
    monkeypatch.setattr(calibration, "calibrated", _then(lambda *_: None, moved))
    monkeypatch.setattr(calibration, "of_people", lambda *_: [])
    with pytest.raises(ReidappError, match="moved to another model meanwhile"):
        calibrate(gallery, Model, "identities")
    assert _keys(gallery) == before


def test_cameras_that_become_one_have_their_means_taken_again(tinted: tuple[Gallery, np.ndarray]) -> None:
    gallery, people = tinted
    normalise(gallery)
    searcher = Searcher(gallery, Model())
    with gallery.writing() as writer:
        assert writer.merge_camera("yard", "gate").forgotten == ["reidapp gallery normalise"]
        assert writer.merge_camera("hall", "gate").forgotten == []
    add_video(gallery, 9, "new", [chunk_of(0, [(1.0, unit(people[:1]))])], START_MS)  # with an id that is free again
    assert current_means(gallery, Model.identity) is None
    hit = _all(searcher, people[:1])[0]
    assert hit.camera == "new"
    assert hit.score == pytest.approx(1.0, abs=1e-3)  # by no mean


def test_one_camera_has_nothing_to_normalise(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path)
    add_video(gallery, 0, "gate", [chunk_of(0, [(1.0, unit(np.eye(DIM)[:1]))])], START_MS)
    with pytest.raises(UserError, match="fewer than two cameras"):
        normalise(gallery)


def test_means_are_stored_as_they_are() -> None:
    means = CameraMeans("2026-01-01T00:00:00Z", 7, (3, 8), np.random.default_rng(0).normal(size=(3, 4)).astype("f4"))
    again = CameraMeans.read(means.text)
    np.testing.assert_array_equal(again.means, means.means)
    assert again.digest == means.digest != replace(means, tracklets=8).digest
    np.testing.assert_array_equal(means.of(np.array([8, 1, 3, 99])), [2, 0, 1, 0])


@pytest.mark.parametrize("with_codes", [True, False])
@pytest.mark.parametrize("share", [1.0, 0.5, 0.02])
def test_the_index_finds_the_best_by_centred_scores(with_codes: bool, share: float) -> None:
    rng = np.random.default_rng(4)
    camera = rng.integers(0, 5, 21_000)
    rows = unit(rng.normal(size=(21_000, DIM)) + 0.7 * rng.normal(size=(5, DIM))[camera]).astype(np.float16)
    rows[100:140] = rows[99]  # ties
    camera[99:140] = 0
    means = np.stack([rows[camera == each].astype(np.float64).mean(0) for each in range(5)])
    length = np.linalg.norm(rows - means[camera], axis=1).astype(np.float32)
    ids = rng.permutation(len(rows)).astype(np.uint64)
    index = ExactIndex([rows], ids, [coded(rows)] if with_codes else [])
    kept = rng.random(len(rows)) < share if share < 1 else None
    for k, query in ((1, rng.normal(size=DIM)), (30, rows[99] - means.mean(0)), (400, rng.normal(size=DIM))):
        query = unit(query)
        shift = (means @ query.astype(np.float64))[camera]
        scores = ((rows.astype(np.float64) @ query.astype(np.float64) - shift) / length).astype(np.float32)
        order = np.lexsort((ids, -(scores if kept is None else np.where(kept, scores, -np.inf))))[:k]
        found = index.search(query, k, kept, Centring(shift, length))
        np.testing.assert_array_equal(found.rows, order)
        np.testing.assert_array_equal(found.scores, scores[order])


def _all(searcher: Searcher, people: np.ndarray) -> list[Hit]:
    return searcher.search(unit(people), top=1000).hits


def _who(hit: Hit) -> int:
    part, second = divmod(round((hit.start - utc(START_MS)).total_seconds()), 60)
    return 6 * part + second - 2


def _then(first: Callable[..., Any], then: Callable[[], object]) -> Callable[..., Any]:
    """What ``first`` gives, after something else has happened."""

    def both(*given: Any) -> Any:
        result = first(*given)
        then()
        return result

    return both


def _keys(gallery: Gallery) -> set[str]:
    """Of all that is set."""
    with Session(gallery.engine) as session:
        return set(session.scalars(select(schema.Setting.key)))
