"""Vectors whose bytes are not those that were committed: no search goes by them, and each says so."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from reidapp.errors import ReidappError
from reidapp.gallery import repair as mending
from reidapp.gallery import schema, snapshot, verification
from reidapp.gallery.deletion import Selection, delete_from
from reidapp.gallery.queries import tracklet_vectors
from reidapp.gallery.seals import Block, Seals
from reidapp.gallery.search import Searcher
from reidapp.gallery.snapshot import Snapshots
from reidapp.gallery.store import Gallery
from tests.small_gallery import ColourEmbedder, make_gallery, query_crop


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    return make_gallery(tmp_path)


@pytest.fixture
def coded(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> Gallery:
    monkeypatch.setattr(snapshot, "_WORTH", 1)
    snapshots = Snapshots(gallery, gallery.model_id)
    snapshots.derive()
    assert snapshots.current().fresh_rows == 0
    return gallery


def shard(gallery: Gallery) -> Path:
    (file,) = gallery.path.glob("vectors/*/*.f16")
    return file


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def swap(file: Path) -> None:
    """Vectors of other people: as many as there were, each one long."""
    data = file.read_bytes()
    row = 2 * ColourEmbedder.card.dim
    file.write_bytes(b"".join(data[i : i + row] for i in range(len(data) - row, -1, -row)))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-2])


def found(searcher: Searcher) -> list[str]:
    return [hit.tracklet for hit in searcher.search(ColourEmbedder().embed([query_crop("red")]), top=9).hits]


@pytest.mark.slow
@pytest.mark.parametrize("which", ["gallery", "coded"])
@pytest.mark.parametrize("damage", [flip, swap, cut])
def test_a_search_says_which_shard_is_damaged(
    which: str, damage: Callable[[Path], None], request: pytest.FixtureRequest
) -> None:
    gallery = request.getfixturevalue(which)
    before, whole = found(Searcher(gallery, ColourEmbedder())), shard(gallery).read_bytes()
    damage(shard(gallery))
    with pytest.raises(ReidappError, match="`reidapp gallery repair` makes them anew") as error:
        found(Searcher(gallery, ColourEmbedder()))
    assert str(error.value).startswith(f"{shard(gallery)}: ")
    assert "\n" not in str(error.value)
    shard(gallery).write_bytes(whole)
    assert found(Searcher(gallery, ColourEmbedder())) == before


def test_the_line_tells_the_rows_and_how_to_look_for_more(gallery: Gallery) -> None:
    flip(shard(gallery))
    with pytest.raises(ReidappError) as error:
        found(Searcher(gallery, ColourEmbedder()))
    with Session(gallery.engine) as session:
        places = session.execute(select(schema.Block.first_row, schema.Block.rows)).all()
    said = [f": rows {first} to {first + rows - 1} are not the vectors that were written" for first, rows in places]
    assert sum(each in str(error.value) for each in said) == 1
    assert "`reidapp gallery verify` says what else is damaged" in str(error.value)


def test_a_search_by_a_hit_does_not_ask_with_damaged_vectors(gallery: Gallery) -> None:
    ids = [tracklet.id for tracklet in gallery.tracklets()]
    assert tracklet_vectors(gallery, gallery.model_id, ids).keys() == set(ids)
    swap(shard(gallery))
    with pytest.raises(ReidappError, match="are not the vectors that were written"):
        tracklet_vectors(gallery, gallery.model_id, ids)


def test_a_server_that_runs_finds_again_after_a_repair(coded: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (mending, verification):  # the small gallery's model is no file
        monkeypatch.setattr(module, "is_model", lambda file, id_: True)
    before = found(Searcher(coded, ColourEmbedder()))
    flip(shard(coded))
    running = Searcher(coded, ColourEmbedder())
    for _ in range(2):
        with pytest.raises(ReidappError, match="are not the vectors"):
            found(running)
    assert mending.repair(coded, lambda model: ColourEmbedder()).vectors > 0
    assert found(running) == before


def test_damage_stays_damage_when_others_are_deleted(gallery: Gallery) -> None:
    flip(shard(gallery))
    with Session(gallery.engine) as session:
        blocks = session.scalars(select(schema.Block).order_by(schema.Block.first_row)).all()
        file = np.fromfile(shard(gallery), "<f2").reshape(-1, ColourEmbedder.card.dim)
        sound = [b for b in blocks if hashlib.sha256(file[b.first_row :][: b.rows].tobytes()).hexdigest() == b.sha256]
        video = session.get_one(schema.Chunk, sound[0].chunk_id).video_id
    assert len(sound) == len(blocks) - 1
    with gallery.writing() as writer:
        delete_from(writer, Selection(video=video))
    with pytest.raises(ReidappError, match="are not the vectors that were written"):
        found(Searcher(gallery, ColourEmbedder()))


def test_a_block_is_looked_at_when_it_is_read_and_once() -> None:
    rows = np.arange(24, dtype=np.float16).reshape(6, 4)
    blocks = [
        Block(name, "day", first, 2, hashlib.sha256(rows[first : first + 2].tobytes()).hexdigest()[:16], "video")
        for first, name in enumerate("abc")
        for first in [2 * first]
    ]
    rows[3, 0] += 1  # of b
    held: set[str] = set()
    seals = Seals(Path("shards"), {"day": rows}, blocks, held)
    assert held == set()
    seals.check(np.array([5, 4]))
    assert held == {"c"}
    with pytest.raises(ReidappError, match=r"^shards/day\.f16: rows 2 to 3 are not"):
        seals.check(np.array([0, 3]))
    assert "b" not in held
    seals.check(np.array([0, 1]))
    assert held == {"a", "c"}
    rows[4, 0] += 1
    seals.check(np.array([4]))
