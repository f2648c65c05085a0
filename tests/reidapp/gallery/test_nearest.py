"""The exact index against all inner products, whatever shards, codes, filters and ties there are."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from reidapp.gallery import nearest
from reidapp.gallery.coarse import Coarse
from reidapp.gallery.nearest import ExactIndex, decoded


def people(rng: np.random.Generator, rows: int, dim: int, decay: float) -> np.ndarray:
    """Unit rows fp16 ``[rows, dim]``, several of each person; energy falls with the direction's number."""
    spectrum = np.arange(1, dim + 1) ** -decay
    turn = np.linalg.qr(rng.normal(size=(dim, dim)))[0]
    centres = rng.normal(size=(rows // 20 + 1, dim))
    found = (centres[rng.integers(0, len(centres), rows)] + 0.8 * rng.normal(size=(rows, dim))) * spectrum @ turn
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float16)


def coded(rows: np.ndarray) -> tuple[Coarse, np.ndarray]:
    coarse = Coarse.fitted(decoded(rows[:: max(len(rows) // 500, 1)]), lambda: [decoded(rows)])
    return coarse, coarse.encode(decoded(rows))


def brute_force(
    rows: np.ndarray, ids: np.ndarray, query: np.ndarray, k: int, kept: np.ndarray | None
) -> tuple[list[int], list[float]]:
    scores = (rows.astype(np.float64) @ query.astype(np.float64)).astype(np.float32)
    places = np.arange(len(rows)) if kept is None else np.flatnonzero(kept)
    order = places[np.lexsort((ids[places], -scores[places]))][:k]
    return order.tolist(), scores[order].tolist()


@pytest.fixture(autouse=True)
def _small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passes, parts and second passes as in a large gallery."""
    for name, value in {"_FEW": 20, "_SHORT": 300, "_PART": 700, "_TOP": 5, "_AT_ONCE": 20, "_BLOCK": 100}.items():
        monkeypatch.setattr(nearest, name, value)


def held_against_brute_force(
    seed: int, make: Callable[[list[np.ndarray], np.ndarray, list[tuple[Coarse, np.ndarray]]], ExactIndex]
) -> None:
    """Random rows, shards, codes, filters and ties; ``make`` gives the index of these."""
    rng = np.random.default_rng(seed)
    dim = int(rng.choice([16, 64, 256]))
    rows = people(rng, int(rng.integers(1, 3000)), dim, rng.choice([0.0, 0.8, 1.3, 2.0]))
    if seed % 3 == 0:
        rows[rng.integers(0, len(rows), len(rows) // 3)] = rows[0]  # ties, many more than are asked for
    ids = rng.permutation(len(rows)).astype(np.uint64)
    borders = np.sort(rng.integers(0, len(rows) + 1, int(rng.integers(0, 6))))
    with_codes = borders[: int(rng.integers(0, 3))]  # ends of what has codes; the rest has none
    parts = [part for part in np.split(rows, with_codes)[:-1] if len(part)]
    stretches = [part for part in np.split(rows, borders) if len(part)]
    index = make(stretches, ids, [coded(part) for part in parts])
    far = rng.normal(size=dim)
    for query in (decoded(rows)[rng.integers(0, len(rows))], (far / np.linalg.norm(far)).astype(np.float32)):
        filters: list[np.ndarray | None] = [rng.random(len(rows)) < share for share in (0.001, 0.01, 0.1, 0.5, 0.99)]
        start, stop = np.sort(rng.integers(0, len(rows) + 1, 2))
        filters.append((np.arange(len(rows)) >= start) & (np.arange(len(rows)) < stop))
        for kept in [None, *filters]:
            for k in (1, 7, 80, len(rows)):
                found = index.search(query, k, kept)
                assert (found.rows.tolist(), found.scores.tolist()) == brute_force(rows, ids, query, k, kept)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30))
def test_the_same_rows_and_scores_as_brute_force(seed: int) -> None:
    held_against_brute_force(seed, ExactIndex)


@pytest.mark.parametrize("dim", [16, 64, 256, 512])
@pytest.mark.parametrize("decay", [0.0, 1.0, 3.0])
def test_no_bound_is_below_its_score(dim: int, decay: float) -> None:
    rng = np.random.default_rng(dim)
    rows = people(rng, 1000, dim, decay)
    rows[990:] = np.eye(dim)[:10]  # nothing like most of the sample that the codes are made for
    rows[980:990] = 0
    coarse, codes = coded(rows)
    for query in decoded(np.concatenate([rows[:20], rows[-13:], rng.normal(size=(5, dim)).astype(np.float16)])):
        weights, factor, offset = coarse.weigh(query)
        assert (weights == np.rint(weights)).all()
        assert np.abs(weights).max() <= 127
        bounds = factor * ((codes.astype(np.float64) - 128) @ weights) + offset
        scores = rows.astype(np.float64) @ query
        assert (bounds >= scores).all()
        assert np.median(bounds - scores) <= 0.35 * np.linalg.norm(query)  # and says something


@pytest.mark.slow
@pytest.mark.parametrize(("decay", "share"), [(2.0, 8), (0.4, 4), (0.0, 2)])
def test_codes_are_as_narrow_as_the_rows_allow(decay: float, share: int) -> None:
    rows = people(np.random.default_rng(0), 8000, 512, decay)
    assert coded(rows)[1].nbytes * share == rows.nbytes


def test_bounds_save_reading_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    rows = people(rng, 5000, 256, 2.0)
    index = ExactIndex([rows], np.arange(5000, dtype=np.uint64), [coded(rows)])
    read: list[int] = []
    stored = ExactIndex.stored
    monkeypatch.setattr(nearest, "_TOP", 50)
    monkeypatch.setattr(ExactIndex, "stored", lambda self, some: (read.append(len(some)), stored(self, some))[1])
    for row in range(20):
        index.search(decoded(rows[row : row + 1])[0], 10)
    assert sum(read) < 20 * 500


@pytest.mark.parametrize("share", [0.05, 0.4, 0.9])
def test_what_is_filtered_out_makes_no_difference_to_the_work(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    """Who may see some cameras must not learn from the time it takes whether the others have seen somebody."""
    rng = np.random.default_rng(3)
    rows, query = people(rng, 2000, 64, 1.0), people(rng, 1, 64, 1.0)[0].astype(np.float32)
    coarse = Coarse.fitted(decoded(rows), lambda: [decoded(rows)])
    kept = rng.random(len(rows)) < share
    work: list[tuple[str, int]] = []
    for name in ("top", "reaching"):
        done = getattr(nearest.Part, name)

        def noted(part: nearest.Part, *given: Any, name: str = name, done: Any = done) -> Any:
            work.append((name, part.first))
            return done(part, *given)

        monkeypatch.setattr(nearest.Part, name, noted)
    stored = ExactIndex.stored

    def read(index: ExactIndex, some: np.ndarray) -> np.ndarray:
        work.append(("stored", len(some)))
        return stored(index, some)

    monkeypatch.setattr(ExactIndex, "stored", read)

    def worked(rows: np.ndarray, codes: bool) -> list[tuple[str, int]]:
        work.clear()
        coded = [(coarse, coarse.encode(decoded(rows)))] if codes else []
        ExactIndex([rows], np.arange(len(rows), dtype=np.uint64), coded).search(query, 10, kept)
        return sorted(work)

    alike = rows.copy()
    alike[~kept] = query
    for codes in (False, True):
        assert worked(rows, codes) == worked(alike, codes)


def test_nothing_to_find() -> None:
    rows = people(np.random.default_rng(2), 400, 64, 1.0)
    index = ExactIndex([rows], np.arange(400, dtype=np.uint64))
    query = decoded(rows)[0]
    assert len(index.search(query, 5, np.zeros(400, bool)).rows) == 0
    assert len(index.search(query, 0).rows) == 0
    assert len(ExactIndex([], np.empty(0, np.uint64)).search(query, 5).rows) == 0
    np.testing.assert_array_equal(index.stored(np.array([7, 3])), rows[[7, 3]])
    assert index.stored(np.empty(0, np.int64)).shape == (0, 64)
