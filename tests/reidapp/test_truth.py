from pathlib import Path

import pytest

from reidapp.box import Box
from reidapp.gallery.store import PathPoint
from reidapp.truth import Sighting, Truth

LEFT, RIGHT = Box(0.1, 0.2, 0.2, 0.8), Box(0.7, 0.2, 0.8, 0.8)


def sighting(person: int, time_s: float, box: Box, camera: str = "gate", visible: float = 1.0) -> Sighting:
    return Sighting(camera, f"{camera}/a.mp4", time_s, person, box, visible)


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
        "gate,gate/a.mp4,2026-03-02T10:00:00Z,0.100,7,0.1,0.2,0.2,0.8,0.5,0.9\n"
    )
    truth = Truth.read(tmp_path)
    assert truth.sightings == [sighting(7, 0.1, LEFT, visible=0.9)]
    assert truth.who("gate", [PathPoint(0.1, LEFT)]) == 7
