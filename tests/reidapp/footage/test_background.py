"""What moves before a camera: told by pictures whose moving parts are known."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from reidapp.errors import UserError
from reidapp.footage.background import Background, background

HEIGHT, WIDTH = 180, 320


def place(seed: int = 0, light: float = 0.0, still: bool = True) -> np.ndarray:
    """A wall of 20-pixel tiles, with noise of its own in each picture."""
    tiles = np.random.default_rng(3).integers(60, 180, (HEIGHT // 20, WIDTH // 20, 3))
    wall = tiles.repeat(20, 0).repeat(20, 1) + light
    wall = wall if still else np.roll(wall, (7, 13), (0, 1))
    return np.clip(wall + np.random.default_rng(seed).normal(0, 2, wall.shape), 0, 255).astype(np.uint8)


def with_somebody(picture: np.ndarray, left: int, top: int = 60) -> np.ndarray:
    """Somebody of 70 pixels' height, in black."""
    picture = picture.copy()
    picture[top : top + 70, left : left + 25] = 10
    return picture


def passing(count: int = 15) -> list[np.ndarray]:
    """Somebody walks through, a step further in each picture."""
    return [with_somebody(place(k), 5 + 20 * k) for k in range(count)]


def test_who_passes_moves_and_the_place_does_not() -> None:
    moving = Background(passing()).moving(with_somebody(place(99), 110))
    assert moving.dtype == bool
    assert moving[60:130, 110:135].mean() > 0.95
    far = np.ones((HEIGHT, WIDTH), bool)
    far[50:140, 100:145] = False
    assert moving[far].mean() < 0.001


def test_who_partly_looks_like_the_wall_is_covered_whole() -> None:
    picture, wall = with_somebody(place(99), 110), place(99)
    picture[60:100, 116:129] = wall[60:100, 116:129]
    assert Background(passing()).moving(picture)[62:130, 110:135].mean() > 0.95


def test_a_larger_picture_than_what_is_compared() -> None:
    def large(picture: np.ndarray) -> np.ndarray:
        return picture.repeat(3, 0).repeat(3, 1)

    moving = Background(large(picture) for picture in passing()).moving(large(with_somebody(place(99), 110)))
    assert moving.shape == (3 * HEIGHT, 3 * WIDTH)
    assert moving[180:390, 330:405].mean() > 0.95
    assert moving[:, 600:].mean() < 0.001


def test_light_that_changes_everywhere_is_no_movement() -> None:
    known = Background(passing())
    assert not known.moving(place(98, light=25)).any()
    assert known.moving(with_somebody(place(99, light=25), 110))[60:130, 110:135].mean() > 0.95


def test_what_is_never_still_does_not_move() -> None:
    """A screen that flickers, in the upper left corner."""

    def flickering(picture: np.ndarray, level: int) -> np.ndarray:
        picture = picture.copy()
        picture[:40, :60] = level
        return picture

    known = Background(flickering(picture, 60 + 70 * (k % 3)) for k, picture in enumerate(passing()))
    moving = known.moving(flickering(with_somebody(place(99), 110), 60))
    assert not moving[:35, :55].any()
    assert moving[60:130, 110:135].mean() > 0.95


@pytest.mark.parametrize(
    "people",
    [
        {"row": (100, 150, 0, 320)},  # a queue, who touch
        {"near": (20, 180, 60, 260)},  # somebody before the lens: half of the picture
        {"nearer": (0, 180, 45, 290)},  # three quarters
        {"left": (30, 180, 0, 40), "right": (30, 180, 280, 320), "between": (150, 180, 0, 320)},  # around an open place
    ],
)
def test_people_who_fill_much_of_the_picture_move(people: dict[str, tuple[int, int, int, int]]) -> None:
    picture, known = place(99), Background(passing())
    for top, bottom, left, right in people.values():
        picture[top:bottom, left:right] = np.random.default_rng(left).integers(
            190, 256, (bottom - top, right - left, 3)
        )
    moving = known.moving(picture)
    for top, bottom, left, right in people.values():
        assert moving[top:bottom, left:right].mean() > 0.95


def test_a_camera_that_turns_says_nothing() -> None:
    assert not Background(passing()).moving(place(99, still=False)).any()


@pytest.mark.parametrize("pictures", [[], passing(2)])
def test_of_too_little_nothing_is_known(pictures: Iterable[np.ndarray]) -> None:
    assert not Background(pictures).moving(with_somebody(place(99), 110)).any()


def test_of_a_picture_of_another_size_nothing_is_known() -> None:
    assert not Background(passing()).moving(np.zeros((90, 90, 3), np.uint8)).any()


@pytest.mark.parametrize("keyframes_every", [2, 1000])
def test_of_a_recording(tmp_path: Path, keyframes_every: int) -> None:
    """With many keyframes, and with one."""
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=1)
        video.width, video.height, video.pix_fmt, video.gop_size = WIDTH, HEIGHT, "yuv420p", keyframes_every
        for number in range(30):
            frame = av.VideoFrame.from_ndarray(with_somebody(place(number), 5 + 9 * number), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 1)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    assert background(path, 12.0, 12.0).moving(with_somebody(place(99), 110))[60:130, 110:135].mean() > 0.95


@pytest.mark.slow
def test_a_recording_of_seconds_and_what_may_not_be_seen_of_it(tmp_path: Path) -> None:
    """Of three seconds there are pictures enough; beyond what may be seen, none are looked at."""
    path = tmp_path / "event.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=10, options={"crf": "10"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv444p"
        for number in range(30):
            picture = with_somebody(place(number), 5 + 9 * number)
            if number >= 15:
                picture[:60] = 255  # from the middle on, something hangs above
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    now = with_somebody(place(99), 110)
    whole = background(path, 1.0, 1.0, most_s=3.0).moving(now)
    assert whole[60:130, 110:135].mean() > 0.95
    early, late = (background(path, 1.0, 1.0, *bounds).moving(now) for bounds in ((0.0, 1.5), (1.5, 3.0)))
    assert early[60:130, 110:135].mean() > 0.95
    assert early[:40].mean() < 0.02
    assert late[:40].mean() > 0.95  # by what may be seen, the wall above is new
    assert not background(path, 1.0, 1.0, 2.0, 1.0).moving(now).any()


def test_a_recording_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.mp4"):
        background(tmp_path / "gone.mp4", 0.0, 5.0)
