"""Identities: what is said stays said, whoever writes, and every action has its way back."""

import random
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from reidapp.errors import UserError
from reidapp.gallery import schema
from reidapp.gallery.identities import Identities
from reidapp.gallery.saved_searches import SavedSearches
from reidapp.gallery.store import Gallery
from reidapp.settings import CameraSettings
from tests.reidapp.gallery.test_search import DIM, START_MS, add_video, chunk_of, new_gallery, unit

State = dict[str, dict[str, str]]


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    gallery = new_gallery(tmp_path)
    fill(gallery)
    return gallery


def fill(gallery: Gallery) -> None:
    """Ten tracklets, the last of which goes on in the next chunk."""
    rows = unit(np.random.default_rng(0).normal(size=(11, 1, DIM)))
    first, second = [(1.0 + i, row) for i, row in enumerate(rows[:10])], [(60.0, rows[10])]
    add_video(gallery, 0, "gate", [chunk_of(0, first), chunk_of(1, second, continues=IDS[9])], START_MS)


IDS = [schema.identifier(schema.identifier(schema.identifier("video", 0), 0), index) for index in range(10)]
PIECE = schema.identifier(schema.identifier(schema.identifier("video", 0), 1), 0)


def state(identities: Identities) -> State:
    return {one.name: {each.tracklet: each.verdict for each in one.judged} for one in identities.all()}


def test_a_name_gathers_tracklets(gallery: Gallery) -> None:
    ana = Identities(gallery, "ana")
    ana.new("Alice", [IDS[0]])
    Identities(gallery, "bob").add("Alice", [IDS[1], PIECE])
    ana.add("Alice", [IDS[2][:8]], "no")
    assert state(ana) == {"Alice": {IDS[0]: "yes", IDS[1]: "yes", IDS[9]: "yes", IDS[2]: "no"}}
    shown = ana.show("Alice")
    assert {each.tracklet: each.by for each in shown.judged} == {
        IDS[0]: "ana", IDS[1]: "bob", IDS[9]: "bob", IDS[2]: "ana",
    }  # fmt: skip
    first = next(each for each in shown.judged if each.tracklet == IDS[9])
    info = gallery.tracklet(PIECE)
    assert (first.camera, first.start, first.end) == ("gate", info.start, info.end)
    assert ana.of(IDS) == dict.fromkeys((IDS[0], IDS[1], IDS[9]), "Alice")
    assert (ana.all()[0].to_dict()["yes"], ana.all()[0].to_dict()["no"]) == (3, 1)


def test_a_tracklet_shows_one_person(gallery: Gallery) -> None:
    identities = Identities(gallery, "ana")
    identities.new("Alice", [IDS[0]])
    identities.new("Bea")
    before = state(identities)
    start = gallery.tracklet(IDS[0]).start
    told = f'^gate, {start:%Y-%m-%d %H:%M:%S} UTC, tracklet {IDS[0]}: is "Alice" already, so not "Bea"'
    with pytest.raises(UserError, match=told):
        identities.add("Bea", [IDS[1], IDS[0]])
    assert state(identities) == before  # nothing of it
    identities.add("Bea", [IDS[0]], "no")


def test_what_cannot_be_is_said(gallery: Gallery) -> None:
    identities = Identities(gallery, "ana")
    identities.new("Alice", [IDS[0]])
    for act, words in [
        (lambda: identities.new("Alice"), "there is one of this name"),
        (lambda: identities.new(" "), "a name needs a letter"),
        (lambda: identities.new("Bea", ["no such"]), "tracklet no such: not in this gallery"),
        (lambda: identities.add("Alise", []), 'not in this gallery.*"Alice"'),
        (lambda: identities.remove("Alice", [IDS[1]]), f"tracklet {IDS[1]}: nobody has said"),
        (lambda: identities.merge("Alice", "Alice"), "merged into itself"),
        (lambda: identities.unmerge("Alice"), "nothing was merged into"),
        (lambda: identities.undo(2), "1 of 2 could be; nothing more to undo"),
        (lambda: identities.redo(), "nothing more to redo"),
    ]:
        with pytest.raises(UserError, match=words):
            act()
    assert state(identities) == {"Alice": {IDS[0]: "yes"}}


def test_a_merge_is_taken_apart_after_other_actions(gallery: Gallery) -> None:
    identities = Identities(gallery, "ana")
    identities.new("Alice", IDS[:2])
    identities.add("Alice", [IDS[5], IDS[6]], "no")
    identities.new("Bea", [IDS[2], IDS[3], IDS[5]])
    identities.add("Bea", [IDS[0], IDS[7]], "no")
    before = state(identities)
    identities.merge("Bea", "Alice")
    assert state(identities)["Alice"] == {
        IDS[0]: "yes", IDS[1]: "yes", IDS[2]: "yes", IDS[3]: "yes", IDS[5]: "yes", IDS[6]: "no", IDS[7]: "no",
    }  # fmt: skip
    identities.add("Alice", [IDS[4]])
    identities.remove("Alice", [IDS[3]])
    identities.rename("Alice", "Alicia")
    identities.unmerge("Alicia")
    now = state(identities)
    assert now["Alicia"] == before["Alice"] | {IDS[4]: "yes"}
    assert now["Bea"] == {id_: verdict for id_, verdict in before["Bea"].items() if id_ != IDS[3]}
    with pytest.raises(UserError, match="all of it is itself again"):
        identities.unmerge("Alicia")
    identities.undo(5)
    assert state(identities) == before


def test_names_last(gallery: Gallery) -> None:
    """Corrected cameras, and the same footage indexed anew after all of it was lost, change nothing."""
    identities = Identities(gallery, "ana")
    identities.new("Alice", [IDS[0], IDS[9]])
    before = state(identities)
    with gallery.writing() as writer:
        writer.change_camera("gate", CameraSettings(name="door", offset=60.0))
    assert state(identities) == before
    with Session(gallery.engine) as session, session.begin():
        for model in (schema.Crop, schema.Block):
            session.execute(model.__table__.delete())
        session.execute(schema.Tracklet.__table__.update().values(continues=None))
        for model in (schema.Tracklet, schema.Chunk, schema.Video):
            session.execute(model.__table__.delete())
    assert state(identities) == before
    assert identities.show("Alice").judged[0].camera is None
    fill(gallery)
    assert state(identities) == before
    assert identities.show("Alice").judged[0].camera == "door"


def _random_action(identities: Identities, rng: random.Random) -> None:
    names = [one.name for one in identities.all()] or ["nobody"]
    some = rng.sample(IDS, rng.randint(1, 3))
    one, other = rng.choice(names), rng.choice(names)
    free = f"p{rng.randint(0, 9)}"
    act = rng.choice(
        [
            *[lambda: identities.new(free, some)] * 3,
            lambda: identities.add(one, some),
            lambda: identities.add(one, some, "no"),
            lambda: identities.remove(one, some[:1]),
            lambda: identities.rename(one, free),
            lambda: identities.merge(one, other),
            lambda: identities.unmerge(one),
            lambda: identities.delete(one),
        ]
    )
    act()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_whatever_was_done_is_undone_and_redone(gallery: Gallery, seed: int) -> None:
    rng = random.Random(seed)
    identities = Identities(gallery, "ana")
    states = [state(identities)]
    for _ in range(50):
        lines = len(identities.log())
        try:
            _random_action(identities, rng)
        except UserError:
            assert state(identities) == states[-1]  # refused as a whole
            continue
        if len(identities.log()) > lines:
            states.append(state(identities))
        yes = [id_ for judged in state(identities).values() for id_, verdict in judged.items() if verdict == "yes"]
        assert len(yes) == len(set(yes))
        if rng.random() < 0.2 and len(states) > 2:  # part of the way back, and forth again
            count = rng.randint(1, len(states) - 1)
            identities.undo(count)
            assert state(identities) == states[-1 - count]
            identities.redo(count)
            assert state(identities) == states[-1]
    assert len(states) > 15
    log = identities.log()
    identities.undo(len(states) - 1)
    assert state(identities) == {}
    assert [(a.id, a.told) for a in identities.log()[: len(log)]] == [(a.id, a.told) for a in log]  # it only grew
    identities.redo(len(states) - 1)
    assert state(identities) == states[-1]
    with Session(gallery.engine) as session:
        assert len(session.scalars(select(schema.Identity)).all()) == len(states[-1])


def test_a_clock_that_jumps_back_changes_no_order(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was said last counts, and is undone first, whatever the time beside it."""
    times = iter(f"20{year}-01-01T00:00:00Z" for year in range(40, 10, -1))
    monkeypatch.setattr(schema, "now", lambda: next(times))
    ana = Identities(gallery, "ana")
    ana.new("Alice", [IDS[0]])
    ana.add("Alice", [IDS[1]])
    ana.add("Alice", [IDS[1]], "no")
    assert state(ana) == {"Alice": {IDS[0]: "yes", IDS[1]: "no"}}
    log = ana.log()
    assert [each.id for each in log] == sorted(each.id for each in log)
    assert [each.at for each in log] == sorted((each.at for each in log), reverse=True)
    ana.undo()
    assert state(ana) == {"Alice": {IDS[0]: "yes", IDS[1]: "yes"}}
    ana.undo(2)
    assert state(ana) == {}
    ana.redo(3)
    assert state(ana) == {"Alice": {IDS[0]: "yes", IDS[1]: "no"}}

    searches = SavedSearches(gallery, "ana")
    searches.save("coat", [], [IDS[0]])
    searches.answer("coat", [IDS[2]], [])
    searches.answer("coat", [], [IDS[2]])
    assert (searches.get("coat").yes, searches.get("coat").no) == ([], [IDS[2]])
