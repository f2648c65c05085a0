"""Galleries that somebody has changed who knows their form; `benchmarks/fuzz/galleries.py` found these."""

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from reidapp.errors import ReidappError
from reidapp.gallery import listing, snapshot
from reidapp.gallery.derived import Segment
from reidapp.gallery.search import Searcher
from reidapp.gallery.snapshot import Snapshots
from reidapp.gallery.store import Gallery
from tests.small_gallery import START, ColourEmbedder, make_gallery, query_crop


@pytest.fixture
def gallery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gallery:
    monkeypatch.setattr(snapshot, "_WORTH", 1)
    return make_gallery(tmp_path)


def found(gallery: Gallery) -> list[str]:
    query = ColourEmbedder().embed([query_crop("red")])
    return [hit.tracklet for hit in Searcher(gallery, ColourEmbedder()).search(query, top=5).hits]


def change(gallery: Gallery, sql: str) -> None:
    with gallery.engine.begin() as connection:
        connection.execute(text(sql))


@pytest.mark.parametrize(
    "forge",
    [
        lambda header: header[:-1],
        lambda header: [*header[:-1], ["codes", "|u1", [2, 2], 0]],
        lambda header: [*header[:-1], ["codes", "|u1", [2**40, 2**20], 0]],
        lambda header: [[name, "O", shape, at] for name, _, shape, at in header],
        lambda header: [[name, dtype, shape, -(2**40)] for name, dtype, shape, at in header],
        lambda header: [entry[:3] for entry in header],
        lambda header: None,
        lambda header: {"codes": 1},
    ],
)
def test_a_derived_file_with_a_digest_of_its_own_is_not_used(
    gallery: Gallery, forge: Callable[[list[list]], object]
) -> None:
    before = found(gallery)
    snapshots = Snapshots(gallery, gallery.model_id)
    snapshots.derive()
    (segment,) = snapshots.current().segments
    whole = segment.path.read_bytes()
    end = 56 + int.from_bytes(whole[48:56], "little")
    header = json.dumps(forge(json.loads(whole[56:end]))).encode()
    body = len(header).to_bytes(8, "little") + header + whole[end:]
    segment.path.write_bytes(whole[:16] + hashlib.sha256(body).digest() + body)
    assert Segment.open(segment.path) is None
    assert found(gallery) == before


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM setting WHERE key = 'generation'",
        "UPDATE setting SET value = 'x' WHERE key = 'generation'",
        "UPDATE model SET card = '{'",
        "UPDATE tracklet SET path = '[[0]]'",
        "UPDATE block SET rows = 2147483648",  # as much memory as that was asked for
        "UPDATE block SET rows = -1",
        "UPDATE crop SET x1 = '[]'",
    ],
)
def test_rows_that_do_not_fit_together_are_one_line(gallery: Gallery, sql: str) -> None:
    gallery.engine.dispose()
    with gallery.engine.connect() as connection:
        connection.exec_driver_sql(sql)
        connection.commit()

    def look() -> None:
        gallery.facts()
        found(Gallery.open(gallery.path))
        gallery.tracklets()

    with pytest.raises(ReidappError) as error:
        look()
    assert str(gallery.path) in str(error.value)
    assert "\n" not in str(error.value)
    assert "its rows do not fit together" in str(error.value)


@pytest.mark.parametrize("sql", ["DELETE FROM alembic_version", "UPDATE alembic_version SET version_num = ''"])
def test_a_version_that_there_is_not_is_one_line(gallery: Gallery, sql: str) -> None:
    change(gallery, sql)
    gallery.engine.dispose()
    with pytest.raises(ReidappError, match=r"its tables are of no version of reidapp \(\w+\); restore a back-up"):
        Gallery.open(gallery.path)


def test_several_versions_at_once_are_one_line(gallery: Gallery) -> None:
    change(gallery, "INSERT INTO alembic_version VALUES ('0099')")
    gallery.engine.dispose()
    with pytest.raises(ReidappError, match=r"gallery\.db: "):
        Gallery.open(gallery.path)


def test_a_list_of_rows_that_do_not_fit_together_is_one_line(gallery: Gallery) -> None:
    change(gallery, "UPDATE tracklet SET end_s = 'x'")
    with pytest.raises(ReidappError, match="its rows do not fit together"):
        listing.tracklets(gallery)


def test_tracklets_that_continue_each_other_in_a_circle_hold_nobody_up(gallery: Gallery) -> None:
    first, second = (tracklet.id for tracklet in gallery.tracklets() if tracklet.camera == "Gate")
    change(gallery, f"UPDATE tracklet SET continues = '{second}' WHERE id = '{first}'")
    change(gallery, f"UPDATE tracklet SET continues = '{first}' WHERE id = '{second}'")
    with pytest.raises(ReidappError, match="continues itself; restore a back-up"):
        found(gallery)
    between = START + timedelta(seconds=10)  # the one has gone by then, and the other has not
    for look in (lambda: gallery.tracklet(first), lambda: listing.tracklets(gallery, after=between)):
        with pytest.raises(ReidappError, match="continues itself"):
            look()


@pytest.mark.parametrize("outside", ["../kept", "crops/../../kept"])
def test_a_row_cannot_have_files_removed_that_are_not_the_gallerys(gallery: Gallery, outside: str) -> None:
    kept = gallery.path.parent / "kept"
    kept.mkdir()
    (kept / "file").touch()
    change(gallery, f"INSERT INTO leftover (path) VALUES ('{outside}')")
    with pytest.raises(ReidappError, match="which is not in the gallery"), gallery.writing():
        pass
    assert (kept / "file").exists()
