"""Travel times: the ratio held against a slow one, and worlds in which everybody walks at one pace."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from reidapp.errors import UserError
from reidapp.gallery import travel_times
from reidapp.gallery.identities import Identities
from reidapp.gallery.queries import asked
from reidapp.gallery.search import Searcher
from reidapp.gallery.store import Gallery
from reidapp.gallery.travel_times import CameraPair, Sightings, current_travel_times, learn, learnt
from tests.reidapp.gallery.test_search import DIM, START_MS, Model, add_video, chunk_of, new_gallery, unit

PEOPLE, LATER_S, LONG_S = 80, 30.0, 1000.0


def walked(rng: np.random.Generator, people: int = 300) -> tuple[Sightings, list[tuple[int, int]]]:
    """Everybody before camera 1 at any time, and 30 s later, more or less, before camera 2."""
    begin = rng.uniform(0, LONG_S, people)
    middle_s = np.concatenate([begin, begin + LATER_S + rng.normal(size=people)])
    sightings = Sightings(np.arange(2 * people, dtype=np.uint64), np.repeat([1, 2], people), middle_s)
    return sightings, [(one, one + people) for one in range(people)]


def test_times_that_people_take_speak_for_a_hit_and_others_against_it() -> None:
    found = learnt("identities", *walked(np.random.default_rng(0)))
    assert found.pairs == 300
    ratio = found.log_ratio(1, 500.0, np.array([2, 2, 2, 1, 3]), np.array([530.0, 600.0, 470.0, 530.0, 530.0]))
    assert ratio[0] > 2
    assert (ratio[1:3] < -2).all()
    np.testing.assert_array_equal(ratio[3:], 0)  # the same camera, and one of which nothing is known
    back = found.log_ratio(2, 500.0, np.array([1, 1]), np.array([470.0, 530.0]))
    assert back[0] == pytest.approx(ratio[0], abs=0.2)
    assert back[1] < -2


def test_the_ratio_is_that_of_a_slow_sum() -> None:
    rng = np.random.default_rng(1)
    same, every = (rng.integers(0, 9, 256) for _ in range(2))
    between, seconds = (
        CameraPair(1, 2, tuple(same.tolist()), tuple(every.tolist())),
        np.array([-400.0, -3.0, 0.0, 2.0, 9e3]),
    )
    around = np.arange(-8, 9)
    kernel = np.exp(-(around**2) / 8) / np.exp(-(around**2) / 8).sum()
    smooth = [np.convolve(counts, kernel)[8:-8] for counts in (same, every)]
    f, f0 = (counts / counts.sum() for counts in smooth)
    for value, log_ratio in zip(seconds, between.log_ratio(seconds), strict=True):
        place = int((np.log(value / 10 + np.sqrt((value / 10) ** 2 + 1)) + 16) / 0.125)
        ratio = f[place] / (0.99 * f0[place] + 0.01 * f[place])
        n = same.sum()
        assert log_ratio == pytest.approx(np.log((n * ratio + 10) / (n + 10)), abs=1e-5)


def test_few_pairs_say_little_and_none_forbids() -> None:
    sightings, pairs = walked(np.random.default_rng(2))
    at = np.array([530.0]), np.array([900.0])
    few, many = learnt("identities", sightings, pairs[:3]), learnt("identities", sightings, pairs)
    for times, sign in zip(at, (1, -1), strict=True):
        little, much = (each.log_ratio(1, 500.0, np.array([2]), times)[0] for each in (few, many))
        assert 0 < sign * little < sign * much
    assert many.log_ratio(1, 500.0, np.array([2]), at[1])[0] >= np.log(10 / 310) - 1e-9


def test_pairs_that_are_wrong_say_less_but_not_the_opposite() -> None:
    rng = np.random.default_rng(3)
    sightings, pairs = walked(rng)
    wrong = [(one, int(two)) for (one, _), two in zip(pairs, rng.integers(300, 600, 300), strict=True)]
    right, mixed, none = (learnt("label-free", sightings, each) for each in (pairs, pairs[:150] + wrong[150:], wrong))
    ratio = [each.log_ratio(1, 500.0, np.array([2]), np.array([530.0]))[0] for each in (right, mixed, none)]
    assert ratio[0] > ratio[1] > ratio[2]
    assert abs(ratio[2]) < 0.7


def test_all_pairs_are_those_of_some_tracklets_of_each_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    sightings, pairs = walked(np.random.default_rng(4))
    monkeypatch.setattr(travel_times, "_TRACKLETS", 200)
    (few,) = learnt("identities", sightings, pairs).between
    assert sum(few.same) == 300
    assert sum(few.every) == 100 * 100
    monkeypatch.undo()
    (every,) = learnt("identities", sightings, pairs).between
    assert sum(every.every) == 300 * 300
    at = np.array([LATER_S, 3 * LATER_S, -LATER_S])
    np.testing.assert_allclose(few.log_ratio(at), every.log_ratio(at), atol=0.3)


def test_a_pair_of_cameras_is_smoothed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    smooth = travel_times.gaussian_filter1d
    monkeypatch.setattr(travel_times, "gaussian_filter1d", lambda *a, **k: calls.append(1) or smooth(*a, **k))
    found = learnt("identities", *walked(np.random.default_rng(0)))
    for time_s in (100.0, 200.0, 300.0):
        found.log_ratio(1, time_s, np.array([2]), np.array([time_s + LATER_S]))
    assert len(calls) == 2


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Gallery, np.ndarray]:
    """Everybody before the gate, and 30 s later in the hall; clothes of two colours make people look alike."""
    rng = np.random.default_rng(5)
    gallery = new_gallery(tmp_path_factory.mktemp("travel"))
    people = rng.normal(size=(2, DIM))[np.arange(PEOPLE) % 2] * 2 + 0.5 * rng.normal(size=(PEOPLE, DIM))
    begin = np.sort(rng.choice(np.arange(1, 300), PEOPLE, replace=False)).astype(float)
    for number, (camera, later_s) in enumerate((("gate", 0.0), ("hall", LATER_S))):
        rows = [
            (at + later_s, unit(who + 0.5 * rng.normal(size=(1, DIM)))) for at, who in zip(begin, people, strict=True)
        ]
        chunks = [chunk_of(part, [row for row in rows if row[0] // 60 == part]) for part in range(6)]
        add_video(gallery, number, camera, chunks, START_MS)
    return gallery, begin


def test_without_labels_the_pace_is_learnt_and_finds_people_who_look_alike(world: tuple[Gallery, np.ndarray]) -> None:
    gallery, _ = world
    found = learn(gallery)
    assert found.source == "label-free"
    (pair,) = found.between
    pace = pair.log_ratio(np.array([LATER_S, -LATER_S, 4 * LATER_S]))
    assert pace[0] > 1 > 0 > pace[1:].max()
    assert current_travel_times(gallery) == found
    searcher, right = Searcher(gallery, Model()), {False: 0, True: 0}
    asking = [one for one in gallery.tracklets() if one.camera == "gate"]
    for tracklet in asking:
        ask = asked(gallery, Model.identity, tracklets=[tracklet.id])
        for with_times in right:
            options = {"travel_times": True, "seen": ask.seen} if with_times else {}
            (hit,) = searcher.search(ask.embeddings, cameras=["hall"], top=1, **options).hits
            right[with_times] += (hit.start - tracklet.start).total_seconds() == LATER_S
    assert right[True] > right[False] + 5

    hits = searcher.search(ask.embeddings, without=ask.without, top=200, travel_times=True, seen=ask.seen).hits
    reasons = [hit.reason for hit in hits if hit.reason]
    assert sorted(each.rank_by_score for each in reasons) == list(range(1, 2 * PEOPLE))  # none is lost
    for hit, reason in zip(hits, reasons, strict=True):
        assert reason.prior is not None
        assert hit.camera == "hall" or reason.prior == 0


def test_named_people_come_before_what_only_looks_alike(world: tuple[Gallery, np.ndarray]) -> None:
    gallery, begin = world
    tracklets = gallery.tracklets()
    identities = Identities(gallery, by="test")
    for number, at in enumerate(begin[:35]):
        starts = (at, at + LATER_S)
        own = [
            one.id for one in tracklets
            if (one.start - one.video.start).total_seconds() == starts[one.camera == "hall"]
        ]  # fmt: skip
        identities.new(f"person {number}", own)
    assert learn(gallery, "label-free").source == "label-free"  # there is enough of both
    found = learn(gallery)
    assert found.source == "identities"
    assert found.pairs == 35
    assert "35 pairs" in str(found)
    assert found.to_dict()["pairs"] == 35
    identities.undo(35)


def test_cameras_that_become_one_have_no_travel_times(world: tuple[Gallery, np.ndarray], tmp_path: Path) -> None:
    gallery, _ = world
    shutil.copytree(gallery.path, tmp_path / "copy")
    copy = Gallery.open(tmp_path / "copy")
    learn(copy)
    with copy.writing() as writer:
        assert writer.merge_camera("hall", "gate").forgotten == ["reidapp gallery travel-times"]
    assert current_travel_times(copy) is None


def test_what_is_lacking_is_said(
    world: tuple[Gallery, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery, _ = world
    monkeypatch.setattr(travel_times, "_counted", None)  # nothing is counted where there is too little
    identities, tracklets = Identities(gallery, by="test"), gallery.tracklets()
    own = [next(one.id for one in tracklets if one.camera == camera) for camera in ("gate", "hall")]
    identities.new("somebody", [*own, next(one.id for one in tracklets if one.camera == "hall" and one.id not in own)])
    with pytest.raises(UserError, match="identities: 2 pairs of tracklets of one person in two cameras"):
        learn(gallery, "identities")
    identities.undo()
    with pytest.raises(UserError, match='--from: "looks" is unknown'):
        learn(gallery, "looks")
    with pytest.raises(UserError, match="answers: 0 pairs"):
        learn(gallery, "answers")
    query = unit(np.ones((1, DIM)))
    empty = Searcher(new_gallery(tmp_path), Model())
    with pytest.raises(UserError, match="a picture has no camera and time"):
        empty.search(query, travel_times=True)
    with pytest.raises(UserError, match="none yet"):
        empty.search(query, travel_times=True, seen=["00"])
    with pytest.raises(UserError, match="exclude each other"):
        empty.search(query, travel_times=True, rerank=True, seen=["00"])
