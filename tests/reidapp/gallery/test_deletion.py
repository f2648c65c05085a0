"""What is deleted is gone from every file, whenever a run is killed, and nothing else is."""

import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from reidapp.errors import UserError
from reidapp.footage.indexing import find_footage
from reidapp.footage.known import Known
from reidapp.footage.survey import survey
from reidapp.gallery import deletion, schema, snapshot, vectors
from reidapp.gallery.deletion import Selection, delete_from, planned
from reidapp.gallery.facts import utc
from reidapp.gallery.identities import Identities
from reidapp.gallery.saved_searches import SavedSearches
from reidapp.gallery.search import Searcher
from reidapp.gallery.snapshot import Snapshots
from reidapp.gallery.store import Gallery
from reidapp.gallery.verification import verify
from reidapp.imaging import read_image
from tests.killing import die_at
from tests.reidapp.footage.test_indexing import new_gallery as shirt_gallery
from tests.reidapp.footage.test_stills import STILLS, find, run, save, still
from tests.reidapp.gallery.test_search import DAY_MS, START_MS, new_gallery
from tests.reidapp.gallery.test_snapshot import Other, check, grow, reembed, truth
from tests.small_gallery import HOSTILE, START, ColourEmbedder, make_gallery, query_crop


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "_WORTH", 1)
    monkeypatch.setattr("reidapp.gallery.verification.is_model", lambda file, id_: True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    make_gallery(folder)
    return folder / "gallery"


@pytest.fixture
def gallery(made: Path, tmp_path: Path) -> Gallery:
    shutil.copytree(made, tmp_path / "gallery")
    opened = Gallery.open(tmp_path / "gallery")
    Snapshots(opened, opened.model_id).derive()
    return opened


def traces(gallery: Gallery, camera: str) -> dict[str, bytes]:
    """All by which a camera's people could be known again: pictures, vectors, ids. Red ones look alike everywhere."""
    found: dict[str, bytes] = {}
    red = Searcher(gallery, ColourEmbedder()).search(ColourEmbedder().embed([query_crop("red")])).hits
    with Session(gallery.engine) as session:
        for tracklet in (t for t in gallery.tracklets() if t.camera == camera):
            found[f"tracklet {tracklet.id}"] = tracklet.id.encode()
            for crop in tracklet.crops:
                row = session.get_one(schema.Crop, crop.id)
                block = session.get_one(schema.Block, (row.chunk_id, gallery.model_id))
                shard = vectors.shard_path(gallery.path, gallery.model_id, block.day).read_bytes()
                at = (block.first_row + row.position) * 128
                if tracklet.id != next(hit.tracklet for hit in red if hit.camera == camera):
                    found[f"picture {crop.id}"] = crop.file.read_bytes()
                    found[f"vector {crop.id}"] = shard[at : at + 128]
                found[f"code {crop.id}"] = int(crop.id, 16).to_bytes(8, "little")
    return found


def left(gallery: Gallery, of: dict[str, bytes]) -> list[str]:
    """Which traces are in some file."""
    files = {path: path.read_bytes() for path in gallery.path.rglob("*") if path.is_file()}
    return [f"{what} in {path.name}" for what, data in of.items() for path in files if data in files[path]]


def delete(gallery: Gallery, **what: object) -> deletion.Deletion:
    with gallery.writing() as writer:
        return delete_from(writer, Selection(**what))  # type: ignore[arg-type]


def cameras_of(gallery: Gallery) -> set[str]:
    return {tracklet.camera for tracklet in gallery.tracklets()}


def test_nothing_is_left_of_whom_was_deleted_and_all_of_the_others(gallery: Gallery) -> None:
    gate, others = traces(gallery, "Gate"), traces(gallery, HOSTILE) | traces(gallery, "Hall")
    mine = next(t for t in gallery.tracklets() if f"picture {t.crops[0].id}" in gate)
    hall = next(t for t in gallery.tracklets() if t.camera == "Hall")
    Identities(gallery, "me").new("Anna", [mine.id, hall.id])
    searches, shot = SavedSearches(gallery, "me"), read_image(mine.crops[0].file)
    searches.save("of a shot", [shot])
    searches.save("of two", [shot, query_crop("blue")], [mine.id, hall.id])
    searches.answer("of two", [mine.id], [hall.id])
    asked = searches.get("of a shot").pictures[0]
    gate |= {"query": asked.read_bytes()}
    # Of a run that was killed: a folder and vectors that no row names yet.
    shutil.copytree(mine.crops[0].file.parent, gallery.path / "crops/ff/ffff")
    shard = next(gallery.path.glob("vectors/*/*.f16"))
    with shard.open("ab") as file:
        file.write(gate[f"vector {mine.crops[0].id}"])
    assert {what.split()[0] for what in left(gallery, gate)} == {"tracklet", "picture", "vector", "code", "query"}

    plan = planned(gallery, Selection(camera="Gate"))
    assert (plan.videos, plan.tracklets, plan.crops, plan.vectors, plan.said) == (1, 2, 2, 2, 2)
    assert left(gallery, gate)
    assert delete(gallery, camera="Gate") == plan

    assert left(gallery, gate) == []
    assert {what.split(" in ")[0] for what in left(gallery, others)} == set(others)
    found = verify(gallery)
    assert (found.faults, found.leftovers) == ([], [])
    assert cameras_of(gallery) == {HOSTILE, "Hall"}
    assert [search.name for search in searches.all()] == ["of two"]
    kept = searches.get("of two")
    assert (kept.tracklets, kept.yes, kept.no) == ([hall.id], [], [hall.id])
    assert [file.name for file in kept.pictures] == ["1.webp"]
    assert [each.tracklet for each in Identities(gallery, "me").show("Anna").judged] == [hall.id]
    assert delete(gallery, camera="Gate") == deletion.Deletion()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_the_same_hits_as_brute_force_after_any_deletions(tmp_path: Path, seed: int) -> None:
    rng, gallery = np.random.default_rng(seed), new_gallery(tmp_path)
    long_open = Snapshots(gallery, gallery.model_id)
    for number in range(9):
        grow(gallery, rng, number)
        if number == 4:
            reembed(gallery, Other)
            long_open = Snapshots(gallery, gallery.model_id)
        elif number > 4:
            reembed(gallery, Other)  # what has come since
        if number > 2 and (rows := truth(gallery)):
            before = {tracklet for tracklet, *_ in rows}
            times = sorted(START_MS + rng.uniform(0, 3) * DAY_MS for _ in range(2))
            camera, tracklet = ("gate", "hall", "yard")[int(rng.integers(3))], str(rng.choice(sorted(before)))
            gone, what = [
                ({tracklet}, {"tracklets": [tracklet]}),
                ({t for t, c, first, last, _ in rows if c == camera and last >= times[0] and first <= times[1]},
                 {"camera": camera, "after": utc(times[0]), "before": utc(times[1])}),
                ({t for t, _, first, *_ in rows if first <= times[0]}, {"before": utc(times[0])}),
            ][int(rng.integers(3))]  # fmt: skip
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("reidapp.gallery.cameras.existing", _any_camera)
                delete(gallery, **what)
            assert {tracklet for tracklet, *_ in truth(gallery)} == before - gone
            assert not verify(gallery).leftovers
        check(gallery, long_open.current(), rng)
        check(gallery, Snapshots(gallery, gallery.model_id).current(), rng)


def _any_camera(session: Session, name: str) -> schema.Camera:
    return session.scalar(select(schema.Camera).filter_by(name=name)) or schema.Camera(id=-1)


def _killed(path: Path, where: str, calls: int) -> None:
    owner, _, name = where.rpartition(".")
    owner = {"deletion": deletion, "Gallery": Gallery, "os": os, "Path": Path, "shutil": shutil}[owner]
    gallery = Gallery.open(path)
    with gallery.writing() as writer:
        die_at(owner, name, calls + 1)
        delete_from(writer, Selection(camera="Gate"))


@pytest.mark.parametrize(
    ("where", "calls", "committed"),
    [
        ("deletion._renumber", 0, False),  # shards are written, rows are half gone
        ("deletion.next_generation", 0, False),
        ("Gallery.remove_leftovers", 1, True),  # the second time: it begins with those of earlier ones
        ("shutil.rmtree", 0, True),
        ("Path.unlink", 1, True),
        ("deletion.Snapshots", 0, True),
    ],
)
def test_killed_anywhere_all_is_there_or_the_next_one_who_writes_ends_it(
    gallery: Gallery, where: str, calls: int, committed: bool
) -> None:
    gate = traces(gallery, "Gate")
    gallery.engine.dispose()
    process = multiprocessing.get_context("fork").Process(target=_killed, args=(gallery.path, where, calls))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert verify(gallery).faults == []
    assert cameras_of(gallery) == ({HOSTILE, "Hall"} if committed else {"Gate", HOSTILE, "Hall"})
    with gallery.writing() as writer:
        if not committed:
            assert set(traces(gallery, "Gate")) == set(gate)
            delete_from(writer, Selection(camera="Gate"))
    assert left(gallery, gate) == []
    assert verify(gallery).leftovers == []


@pytest.mark.slow
def test_searches_at_the_same_time_see_the_state_before_or_after(gallery: Gallery) -> None:
    searcher, query = Searcher(gallery, ColourEmbedder()), ColourEmbedder().embed([query_crop("red")])

    def hits() -> frozenset[str]:
        return frozenset(hit.camera for hit in searcher.search(query).hits)

    seen, over, faults = set(), threading.Event(), []

    def search() -> None:
        try:
            while not over.is_set():
                seen.add(hits())
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for tracklet in [t.id for t in gallery.tracklets() if t.camera == HOSTILE]:
        delete(gallery, tracklets=[tracklet])
    delete(gallery, camera="Gate")
    over.set()
    for thread in threads:
        thread.join()
    assert faults == []
    assert seen <= {frozenset({"Gate", HOSTILE, "Hall"}), frozenset({"Gate", "Hall"}), frozenset({"Hall"})}
    assert hits() == {"Hall"}


def test_a_part_of_a_recording_goes_and_its_crops_keep_their_vectors(gallery: Gallery) -> None:
    (early, late) = sorted((t for t in gallery.tracklets() if t.camera == "Gate"), key=lambda t: t.start)
    found = delete(gallery, camera="Gate", before=early.end - timedelta(seconds=2))
    assert (found.videos, found.tracklets, found.first, found.last) == (0, 1, early.start, early.end)
    assert verify(gallery).faults == []
    query = ColourEmbedder().embed([read_image(late.crops[0].file)])
    (hit,) = Searcher(gallery, ColourEmbedder()).search(query, top=1).hits
    assert (hit.tracklet, hit.score) == (late.id, pytest.approx(1, abs=0.05))


@pytest.mark.slow
def test_a_deleted_picture_comes_back_only_if_it_is_asked_for(tmp_path: Path) -> None:
    folder, gallery = tmp_path / "snapshots", shirt_gallery(tmp_path / "gallery")
    save(still("red"), folder / "gate/2026-03-02_10-00-00.png")
    save(still("blue"), folder / "gate/2026-03-02_10-00-01.png")
    run(folder, gallery)
    (hit,) = find(gallery, "red")
    delete(gallery, video=str(hit.video))
    again = run(folder, gallery)
    assert (again.videos, again.unchanged, again.deleted) == (0, 1, 1)
    looked = survey(find_footage(folder, STILLS), "UTC", known=Known.to(gallery))
    assert {file.file[-6:-4]: file.known for file in looked.files} == {"00": "deleted", "01": "indexed"}
    assert "deleted from the gallery, and stays out: 1 of 2 files" in str(looked)
    hit.video.rename(hit.video.with_name("2026-03-02_11-00-00.png"))
    assert run(folder, gallery).deleted == 1
    assert find(gallery, "red")[0].score < 0.9
    brought = run(folder, gallery, again=True)
    assert (brought.videos, brought.deleted) == (1, 0)
    assert run(folder, gallery).unchanged == 2


@pytest.mark.slow
def test_what_is_older_than_the_gallery_keeps_goes_at_the_end_of_indexing(tmp_path: Path) -> None:
    folder, gallery = tmp_path / "snapshots", shirt_gallery(tmp_path / "gallery")
    now = datetime.now(UTC)
    for shirt, days in (("red", 40), ("blue", 1)):
        save(still(shirt), folder / f"gate/{now - timedelta(days=days):%Y-%m-%d_%H-%M-%S}.png")
    assert run(folder, gallery).notes == []
    deletion.set_retention(gallery, 30)
    (note,) = run(folder, gallery).notes
    assert note.startswith("deleted, since the gallery keeps 30 days: 1 recording, 1 tracklet,")
    assert [hit.score > 0.9 for hit in find(gallery, "red", top=5)] == [False]
    again = run(folder, gallery)
    assert (again.notes, again.deleted, again.unchanged) == ([], 1, 1)
    deletion.set_retention(gallery, None)
    assert (deletion.retention(gallery), deletion.outdated(gallery)) == (None, None)


def test_pruned_of_its_old_model_a_gallery_is_searched_as_before(tmp_path: Path) -> None:
    gallery, rng = new_gallery(tmp_path), np.random.default_rng(0)
    grow(gallery, rng, 0)
    reembed(gallery, Other)
    old = [path for path in gallery.path.rglob(f"*{'ab' * 8}*") if "vectors" in path.parts or path.suffix == ".onnx"]
    assert len(old) == 2
    with gallery.writing() as writer:
        assert [model.id for model in deletion.drop_other_models(writer)] == ["ab" * 32]
    assert [model.id for model in gallery.models()] == [Other.identity]
    assert not any(path.exists() for path in old)
    found = verify(gallery)
    assert (found.faults, found.leftovers) == ([], [])
    check(gallery, Snapshots(gallery, gallery.model_id).current(), rng)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ({}, "give tracklets alone"),
        ({"camera": "Gat"}, 'camera "Gat" is not in this gallery; did you mean "Gate"'),
        ({"video": "nowhere.mp4"}, "recording nowhere.mp4: not in this gallery"),
        ({"tracklets": ["0123456789"]}, "not in this gallery"),
        ({"tracklets": ["0123456789"], "after": START}, "give tracklets alone"),
    ],
)
def test_what_is_not_there_is_said(gallery: Gallery, what: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        planned(gallery, Selection(**what))


def test_the_command_asks(made: Path, tmp_path: Path, refused_here: Callable[..., str]) -> None:
    shutil.copytree(made, tmp_path / "gallery")
    asked = ("gallery", "delete", "--gallery", tmp_path / "gallery")
    assert "--yes does it" in refused_here(2, *asked, "--camera", "Gate")
    assert "exclude each other" in refused_here(2, *asked, "--before", "2026-03-02", "--older-than", "3d")
    assert '"month" is no age' in refused_here(2, *asked, "--older-than", "month")
    assert cameras_of(Gallery.open(tmp_path / "gallery")) == {"Gate", HOSTILE, "Hall"}
