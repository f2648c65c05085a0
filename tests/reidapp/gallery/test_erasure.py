"""Who is erased is in no byte of any file, under no name they ever had; all others are as before."""

import dataclasses
import multiprocessing
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from reidapp.errors import UnknownError, UserError
from reidapp.files import BusyError
from reidapp.gallery import database, deletion, erasure, schema, snapshot, vectors
from reidapp.gallery.backup import copy_gallery
from reidapp.gallery.camera_means import current_means, keep_means
from reidapp.gallery.case_export import export_case
from reidapp.gallery.cases import Cases, NewCaseHit
from reidapp.gallery.deletion import Selection
from reidapp.gallery.erasure import Subject, erase, planned
from reidapp.gallery.identities import Identities
from reidapp.gallery.normalisation import fitted
from reidapp.gallery.saved_searches import SavedSearches
from reidapp.gallery.snapshot import Snapshots
from reidapp.gallery.store import Gallery
from reidapp.gallery.traces import Proof, searched, traces_of, traces_of_words
from reidapp.gallery.verification import verify
from reidapp.gallery.writer import StoredChunk
from reidapp.imaging import read_image
from tests.killing import die_at
from tests.reidapp.commands import as_json, reidapp
from tests.reidapp.gallery.test_snapshot import unit
from tests.small_gallery import make_crowd

NAME, FORMER, MERGED, OTHER = "Änne Kowalska", "woman in green", "Hall 14:20", "Bert Maier"
PERSON, ANOTHER = 3, 5
SECOND = "cd" * 32


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "_WORTH", 1)
    monkeypatch.setattr("reidapp.gallery.verification.is_model", lambda file, id_: True)


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 people before two cameras, under two models, and shards that were written anew once."""
    gallery = make_crowd(tmp_path_factory.mktemp("crowd"))
    with gallery.writing() as writer:
        deletion.delete_from(writer, Selection(tracklets=[tracklets_of(gallery, 15)[0]]))
        card = next(iter(gallery.models())).card
        writer.add_model(gallery.model_file, dataclasses.replace(card, name="other"), SECOND)
        for chunk in writer.chunks_without(SECOND):
            writer.add_vectors(chunk, SECOND, made(chunk, card.dim))
    gallery.engine.dispose()
    return gallery.path


@pytest.fixture
def gallery(crowd: Path, tmp_path: Path) -> Gallery:
    shutil.copytree(crowd, tmp_path / "gallery")
    opened = Gallery.open(tmp_path / "gallery")
    Snapshots(opened, opened.model_id).derive()
    return opened


def made(chunk: StoredChunk, dim: int) -> np.ndarray:
    return unit(np.random.default_rng(int(chunk.id, 16)).normal(size=(len(chunk.crops), dim)))


def tracklets_of(gallery: Gallery, person: int) -> list[str]:
    """A person's tracklets, by camera: people stand side by side."""
    found = [t for t in gallery.tracklets() if abs(t.path[0].box.x1 - person / 16) < 0.01]
    return [t.id for t in sorted(found, key=lambda t: t.camera)]


def marks(gallery: Gallery, tracklets: Iterable[str]) -> dict[str, bytes]:
    """All by which somebody could be known again: each picture, whole and in parts, and each vector of each model."""
    found: dict[str, bytes] = {}
    with Session(gallery.engine) as session:
        for tracklet in gallery.tracklets_called(list(tracklets)):
            for crop in tracklet.crops:
                data, row = crop.file.read_bytes(), session.get_one(schema.Crop, crop.id)
                found[f"picture {crop.id}"] = data
                middle, third = len(data) // 2, len(data) // 3
                found |= {f"part {crop.id}": data[middle : middle + 24], f"another {crop.id}": data[third : third + 24]}
                found[f"id of {crop.id}"] = crop.id.encode()
                found[f"code of {crop.id}"] = int(crop.id, 16).to_bytes(8, "little")
                for block in session.scalars(select(schema.Block).filter_by(chunk_id=row.chunk_id)):
                    shard = vectors.shard_path(gallery.path, block.model_id, block.day)
                    width = 2 * session.get_one(schema.Model, block.model_id).card["dim"]
                    at = (block.first_row + row.position) * width
                    found[f"vector {crop.id} {block.model_id[:4]}"] = shard.read_bytes()[at : at + width]
            found[f"tracklet {tracklet.id}"] = tracklet.id.encode()
    return found


def names(*each: str) -> dict[str, bytes]:
    escaped = {f"escaped {name}": name.encode("ascii", "backslashreplace") for name in each}
    return {f"name {name}": name.encode() for name in each} | escaped


def left(folder: Path, of: dict[str, bytes]) -> list[str]:
    """Which marks are in some file."""
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return [f"{what} in {path.name}" for what, data in of.items() for path in files if data in files[path]]


def spoken_of(gallery: Gallery) -> list[str]:
    """A person whom everybody has spoken of; the files that are not the gallery's own kind of rows."""
    mine, others = tracklets_of(gallery, PERSON), tracklets_of(gallery, ANOTHER)
    identities, searches, cases = Identities(gallery, "me"), SavedSearches(gallery, "me"), Cases(gallery, "me")
    identities.new(FORMER, mine[:1])
    identities.rename(FORMER, NAME)
    identities.new(MERGED, mine[1:])
    identities.merge(MERGED, NAME)
    identities.new(OTHER, others)
    identities.add(OTHER, mine[:1], "no")
    (shot, *_) = (read_image(crop.file) for crop in gallery.tracklet(mine[0]).crops)
    searches.save("who is it", [shot], identity=NAME)
    searches.save("of a picture", [np.ascontiguousarray(shot[:, ::-1])])
    searches.answer("of a picture", [mine[1]], [others[0]])
    searches.save(f"not {NAME}", [], [others[0]])
    cases.new(f"{NAME}'s day", f"ask {FORMER.upper()} first")
    hits = [NewCaseHit(mine[0], note="seen"), NewCaseHit(others[0], note=f"with {NAME}?")]
    cases.add(f"{NAME}'s day", hits)
    for folder in ("exports", "clips"):
        (gallery.path / folder).mkdir()
    (gallery.path / "clips" / "0.mp4").write_bytes(b"shows them")
    export_case(gallery, f"{NAME}'s day", gallery.path / "exports" / "0.zip", "me")
    return mine


def finished(gallery: Gallery, subject: Subject) -> erasure.Plan:
    with gallery.writing() as writer:
        return erase(writer, subject, "a0")[0]


def nearest_is_itself(gallery: Gallery) -> bool:
    """Every crop is the best hit of its own vector."""
    current = Snapshots(gallery, gallery.model_id).current()
    rows = np.flatnonzero(current.crops)
    stored = current.index.stored(rows).astype(np.float32)
    kept = current.selected(None, None, None)
    return all(current.best_rows(one[None], kept, 1)[0][0] == row for one, row in zip(stored, rows, strict=True))


@pytest.mark.slow
def test_nothing_of_a_person_is_in_any_file(gallery: Gallery) -> None:
    mine = spoken_of(gallery)
    gone = marks(gallery, mine) | names(NAME, FORMER, MERGED)
    others = marks(gallery, tracklets_of(gallery, ANOTHER)) | names(OTHER)
    assert {what.partition(" ")[0] for what in left(gallery.path, gone)} == {
        "picture", "part", "another", "id", "code", "vector", "tracklet", "name", "escaped",
    }  # fmt: skip

    plan = planned(gallery, Subject(NAME))
    assert (plan.rows.tracklets, plan.rows.crops, plan.rows.vectors) == (2, 8, 16)
    assert (plan.identities, plan.searches, plan.texts) == (2, 2, 4)
    assert left(gallery.path, gone)
    assert finished(gallery, Subject(NAME)) == plan

    assert (gallery.path / "gallery.db-wal").stat().st_size == 0
    assert left(gallery.path, gone) == []
    assert not list(gallery.path.glob("clips/*")) + list(gallery.path.glob("exports/*"))
    assert {what.split(" in ")[0] for what in left(gallery.path, others)} == set(others)
    found = verify(gallery)
    assert (found.faults, found.leftovers) == ([], [])
    assert nearest_is_itself(gallery)
    assert {tracklet.id for tracklet in gallery.tracklets()}.isdisjoint(mine)


def test_what_others_are_and_did_stays_and_can_still_be_undone(gallery: Gallery) -> None:
    spoken_of(gallery)
    finished(gallery, Subject(NAME))
    identities, others = Identities(gallery, "me"), tracklets_of(gallery, ANOTHER)
    assert [each.name for each in identities.all()] == [OTHER]
    assert sorted(identities.show(OTHER).tracklets("yes")) == sorted(others)
    (search,) = SavedSearches(gallery, "me").all()
    assert (search.name[:13], search.tracklets) == ("not (erased) ", others[:1])
    (case,) = Cases(gallery, "me").all()
    assert (case.name[:16], case.note) == ("(erased)'s day " + case.name[15], "ask (erased) first")
    (hit,) = Cases(gallery, "me").hits(case.name)
    assert (hit.info.id, hit.note) == (others[0], "with (erased)?")
    assert 'new "(erased)" with 1 tracklet' in [action.told for action in identities.log()]
    assert identities.undo(2) == ["undo: 1 tracklet not of " + f'"{OTHER}"', f'undo: new "{OTHER}" with 2 tracklets']
    assert identities.all() == []


def test_a_tombstone_says_that_it_was_and_nothing_of_whom(gallery: Gallery) -> None:
    finished(gallery, Subject(spoken_of(gallery) and NAME))
    (stone,) = erasure.tombstones(gallery)
    assert (stone.by, stone.kind, stone.counts["tracklets"], stone.counts["crops"]) == ("a0", "identity", 2, 8)
    assert stone.ended
    assert finished(gallery, Subject(selection=Selection(camera="Gate", before=_end(gallery)))).rows.tracklets == 14
    assert [each.kind for each in erasure.tombstones(gallery)] == ["footage", "identity"]
    assert finished(gallery, Subject(selection=Selection(camera="Gate"))) == erasure.Plan(deletion.Deletion())
    assert len(erasure.tombstones(gallery)) == 2


def _end(gallery: Gallery) -> object:
    return max(camera.last for camera in gallery.cameras()) + timedelta(seconds=1)


def test_a_tracklet_alone_leaves_the_name(gallery: Gallery) -> None:
    mine = spoken_of(gallery)
    gone = marks(gallery, mine[:1])
    plan = finished(gallery, Subject(selection=Selection(tracklets=[mine[0][:8]])))
    assert (plan.identities, plan.searches, plan.names) == (0, 0, ())
    assert left(gallery.path, gone) == []
    assert Identities(gallery, "me").show(NAME).tracklets("yes") == mine[1:]


def test_a_name_that_somebody_else_has_now_stays_theirs(gallery: Gallery) -> None:
    identities = Identities(gallery, "me")
    identities.new(FORMER, tracklets_of(gallery, PERSON))
    identities.rename(FORMER, NAME)
    identities.new(FORMER, tracklets_of(gallery, ANOTHER))
    Cases(gallery, "me").new(FORMER)
    assert planned(gallery, Subject(NAME)).names == (NAME,)
    finished(gallery, Subject(NAME))
    assert [each.name for each in identities.all()] == [FORMER]
    assert [case.name for case in Cases(gallery, "me").all()] == [FORMER]


def test_who_was_taken_apart_again_is_somebody_else(gallery: Gallery) -> None:
    identities = Identities(gallery, "me")
    identities.new(NAME, tracklets_of(gallery, PERSON))
    identities.new(OTHER, tracklets_of(gallery, ANOTHER))
    identities.merge(OTHER, NAME)
    identities.unmerge(NAME)
    finished(gallery, Subject(NAME))
    assert left(gallery.path, names(NAME)) == []
    assert identities.show(OTHER).tracklets("yes") == sorted(tracklets_of(gallery, ANOTHER))


def test_the_means_of_cameras_are_made_without_them(gallery: Gallery) -> None:
    current = Snapshots(gallery, gallery.model_id).current()
    rows = np.flatnonzero(current.crops)
    stored = current.index.stored(rows).astype(np.float32)
    keep_means(
        gallery, gallery.model_id, fitted(current.tracklet_of[rows], current.camera_of[rows], lambda i: stored[i])
    )
    before = current_means(gallery, gallery.model_id)
    finished(gallery, Subject(selection=Selection(tracklets=tracklets_of(gallery, PERSON))))
    now = current_means(gallery, gallery.model_id)
    assert before
    assert now is None or now.tracklets == before.tracklets - 2  # on again where it helps


# Killed


def _killed(path: Path, where: str, calls: int) -> None:
    owner, _, name = where.rpartition(".")
    owner = {"erasure": erasure, "deletion": deletion, "Gallery": Gallery, "database": database, "shutil": shutil}[
        owner
    ]
    gallery = Gallery.open(path)
    with gallery.writing() as writer:
        die_at(owner, name, calls + 1)
        erase(writer, Subject(NAME), "a0")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "calls", "committed"),
    [
        ("erasure._forget_in_log", 0, False),
        ("deletion._renumber", 0, False),  # shards are written, rows are half gone
        ("erasure._bury", 0, False),
        ("Gallery.remove_leftovers", 1, True),  # the second time: it begins with those of earlier ones
        ("shutil.rmtree", 1, True),
        ("erasure._derived_anew", 0, True),
        ("database.shed_wholly", 0, True),
    ],
)
def test_killed_anywhere_it_is_run_again_to_its_end(gallery: Gallery, where: str, calls: int, committed: bool) -> None:
    gone = marks(gallery, spoken_of(gallery)) | names(NAME, FORMER, MERGED)
    gallery.engine.dispose()
    process = multiprocessing.get_context("spawn").Process(target=_killed, args=(gallery.path, where, calls))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert verify(gallery).faults == []
    assert erasure.is_pending(gallery) == committed
    gallery.engine.dispose()
    done = reidapp("gallery", "erase", "--gallery", gallery.path, "--identity", NAME, "--yes")
    assert done.returncode == 0, done.stderr
    assert ("broken off" in done.stderr) == committed
    assert left(gallery.path, gone) == []
    assert not erasure.is_pending(gallery)


# Back-ups


@pytest.mark.slow
def test_a_back_up_is_rid_of_them_on_its_next_run(gallery: Gallery, tmp_path: Path) -> None:
    mine = spoken_of(gallery)
    early = tracklets_of(gallery, 7)[0]
    Identities(gallery, "me").add(NAME, [early])
    gone = marks(gallery, [*mine, early]) | names(NAME, FORMER, MERGED)
    others = marks(gallery, tracklets_of(gallery, ANOTHER))
    others = {what: data for what, data in others.items() if "code" not in what}  # a back-up has no derived files
    first, other = tmp_path / "backups" / "1", tmp_path / "other"
    as_json("gallery", "backup", first, "--gallery", gallery.path)
    copy_gallery(gallery, other)  # somebody's gallery of their own, of the same footage
    with gallery.writing() as writer:  # as retention does
        deletion.delete_from(writer, Selection(tracklets=[early]))
    finished(gallery, Subject(NAME))
    assert left(first, gone)

    said = as_json("gallery", "backup", tmp_path / "backups" / "2", "--gallery", gallery.path)
    assert said["erased"] == [f"{first}: 1 erasure done there, too"]
    for backup in (first, tmp_path / "backups" / "2"):
        assert left(backup, gone) == []
        assert {what.split(" in ")[0] for what in left(backup, others)} == set(others)
        opened = Gallery.open(backup)
        assert verify(opened).faults == []
        assert nearest_is_itself(opened)
    assert {t.id for t in Gallery.open(other).tracklets()} >= {*mine, early}
    third = as_json("gallery", "backup", tmp_path / "backups" / "3", "--gallery", gallery.path)
    assert third["erased"] == []


@pytest.mark.slow
def test_a_back_up_that_is_away_or_cannot_be_written_is_named(gallery: Gallery, tmp_path: Path) -> None:
    spoken_of(gallery)
    away, kept = tmp_path / "disk" / "1", tmp_path / "kept"
    away.parent.mkdir()
    for backup in (away, kept):
        as_json("gallery", "backup", backup, "--gallery", gallery.path)
    away.parent.rename(tmp_path / "drawer")
    finished(gallery, Subject(NAME))
    with Gallery.open(kept).writing():
        done = reidapp("gallery", "backup", tmp_path / "2", "--gallery", gallery.path)
    assert done.returncode == 1
    assert f"{away}: not there now" in done.stdout
    assert f"{kept}: still has whom this gallery has erased" in done.stderr
    assert Gallery.open(tmp_path / "2").tracklets()
    (tmp_path / "drawer").rename(away.parent)
    said = as_json("gallery", "backup", tmp_path / "3", "--gallery", gallery.path)
    assert said["erased"] == [f"{each}: 1 erasure done there, too" for each in (away, kept)]


@pytest.mark.slow
def test_a_database_that_is_kept_busy_is_said_and_then_finished(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    for patience in ("_PATIENCE_S", "_LOCK_PATIENCE_S"):
        monkeypatch.setattr(f"reidapp.gallery.sqlite.{patience}", 0.5)
    gallery.engine.dispose()  # connections have their patience from when they were made
    mine = spoken_of(gallery)
    gone = marks(gallery, mine) | names(NAME, FORMER, MERGED)
    reader = sqlite3.connect(gallery.path / "gallery.db")
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM setting").fetchall()
    with pytest.raises(BusyError, match="its log still has what was deleted"):
        finished(gallery, Subject(NAME))
    reader.close()
    assert erasure.is_pending(gallery)
    finished(gallery, Subject(selection=Selection(tracklets=[tracklets_of(gallery, 9)[0]])))
    assert left(gallery.path, gone) == []
    assert not erasure.is_pending(gallery)


@pytest.mark.slow
def test_a_restored_gallery_is_no_back_up(gallery: Gallery, tmp_path: Path) -> None:
    mine = spoken_of(gallery)
    as_json("gallery", "backup", tmp_path / "backup", "--gallery", gallery.path)
    as_json("gallery", "restore", tmp_path / "backup", "--gallery", tmp_path / "restored")
    shutil.rmtree(tmp_path / "backup")
    (tmp_path / "restored").rename(tmp_path / "backup")
    finished(gallery, Subject(NAME))
    as_json("gallery", "backup", tmp_path / "later", "--gallery", gallery.path)
    assert {t.id for t in Gallery.open(tmp_path / "backup").tracklets()} >= set(mine)


# Proof


def proof(gallery: Gallery, tracklets: list[str], subject: Subject) -> tuple[Proof, Proof]:
    """What is found before, and after."""
    traces = traces_of(gallery, tracklets, planned(gallery, subject).names)
    before = searched(gallery, traces)
    finished(gallery, subject)
    return before, searched(gallery, traces)


def test_the_proof_finds_each_kind_before_and_none_after(gallery: Gallery) -> None:
    before, after = proof(gallery, spoken_of(gallery), Subject(NAME))
    kinds = {each.partition(" in ")[0] for each in before.found}
    assert kinds == {"a tracklet's id", "a crop's id", "a picture", "a vector", "a name"}
    assert (after.found, after.looked_for) == ([], before.looked_for)
    assert after.files > 50


@pytest.mark.slow
@pytest.mark.parametrize("what", ["a picture", "a vector", "a name", "a crop's id"])
def test_the_proof_finds_what_was_left_behind_anywhere(gallery: Gallery, what: str) -> None:
    mine = spoken_of(gallery)
    traces = traces_of(gallery, mine, [NAME])
    finished(gallery, Subject(NAME))
    data = NAME.encode() if what == "a name" else next(data for data, kind in traces.data.items() if kind == what)
    (gallery.path / "somewhere").write_bytes(os.urandom(1013) + b"<" + data + b">" + os.urandom(77))
    assert searched(gallery, traces).found == [f"{what} in {gallery.path / 'somewhere'}"]


def test_what_others_have_too_is_not_taken_for_theirs(gallery: Gallery) -> None:
    mine, other = tracklets_of(gallery, PERSON)[0], tracklets_of(gallery, ANOTHER)[0]
    own, its = (gallery.tracklet(each).crops[0] for each in (mine, other))
    its.file.unlink()
    shutil.copyfile(own.file, its.file)
    with database.changing(gallery.engine) as session:
        rows = [session.get_one(schema.Crop, crop.id) for crop in (own, its)]
        rows[1].digest = rows[0].digest
    traces = traces_of(gallery, [mine])
    finished(gallery, Subject(selection=Selection(tracklets=[mine])))
    assert (traces.equal, searched(gallery, traces).found) == (1, [])


def test_a_short_name_is_looked_for_in_the_rows_and_names_within_words_are_none(gallery: Gallery) -> None:
    Cases(gallery, "me").new("case", "Al was there; and so was Albert, ALWAYS")
    assert searched(gallery, traces_of_words(["Al"])).found == ["a name in the table case_file"]
    assert searched(gallery, traces_of_words(["Alber", "lbert"])).found == []
    assert searched(gallery, traces_of_words(["Albert"])).found[0].startswith("a name in ")


# The command


@pytest.mark.slow
def test_the_command_asks_and_proves(gallery: Gallery, refused_here: Callable[..., str]) -> None:
    mine = spoken_of(gallery)
    asked = ("gallery", "erase", "--gallery", gallery.path, "--identity", NAME)
    assert "--yes does it" in refused_here(2, *asked)
    assert "give one of" in refused_here(2, *asked, "--tracklet", mine[0], "--yes")
    dry = as_json(*asked, "--dry-run")
    assert (dry["erased"], dry["tracklets"], dry["identities"], dry["searches"]) == (False, 2, 2, 2)
    assert {t.id for t in gallery.tracklets()} >= set(mine)
    done = as_json(*asked, "--yes", "--verify")
    assert (done["erased"], done["proof"]["absent"], done["proof"]["found"]) == (True, True, [])
    assert done["proof"]["looked_for"] > 50
    again = as_json(*asked, "--verify")
    assert (again["erased"], again["proof"]["absent"]) == (False, True)
    assert "not in this gallery" in refused_here(2, *asked, "--yes")
    (stone,) = as_json("gallery", "erase", "--gallery", gallery.path)["erasures"]
    assert (stone["kind"], stone["counts"]["crops"]) == ("identity", 8)
    Cases(gallery, "me").new("again", NAME)
    proven = reidapp(*asked, "--verify")
    assert (proven.returncode, "a name in" in proven.stdout) == (1, True)


def test_who_is_not_there_is_said(gallery: Gallery) -> None:
    with pytest.raises(UnknownError, match='identity "Nobody" is not in this gallery'):
        planned(gallery, Subject("Nobody"))
    with pytest.raises(UserError, match="give one of"):
        planned(gallery, Subject())
