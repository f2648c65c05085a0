import numpy as np
import pytest

from reidapp.footage.motion import Scene

HEIGHT, WIDTH = 540, 960
RNG = np.random.default_rng(0)
PLACE = np.kron(RNG.integers(40, 180, (27, 48, 3)), np.ones((20, 20, 1))).astype(np.float32)


def view(person: tuple[int, int] | None = None, light: float = 0.0, noise: float = 6.0) -> np.ndarray:
    """A camera's picture with its noise, and perhaps a person of 90 pixels height at a place."""
    image = PLACE.copy()
    if person:
        x, y = person
        image[y : y + 90, x : x + 36] = (30, 30, 60)
    return np.clip(image + light + RNG.normal(0, noise, image.shape), 0, 255).astype(np.uint8)


def changed(*images: np.ndarray) -> list[bool]:
    scene = Scene()
    return [scene.changed(image) for image in images]


def test_an_empty_place_is_looked_at_once() -> None:
    assert changed(*(view() for _ in range(10))) == [True] + [False] * 9


def test_whoever_comes_moves_or_leaves_is_a_change_and_who_stands_still_is_none() -> None:
    comes, stands, moves, leaves = view((300, 200)), view((300, 200)), view((320, 200)), view()
    assert changed(view(), comes, stands, stands, moves, leaves, view()) == [
        True,
        True,
        False,
        False,
        True,
        True,
        False,
    ]


@pytest.mark.slow
def test_nobody_gets_by_however_slowly() -> None:
    told = changed(*(view((300 + step, 200)) for step in range(100)))
    assert sum(told) >= 4


@pytest.mark.parametrize("light", [-25.0, 25.0])
def test_light_that_changes_everywhere_is_no_change(light: float) -> None:
    assert changed(*(view(light=light * i / 10) for i in range(10))) == [True] + [False] * 9


def test_another_size_is_another_picture() -> None:
    assert changed(view(), view()[:, :640]) == [True, True]
    assert changed(np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1, 3), np.uint8)) == [True, False]
