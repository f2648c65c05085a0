"""Searches by Milvus find what searches by Faiss find; with Milvus Lite, in an environment of its own (`make milvus`).

With ``_keeps_deleted`` put aside, Milvus Lite is treated as a server.
"""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select
from sqlalchemy.orm import Session

from reidapp.cli import app
from reidapp.errors import ReidappError, UserError
from reidapp.gallery import milvus, mirror, nearest, schema, snapshot
from reidapp.gallery.backup import copy_gallery
from reidapp.gallery.coarse import Coarse
from reidapp.gallery.deletion import Selection, delete_from, drop_other_models
from reidapp.gallery.milvus import Collection, MilvusIndex
from reidapp.gallery.nearest import Centring
from reidapp.gallery.search import Searcher
from reidapp.gallery.snapshot import Snapshots
from reidapp.gallery.store import Gallery
from tests.reidapp.gallery.test_nearest import held_against_brute_force
from tests.reidapp.gallery.test_search import DIM, Model, new_gallery, unit
from tests.reidapp.gallery.test_snapshot import Other as OtherModel
from tests.reidapp.gallery.test_snapshot import check, grow, live, reembed, truth

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


def copied(gallery: Gallery) -> MilvusIndex:
    index = Snapshots(gallery, gallery.model_id).current().index
    assert isinstance(index, MilvusIndex)
    return index


def names(address: str) -> list[str]:
    return milvus.collections(address, "reidapp_")


@pytest.mark.parametrize("seed", range(4))
def test_the_same_rows_and_scores_as_brute_force(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the collection lacks, or has beside."""
    rng = np.random.default_rng(seed)
    monkeypatch.setattr(milvus, "_MOST", int(rng.choice([50, 16_384])))

    def partly_copied(
        stretches: list[np.ndarray], ids: np.ndarray, coded: list[tuple[Coarse, np.ndarray]]
    ) -> MilvusIndex:
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

    held_against_brute_force(seed, partly_copied)


@pytest.mark.parametrize("seed", range(2))
def test_the_same_hits_as_brute_force_whatever_happens(tmp_path: Path, address: str, seed: int) -> None:
    gallery = new_gallery(tmp_path)
    mirror.move(gallery, address)

    def tidy(snapshots: Snapshots) -> None:
        snapshots.catch_up()
        snapshots.derive()

    live(gallery, np.random.default_rng(seed), tidy)
    index = copied(gallery)
    assert index.lacking == 0
    assert index.collection.counted() == len(index) == len(truth(gallery))


def test_the_same_hits_as_by_faiss_before_and_after_moving(filled: Gallery, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    searcher, queries = Searcher(filled, Model()), unit(rng.normal(size=(3, DIM)))
    judged = [hit.tracklet for hit in searcher.search(queries, top=3).hits]

    def found() -> list[list[tuple[str, float]]]:
        asked = [{}, {"without": judged}, {"rerank": True}, {"combine": "max", "cameras": ["gate", "hall"]}]
        asked += [{"combine": "set", "without": judged, "top": 4}]
        results = [searcher.search(queries, **options) for options in asked]
        return [[(hit.crop, hit.reason.score) for hit in result.hits if hit.reason] for result in results]

    by_faiss, address = found(), f"milvus://{tmp_path}/copy.db"
    told = mirror.move(filled, address)
    assert (told.vectors, told.held, told.rows) == (address, len(truth(filled)), len(truth(filled)))
    assert found() == by_faiss
    assert len(names(address)) == 1
    assert mirror.move(filled, "faiss").to_dict() == {"vectors": "faiss", "rows": told.rows, "held": told.rows}
    assert found() == by_faiss
    assert names(address) == []


def test_the_same_rows_without_the_cameras_means(filled: Gallery, address: str) -> None:
    own = Snapshots(filled, filled.model_id).current().index
    mirror.move(filled, address)
    rng, index = np.random.default_rng(2), copied(filled)
    for k in (1, 5, 30):
        centring = Centring(0.2 * rng.normal(size=len(own)), rng.uniform(0.8, 1.2, len(own)).astype(np.float32))
        query, kept = unit(rng.normal(size=DIM)), rng.random(len(own)) < 0.7
        one, other = (each.search(query, k, kept, centring) for each in (own, index))
        assert (one.rows.tolist(), one.scores.tolist()) == (other.rows.tolist(), other.scores.tolist())


def test_what_is_new_is_found_at_once_and_copied_by_a_server(filled: Gallery, address: str) -> None:
    mirror.move(filled, address)
    rng, snapshots = np.random.default_rng(5), Snapshots(filled, filled.model_id)
    for number in range(20, 30):
        grow(filled, rng, number)
    assert copied(filled).lacking >= 20
    check(filled, snapshots.current(), rng)
    snapshots.derive_behind()
    assert snapshots._deriving
    snapshots._deriving.join(60)
    assert copied(filled).lacking == 0


def test_nothing_deleted_stays(filled: Gallery, address: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """On a server Milvus itself takes it from the disk."""
    mirror.move(filled, address)
    reembed(filled, OtherModel)
    mirror.catch_up(filled)
    assert len(names(address)) == 2
    with Session(filled.engine) as session:
        tracklet = session.scalars(select(schema.Tracklet.id).join(schema.Crop)).first()
        crops = session.scalars(select(schema.Crop.id).where(schema.Crop.tracklet_id == tracklet)).all()
    index = copied(filled)
    ids = [f"{crop:016x}" for crop in index._ids.tolist()]
    gone = index.stored(np.array([ids.index(crop) for crop in crops])).astype("<f4")
    with filled.writing() as writer:
        delete_from(writer, Selection(tracklets=[str(tracklet)]))
        mirror.let_go(filled)
    index = copied(filled)
    assert index.collection.counted() == len(index) < len(ids)
    assert sum(index.collection.rows().values()) == len(index)
    check(filled, Snapshots(filled, filled.model_id).current(), np.random.default_rng(2))
    if milvus._keeps_deleted(address):
        data = b"".join(file.read_bytes() for file in (tmp_path / "copy.db").rglob("*") if file.is_file())
        assert index.stored(np.zeros(1, int)).astype("<f4").tobytes() in data
        assert not any(row.tobytes() in data for row in gone)
    with filled.writing() as writer:
        drop_other_models(writer)
        mirror.let_go(filled)
    assert names(address) == [index.collection.name]


def test_what_a_killed_writer_left_is_put_right(filled: Gallery, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror.move(filled, address)
    grow(filled, np.random.default_rng(6), 40)
    grow(filled, np.random.default_rng(7), 41)
    client, upsert, calls = milvus._client(address), milvus._client(address).upsert, []

    def killed(name: str, rows: list[dict], **options: object) -> object:
        calls.append(upsert(name, rows, **options))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(client, "upsert", killed)
        with pytest.raises(KeyboardInterrupt):
            mirror.catch_up(filled)
    index = copied(filled)
    assert calls
    check(filled, Snapshots(filled, filled.model_id).current(), np.random.default_rng(3))
    index.collection.write(*_strays(DIM))
    index.collection.remove(index.blocks[:1].tolist())
    mirror.catch_up(filled)
    index = copied(filled)
    assert index.collection.rows() == dict(zip(index.blocks.tolist(), index._rows.tolist(), strict=True))
    check(filled, Snapshots(filled, filled.model_id).current(), np.random.default_rng(3))


def test_a_collection_that_is_lost_is_made_anew(
    filled: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no search counts on what was in it."""
    monkeypatch.setattr(milvus, "_keeps_deleted", lambda address: False)
    mirror.move(filled, f"milvus://{tmp_path}/copy.db")
    searching, rng = Snapshots(filled, filled.model_id), np.random.default_rng(9)
    check(filled, searching.current(), rng)
    milvus.drop(mirror.place(filled), copied(filled).collection.name)
    with pytest.raises(ReidappError, match="--to faiss"):
        check(filled, searching.current(), rng)
    with monkeypatch.context() as patch:
        patch.setattr(MilvusIndex, "catch_up", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            mirror.catch_up(filled)
    check(filled, searching.current(), rng)
    mirror.catch_up(filled)
    assert copied(filled).lacking == 0
    check(filled, searching.current(), rng)


def _strays(dim: int) -> tuple[np.ndarray, ...]:
    """Rows of a block that is not whole, and of no gallery."""
    return np.arange(5), np.full(5, 9), np.arange(1, 6), np.ones((5, dim), np.float16)


def test_a_copy_of_a_gallery_leaves_its_collections_alone(
    filled: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reidapp.gallery.verification.is_model", lambda file, id_: True)
    address = f"milvus://{tmp_path}/copy.db"
    mirror.move(filled, address)
    copy_gallery(filled, tmp_path / "other")
    other = Gallery.open(tmp_path / "other")
    grow(other, np.random.default_rng(8), 50)
    assert mirror.place(other) == "faiss"
    mirror.catch_up(other)
    assert copied(filled).collection.counted() == len(copied(filled))
    mirror.move(other, address)
    assert len(names(address)) == 2
    check(other, Snapshots(other, other.model_id).current(), np.random.default_rng(4))


def test_what_is_wrong_is_one_line(filled: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = "milvus://127.0.0.1:9/there"
    with pytest.raises(ReidappError, match=rf"^{nobody}: Fail connecting .*--to faiss"):
        mirror.move(filled, nobody)
    with pytest.raises(ReidappError, match="its folder is not there"):
        mirror.move(filled, f"milvus://{tmp_path}/no/copy.db")
    assert mirror.place(filled) == "faiss"

    address = f"milvus://{tmp_path}/copy.db"
    mirror.move(filled, address)
    other = replace(copied(filled).collection, dim=DIM + 1)
    with pytest.raises(UserError, match="is not one of this gallery's, with vectors of 33 numbers"):
        other.blocks()

    asking = f"from reidapp.gallery import milvus; milvus.collections({address!r}, '')"
    locked = subprocess.run([sys.executable, "-c", asking], capture_output=True, text=True, check=False)
    last = locked.stderr.strip().splitlines()[-1]
    assert last.startswith(f"reidapp.errors.ReidappError: {address}: cannot be opened; another process has it open")

    class RefusalError(Exception):
        __module__ = "pymilvus.exceptions"

    def refuse() -> None:
        raise RefusalError("auth check failure, please check username and password are correct")

    monkeypatch.setattr(milvus._client(address), "list_collections", refuse)
    with pytest.raises(UserError, match=r"refused \(auth check .*; set REIDAPP_MILVUS_TOKEN"):
        mirror.move(filled, address)
    with pytest.raises(ReidappError, match=r"^deleted from .*, but not from its copy; .* does it later"):
        mirror.let_go(filled)


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng, gallery, address = np.random.default_rng(0), str(tmp_path / "gallery"), f"milvus://{tmp_path}/copy.db"
    (tmp_path / "crops").mkdir()
    for number in range(4):
        Image.fromarray(rng.integers(0, 255, (128, 64, 3), np.uint8)).save(tmp_path / "crops" / f"{number}.png")
    crops = str(tmp_path / "crops")

    def told(*command: str) -> dict:
        app([*command, "-g", gallery, "--json"], standalone_mode=False)
        return json.loads(capsys.readouterr().out)

    with pytest.raises(ReidappError, match="Fail connecting"):
        told("index", crops, "--as", "crops", "--vectors", "milvus://127.0.0.1:9")
    assert not Path(gallery).exists()
    assert told("index", crops, "--as", "crops", "--vectors", address)["notes"] == []
    assert told("gallery", "vectors") == {"vectors": address, "rows": 4, "held": 4}
    with pytest.raises(UserError, match=r"searched by milvus://.* moves it"):
        told("index", crops, "--as", "crops", "--vectors", "faiss")
    assert told("gallery", "vectors", "--to", "faiss") == {"vectors": "faiss", "rows": 4, "held": 4}
