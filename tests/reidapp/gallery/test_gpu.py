"""What a GPU says may be best is settled by the processor. A flat index stands for the GPU's, with its rounding."""

from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from reidapp.cli import app
from reidapp.errors import UserError
from reidapp.gallery import gpu, nearest, snapshot, vectors
from reidapp.gallery.coarse import Coarse
from reidapp.gallery.derived import outdate
from reidapp.gallery.gpu import Copies, Gpu, GpuIndex
from reidapp.gallery.nearest import ExactIndex, Nearest
from reidapp.gallery.snapshot import Snapshots
from reidapp.gallery.store import Gallery
from reidapp.gallery.writer import next_generation
from tests.reidapp.gallery.test_nearest import brute_force, held_against_brute_force
from tests.reidapp.gallery.test_search import DIM, START_MS, add_video, chunk_of, new_gallery, unit


class HalfPrecision(faiss.IndexFlatIP):
    """Queries and rows are rounded to fp16, as Faiss does on a GPU."""

    def search(self, query: np.ndarray, k: int, **options: Any) -> tuple[np.ndarray, np.ndarray]:
        return super().search(query.astype(np.float16).astype(np.float32), k, **options)


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    monkeypatch.setattr(faiss, "StandardGpuResources", object, raising=False)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1, raising=False)
    monkeypatch.setattr(Gpu, "_empty", lambda self, dim: HalfPrecision(dim))
    return Gpu()


@pytest.fixture(autouse=True)
def _small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"_FEW": 20, "_SHORT": 300, "_PART": 700, "_TOP": 5, "_AT_ONCE": 20, "_BLOCK": 100}.items():
        monkeypatch.setattr(nearest, name, value)
    monkeypatch.setattr(gpu, "_MOST", 50)
    monkeypatch.setattr(gpu, "_STEP", 300)
    monkeypatch.setattr(snapshot, "_WORTH", 20)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_the_same_rows_and_scores_as_brute_force(on_gpu: Gpu, seed: int) -> None:
    def make(stretches: list[np.ndarray], ids: np.ndarray, coded: list[tuple[Coarse, np.ndarray]]) -> ExactIndex:
        return GpuIndex(stretches, ids, coded, Copies(on_gpu), [str(n) for n in range(len(coded))])

    held_against_brute_force(seed, make)


def test_a_filter_is_the_processors(on_gpu: Gpu, monkeypatch: pytest.MonkeyPatch, gallery: Gallery) -> None:
    index = Snapshots(gallery, gallery.model_id, Copies(on_gpu)).current().index
    query = index.stored(np.arange(1))[0].astype(np.float32)
    assert index.search(query, 3).rows[0] == 0

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("the GPU was asked")

    monkeypatch.setattr(HalfPrecision, "search", refused)
    assert index.search(query, 3, np.arange(len(index)) != 5).rows[0] == 0


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    gallery = new_gallery(tmp_path)
    grow(gallery, 0)
    Snapshots(gallery, gallery.model_id).derive()
    return gallery


def grow(gallery: Gallery, number: int) -> np.ndarray:
    rows = unit(np.random.default_rng(number).normal(size=(60, DIM)))
    add_video(gallery, number, "gate", [chunk_of(0, [(0.0, rows)])], START_MS + number * 1000)
    return rows


def test_a_file_is_copied_once_and_goes_before_another_takes_its_place(
    on_gpu: Gpu, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies, there, copied = Copies(on_gpu), [], []
    copy = Gpu.copy

    def counted(self: Gpu, dim: int, blocks: Any) -> Any:
        there.append(len(copies._held))
        index = copy(self, dim, blocks)
        copied.append(index.ntotal)
        return index

    monkeypatch.setattr(Gpu, "copy", counted)
    snapshots = Snapshots(gallery, gallery.model_id, copies)
    before = snapshots.current().index
    new = grow(gallery, 1)
    index = snapshots.current().index
    assert copied == [60]
    assert index.search(new[7], 1).scores[0] == pytest.approx(1, abs=1e-3)  # the processor has what is new
    snapshots.derive()
    assert (copied, there) == ([60, 120], [0, 0])
    query = unit(np.random.default_rng(4).normal(size=DIM))
    rows = before.stored(np.arange(len(before)))
    _, scores = brute_force(rows, np.arange(len(rows)), query, 9, None)
    found = before.search(query, 9)  # a search that is still at it
    assert found.scores.tolist() == scores


def same_as(one: Nearest, other: Nearest) -> None:
    assert (one.rows.tolist(), one.scores.tolist()) == (other.rows.tolist(), other.scores.tolist())


def test_rows_that_were_mended_are_copied_again(on_gpu: Gpu, gallery: Gallery) -> None:
    snapshots = Snapshots(gallery, gallery.model_id, Copies(on_gpu))
    (block,) = snapshots.current().blocks.values()
    shard = vectors.shard_path(gallery.path, gallery.model_id, block.day)
    right = shard.read_bytes()
    shard.write_bytes(bytes(len(right)))
    snapshots.current()
    shard.write_bytes(right)
    with Session(gallery.engine) as session, session.begin():
        outdate(session)
        next_generation(session)
    index = snapshots.current().index
    row = index.stored(np.arange(30, 31))[0].astype(np.float32)
    assert index.search(row, 1).rows.tolist() == [30]


class Full(HalfPrecision):
    """Has room for the first hundred rows, or fails when it is asked."""

    def add(self, rows: np.ndarray) -> None:
        if self.ntotal + len(rows) > 100:
            raise RuntimeError("Error: 'err == cudaSuccess' failed: out of memory\nat StandardGpuResources.cpp:1")
        super().add(rows)


def test_what_does_not_fit_is_said_when_a_server_starts(
    on_gpu: Gpu, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Gpu, "_empty", lambda self, dim: Full(dim))
    grow(gallery, 1)
    Snapshots(gallery, gallery.model_id).derive()
    with pytest.raises(UserError, match=r"do not fit there \(.*out of memory\)"):
        Snapshots(gallery, gallery.model_id, Copies(on_gpu)).current()


def test_what_does_not_fit_later_is_searched_by_the_processor(
    on_gpu: Gpu, gallery: Gallery, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Gpu, "_empty", lambda self, dim: Full(dim))
    snapshots = Snapshots(gallery, gallery.model_id, Copies(on_gpu))
    snapshots.current()
    new = grow(gallery, 1)
    snapshots.derive()
    for _ in range(2):
        assert snapshots.current().index.search(new[7], 1).scores[0] == pytest.approx(1, abs=1e-3)
    assert [record.message.count("out of memory") for record in caplog.records] == [1]


def test_a_gpu_that_fails_leaves_it_to_the_processor(
    on_gpu: Gpu, gallery: Gallery, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    index = Snapshots(gallery, gallery.model_id, Copies(on_gpu)).current().index
    query = unit(np.random.default_rng(4).normal(size=DIM))
    expected = index.search(query, 9)

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error 719 unspecified launch failure")

    monkeypatch.setattr(HalfPrecision, "search", fails)
    same_as(index.search(query, 9), expected)
    same_as(index.search(query, 9), expected)
    assert [record.message.count("CUDA error 719") for record in caplog.records] == [1]


def test_no_gpu_is_said_before_anything_else(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(faiss, "StandardGpuResources", raising=False)  # as faiss-cpu is
    result = CliRunner().invoke(app, ["serve", "-g", str(gallery.path), "--vectors-on-gpu"])
    assert isinstance(result.exception, UserError)
    assert "Faiss finds no GPU here" in str(result.exception)


@pytest.mark.gpu
def test_on_a_real_gpu(gallery: Gallery) -> None:
    if not hasattr(faiss, "StandardGpuResources"):
        pytest.skip("faiss-cpu is installed")
    here, there = (Snapshots(gallery, gallery.model_id, each).current().index for each in (None, Copies(Gpu())))
    for query in unit(np.random.default_rng(3).normal(size=(20, DIM))):
        same_as(here.search(query, 10), there.search(query, 10))
