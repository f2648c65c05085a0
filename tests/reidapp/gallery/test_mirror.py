"""Where vectors are searched, as far as that needs no Milvus; with it: `test_milvus`."""

import importlib.util
from pathlib import Path

import pytest

from reidapp.errors import ReidappError, UserError
from reidapp.gallery import database, milvus, mirror, schema
from reidapp.gallery.milvus import COLLECTION, VECTORS, checked
from tests.reidapp.gallery.test_search import new_gallery


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("milvus:///data/lobby.db", "milvus:///data/lobby.db"),
        ("milvus:///data/../lobby.db", "milvus:///lobby.db"),
        ("milvus://vectors", "milvus://vectors:19530"),
        ("milvus://vectors:9/cameras/", "milvus://vectors:9/cameras"),
        ("milvus+https://vectors:443", "milvus+https://vectors:443"),
    ],
)
def test_addresses(given: str, kept: str) -> None:
    assert checked(given) == kept == checked(kept)


@pytest.mark.parametrize("wrong", ["milvus://lobby.db", "milvus:///lobby", "http://host:19530", "milvus://host:x", ""])
def test_no_address(wrong: str) -> None:
    with pytest.raises(UserError, match=f'^"{wrong}": no address of vectors; give milvus:///'):
        checked(wrong)


def test_a_password_is_neither_taken_nor_said() -> None:
    with pytest.raises(UserError, match="would be stored; set REIDAPP_MILVUS_TOKEN instead") as error:
        checked("milvus://me:secret@host:19530")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("missing", "address", "said"),
    [
        ("pymilvus", "milvus://host:19530", r'pymilvus is not installed; pip install "\.\[milvus\]"'),
        ("milvus_lite", "milvus:///none/copy.db", "it needs faiss-cpu, which overwrites faiss-gpu"),
    ],
)
def test_what_is_not_installed_is_said_and_nothing_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, address: str, said: str
) -> None:
    there = importlib.util.find_spec("json")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else there)
    gallery = new_gallery(tmp_path)
    with pytest.raises(UserError, match=said):
        mirror.move(gallery, address)
    assert mirror.mirror(gallery).to_dict() == {"vectors": "faiss", "rows": 0, "held": 0}


def test_a_copy_that_cannot_be_dropped_is_dropped_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first Milvus is away while the gallery is moved, and there again when it is asked to catch up."""
    gallery, away, there = new_gallery(tmp_path), True, {"milvus://one:19530": ["reidapp_0_ab"]}
    with database.changing(gallery.engine) as session:
        of = {VECTORS: "milvus://one:19530", COLLECTION: "reidapp_0"}
        session.add_all(schema.Setting(key=key, value=value) for key, value in of.items())

    def collections(address: str, prefix: str) -> list[str]:
        if away:
            raise ReidappError("cannot be reached")
        return [name for name in there[address] if name.startswith(prefix)]

    monkeypatch.setattr(milvus, "collections", collections)
    monkeypatch.setattr(milvus, "drop", lambda address, name: there[address].remove(name))
    with pytest.raises(ReidappError, match="cannot be reached"):
        mirror.move(gallery, "faiss")
    assert mirror.place(gallery) == "faiss"
    away = False
    mirror.catch_up(gallery)
    assert there == {"milvus://one:19530": []}
    away = True
    mirror.catch_up(gallery)  # nobody is asked any more


def test_a_milvus_that_is_gone_for_good_is_forgotten_when_it_is_left_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = new_gallery(tmp_path)
    with database.changing(gallery.engine) as session:
        of = {VECTORS: "milvus://one:19530", COLLECTION: "reidapp_0"}
        session.add_all(schema.Setting(key=key, value=value) for key, value in of.items())

    def away(address: str, prefix: str) -> list[str]:
        raise ReidappError("cannot be reached")

    monkeypatch.setattr(milvus, "collections", away)
    for ask in (lambda: mirror.move(gallery, "faiss"), lambda: mirror.catch_up(gallery)):  # it may come back
        with pytest.raises(ReidappError, match="cannot be reached"):
            ask()
        assert mirror.mirror(gallery).to_dict() == {"vectors": "faiss", "rows": 0, "held": 0}
    assert mirror.move(gallery, "faiss").vectors == "faiss"
    mirror.catch_up(gallery)  # nobody is asked any more
