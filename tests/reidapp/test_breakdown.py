"""Errors by camera and lighting, on people whose errors are known, and intervals against draws made one by one."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from reidapp.box import Box
from reidapp.breakdown import UNKNOWN, PersonHere, by_camera, by_lighting, people_here
from reidapp.measures import Look, Query, Stay
from reidapp.truth import Sighting, Truth

START = datetime(2026, 3, 2, 10, tzinfo=UTC)
LEFT, RIGHT = Box(0.1, 0.2, 0.2, 0.8), Box(0.7, 0.2, 0.8, 0.8)


def row(
    person: int, camera: str = "gate", lighting: str = "day", score: float = 1.0, missed: int = 0, detected: int = 10
) -> PersonHere:
    """Of one search and two stays, and ten frames."""
    return PersonHere(person, camera, lighting, (score,), (float(score == 1),), 2, missed, 10, detected)


def sighting(person: int, time_s: float, box: Box, camera: str, visible: float = 1.0) -> Sighting:
    return Sighting(camera, f"{camera}/a.mp4", START + timedelta(seconds=time_s), time_s, person, box, visible)


def test_what_happened_to_whom_and_where() -> None:
    """Person 1 is found once before the gate, of two frames; half of person 2 hides there; nobody looks at the hall."""
    truth = Truth(
        [
            sighting(1, 0.0, LEFT, "gate"),
            sighting(1, 0.5, LEFT, "gate"),
            sighting(2, 0.0, RIGHT, "gate"),
            sighting(2, 0.5, RIGHT, "gate", visible=0.2),
            sighting(1, 0.0, LEFT, "hall"),
        ],
        {"gate": "dusk"},
    )
    looks = [Look("gate", 0.0, 200, (LEFT, RIGHT)), Look("gate", 0.5, 200, (RIGHT,))]
    stays = [Stay(appearance, ()) for appearance in truth.appearances()]
    one, hall, two = people_here(truth, looks, stays, [Query(1, "gate", None, ())])
    assert one == PersonHere(1, "gate", "dusk", (0.0,), (0.0,), 1, 1, 2, 1)
    assert hall == PersonHere(1, "hall", UNKNOWN, (), (), 1, 1, 0, 0)
    assert two == PersonHere(2, "gate", "dusk", (), (), 1, 1, 1, 1)


def test_a_group_for_each_camera_of_each_world() -> None:
    rows = [row(1), row(2, score=0.5), row(1, "hall", "indoor"), row(2, "hall", "indoor", missed=1, detected=4)]
    gate, hall, other = by_camera({"world 0": rows, "world 1": [row(1, missed=2)]})
    assert [(group.name, group.lighting) for group in (gate, hall, other)] == [
        ("world 0, gate", "day"),
        ("world 0, hall", "indoor"),
        ("world 1, gate", "day"),
    ]
    assert (gate.people, gate.queries, gate.appearances, gate.frames) == (2, 2, 4, 20)
    values = [group.to_dict() for group in (gate, hall, other)]
    assert [value["rank1"]["value"] for value in values] == [0.5, 1.0, 1.0]
    assert [value["mAP"]["value"] for value in values] == [0.75, 1.0, 1.0]
    assert [value["missed"]["value"] for value in values] == [0.0, 0.25, 1.0]
    assert [value["recall"]["value"] for value in values] == [1.0, 0.7, 1.0]


def test_lighting_goes_over_worlds_and_one_number_is_another_person_in_each() -> None:
    worlds = {"world 0": [row(1), row(1, "hall")], "world 1": [row(1, score=0.0), row(1, "hall", "dusk")]}
    day, dusk = by_lighting(worlds)
    assert [(group.name, group.cameras, group.people, group.queries) for group in (day, dusk)] == [
        ("day", 3, 2, 3),
        ("dusk", 1, 1, 1),
    ]


def test_an_interval_is_over_people_not_over_searches() -> None:
    """Ten searches of each of eight people, of whom two are never found: as wide as eight draws are, not eighty."""
    rows = [row(person, f"camera-{k}", score=float(person > 1)) for person in range(8) for k in range(10)]
    (day,) = by_lighting({"world": rows})
    assert day.rank1 is not None
    assert day.rank1.value == 0.75
    rng = np.random.default_rng(5)
    means = [np.mean([person > 1 for person in rng.choice(8, 8)]) for _ in range(4000)]
    low, high = np.percentile(means, [2.5, 97.5])
    assert day.rank1.low == pytest.approx(low, abs=0.13)  # the step between two draws
    assert day.rank1.high == pytest.approx(high, abs=0.13)
    (again,) = by_lighting({"world": rows})
    assert again == day


@pytest.mark.parametrize("people", [1, 3])
def test_people_who_are_alike_leave_room_for_others(people: int) -> None:
    (day,) = by_lighting({"world": [row(p, f"camera-{k}", score=float(k)) for p in range(people) for k in range(2)]})
    assert day.rank1 is not None
    assert day.rank1.value == 0.5
    assert day.rank1.low < 0.2
    assert day.rank1.high > 0.8


def test_no_error_of_few_people_is_no_proof() -> None:
    (few,) = by_lighting({"world": [row(person) for person in range(4)]})
    (many,) = by_lighting({"world": [row(person) for person in range(100)]})
    assert few.rank1 is not None
    assert many.rank1 is not None
    assert few.rank1.value == few.rank1.high == many.rank1.value == 1.0
    assert few.rank1.low == pytest.approx(1 - 0.6024, abs=1e-3)  # Clopper and Pearson: 0.025 ** (1 / 4) = 0.3976
    assert many.rank1.low == pytest.approx(0.9638, abs=1e-3)
    assert few.missed is not None
    assert (few.missed.low, few.missed.value) == (0.0, 0.0)
    assert few.missed.high == pytest.approx(0.6024, abs=1e-3)


def test_nothing_that_happened_has_no_rate() -> None:
    (group,) = by_camera({"world": [PersonHere(1, "gate", "day", (), (), 1, 0, 0, 0)]})
    assert group.rank1 is group.mAP is group.recall is None
    assert group.to_dict()["rank1"] is None
    assert group.to_dict()["missed"]["value"] == 0.0
