"""Searches by Milvus find what searches by Faiss find; with Milvus Lite, in an environment of its own (`make milvus`).

With ``_keeps_deleted`` put aside, Milvus Lite is treated as a server.
"""

from pathlib import Path

import numpy as np
import pytest

from reidapp.gallery import milvus, mirror, nearest, snapshot
from reidapp.gallery.coarse import Coarse
from reidapp.gallery.milvus import Collection, MilvusIndex
from reidapp.gallery.snapshot import Snapshots
from reidapp.gallery.store import Gallery
from tests.reidapp.gallery.test_nearest import held_against_brute_force
from tests.reidapp.gallery.test_search import new_gallery
from tests.reidapp.gallery.test_snapshot import DIM, grow, live, truth

pytestmark = pytest.mark.milvus


@pytest.fixture(autouse=True)
def _small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Milvus is asked, and more than once, as for a large gallery."""
    for name, value in {"_FEW": 0, "_SHORT": 300, "_PART": 700, "_TOP": 5, "_AT_ONCE": 20, "_BLOCK": 100}.items():
        monkeypatch.setattr(nearest, name, value)
    monkeypatch.setattr(milvus, "_WRITTEN", 40 * 4 * DIM)
    monkeypatch.setattr(snapshot, "_WORTH", 20)


@pytest.fixture(params=[True, False], ids=["lite", "as a server"])
def address(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(milvus, "_keeps_deleted", lambda address: request.param)
    return f"milvus://{tmp_path}/copy.db"


@pytest.fixture
def filled(tmp_path: Path) -> Gallery:
    gallery, rng = new_gallery(tmp_path), np.random.default_rng(0)
    for number in range(8):
        grow(gallery, rng, number)
    return gallery


def collection_in_use(gallery: Gallery) -> Collection:
    index = Snapshots(gallery, gallery.model_id).current().index
    assert isinstance(index, MilvusIndex)
    return index.collection


@pytest.mark.parametrize("seed", range(6))
def test_the_same_rows_and_scores_as_brute_force(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the collection lacks, or has beside."""
    rng = np.random.default_rng(seed)
    monkeypatch.setattr(milvus, "_MOST", int(rng.choice([50, 16_384])))

    def copied(stretches: list[np.ndarray], ids: np.ndarray, coded: list[tuple[Coarse, np.ndarray]]) -> MilvusIndex:
        stored = np.concatenate(stretches)
        rows = rng.multinomial(len(ids), np.ones(len(ids) // 20 + 1) / (len(ids) // 20 + 1))
        rows = rows[rows > 0]
        blocks = rng.integers(-(2**63), 2**63 - 1, len(rows))
        collection = Collection(f"milvus://{tmp_path}/copy.db", "reidapp_test", "", stored.shape[1])
        collection.make()
        index = MilvusIndex(stretches, ids, coded, collection, blocks, rows)
        index.catch_up(set())
        lost = rng.random(len(rows)) < rng.choice([0, 0.2, 1])
        collection.remove(blocks[lost].tolist())
        more = stored[rng.integers(0, len(stored), 30)]
        beside, positions = np.full(30, 7, np.int64), np.arange(30)
        collection.write(2**40 + positions, beside, positions, more)
        collection.settle()
        assert index.lacking == rows[lost].sum()
        return index

    held_against_brute_force(seed, copied)


@pytest.mark.parametrize("seed", range(2))
def test_the_same_hits_as_brute_force_whatever_happens(tmp_path: Path, address: str, seed: int) -> None:
    gallery = new_gallery(tmp_path)
    mirror.move(gallery, address)

    def tidy(snapshots: Snapshots) -> None:
        snapshots.catch_up()
        snapshots.derive()

    index = live(gallery, np.random.default_rng(seed), tidy).current().index
    assert isinstance(index, MilvusIndex)
    assert index.lacking == 0
    assert index.collection.counted() == len(index) == len(truth(gallery))
