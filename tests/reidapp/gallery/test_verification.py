"""Whatever is damaged is named with what to do, and repair makes the gallery what it was, bit for bit."""

import multiprocessing
import os
import re
import shutil
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from models import zoo
from reidapp import files
from reidapp.files import BusyError
from reidapp.footage.indexing import find_footage, index_footage
from reidapp.gallery import repair as repairing
from reidapp.gallery.repair import RepairReport, repair
from reidapp.gallery.search import Searcher
from reidapp.gallery.store import Gallery
from reidapp.gallery.verification import verify
from reidapp.imaging import encode_crop
from reidapp.model_card import model_identity
from reidapp.settings import IndexSettings
from tests.killing import die_at
from tests.reidapp.footage.test_indexing import ShirtEmbedder, contents
from tests.small_gallery import FPS, ShirtDetector, Walk, frame_at, query_crop, write_video

SETTINGS = IndexSettings(zone="UTC", chunk_s=4.0)
SECONDS = 8
WALKS = {  # two days: two shards
    "gate/2026-03-02_10-00-00.mp4": [Walk("red", 0.5, 7.5, 0.1, 0.9), Walk("green", 4.5, 7.5, 0.9, 0.2)],
    "yard/2026-03-03_10-05-00.mp4": [Walk("blue", 0.5, 7.5, 0.8, 0.1), Walk("yellow", 0.5, 3.5, 0.2, 0.7)],
}
MODEL = zoo.path_of("small")


class Embedder(ShirtEmbedder):
    identity = model_identity(MODEL)


def index(footage: Path, gallery: Gallery) -> None:
    index_footage(find_footage(footage, SETTINGS), gallery, Embedder(), ShirtDetector(), SETTINGS)


def mend(gallery: Gallery, *models: Path) -> RepairReport:
    return repair(gallery, lambda file: Embedder(), models)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    for name, walks in WALKS.items():
        (folder / "footage" / name).parent.mkdir(parents=True)
        write_video(folder / "footage" / name, [frame_at(walks, i / FPS) for i in range(SECONDS * FPS)])
    index(folder / "footage", Gallery.create(folder / "gallery", MODEL, Embedder.card, Embedder.identity))
    return folder


@pytest.fixture
def gallery(made: Path, tmp_path: Path) -> Gallery:
    shutil.copytree(made / "gallery", tmp_path / "gallery")
    return Gallery.open(tmp_path / "gallery")


def sql(gallery: Gallery, *statements: str) -> list[Any]:
    """Change rows behind the gallery's back; the answer of the last statement."""
    rows: list[Any] = []
    with closing(sqlite3.connect(gallery.path / "gallery.db")) as connection, connection:
        for statement in statements:
            rows = connection.execute(statement).fetchall()
    return rows


def pictures(gallery: Gallery) -> list[Path]:
    return sorted(gallery.path.glob("crops/*/*/*.webp"))


def shards(gallery: Gallery) -> list[Path]:
    return sorted(gallery.path.glob("vectors/*/*.f16"))


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def of_first_day(gallery: Gallery) -> str:
    """The condition on rows of the first chunk of the first day."""
    ((chunk,),) = sql(gallery, "SELECT chunk_id FROM block WHERE first_row = 0 ORDER BY day LIMIT 1")
    return f"chunk_id = '{chunk}'"


def a_picture_is_gone(gallery: Gallery) -> None:
    pictures(gallery)[0].unlink()


def a_picture_is_damaged(gallery: Gallery) -> None:
    flip(pictures(gallery)[-1])


def a_picture_shows_somebody_else(gallery: Gallery) -> None:
    pictures(gallery)[0].write_bytes(encode_crop(query_crop("yellow")))


def all_pictures_are_gone(gallery: Gallery) -> None:
    shutil.rmtree(gallery.path / "crops")


def a_shard_is_gone(gallery: Gallery) -> None:
    shards(gallery)[0].unlink()


def all_vectors_are_gone(gallery: Gallery) -> None:
    shutil.rmtree(gallery.path / "vectors")


def a_shard_is_cut_short(gallery: Gallery) -> None:
    os.truncate(shards(gallery)[1], shards(gallery)[1].stat().st_size - 7)


def a_shard_has_a_wrong_bit(gallery: Gallery) -> None:
    flip(shards(gallery)[0])


def a_shard_is_zeros(gallery: Gallery) -> None:
    shards(gallery)[0].write_bytes(bytes(shards(gallery)[0].stat().st_size))


def vectors_have_a_wrong_hash(gallery: Gallery) -> None:
    sql(gallery, f"UPDATE block SET sha256 = '{'0' * 64}' WHERE {of_first_day(gallery)}")


def rows_of_vectors_are_gone(gallery: Gallery) -> None:
    sql(gallery, f"DELETE FROM block WHERE {of_first_day(gallery)}")


def all_rows_of_vectors_are_gone(gallery: Gallery) -> None:
    sql(gallery, "DELETE FROM block")


def pictures_and_vectors_are_gone(gallery: Gallery) -> None:
    all_pictures_are_gone(gallery)
    all_vectors_are_gone(gallery)
    rows_of_vectors_are_gone(gallery)


DAMAGES: dict[Callable[[Gallery], None], tuple[str, str]] = {
    a_picture_is_gone: ("1 of . pictures missing or damaged", "cuts them out of the recording again"),
    a_picture_is_damaged: ("1 of . pictures missing or damaged", "cuts them out of the recording again"),
    a_picture_shows_somebody_else: ("1 of . pictures missing or damaged", "cuts them out of the recording again"),
    all_pictures_are_gone: ("pictures missing or damaged", "cuts them out of the recording again"),
    a_shard_is_gone: ("2026-03-02.f16: (.) of \\1 vectors missing or damaged, the first in row 0", "makes them"),
    all_vectors_are_gone: ("2026-03-03.f16: (.) of \\1 vectors missing or damaged, the first in row 0", "makes them"),
    a_shard_is_cut_short: ("2026-03-03.f16: . of . vectors missing or damaged, the first in row [1-9]", "makes them"),
    a_shard_has_a_wrong_bit: ("2026-03-02.f16: . of . vectors missing or damaged", "makes them"),
    a_shard_is_zeros: ("2026-03-02.f16: (.) of \\1 vectors missing or damaged", "makes them"),
    vectors_have_a_wrong_hash: ("2026-03-02.f16: . of . vectors missing or damaged, the first in row 0", "makes them"),
    rows_of_vectors_are_gone: (r"\d crops? without a vector", "embeds them"),
    all_rows_of_vectors_are_gone: (r"\d crops? without a vector", "embeds them"),
    pictures_and_vectors_are_gone: (r"\d crops? without a vector", "embeds them"),
}  # fmt: skip


def test_a_whole_gallery_is_whole_and_left_alone(gallery: Gallery) -> None:
    before = contents(gallery)
    found = verify(gallery)
    assert (found.videos, found.unfinished, found.faults, found.leftovers) == (2, 0, [], [])
    assert found.crops == found.written == found.searchable == len(pictures(gallery)) > 4
    assert found.to_dict()["whole"]
    report = mend(gallery)
    assert (report.crops, report.vectors, report.models, report.links, report.videos, report.leftovers) == (0,) * 6
    assert contents(gallery) == before


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_is_named_and_repaired_bit_for_bit(gallery: Gallery, damage: Callable[[Gallery], None]) -> None:
    before = contents(gallery)
    damage(gallery)
    what, remedy = DAMAGES[damage]
    damaged = contents(gallery)
    found = verify(gallery)
    assert contents(gallery) == damaged
    assert not found.to_dict()["whole"]
    assert any(re.search(what, fault.what) and remedy in fault.remedy for fault in found.faults), found
    assert all("`reidapp gallery repair`" in fault.remedy for fault in found.faults), found
    report = mend(gallery)
    assert report.exact_crops == report.crops
    assert report.crops + report.vectors > 0
    again = verify(gallery)
    assert (again.faults, again.leftovers, report.after.faults) == ([], [], [])
    assert contents(gallery) == before


def test_what_no_row_names_is_listed_and_removed_and_nothing_else(gallery: Gallery) -> None:
    before = contents(gallery)
    shard, picture = shards(gallery)[0], pictures(gallery)[0]
    end = shard.stat().st_size
    expected = {
        "gallery.db.new": 3,
        "models/0123456789abcdef.onnx": 5,
        f"vectors/{shard.parent.name}/2020-01-01.f16": 7,
        "crops/ab/unknown": 11,
        "crops/cd/half.new": 13,
        f"{picture.relative_to(gallery.path)}.new": 17,
        f"vectors/{shard.parent.name}/{shard.name}": 19,
    }
    for name, size in expected.items():
        file = gallery.path / name / ("0.webp" if name.startswith("crops") and name.count("/") == 2 else "")
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab") as output:
            output.write(bytes(size))
    (gallery.path / "notes.txt").write_text("of a user")
    found = verify(gallery)
    assert found.faults == []
    assert {str(leftover.path): leftover.bytes for leftover in found.leftovers} == expected
    assert "7 leftovers of killed runs" in str(found)
    assert mend(gallery).leftovers == 7
    assert (verify(gallery).leftovers, shard.stat().st_size) == ([], end)
    assert contents(gallery) == before
    assert (gallery.path / "notes.txt").is_file()


@pytest.mark.parametrize("damage", [Path.unlink, flip], ids=["missing", "damaged"])
def test_a_model_file_is_copied_back(gallery: Gallery, damage: Callable[[Path], None]) -> None:
    damage(gallery.model_file)
    state = "missing" if damage is Path.unlink else "damaged"
    (fault,) = verify(gallery).faults
    assert fault.what == f"models/{gallery.model_file.name}: {state} (colours/1)"
    a_shard_is_gone(gallery)
    other = gallery.path.parent / "other.onnx"
    flip(Path(shutil.copy(MODEL, other)))
    report = mend(gallery, other)  # no copy of it: nothing is made by another model
    assert (report.models, report.vectors, len(report.after.faults)) == (0, 0, 2)
    report = mend(gallery, other, MODEL)
    assert (report.models, report.exact_vectors, verify(gallery).faults) == (1, report.vectors, [])
    assert gallery.model_file.read_bytes() == MODEL.read_bytes()


@pytest.mark.slow
def test_pictures_whose_recording_went_are_lost_until_it_is_back(made: Path, gallery: Gallery) -> None:
    before = contents(gallery)
    all_pictures_are_gone(gallery)
    all_vectors_are_gone(gallery)
    recording, away = made / "footage" / next(iter(WALKS)), made / "away.mp4"
    recording.rename(away)
    try:
        found = verify(gallery)
        assert any(f"they are lost, unless {recording} comes back" in fault.remedy for fault in found.faults)
        report = mend(gallery)
        assert {fault.what.partition("/")[0] for fault in report.after.faults} == {"crops", "vectors"}
        # What could be made is found, and nobody else is.
        query = Embedder().embed([query_crop("blue")])
        assert Searcher(gallery, Embedder()).search(query, top=1).hits[0].camera == "yard"
    finally:
        away.rename(recording)
    assert mend(gallery).after.faults == []
    assert contents(gallery) == before


def test_a_picture_that_comes_out_otherwise_gets_its_own_vector(gallery: Gallery) -> None:
    """Another version of a decoder: simulated by what is known of the picture, since the recording is the same."""
    sql(gallery, f"UPDATE crop SET digest = '{'0' * 16}' WHERE {of_first_day(gallery)} AND position = 0")
    report = mend(gallery)
    assert (report.crops, report.exact_crops, report.after.faults) == (1, 0, [])
    assert report.vectors > 0
    assert verify(gallery).faults == []


def test_a_gallery_older_than_digests(gallery: Gallery) -> None:
    before = contents(gallery)
    sql(gallery, "UPDATE crop SET digest = NULL")
    assert verify(gallery).faults == []
    pictures(gallery)[0].write_bytes(pictures(gallery)[0].read_bytes()[:100])
    assert len(verify(gallery).faults) == 1
    report = mend(gallery)
    assert (report.crops, report.after.faults) == (1, [])
    assert contents(gallery)["crops"] == before["crops"]
    assert contents(gallery)["vectors"] == before["vectors"]


def test_links_that_lead_nowhere_are_taken_out(gallery: Gallery) -> None:
    ((piece, before),) = sql(gallery, "SELECT id, continues FROM tracklet WHERE continues IS NOT NULL LIMIT 1")
    for wrong in ("no-such-tracklet", piece):
        sql(gallery, f"UPDATE tracklet SET continues = '{wrong}' WHERE id = '{piece}'")
        (fault,) = verify(gallery).faults
        assert "1 tracklets continue one that is not there" in fault.what
        assert (mend(gallery).links, verify(gallery).faults) == (1, [])
        assert gallery.tracklet(piece).id == piece
    assert gallery.tracklet(before).id == before


def test_a_part_that_is_missing_is_indexed_again(made: Path, gallery: Gallery) -> None:
    before = contents(gallery)
    ((last,),) = sql(gallery, "SELECT chunk_id FROM block WHERE first_row > 0 ORDER BY day LIMIT 1")
    others = [f"DELETE FROM {table} WHERE chunk_id = '{last}'" for table in ("crop", "tracklet", "block")]
    sql(gallery, *others, f"DELETE FROM chunk WHERE id = '{last}'")
    (fault,) = verify(gallery).faults
    assert "a part of" in fault.what
    assert "and then `reidapp index`" in fault.remedy
    report = mend(gallery)
    assert (report.videos, report.after.unfinished, report.after.faults) == (1, 1, [])
    index(made / "footage", gallery)
    assert (verify(gallery).unfinished, verify(gallery).faults) == (0, [])
    assert contents(gallery) == before


def test_rows_that_only_a_back_up_can_mend(gallery: Gallery) -> None:
    sql(gallery, "UPDATE block SET first_row = first_row + 1 WHERE day = '2026-03-02'")
    faults = {fault.what: fault.remedy for fault in verify(gallery).faults}
    (shifted,) = [what for what in faults if "not named once each" in what]
    assert "2026-03-02.f16" in shifted
    assert faults[shifted].startswith("restore a back-up")
    sql(gallery, "UPDATE block SET first_row = first_row - 1 WHERE day = '2026-03-02'")
    assert verify(gallery).faults == []
    sql(gallery, "UPDATE setting SET value = 'many' WHERE key = 'generation'")
    (fault,) = verify(gallery).faults
    assert fault.what == "gallery.db: has lost count of its commits"


def test_it_waits_for_no_writer(gallery: Gallery) -> None:
    with gallery.writing():
        assert verify(gallery).faults == []
        with pytest.raises(BusyError):
            mend(gallery)


def _repair_until_killed(path: Path, where: str, calls: int) -> None:
    owner: Any = {"write_whole": files, "_embedded": repairing._Mending}[where]
    die_at(owner, where, calls)
    mend(Gallery.open(path))


@pytest.mark.slow
@pytest.mark.parametrize(("where", "calls"), [("write_whole", 3), ("_embedded", 1), ("_embedded", 3)])
def test_a_repair_that_is_killed_is_done_again(gallery: Gallery, where: str, calls: int) -> None:
    before = contents(gallery)
    pictures_and_vectors_are_gone(gallery)
    process = multiprocessing.get_context("spawn").Process(
        target=_repair_until_killed, args=(gallery.path, where, calls)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    half = verify(gallery)
    assert half.faults
    assert mend(gallery).after.faults == []
    assert (verify(gallery).faults, verify(gallery).leftovers) == ([], [])
    assert contents(gallery) == before
