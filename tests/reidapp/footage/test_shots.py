import cv2
import numpy as np
import pytest

from reidapp.box import Box
from reidapp.footage.detection import Detection
from reidapp.footage.shots import Shot, ShotKeeper, quality, sharpness
from reidapp.imaging import encode_crop

BOX = Box(0.4, 0.2, 0.5, 0.8)
CROP = np.random.default_rng(0).integers(0, 256, (260, 100, 3), dtype=np.uint8)


def best(*offers: tuple[float, float]) -> list[tuple[float, float]]:
    """(time, quality) of what is kept of such offers."""
    keeper = ShotKeeper()
    for time_s, worth in offers:
        keeper.offer(Shot(time_s, BOX, worth, CROP))
    return [(shot.time_s, shot.quality) for shot in keeper.best()]


def test_the_best_of_a_short_visit() -> None:
    assert best((10.0, 0.2), (10.5, 0.7), (11.0, 0.3), (15.9, 0.6)) == [(10.5, 0.7)]
    assert best((3.0, 0.0)) == [(3.0, 0.0)]


@pytest.mark.parametrize(("span_s", "count"), [(0, 1), (5.5, 1), (6, 2), (11.5, 2), (12, 3), (18, 4), (600, 4)])
def test_one_shot_per_six_seconds_and_four_at_most(span_s: float, count: int) -> None:
    kept = best(*((t / 2, (t % 7) / 10) for t in range(int(2 * span_s) + 1)))
    assert len(kept) == count
    assert kept == sorted(kept)


def test_shots_are_spread_over_the_time() -> None:
    kept = best(*((t / 2, 1 - t / 100) for t in range(65)))  # gets worse and worse
    assert [time_s for time_s, _ in kept] == [0.0, 8.0, 16.0, 24.0]


def test_a_shot_does_not_keep_the_frame_in_memory() -> None:
    frame = np.zeros((1080, 1920, 3), np.uint8)
    keeper = ShotKeeper()
    keeper.offer(Shot(0.0, BOX, 0.5, frame[100:300, 100:200]))
    frame[:] = 255
    (shot,) = keeper.best()
    assert shot.crop.base is None
    assert shot.crop.max() == 0


def test_a_large_shot_is_held_as_it_will_be_stored() -> None:
    large = np.random.default_rng(1).integers(0, 256, (1100, 401, 3), dtype=np.uint8)
    keeper = ShotKeeper()
    keeper.offer(Shot(0.0, BOX, 0.5, large))
    (shot,) = keeper.best()
    assert shot.crop.shape == (384, 140, 3)
    assert encode_crop(shot.crop) == encode_crop(large)


def worth(crop: np.ndarray = CROP, box: Box = BOX, score: float = 0.9, others: tuple[Box, ...] = ()) -> float:
    return quality(crop, Detection(box, score), [Detection(other, 0.9) for other in others])


def test_quality_is_lower_for_what_makes_a_crop_worse() -> None:
    whole = worth()
    assert 0.9 < whole <= 1
    assert worth(cv2.GaussianBlur(CROP, (0, 0), 12)) < 0.7 * whole
    assert worth(cv2.resize(CROP, (20, 52))) < 0.7 * whole
    assert worth(score=0.4) < whole
    assert worth(np.repeat(CROP, 2, 1)) < whole  # as wide as one who sits
    assert worth(CROP[:, ::4]) < whole  # a slice of a person
    assert worth(box=Box(0.0, 0.2, 0.1, 0.8)) == pytest.approx(whole / 2)
    assert worth(box=Box(0.4, 0.5, 0.5, 1.0)) == pytest.approx(whole / 2)
    assert worth(box=Box(0.0, 0.5, 0.1, 1.0)) == pytest.approx(whole / 4)
    assert worth(others=(Box(0.45, 0.2, 0.6, 0.8),)) == pytest.approx(whole / 2)
    assert worth(others=(Box(0.5, 0.2, 0.6, 0.8),)) == pytest.approx(whole)
    assert worth(others=(Box(0.3, 0.1, 0.6, 0.9),)) == pytest.approx(0, abs=1e-9)


def test_sharpness() -> None:
    assert sharpness(np.full((90, 40, 3), 77, np.uint8)) == 0
    blurred = [sharpness(cv2.GaussianBlur(CROP, (0, 0), sigma)) for sigma in (1, 3, 9)]
    assert 1 > sharpness(CROP) > blurred[0] > blurred[1] > blurred[2] > 0
    assert sharpness(CROP[:1, :1]) == 0
