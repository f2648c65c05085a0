"""Every measure on cases made by hand, whose answers are known."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reidapp.box import Box
from reidapp.gallery.facts import CropInfo, PathPoint, TrackletInfo, VideoInfo
from reidapp.gallery.search import Hit
from reidapp.measures import (
    Followed,
    Look,
    Query,
    RankedHit,
    Share,
    Stay,
    best_crop,
    measure_calibration,
    measure_detection,
    measure_retrieval,
    measure_times,
    measure_tracklets,
    missed_elsewhere,
    stays,
)
from reidapp.truth import Sighting, Truth

START = datetime(2026, 3, 2, 10, tzinfo=UTC)
LEFT, RIGHT, NOWHERE = Box(0.1, 0.2, 0.2, 0.8), Box(0.7, 0.2, 0.8, 0.8), Box(0.4, 0.2, 0.5, 0.8)


def sighting(person: int, time_s: float, box: Box, camera: str = "gate", visible: float = 1.0) -> Sighting:
    return Sighting(camera, f"{camera}/a.mp4", START + timedelta(seconds=time_s), time_s, person, box, visible)


TIMES = [i / 2 for i in range(20)]
TWO = Truth([s for t in TIMES for s in (sighting(1, t, LEFT), sighting(2, t, RIGHT))])


def tracklet(
    path: Sequence[tuple[float, Box]],
    camera: str = "gate",
    clock_s: float = 0.0,
    crops: Sequence[CropInfo] = (),
) -> TrackletInfo:
    """A tracklet of a video whose clock is wrong by ``clock_s``."""
    start = START + timedelta(seconds=clock_s)
    video = VideoInfo("v", camera, "UTC", Path("a.mp4"), 1, 1, start, "name", None, 10.0, 640, 360)
    first, last = path[0][0], path[-1][0]
    return TrackletInfo(
        id="t",
        camera=camera,
        video=video,
        start=start + timedelta(seconds=first),
        end=start + timedelta(seconds=last),
        start_s=first,
        end_s=last,
        path=[PathPoint(time_s, box) for time_s, box in path],
        crops=list(crops),
    )


def followed(path: Sequence[tuple[float, Box]], clock_s: float = 0.0, truth: Truth = TWO) -> Followed:
    one = tracklet(path, clock_s=clock_s)
    return Followed(one, tuple(truth.people_in(one.camera, one.path)))


def along(box: Box, times: Sequence[float] = TIMES) -> list[tuple[float, Box]]:
    return [(time_s, box) for time_s in times]


def found(*tracklets: Followed, truth: Truth = TWO) -> list[Stay]:
    return stays(truth.appearances(), tracklets)


# Detection


def look(time_s: float, *boxes: Box) -> Look:
    return Look("gate", time_s, 200, boxes)


def test_detection_finds_all() -> None:
    scores = measure_detection(TWO, [look(t, LEFT, RIGHT) for t in TIMES])
    assert (scores.recall, scores.precision, scores.overlap) == (Share(40, 40), Share(40, 40), 1.0)


def test_detection_counts_what_it_misses_and_makes_up() -> None:
    half = Box(0.1, 0.2, 0.2, 0.6)  # two thirds of LEFT
    scores = measure_detection(TWO, [look(0.0, half, NOWHERE, NOWHERE), look(0.5, LEFT)])
    assert scores.recall == Share(2, 4)
    assert scores.precision == Share(2, 4)
    assert scores.overlap == pytest.approx((2 / 3 + 1) / 2)


def test_a_frame_without_detections_counts() -> None:
    assert measure_detection(TWO, [look(0.0), look(0.5, LEFT, RIGHT)]).recall == Share(2, 4)
    assert measure_detection(TWO, []).to_dict()["recall"] is None


def test_a_person_found_twice_is_one_and_a_wrong_box() -> None:
    scores = measure_detection(TWO, [look(0.0, LEFT, Box(0.11, 0.2, 0.21, 0.8))])
    assert (scores.recall, scores.precision) == (Share(1, 2), Share(1, 2))


def test_recall_by_height_and_by_what_is_visible() -> None:
    truth = Truth(
        [
            sighting(1, 0.0, Box(0.0, 0.0, 0.1, 0.3)),  # 60 px
            sighting(2, 0.0, Box(0.2, 0.0, 0.3, 0.5)),  # 100 px
            sighting(3, 0.0, Box(0.4, 0.0, 0.5, 0.5), visible=0.6),
            sighting(4, 0.0, Box(0.6, 0.0, 0.7, 1.0), visible=0.2),  # too little to be missed
        ]
    )
    scores = measure_detection(truth, [look(0.0, Box(0.2, 0.0, 0.3, 0.5), Box(0.6, 0.0, 0.7, 1.0))])
    assert scores.by_height == {"0–64 px": Share(0, 1), "64–128 px": Share(1, 2)}
    assert scores.by_visible == {
        "0%–50% visible": Share(1, 1),
        "50%–90% visible": Share(0, 1),
        "90% and more visible": Share(1, 2),
    }
    assert scores.recall == Share(1, 3)
    assert scores.precision == Share(2, 2)


# Tracklets


def test_whole_tracklets() -> None:
    both = [followed(along(LEFT)), followed(along(RIGHT))]
    scores = measure_tracklets(found(*both), both)
    assert (scores.purity, scores.missed) == (Share(40, 40), Share(0, 2))
    assert (scores.mixed, scores.of_nobody) == (Share(0, 2), Share(0, 2))
    assert (scores.per_appearance, scores.per_person) == (1.0, 1.0)


def test_two_people_swapped_in_the_middle() -> None:
    """After 12 of 20 boxes each tracklet goes on with the other person."""
    swapped = [
        followed(along(LEFT, TIMES[:12]) + along(RIGHT, TIMES[12:])),
        followed(along(RIGHT, TIMES[:12]) + along(LEFT, TIMES[12:])),
    ]
    scores = measure_tracklets(found(*swapped), swapped)
    assert scores.purity == Share(24, 40)
    assert scores.mixed == Share(2, 2)
    assert scores.missed == Share(0, 2)
    assert [one.person for one in swapped] == [1, 2]


def test_boxes_of_nobody_are_impure_but_not_mixed() -> None:
    one = followed(along(LEFT, TIMES[:15]) + along(NOWHERE, TIMES[15:]))
    scores = measure_tracklets(found(one), [one])
    assert (scores.purity, scores.mixed, scores.missed) == (Share(15, 20), Share(0, 1), Share(1, 2))


def test_a_tracklet_of_nobody_is_counted_and_spoils_no_purity() -> None:
    both = [followed(along(LEFT)), followed(along(NOWHERE))]
    scores = measure_tracklets(found(*both), both)
    assert (scores.purity, scores.of_nobody) == (Share(20, 20), Share(1, 2))


def test_an_appearance_split_in_three() -> None:
    pieces = [followed(along(LEFT, part)) for part in (TIMES[:5], TIMES[6:12], TIMES[13:])]
    scores = measure_tracklets(found(*pieces), pieces)
    assert (scores.per_appearance, scores.per_person) == (3.0, 3.0)
    assert scores.missed == Share(1, 2)
    times = measure_times(found(*pieces))
    assert (times.start_error_s, times.end_error_s) == (0.0, 0.0)  # the pieces together last as long


def test_each_appearance_gets_its_own_tracklet() -> None:
    """Somebody who comes back after ten seconds appears twice: two tracklets of the person, one per appearance."""
    early, late = TIMES[:5], [12.0, 12.5, 13.0]
    truth = Truth([sighting(1, t, LEFT) for t in (*early, *late)])
    both = [followed(along(LEFT, part), truth=truth) for part in (early, late)]
    scores = measure_tracklets(found(*both, truth=truth), both)
    assert (scores.per_appearance, scores.per_person, scores.missed) == (1.0, 2.0, Share(0, 2))
    only_late = found(both[1], truth=truth)
    assert [len(stay.tracklets) for stay in only_late] == [0, 1]


def test_nothing_found_is_no_division_by_zero() -> None:
    scores = measure_tracklets(found(), [])
    assert (scores.to_dict()["purity"], scores.per_appearance, scores.missed) == (None, None, Share(2, 2))
    assert measure_times(found()).to_dict() == {"start_error_s": None, "end_error_s": None, "error_p95_s": None}


# Times


@pytest.mark.parametrize("clock_s", [3.5, -3.5, 60.0])
def test_a_shifted_clock_is_an_error_of_time_and_nothing_else(clock_s: float) -> None:
    both = [followed(along(box), clock_s=clock_s) for box in (LEFT, RIGHT)]
    times = measure_times(found(*both))
    assert times.to_dict() == pytest.approx(dict.fromkeys(times.to_dict(), abs(clock_s)))
    assert measure_tracklets(found(*both), both).missed == Share(0, 2)


def test_found_late_and_lost_early() -> None:
    times = measure_times(found(followed(along(LEFT, TIMES[2:-3])), followed(along(RIGHT))))
    assert times.start_error_s == pytest.approx((1.0 + 0.0) / 2)
    assert times.end_error_s == pytest.approx((1.5 + 0.0) / 2)


# Retrieval


def hit(rank: int, person: int | None, p_match: float | None = None) -> RankedHit:
    nowhere = Path("x")
    return RankedHit(
        Hit(
            rank,
            "t",
            "yard",
            "UTC",
            nowhere,
            "v",
            START,
            START,
            START,
            0.0,
            1 / rank,
            p_match,
            LEFT,
            "c",
            nowhere,
            "name",
            None,
            "present",
        ),
        person,
    )


CROP = CropInfo("c", 0.0, LEFT, 0.9, Path("c.webp"))


def query(*people: int | None, person: int = 1, crop: CropInfo | None = CROP) -> Query:
    return Query(person, "gate", crop, tuple(hit(rank, p) for rank, p in enumerate(people, start=1)))


@pytest.mark.parametrize(
    ("people", "precision", "rank1"),
    [
        ([1, 1, 2], 1.0, 1.0),
        ([2, 1, 3, 1], (1 / 2 + 2 / 4) / 2, 0.0),
        ([1, None, None, 1], (1 + 2 / 4) / 2, 1.0),  # tracklets of nobody are wrong hits
        ([2, None], 0.0, 0.0),
        ([], 0.0, 0.0),
    ],
)
def test_average_precision(people: list[int | None], precision: float, rank1: float) -> None:
    assert query(*people).precision_and_rank1 == pytest.approx((precision, rank1))


def test_a_missed_appearance_makes_no_ranking_better() -> None:
    """Of two appearances elsewhere the second is ranked sixth, or is missed."""
    ranked, missed = query(1, 2, 3, 4, 5, 1), replace(query(1, 2, 3, 4, 5), missed=1)
    assert ranked.precision_and_rank1 == pytest.approx(((1 + 2 / 6) / 2, 1.0))
    assert missed.precision_and_rank1 == pytest.approx((1 / 2, 1.0))


def test_appearances_elsewhere_that_were_missed() -> None:
    truth = Truth([sighting(who, t, LEFT, camera) for who in (1, 2) for camera in ("gate", "yard") for t in (0.0, 9.0)])
    at_gate = Followed(tracklet(along(LEFT, [0.0])), (1,))
    every = found(at_gate, truth=truth)
    assert missed_elsewhere(every, 1, "gate") == 2  # both in the yard
    assert missed_elsewhere(every, 1, "yard") == 1
    assert missed_elsewhere(every, 2, "yard") == 2


def test_who_was_missed_counts_as_not_found() -> None:
    scores = measure_retrieval([query(1, 2), query(2, 3), query(crop=None), query(2, 1)])
    assert scores.to_dict() == {"mAP": 0.375, "rank1": 0.25, "queries": 4, "without_crop": 1, "without_match": 1}
    assert measure_retrieval([]).mAP is None


def test_the_best_crop_shows_the_person() -> None:
    """The sharpest crop of the tracklet is of somebody else: an operator would not take it."""
    crops = [CropInfo("a", 0.0, LEFT, 0.5, Path("a")), CropInfo("b", 0.5, LEFT, 0.7, Path("b"))]
    crops.append(CropInfo("c", 1.0, RIGHT, 0.9, Path("c")))
    path = along(LEFT, TIMES[:9]) + along(RIGHT, TIMES[9:10])
    one = Followed(tracklet(path, crops=crops), (1,) * 9 + (2,))
    best = best_crop(TWO, [one], 1, "gate")
    assert best is not None
    assert best.id == "b"
    assert best_crop(TWO, [one], 2, "gate") is None
    assert best_crop(TWO, [one], 1, "yard") is None


# P(match)


def test_calibration() -> None:
    """Of ten hits with 0.9 eight are right, of ten with 0.2 two are."""
    hits = [hit(i + 1, 1 if i < 8 else 2, 0.9) for i in range(10)]
    hits += [hit(i + 1, 1 if i < 2 else 2, 0.2) for i in range(10)]
    hits += [hit(21, 2, 1.0)]  # beyond the twenty that are shown
    scores = measure_calibration([Query(1, "gate", CROP, tuple(hits))])
    assert scores is not None
    assert scores.brier == pytest.approx((8 * 0.01 + 2 * 0.81 + 2 * 0.64 + 8 * 0.04) / 20)
    assert scores.ece == pytest.approx(0.1 * 10 / 20)
    assert [tuple(map(pytest.approx, point)) for point in scores.reliability] == [(0.2, 0.2, 10), (0.9, 0.8, 10)]


def test_certainty_is_in_the_last_bin_and_none_is_said() -> None:
    sure = measure_calibration([Query(1, "gate", CROP, (hit(1, 1, 1.0), hit(2, 2, 0.0)))])
    assert sure is not None
    assert (sure.brier, sure.ece, sure.hits) == (0.0, 0.0, 2)
    assert measure_calibration([query(1, 2)]) is None
