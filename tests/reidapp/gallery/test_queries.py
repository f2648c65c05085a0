"""Several images, hits and answers as one query: held against all cosines computed by numpy."""

from pathlib import Path

import numpy as np
import pytest

from reidapp.errors import UserError
from reidapp.gallery import schema
from reidapp.gallery.pieces import first_pieces
from reidapp.gallery.queries import asked, refined, tracklet_vectors
from reidapp.gallery.search import Searcher
from reidapp.gallery.store import Gallery
from tests.reidapp.gallery.test_search import DIM, START_MS, Model, add_video, chunk_of, new_gallery, unit

Rows = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Gallery, Rows]:
    """40 tracklets, the last of which goes on in the next chunk; and their embeddings as they are stored."""
    rng = np.random.default_rng(3)
    gallery = new_gallery(tmp_path_factory.mktemp("queries"))
    rows = [unit(rng.normal(size=(int(rng.integers(1, 5)), DIM))) for _ in range(41)]
    video = schema.identifier("video", 0)
    ids = [schema.identifier(schema.identifier(video, 0), index) for index in range(40)]
    first, second = [(1.0 + i, each) for i, each in enumerate(rows[:40])], [(60.0, rows[40])]
    add_video(gallery, 0, "gate", [chunk_of(0, first), chunk_of(1, second, continues=ids[-1])], START_MS)
    stored = dict(zip(ids, rows, strict=False))
    stored[ids[-1]] = np.concatenate(rows[39:])
    return gallery, {id_: each.astype(np.float16).astype(np.float32) for id_, each in stored.items()}


def by_hand(rows: Rows, queries: np.ndarray, combine: str) -> list[tuple[float, str]]:
    """Every tracklet's score, best first, by the formulas."""
    scored = []
    for id_, each in rows.items():
        best = [max(float(row @ query) for row in each) for query in queries]
        mean = unit(queries.mean(0))
        score = {"mean": max(float(row @ mean) for row in each), "max": max(best), "set": float(np.mean(best))}
        scored.append((score[combine], id_))
    return sorted(scored, reverse=True)


@pytest.mark.parametrize("combine", ["mean", "max", "set"])
@pytest.mark.parametrize(("count", "top"), [(1, 5), (2, 1), (3, 5), (3, 40), (7, 100)])
def test_images_are_combined_exactly(filled: tuple[Gallery, Rows], combine: str, count: int, top: int) -> None:
    gallery, rows = filled
    queries = unit(np.random.default_rng(count).normal(size=(count, DIM)))
    hits = Searcher(gallery, Model()).search(queries, top=top, combine=combine).hits
    expected = by_hand(rows, queries, combine)[:top]
    assert [hit.tracklet for hit in hits] == [id_ for _, id_ in expected]
    np.testing.assert_allclose([hit.score for hit in hits], [max(score, 0) for score, _ in expected], atol=2e-6)


def test_a_hit_asks_with_all_its_shots_and_is_no_hit_itself(filled: tuple[Gallery, Rows]) -> None:
    gallery, rows = filled
    root = list(rows)[-1]
    piece = schema.identifier(schema.identifier(schema.identifier("video", 0), 1), 0)
    for given in (root, piece, root[:8]):
        ask = asked(gallery, Model.identity, tracklets=[given])
        np.testing.assert_array_equal(ask.embeddings, rows[root])
        assert (ask.combine, ask.without, ask.refined) == ("set", {root}, False)
        hits = Searcher(gallery, Model()).search(ask.embeddings, combine=ask.combine, without=ask.without, top=99).hits
        assert [hit.tracklet for hit in hits] == [id_ for _, id_ in by_hand(rows, rows[root], "set") if id_ != root]


def test_a_yes_draws_the_query_and_a_no_pushes_it_away() -> None:
    rng = np.random.default_rng(0)
    query, yes, no, other = (unit(rng.normal(size=DIM)) for _ in range(4))
    near, far = refined(query[None], [yes], []), refined(query[None], [], [no])
    assert near @ yes > query @ yes + 0.1
    assert far @ no < query @ no - 0.05
    assert far @ query > 0.9
    assert abs(far @ other - query @ other) < 0.1
    for direction in (near, far, refined(query[:0].reshape(0, DIM), [yes], [no])):
        assert np.linalg.norm(direction) == pytest.approx(1, abs=1e-6)


def test_a_line_between_many_answers_is_learnt() -> None:
    """One dimension tells yes from no, and the mean of a few answers is noise beside it."""
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(60, DIM)) * 0.2
    noise[:, 0] = np.where(np.arange(60) < 30, 0.25, -0.25)
    rows = unit(noise + np.eye(DIM)[1])
    query = unit(np.eye(DIM)[1])[None]

    def right(direction: np.ndarray) -> float:
        return float(((rows[10:30] @ direction)[:, None] > (rows[40:] @ direction)[None]).mean())

    learnt = refined(query, list(rows[:10]), list(rows[30:40]))
    assert right(learnt) > 0.85
    assert right(learnt) > right(refined(query, list(rows[:2]), list(rows[30:32]))) + 0.05 > right(query[0]) + 0.05


def test_the_linear_model_is_at_its_minimum() -> None:
    """Its gradient, by differences, is nothing; and without a ridge of its own it would not stay near Rocchio's."""
    from reidapp.gallery import queries as module

    rng = np.random.default_rng(2)
    rows = unit(rng.normal(size=(9, DIM))).astype(np.float64)
    start = unit(rng.normal(size=DIM)).astype(np.float64)
    w = module._fitted(start, rows, 4)
    signs, weights = np.repeat([1.0, -1.0], [4, 5]), np.repeat([1 / 8, 1 / 10], [4, 5])

    def loss(values: np.ndarray) -> float:
        margins = signs * (module._SCALE * rows @ values[:-1] - values[-1])
        return float(weights @ np.log1p(np.exp(-margins)) + module._RIDGE / 2 * ((values[:-1] - start) ** 2).sum())

    from scipy.optimize import minimize

    slow = minimize(loss, np.append(start, 0.0), method="BFGS", options={"gtol": 1e-7}).x[:-1]
    np.testing.assert_allclose(w, slow / np.linalg.norm(slow), atol=1e-4)


def test_answers_leave_the_judged_out(filled: tuple[Gallery, Rows]) -> None:
    gallery, rows = filled
    ids = list(rows)
    picture = unit(np.random.default_rng(5).normal(size=(1, DIM)))
    ask = asked(gallery, Model.identity, picture, yes=[ids[0]], no=[ids[1]], known=[ids[2]])
    assert ask.refined
    assert ask.without == set(ids[:3])
    hits = Searcher(gallery, Model()).search(ask.embeddings, without=ask.without, top=99).hits
    assert {hit.tracklet for hit in hits} == set(ids[3:])
    expected = refined(picture, [unit(rows[ids[0]].mean(0))], [unit(rows[ids[1]].mean(0))])
    np.testing.assert_allclose(ask.embeddings[0], expected, atol=1e-6)


def test_a_query_of_many_images_is_searched_with_some_that_differ(filled: tuple[Gallery, Rows]) -> None:
    gallery, rows = filled
    everybody = asked(gallery, Model.identity, tracklets=list(rows))
    assert len(everybody.embeddings) == 32
    assert len(np.unique(everybody.embeddings, axis=0)) == 32


def test_what_cannot_be_asked_is_said(filled: tuple[Gallery, Rows]) -> None:
    gallery, rows = filled
    one = next(iter(rows))
    for arguments, words in [
        ({}, "nothing to search with"),
        ({"no": [one]}, "nothing to search with"),
        ({"tracklets": ["no such"]}, "tracklet no such: not in this gallery"),
        ({"yes": [one], "no": [one]}, "both yes and no"),
        ({"tracklets": [one], "combine": "median"}, '"median" is unknown; one of mean, max, set'),
    ]:
        with pytest.raises(UserError, match=words):
            asked(gallery, Model.identity, **arguments)  # type: ignore[arg-type]


def test_the_beginning_of_an_id_is_enough_if_it_is_one(filled: tuple[Gallery, Rows]) -> None:
    gallery, rows = filled
    one = next(iter(rows))
    assert first_pieces(gallery, [one[:6]]) == {one[:6]: one}
    assert first_pieces(gallery, ["gone"], missing_ok=True) == {"gone": "gone"}
    with pytest.raises(UserError, match="not in this gallery"):
        first_pieces(gallery, [one[:5]])


def test_vectors_of_tracklets_are_read_as_stored(filled: tuple[Gallery, Rows], tmp_path: Path) -> None:
    gallery, rows = filled
    found = tracklet_vectors(gallery, Model.identity, list(rows))
    assert found.keys() == rows.keys()
    for id_, each in rows.items():
        np.testing.assert_array_equal(found[id_], each)
