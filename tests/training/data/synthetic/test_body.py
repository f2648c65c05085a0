import numpy as np
import pytest

from tests.training.data.synthetic.wearing import marks, outfit
from training.data.synthetic.appearance import Appearance, draw_appearance, look_alike
from training.data.synthetic.build import build_body
from training.data.synthetic.camera import View, draw_light
from training.data.synthetic.pose import Pose, bone_maps
from training.data.synthetic.raster import draw, place

SAME = np.eye(3, dtype=np.float32), np.zeros(3, np.float32)


def somebody(seed: int) -> Appearance:
    return draw_appearance(np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(6))
def test_a_body_stands_on_the_ground_and_is_as_tall_as_it_says(seed: int) -> None:
    body = build_body(somebody(seed), 0.02)
    height = body.posed(Pose(effort=0.0), *SAME).points[1]
    assert abs(height.min()) < 0.04
    assert height.max() == pytest.approx(body.height, abs=0.12)


def test_walking_moves_legs_and_keeps_lengths() -> None:
    body = build_body(somebody(1), 0.02)
    for phase in np.linspace(0, 2 * np.pi, 9):
        maps = bone_maps(body.figure.joints, body.appearance.gait, Pose(phase=float(phase)))
        turns = maps[:, :, :3]
        assert np.allclose(turns @ turns.transpose(0, 2, 1), np.eye(3), atol=1e-5)
        assert abs(body.posed(Pose(phase=float(phase)), *SAME).points[1].min()) < 0.08


@pytest.mark.slow
def test_every_appearance_can_be_dressed() -> None:
    for seed in range(40):
        body = build_body(somebody(seed), 0.03)
        assert np.isfinite(body.colours).all()
        assert len(body.colours) == len(body.gloss) == sum(group[1].shape[1] for group in body.groups)
        assert body.head.stop > body.head.start


def test_a_look_alike_wears_the_same_and_differs_in_marks() -> None:
    for seed in range(20):
        rng = np.random.default_rng([9, seed])
        first = draw_appearance(rng)
        second = look_alike(rng, first)
        assert outfit(second) == outfit(first)
        ours, theirs = marks(first), marks(second)
        assert ours["bag"] != theirs["bag"]
        assert ours["hair"] != theirs["hair"]


def test_a_body_is_drawn_without_holes() -> None:
    view = View(640, 360, 512.0, 2.2, 0.16)
    body = build_body(somebody(3), 0.0052)
    placed = place(body, Pose(), view, 0.0, 5.0, 2.5)
    x1, y1, x2, y2 = placed.bounds()
    size = round((y2 - y1) * 1.5), round((x2 - x1) * 1.5)
    sprite = draw(placed, (x1, y1, x2, y2), size, draw_light(np.random.default_rng(0), "day"))
    assert sprite is not None
    middle = sprite.alpha[round(size[0] * 0.2) : round(size[0] * 0.45)]
    first, last = middle.argmax(1), middle.shape[1] - 1 - middle[:, ::-1].argmax(1)
    inside = [row[a : b + 1].mean() for row, a, b in zip(middle, first, last, strict=True)]
    assert np.mean(inside) > 0.9
    assert sprite.colour.min() >= 0
