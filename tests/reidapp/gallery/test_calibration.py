"""P(match): the formulas held against slow ones, what must hold, and worlds of which the truth is known."""

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from reidapp.box import Box
from reidapp.errors import UserError
from reidapp.gallery import schema
from reidapp.gallery.calibration import (
    Calibration,
    Point,
    calibrate,
    calibrated,
    calibration_error,
    current,
    fitted,
    keep,
    presence,
    reliability,
)
from reidapp.gallery.facts import PathPoint
from reidapp.gallery.identities import Identities
from reidapp.gallery.saved_searches import SavedSearches
from reidapp.gallery.search import Searcher
from reidapp.gallery.store import Gallery
from reidapp.gallery.trials import Trial, standing
from reidapp.gallery.writer import NewChunk, NewCrop, NewTracklet
from tests.reidapp.gallery.test_search import DIM, START_MS, WEBP, Model, add_video, chunk_of, new_gallery, unit

World = tuple[Gallery, dict[str, int]]
PEOPLE, CAMERAS = 40, ("gate", "hall", "yard")
MADE = Calibration("identities", "2026-03-02T10:00:00Z", 100, 8, 30, 90, 2.0, -6.0, 0.5, 0.8, (Point(0.5, 0.4, 1.0),))


def filled(folder: Path) -> World:
    """40 people pass 3 cameras, ten others one camera each; {tracklet: person}."""
    gallery, who = new_gallery(folder), {}
    for number, camera in enumerate(CAMERAS):
        chunk = chunk_of(0, [(1.0 + i, rows) for i, (_, rows) in enumerate(seen(number))])
        video = add_video(gallery, number, camera, [chunk], START_MS)
        for i, (person, _) in enumerate(seen(number)):
            who[schema.identifier(schema.identifier(video, 0), i)] = person
    return gallery, who


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return filled(tmp_path_factory.mktemp("unnamed"))


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    """The same, where sixteen people have names."""
    gallery, who = filled(tmp_path_factory.mktemp("named"))
    for person in range(16):
        Identities(gallery, "ana").new(f"person {person}", [id_ for id_, each in who.items() if each == person])
    calibrate(gallery, Model)
    return gallery


def seen(camera: int) -> list[tuple[int, np.ndarray]]:
    """Who passes a camera, and the embeddings of one or two shots."""
    looks = np.random.default_rng(0).normal(size=(PEOPLE + 30, DIM))
    rng = np.random.default_rng([1, camera])
    there = [*range(PEOPLE), *range(PEOPLE + 10 * camera, PEOPLE + 10 * camera + 10)]
    return [(person, unit(looks[person] + 1.0 * rng.normal(size=(1 + person % 2, DIM)))) for person in there]


def test_the_fit_is_at_the_minimum_of_its_loss() -> None:
    rng = np.random.default_rng(0)
    z, weight = 2 + 3 * rng.normal(size=40), rng.uniform(0.5, 3, size=40)
    match = rng.random(40) < expit(z - 3)
    scaled = (z - z.mean()) / z.std()

    def loss(values: np.ndarray) -> float:
        total = 0.0
        for each, yes, w in zip(scaled, match, weight, strict=True):
            p = 1 / (1 + np.exp(-(values[0] * each + values[1])))
            total -= w * np.log(p if yes else 1 - p)
        return total / weight.sum() + 1e-3 / 2 * values[0] ** 2

    slow = minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13}).x
    a, c = fitted(z, match, weight)
    np.testing.assert_allclose(a * z + c, scaled * slow[0] + slow[1], atol=2e-3)


def test_p_match_never_contradicts_the_ranking() -> None:
    """Even where the higher scores were those of strangers."""
    rng = np.random.default_rng(1)
    z = rng.normal(size=60)
    assert fitted(z, z < 0, np.ones(60))[0] == 0.0
    background, scores = rng.normal(size=50) / 5, np.sort(rng.uniform(-1, 1, size=30))[::-1]
    assert (np.diff(MADE.p_match(scores, background, 100)) < 0).all()


def test_the_formula() -> None:
    background = np.array([0.1, 0.3, 0.2, 0.4])
    p = MADE.p_match(np.array([0.9, 0.2]), background, 50)
    for each, score in zip(p, (0.9, 0.2), strict=True):
        z = (score - 0.25) / (np.sqrt(((background - 0.25) ** 2).mean()) + 1e-6)
        assert each == pytest.approx(1 / (1 + np.exp(-(2.0 * z - 6.0))))
    np.testing.assert_allclose(standing(np.array([0.25, 0.5]), background), [0.0, 0.25 / background.std()], rtol=1e-4)


@pytest.mark.parametrize("growth", [1, 3, 50])
def test_each_hit_s_odds_fall_as_the_gallery_grows(growth: int) -> None:
    background, scores = np.linspace(-0.2, 0.3, 9), np.array([0.1, 0.4, 0.8])
    before, after = (MADE.p_match(scores, background, rows) for rows in (100, 100 * growth))
    np.testing.assert_allclose(after / (1 - after), before / (1 - before) / growth)
    np.testing.assert_array_equal(MADE.p_match(scores, background, 10), before)  # smaller: no more sure than it was


def test_growth_denies_nobody_and_few_rows_say_nothing() -> None:
    background, told = np.linspace(-0.2, 0.3, 9), replace(MADE, absent_below=0.3, absent_rows=80)
    for scores, absent in [(np.array([0.5, 0.4]), False), (np.array([0.2, 0.1]), True)]:
        assert [told.probably_absent(scores, background, rows) for rows in (80, 100, 10_000)] == [absent] * 3
        assert told.probably_absent(scores, background, 79) is None
        assert replace(told, absent_below=None).probably_absent(scores, background, 100) is None


def test_a_base_rate_is_corrected_by_weights() -> None:
    """Of the strangers a tenth was kept; each stands for ten."""
    rng = np.random.default_rng(2)
    z = rng.normal(size=40_000)
    match = rng.random(40_000) < expit(1.5 * z - 2)
    kept = match | (rng.random(40_000) < 0.1)
    a, c = fitted(z[kept], match[kept], np.where(match, 1.0, 10.0)[kept])
    assert calibration_error(reliability(expit(a * z + c), match)) < 0.015
    a, c = fitted(z[kept], match[kept], np.ones(kept.sum()))
    assert calibration_error(reliability(expit(a * z + c), match)) > 0.2


def test_a_known_p_is_recovered_and_its_error_is_said() -> None:
    rng = np.random.default_rng(3)
    trials = [some_trial(rng, group) for group in range(60)]
    found = calibrated("labels", trials, 1000)
    assert (found.groups, found.matches + found.others, found.rows) == (60, 60 * 40, 1000)
    fresh = [some_trial(rng, group) for group in range(200)]
    z, match = np.concatenate([t.z for t in fresh]), np.concatenate([t.match for t in fresh])
    p = expit(found.a * z + found.c)
    np.testing.assert_allclose(p, expit(2 * z - 3), atol=0.05)
    assert calibration_error(reliability(p, match)) < 0.02
    assert 0 < found.error < 0.05
    shuffled = [replace(trial, match=rng.permutation(trial.match)) for trial in trials]
    assert calibrated("labels", shuffled, 1000).a < 0.2  # scores that say nothing give every hit the base rate


def test_a_fit_needs_pairs_of_both_kinds() -> None:
    """Also that of all but a fifth of those who are asked for, or nothing could be said of its quality."""
    rng = np.random.default_rng(5)
    trials = [some_trial(rng, group) for group in range(10)]
    none = [replace(trial, match=np.zeros(40, bool)) for trial in trials]
    of_one = [replace(trials[0], group=0), *none[1:]]
    for few in (none, of_one, [replace(trial, group=0) for trial in trials]):
        with pytest.raises(UserError, match="no pairs of one person or none of two are left"):
            calibrated("labels", few, 1000)


def some_trial(rng: np.random.Generator, group: int) -> Trial:
    z = rng.normal(1, 1, 40)
    return Trial(group, z, rng.random(40) < expit(2 * z - 3), np.ones(40), np.full(40, -1), np.ones(40, bool))


def test_reliability_by_hand() -> None:
    rng = np.random.default_rng(4)
    p = rng.random(45)
    right, weight = rng.random(45) < p, np.ones(45)
    order = np.argsort(p)
    expected = [(p[order[i : i + 3]].mean(), right[order[i : i + 3]].mean(), 3.0) for i in range(0, 45, 3)]
    points = reliability(p, right, weight)
    np.testing.assert_allclose([(each.p_match, each.right, each.weight) for each in points], expected)
    assert calibration_error(points) == pytest.approx(np.mean([abs(a - b) for a, b, _ in expected]))
    heavy = np.where(np.arange(45) == order[-1], 45.0, 1.0)  # half of all weight is one pair's
    assert sum(each.weight for each in reliability(p, right, heavy)) == pytest.approx(89)
    (one,) = reliability(np.full(10, 0.5), np.arange(10) < 4)  # equal ones are not told apart by their order
    assert one == Point(0.5, 0.4, 10.0)


def test_presence_is_of_the_first_hits() -> None:
    assert presence(np.array([0.5, 0.5])) == pytest.approx(0.75)
    assert presence(np.zeros(3)) == 0.0
    assert presence(np.concatenate([np.full(20, 0.1), np.ones(5)])) == pytest.approx(1 - 0.9**20)


def test_p_match_of_people_without_a_name(named: Gallery, world: World) -> None:
    """It is believed as far as it says, hits that are wrong are counted, and who is not there is not found."""
    who, searcher = world[1], Searcher(named, Model())
    p, right, absent, false_alarms = [], [], [], []
    for number, camera in enumerate(CAMERAS):
        others = [each for each in CAMERAS if each != camera]
        for person, rows in seen(number)[16:32]:
            own = [id_ for id_, each in who.items() if each == person]
            there = searcher.search(rows[:1], cameras=others)
            gone = searcher.search(rows[:1], cameras=others, without=own)
            p += [hit.p_match for hit in there.hits]
            right += [who[hit.tracklet] == person for hit in there.hits]
            false_alarms.append(there.probably_absent)
            absent.append(gone.probably_absent)
            assert there.expected_false_hits == pytest.approx(sum(1 - (hit.p_match or 0) for hit in there.hits))
            assert [hit.p_match for hit in there.hits] == sorted((hit.p_match or 0 for hit in there.hits), reverse=True)
    assert calibration_error(reliability(np.array(p), np.array(right))) < 0.06
    assert np.mean(false_alarms) < 0.3 < 0.6 < np.mean(absent)  # 0.1 over many such worlds, with a deviation of 0.1
    few = searcher.search(rows[:1], top=2)
    assert few.probably_absent == searcher.search(rows[:1], top=50).probably_absent
    after_answers = searcher.search(rows[:1], partial=True)
    assert {hit.p_match for hit in after_answers.hits} == {None}
    assert (after_answers.calibration, after_answers.probably_absent) == (None, None)


def test_who_is_there_is_not_denied_in_a_gallery_that_grew_nor_before_one_camera(named: Gallery) -> None:
    """As the calibration was made at a tenth of the rows, each P(match) is lower; that is no sign of absence."""
    before, searcher = current(named, Model.identity), Searcher(named, Model())
    assert before
    queries = [rows[:1] for _, rows in seen(0)[16:32]]
    told = [searcher.search(rows, cameras=["hall", "yard"]) for rows in queries]
    keep(named, Model.identity, replace(before, rows=before.rows // 10))
    grown = [searcher.search(rows, cameras=["hall", "yard"]) for rows in queries]
    keep(named, Model.identity, before)
    assert [result.probably_absent for result in grown] == [result.probably_absent for result in told]
    assert all((b.hits[0].p_match or 0) < (a.hits[0].p_match or 0) for a, b in zip(told, grown, strict=True))
    assert {searcher.search(rows, cameras=["hall"]).probably_absent for rows in queries} == {None}


def test_without_a_calibration_of_the_model_nothing_is_said(named: Gallery, world: World) -> None:
    query = seen(0)[0][1][:1]
    result = Searcher(world[0], Model()).search(query)
    assert (result.calibration, result.expected_false_hits, result.probably_absent) == (None, None, None)
    assert {hit.p_match for hit in result.hits} == {None}
    assert current(named, Model.identity) is not None
    assert current(named, "cd" * 32) is None
    result = Searcher(named, Model()).search(query, cameras=["gate"], before=None, without=list(world[1]))
    assert (result.hits, result.expected_false_hits, result.probably_absent) == ([], 0.0, None)


def test_a_calibration_is_kept_as_it_is(world: World) -> None:
    keep(world[0], "ef" * 32, MADE)
    assert current(world[0], "ef" * 32) == MADE
    keep(world[0], "ef" * 32, replace(MADE, a=1.0))
    assert current(world[0], "ef" * 32) == replace(MADE, a=1.0)


def test_a_file_of_labels(named: Gallery, world: World, tmp_path: Path) -> None:
    """It says what the names say; beginnings of ids are enough."""
    before, file = current(named, Model.identity), tmp_path / "labels.csv"
    assert before
    rows = [(id_[:9], f"p{person:02}") for id_, person in world[1].items() if person < 16]
    write(file, [*rows, *((id_, " ") for id_, person in world[1].items() if person > 30)])  # not filled in
    found = calibrate(named, Model, labels=file)
    np.testing.assert_allclose([found.a, found.c], [before.a, before.c], rtol=1e-3)
    assert (found.source, found.groups, found.warning) == ("labels", 16, None)
    keep(named, Model.identity, before)
    for wrong, words in [
        ([*rows, (rows[0][0], "another")], "is p.. and another; leave one line"),
        ([("0" * 16, "p01")], "tracklet 0000000000000000: not in this gallery"),
        (rows[:6], r"labels: 0 people seen by two cameras \(8 are needed\)"),
        ([*rows[:8], *rows[16:24]], r"labels: 16 pairs of one person among the first 20 hits \(30 are needed\)"),
    ]:
        write(file, wrong)
        with pytest.raises(UserError, match=words):
            calibrate(named, Model, labels=file)
    file.unlink()
    with pytest.raises(UserError, match=r"labels.csv: cannot be read \(No such file"):
        calibrate(named, Model, labels=file)
    file.write_text("id,name\n1,2\n")
    with pytest.raises(UserError, match="not a CSV file with the columns tracklet and person"):
        calibrate(named, Model, labels=file)
    assert current(named, Model.identity) == before


def write(file: Path, rows: list[tuple[str, str]]) -> None:
    with file.open("w", newline="") as out:
        csv.writer(out).writerows([("tracklet", "person"), *rows])


def test_answers_to_saved_searches(world: World) -> None:
    """Twelve people are searched for by a tracklet, and the truth answers the first six hits."""
    gallery, who = world
    searches, searcher = SavedSearches(gallery, "ana"), Searcher(gallery, Model())
    with pytest.raises(
        UserError, match=r"answers: 0 yes and 0 no to hits of 0 saved searches for 0 people \(40 answers, 8 of each"
    ):
        calibrate(gallery, Model, "answers")
    for person in range(12):
        first = next(id_ for id_, each in who.items() if each == person)
        filters = {"cameras": ["hall", "yard"]}
        searches.save(f"search {person}", [], [first], None, filters)
        rows = next(rows for each, rows in seen(0) if each == person)
        hits = searcher.search(rows, cameras=filters["cameras"], top=6, combine="set").hits
        said = {hit.tracklet: who[hit.tracklet] == person for hit in hits}
        yes = [id_ for id_, right in said.items() if right]
        searches.answer(f"search {person}", yes, [id_ for id_ in said if id_ not in yes])
    found = calibrate(gallery, Model, "answers")
    assert (found.source, found.groups, found.matches + found.others) == ("answers", 12, 72)
    assert found.absent_below is None  # P(match) is for searches with pictures: only those say who is absent
    assert found.absent_told is None
    p, right = [], []
    for person, rows in seen(0)[12:PEOPLE]:
        hits = searcher.search(rows, cameras=["hall", "yard"], top=20).hits
        p += [hit.p_match or 0 for hit in hits]
        right += [who[hit.tracklet] == person for hit in hits]
    assert calibration_error(reliability(np.array(p), np.array(right))) < 0.08


@pytest.mark.slow
@pytest.mark.parametrize("filters", [{}, {"after": "2026-03-02T10:00:00"}, {"cameras": ["torn down"]}])
def test_answers_are_of_people(filters: dict[str, Any], tmp_path: Path) -> None:
    """Searches for one person count as one; those that are asked by their own answers no longer say anything."""
    gallery, who = filled(tmp_path)
    searches, identities, opened = SavedSearches(gallery, "ana"), Identities(gallery, "ana"), list[Model]()

    class Brightness(Model):
        """Any look will do."""

        def __init__(self) -> None:
            opened.append(self)

        def embed(self, crops: Sequence[np.ndarray], camera: str | None = None) -> np.ndarray:
            return unit(np.stack([np.random.default_rng(crop).normal(size=DIM) for crop in crops]))

    def answered(name: str, person: int, pictures: list[np.ndarray], tracklets: list[str]) -> None:
        own, others = ([id_ for id_, each in who.items() if (each == person) is same] for same in (True, False))
        searches.save(name, pictures, tracklets, None, filters)
        searches.answer(name, own[1:], others[7 * person : 7 * person + 8])

    for person in range(3):
        first = next(id_ for id_, each in who.items() if each == person)
        for number in range(3):
            picture = np.full((8, 4, 3), 40 * person + 10 * number, np.uint8)
            answered(f"{person} {number}", person, [picture] if number else [], [] if number else [first])
    with pytest.raises(UserError, match=r"answers: 18 yes and 72 no to hits of 9 saved searches for 3 people \(40 "):
        calibrate(gallery, Brightness, "answers")
    assert len(opened) == 1  # not for each of the pictures
    answered("another", 5, [], [next(id_ for id_, each in who.items() if each == 5)])
    found = calibrate(gallery, Brightness, "answers")
    assert found.groups == 4
    assert (found.absent_below is None) is bool(filters)  # who is absent is not learnt of hits that nobody saw
    assert found.absent_rows == (0 if filters else int(0.8 * found.rows))
    assert len(opened) == 2
    for person in (0, 1, 2, 5):
        identities.new(f"person {person}", [id_ for id_, each in who.items() if each == person])
    for info in searches.all():
        searches.delete(info.name)
    for person in (0, 1, 2, 5):
        searches.save(f"search {person}", [], [], f"person {person}")
        answers = [id_ for id_, each in who.items() if each == person], [id_ for id_ in who if who[id_] > 20][:12]
        searches.answer(f"search {person}", *answers)
    with pytest.raises(UserError, match="answers: 0 yes and 48 no to hits of 4 saved searches for 4 people"):
        calibrate(gallery, Model, "answers")


def test_without_labels_it_is_said_for_what_it_is(tmp_path: Path) -> None:
    """Two people at a time before one camera, each with two shots."""
    rng = np.random.default_rng(7)
    gallery, shots = new_gallery(tmp_path), unit(rng.normal(size=(80, 1, DIM)) + 0.5 * rng.normal(size=(80, 2, DIM)))
    with pytest.raises(UserError, match=r"calibrate by; identities: 0 people .*; answers: 0 yes .*; label-free: 0 tr"):
        calibrate(gallery, Model)
    boxes = Box(0.1, 0.1, 0.2, 0.5), Box(0.6, 0.1, 0.7, 0.5)
    new = [
        NewTracklet(
            [PathPoint(i // 2 * 1.4, box), PathPoint(i // 2 * 1.4 + 1, box)],
            [NewCrop(i // 2 * 1.4, box, 0.5, WEBP), NewCrop(i // 2 * 1.4 + 1, box, 0.5, WEBP)],
        )
        for i, box in enumerate(boxes * 40)
    ]
    add_video(gallery, 0, "gate", [NewChunk(0, 0.0, 120, 160, 59.0, new, np.concatenate(shots))], START_MS)
    found = calibrate(gallery, Model)
    assert (found.source, found.matches, found.others) == ("label-free", 80, 80)
    assert found.absent_below is None
    assert "do not stand for pairs across cameras" in str(found)
    result = Searcher(gallery, Model()).search(shots[0][:1])
    assert result.hits[0].p_match is not None
    assert result.probably_absent is None
    assert result.calibration == found
