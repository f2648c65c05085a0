"""Approximate searches: what is measured is what is found, and what they find is scored exactly."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from reidapp.cli import app
from reidapp.errors import UserError
from reidapp.gallery import approximate, ivf, nearest, snapshot
from reidapp.gallery.approximate import search_approximately
from reidapp.gallery.derived import SUFFIX, Segment
from reidapp.gallery.ivf import Cells, IvfIndex
from reidapp.gallery.nearest import ExactIndex, decoded
from reidapp.gallery.search import Searcher
from reidapp.gallery.snapshot import Snapshots
from reidapp.gallery.store import Gallery
from tests.reidapp.gallery.test_nearest import brute_force, coded, people
from tests.reidapp.gallery.test_search import DIM, START_MS, Model, add_video, chunk_of, new_gallery, unit

ROWS = 6000


@pytest.fixture(autouse=True)
def _small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"_FEW": 20, "_SHORT": 300, "_PART": 700, "_TOP": 40}.items():
        monkeypatch.setattr(nearest, name, value)
    monkeypatch.setattr(snapshot, "_WORTH", 20)
    monkeypatch.setattr(approximate, "_FEWEST", 20)


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """Fp16 ``[6000, 64]``: energy in few directions, as embeddings of people have it."""
    return people(np.random.default_rng(5), ROWS, 64, 1.3)


@pytest.fixture(scope="module")
def cells(rows: np.ndarray) -> Cells:
    return Cells.fitted(ROWS, lambda some: decoded(rows[some]), 0.95)


def approximate_index(rows: np.ndarray, cells: Cells) -> IvfIndex:
    """The last 500 rows are in no derived file."""
    known = rows[: len(cells.order)]
    return IvfIndex([known, rows[len(known) :]], np.arange(len(rows), dtype=np.uint64), [coded(known)], [cells])


def test_each_row_is_in_the_cell_of_its_nearest_centroid(rows: np.ndarray, cells: Cells) -> None:
    assert sorted(cells.order.tolist()) == list(range(ROWS))
    similarity = decoded(rows) @ cells.centroids.T
    for cell, (start, end) in enumerate(zip(cells.starts[:-1].tolist(), cells.starts[1:].tolist(), strict=True)):
        own = similarity[cells.order[start:end]]
        assert (own[:, cell] >= own.max(axis=1, initial=-1) - 1e-6).all()


@pytest.mark.parametrize("wanted", [0.6, 0.95])
def test_the_recall_that_is_told_is_the_one_that_searches_have(rows: np.ndarray, wanted: float) -> None:
    cells = Cells.fitted(ROWS, lambda some: decoded(rows[some]), wanted)
    asked = np.linspace(0, ROWS - 1, 200).astype(int)

    def found_by(cells: Cells) -> float:
        shares = []
        for row in asked.tolist():
            query = decoded(rows[[row]])[0]
            best, _ = brute_force(rows, np.arange(ROWS), query, 80, np.arange(ROWS) != row)
            shares.append(np.isin(best, cells.probed(query)).mean())
        return float(np.mean(shares))

    assert 0 < cells.probes <= len(cells.centroids) / 8
    assert cells.recall >= wanted
    assert found_by(cells) == pytest.approx(cells.recall, abs=2e-3)  # ties at the eightieth place
    assert found_by(replace(cells, probes=cells.probes - 1)) < wanted + 2e-3


def test_rows_without_structure_are_searched_exactly() -> None:
    rows = people(np.random.default_rng(6), 3000, 256, 0.0)
    cells = Cells.fitted(3000, lambda some: decoded(rows[some]), 0.98)
    assert cells.probes == 0
    index = approximate_index(rows, cells)
    assert index.recall is None
    query = decoded(rows[:1])[0]
    found = index.search(query, 30)
    assert (found.rows.tolist(), found.scores.tolist()) == brute_force(rows, np.arange(3000), query, 30, None)


def test_what_cells_give_is_scored_exactly_and_the_rest_is_as_near_as_ever(rows: np.ndarray, cells: Cells) -> None:
    grown = np.concatenate([rows, people(np.random.default_rng(7), 500, 64, 1.3)])
    index = approximate_index(grown, cells)
    assert index.recall == cells.recall
    for query in decoded(grown[::311]):
        looked_at = np.zeros(len(grown), bool)
        looked_at[cells.probed(query)] = looked_at[ROWS:] = True
        found = index.search(query, 30)
        expected = brute_force(grown, np.arange(len(grown)), query, 30, looked_at)
        assert (found.rows.tolist(), found.scores.tolist()) == expected


@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
def test_a_filtered_search_is_exact(rows: np.ndarray, cells: Cells, share: float) -> None:
    kept = np.random.default_rng(8).random(ROWS) < share
    index = approximate_index(rows, cells)
    for query in decoded(rows[::907]):
        found = index.search(query, 30, kept)
        assert (found.rows.tolist(), found.scores.tolist()) == brute_force(rows, np.arange(ROWS), query, 30, kept)


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    """Forty people of twenty-five shots each, in forty tracklets."""
    gallery = new_gallery(tmp_path)
    rng = np.random.default_rng(9)
    for number in range(4):
        tracklets = [(6.0 * i, unit(rng.normal(size=DIM) + 0.1 * rng.normal(size=(25, DIM)))) for i in range(10)]
        add_video(gallery, number, "gate", [chunk_of(0, tracklets)], START_MS + number * 3_600_000)
    return gallery


def nearest_of(gallery: Gallery) -> ExactIndex:
    return Snapshots(gallery, gallery.model_id).current().index


def test_a_gallery_is_searched_approximately_and_exactly_again(gallery: Gallery) -> None:
    query = unit(np.random.default_rng(10).normal(size=(1, DIM)))
    exact = Searcher(gallery, Model()).search(query, top=3)
    search_approximately(gallery, 0.9)
    index = nearest_of(gallery)
    assert isinstance(index, IvfIndex)
    assert index.recall is not None
    assert index.recall >= 0.9
    found = Searcher(gallery, Model()).search(query, top=3)
    assert found.recall == index.recall
    assert any("approximate" in line for line in found.told(filtered=False))
    filtered = Searcher(gallery, Model()).search(query, top=3, without=[exact.hits[0].tracklet])
    assert filtered.recall is None
    assert [hit.tracklet for hit in filtered.hits][:2] == [hit.tracklet for hit in exact.hits][1:]
    search_approximately(gallery, 1.0)
    assert nearest_of(gallery).recall is None
    again = Searcher(gallery, Model()).search(query, top=3)
    assert [(hit.tracklet, hit.score) for hit in again.hits] == [(hit.tracklet, hit.score) for hit in exact.hits]


def test_a_running_server_goes_on_with_cells_and_makes_them_for_what_is_new(gallery: Gallery) -> None:
    running = Snapshots(gallery, gallery.model_id)
    assert running.current().index.recall is None
    search_approximately(gallery, 0.9)
    assert running.current().index.recall is not None
    rng = np.random.default_rng(11)
    new = unit(rng.normal(size=DIM) + 0.1 * rng.normal(size=(25, DIM)))
    add_video(gallery, 9, "hall", [chunk_of(0, [(0.0, new)])], START_MS)
    assert running.current().index.search(new[0], 1).scores[0] == pytest.approx(1, abs=1e-3)  # before it has cells
    running.derive()
    assert not running.current().without_cells
    assert running.current().index.search(new[0], 1).scores[0] == pytest.approx(1, abs=1e-3)


def test_what_cannot_be_found_without_looking_at_all_is_refused(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ivf, "_MOST", 0.0)
    with pytest.raises(UserError, match=r"find 90 % of what is nearest.*lower --recall"):
        search_approximately(gallery, 0.9)
    assert nearest_of(gallery).recall is None


def test_cells_that_are_none_are_not_used(gallery: Gallery) -> None:
    """Nor is a file in which a row is in two cells, or in none, or behind the last."""
    search_approximately(gallery, 0.9)
    (file,) = gallery.path.rglob(f"*{SUFFIX}")
    segment = Segment.open(file)
    assert segment
    assert segment.cells
    for order in (np.zeros_like(segment.cells.order), segment.cells.order + np.uint32(1)):
        forged = replace(segment.cells, order=order)
        codes = [segment.codes]
        Segment.write(file.parent, segment.chunk, segment.digest, segment.columns, segment.coarse, codes, forged)
        assert Segment.open(file) is None


@pytest.mark.parametrize(("recall", "told"), [("0.2", "0.5 to 1 expected"), ("1.1", "0.5 to 1 expected")])
def test_a_share_that_is_none_is_said(gallery: Gallery, recall: str, told: str) -> None:
    result = CliRunner().invoke(app, ["gallery", "vectors", "-g", str(gallery.path), "--recall", recall])
    assert isinstance(result.exception, UserError)
    assert told in str(result.exception)


def test_few_rows_are_not_worth_it(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approximate, "_FEWEST", 100_000)
    with pytest.raises(UserError, match="1,000 vectors are searched exactly as fast"):
        search_approximately(gallery, 0.9)


def test_the_command_tells_what_is_found(gallery: Gallery) -> None:
    command = ["gallery", "vectors", "-g", str(gallery.path)]
    told = CliRunner().invoke(app, [*command, "--recall", "0.9"])
    assert told.exit_code == 0, told.output
    assert "% of what is nearest is found" in told.stdout
    assert json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)["recall"] >= 0.9
    assert json.loads(CliRunner().invoke(app, [*command, "--recall", "1", "--json"]).stdout)["recall"] is None
