import numpy as np
import pytest

from reidapp.box import Box

BOX = Box(0.2, 0.1, 0.6, 0.9)


def test_measures() -> None:
    assert pytest.approx((0.4, 0.8, 0.32)) == (BOX.width, BOX.height, BOX.area)
    assert BOX.centre == pytest.approx((0.4, 0.5))
    assert Box(0.6, 0.1, 0.2, 0.9).area == 0


@pytest.mark.parametrize(
    ("other", "iou"),
    [
        (BOX, 1.0),
        (Box(0.4, 0.1, 0.8, 0.9), 1 / 3),
        (Box(0.2, 0.1, 0.4, 0.5), 1 / 4),
        (Box(0.6, 0.1, 0.8, 0.9), 0.0),
        (Box(0.7, 0.1, 0.8, 0.9), 0.0),
        (Box(0.7, 0.95, 0.8, 0.99), 0.0),
        (Box(0.3, 0.3, 0.3, 0.3), 0.0),
    ],
)
def test_iou(other: Box, iou: float) -> None:
    assert BOX.iou(other) == pytest.approx(iou)
    assert other.iou(BOX) == pytest.approx(iou)


def test_iou_counts_pixels() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        edges = np.sort(rng.integers(0, 41, (2, 2, 2)), axis=2) + np.array([0, 1])  # [box, axis, edge]
        masks = np.zeros((2, 42, 42), bool)
        for mask, ((x1, x2), (y1, y2)) in zip(masks, edges, strict=True):
            mask[y1:y2, x1:x2] = True
        a, b = (Box(*np.array([x1, y1, x2, y2]) / 42) for (x1, x2), (y1, y2) in edges)
        assert a.iou(b) == pytest.approx((masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum())
        assert a.covered_by(b) == pytest.approx((masks[0] & masks[1]).sum() / masks[0].sum())


def test_clipped() -> None:
    assert Box(-0.1, 0.5, 0.5, 1.2).clipped() == Box(0.0, 0.5, 0.5, 1.0)
    assert BOX.clipped() == BOX


def test_pixels() -> None:
    assert BOX.pixels(100, 200) == (40, 10, 120, 90)
    assert Box(0, 0, 1, 1).pixels(7, 9) == (0, 0, 9, 7)


@pytest.mark.parametrize(
    "box", [Box(1, 1, 1, 1), Box(0, 0, 0, 0), Box(-2, -2, -1, -1), Box(2, 2, 3, 3), Box(1, 1, 0, 0)]
)
@pytest.mark.parametrize("size", [(1, 1), (480, 640)])
def test_pixels_are_inside_the_frame_and_never_none(box: Box, size: tuple[int, int]) -> None:
    x1, y1, x2, y2 = box.pixels(*size)
    assert 0 <= x1 < x2 <= size[1]
    assert 0 <= y1 < y2 <= size[0]
