from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reidapp.box import Box
from reidapp.errors import UserError
from reidapp.gallery.facts import PathPoint
from reidapp.truth import Sighting, Truth

START = datetime(2026, 3, 2, 10, tzinfo=UTC)
LEFT, RIGHT = Box(0.1, 0.2, 0.2, 0.8), Box(0.7, 0.2, 0.8, 0.8)


def sighting(person: int, time_s: float, box: Box, camera: str = "gate", visible: float = 1.0) -> Sighting:
    return Sighting(camera, f"{camera}/a.mp4", START + timedelta(seconds=time_s), time_s, person, box, visible)


TWO = Truth([s for i in range(10) for s in (sighting(1, i / 10, LEFT), sighting(2, i / 10, RIGHT))])


def path(*boxes: Box) -> list[PathPoint]:
    return [PathPoint(i / 10 + 1e-5, box) for i, box in enumerate(boxes)]


@pytest.mark.parametrize(
    ("boxes", "who"),
    [
        ([LEFT] * 3, 1),
        ([RIGHT], 2),
        ([LEFT, RIGHT, RIGHT], 2),
        ([Box(0.13, 0.25, 0.22, 0.8)] * 2, 1),
        ([Box(0.4, 0.2, 0.5, 0.8)] * 2, None),
        ([LEFT] + [Box(0.4, 0.2, 0.5, 0.8)] * 2, None),
        ([], None),
    ],
)
def test_who(boxes: list[Box], who: int | None) -> None:
    assert TWO.who("gate", path(*boxes)) == who


def test_who_is_asked_of_one_camera_and_time() -> None:
    assert TWO.who("yard", path(LEFT)) is None
    assert TWO.who("gate", [PathPoint(7.0, LEFT)]) is None


def test_best_view_is_whole_then_unhidden_then_large() -> None:
    small, large = Box(0.4, 0.4, 0.45, 0.6), Box(0.4, 0.2, 0.5, 0.8)
    truth = Truth(
        [
            sighting(1, 0.0, Box(0.0, 0.0, 0.4, 1.0)),
            sighting(1, 0.1, large, visible=0.5),
            sighting(1, 0.2, small),
            sighting(1, 0.3, large, visible=0.97),
            sighting(1, 0.4, large, camera="yard"),
            sighting(2, 0.5, large),
        ]
    )
    assert truth.best_view(1, "gate").time_s == 0.3
    assert truth.best_view(1, "yard").time_s == 0.4
    assert truth.people == [1, 2]
    assert truth.cameras == ["gate", "yard"]


def test_read(tmp_path: Path) -> None:
    (tmp_path / "truth.csv").write_text(
        "camera,video,time_utc,pts_s,person,x1,y1,x2,y2,head_x1,visible\n"
        "gate,gate/a.mp4,2026-03-02T10:00:00.100Z,0.100,7,0.1,0.2,0.2,0.8,0.5,0.9\n"
    )
    truth = Truth.read(tmp_path)
    assert truth.sightings == [sighting(7, 0.1, LEFT, visible=0.9)]
    assert truth.who("gate", [PathPoint(0.1, LEFT)]) == 7
    assert truth.lighting == {}
    (tmp_path / "cameras.csv").write_text("camera,lighting\ngate,dusk\n")
    assert Truth.read(tmp_path).lighting == {"gate": "dusk"}
    (tmp_path / "cameras.csv").write_text("camera,light\ngate,dusk\n")
    with pytest.raises(UserError, match=r"cameras\.csv: each line needs a camera and its lighting"):
        Truth.read(tmp_path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "no truth.csv in it"),
        ("camera,video\n", "nobody in it"),
        ("camera,video\ngate,a.mp4\n", "line 2: no column 'time_utc'"),
        ("camera,video,time_utc,pts_s\ngate,a.mp4,2026-03-02T10:00:00Z,soon\n", "line 2: .*soon"),
    ],
)
def test_a_damaged_truth_is_refused(tmp_path: Path, text: str | None, says: str) -> None:
    if text is not None:
        (tmp_path / "truth.csv").write_text(text)
    with pytest.raises(UserError, match=says):
        Truth.read(tmp_path)


def test_people_in_is_asked_of_each_box() -> None:
    assert TWO.people_in("gate", path(LEFT, RIGHT, Box(0.4, 0.2, 0.5, 0.8))) == [1, 2, None]


def test_a_box_shows_who_stands_in_front() -> None:
    """The other's box fits a little better, but a leg is all that is to be seen of him."""
    behind, box = Box(0.11, 0.2, 0.21, 0.8), Box(0.108, 0.2, 0.208, 0.8)
    truth = Truth([sighting(1, 0.0, LEFT), sighting(2, 0.0, behind, visible=0.3)])
    assert truth.people_in("gate", path(box)) == [1]


def test_a_person_is_matched_once() -> None:
    """Two boxes on one person: the better one has him, and the other is wrong."""
    nearly = Box(0.11, 0.2, 0.21, 0.8)
    found = TWO.matches("gate", 0.5, [nearly, RIGHT, LEFT])
    assert [sighting and sighting.person for sighting in found] == [None, 2, 1]
    assert TWO.matches("gate", 0.5, []) == []
    assert TWO.matches("gate", 99.0, [LEFT]) == [None]


def test_the_best_assignment_is_not_the_greedy_one() -> None:
    """Between the two, the best pair would leave the other box with nobody, though both show somebody."""
    first, second = Box(0.0, 0.0, 0.30, 1.0), Box(0.06, 0.0, 0.36, 1.0)
    truth = Truth([sighting(1, 0.0, first), sighting(2, 0.0, second)])
    boxes = [Box(0.04, 0.0, 0.34, 1.0), Box(0.14, 0.0, 0.44, 1.0)]
    found = truth.matches("gate", 0.0, boxes)
    assert [sighting and sighting.person for sighting in found] == [1, 2]


def test_a_pair_needs_half_an_overlap() -> None:
    truth = Truth([sighting(1, 0.0, Box(0.0, 0.0, 0.2, 1.0))])
    assert truth.matches("gate", 0.0, [Box(0.0, 0.0, 0.11, 1.0)])[0] is not None
    assert truth.matches("gate", 0.0, [Box(0.0, 0.0, 0.09, 1.0)]) == [None]


def test_an_appearance_is_what_half_of_the_body_shows_in() -> None:
    seen = [sighting(1, t / 10, LEFT, visible=0.2 if t < 5 or t > 40 else 0.9) for t in range(50)]
    (stay,) = Truth(seen).appearances()
    assert (stay.person, stay.camera, stay.first.time_s, stay.last.time_s) == (1, "gate", 0.5, 4.0)


def test_hidden_for_three_seconds_is_one_appearance_and_for_longer_two() -> None:
    def stays(gap_s: float) -> int:
        truth = Truth([*(sighting(1, t, LEFT) for t in (0.0, 1.0)), sighting(1, 1.0 + gap_s, LEFT)])
        return len(truth.appearances())

    assert [stays(2.9), stays(3.1)] == [1, 2]


def test_everybody_has_his_own_appearances_in_each_camera() -> None:
    truth = Truth([sighting(p, 0.0, LEFT, camera=c) for p in (2, 1) for c in ("yard", "gate")])
    assert [(a.person, a.camera) for a in truth.appearances()] == [(1, "gate"), (1, "yard"), (2, "gate"), (2, "yard")]
