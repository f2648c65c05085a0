import numpy as np
import pytest

from training.data.synthetic.surface import smoothstep, tube

BALL = [(float(np.cos(a)), 0.0, 0.0, float(np.sin(a)), float(np.sin(a))) for a in np.linspace(0, np.pi, 40)]


def test_a_ball_has_points_on_its_surface_and_normals_outward() -> None:
    ball = tube(BALL, 0.05)
    assert np.allclose(np.linalg.norm(ball.points, axis=1), 1.0, atol=0.01)
    assert np.min((ball.points * ball.normals).sum(1)) > 0.97


def test_points_are_about_as_dense_as_asked() -> None:
    for spacing in (0.1, 0.05):
        assert len(tube(BALL, spacing).points) * spacing**2 == pytest.approx(4 * np.pi, rel=0.15)


@pytest.mark.parametrize("square", [0.4, 0.5, 0.86])
def test_a_squarer_ring_has_no_gap(square: float) -> None:
    box = tube([(1.0, 0, 0, 0.2, 0.2), (0.0, 0, 0, 0.2, 0.2)], 0.01, square=square)
    ring = box.points[abs(box.points[:, 1] - 0.5) < 0.006]
    order = np.argsort(np.arctan2(ring[:, 2], ring[:, 0]))
    around = ring[order]
    gaps = np.linalg.norm(np.diff(around[:, [0, 2]], axis=0, append=around[:1, [0, 2]]), axis=1)
    assert gaps.max() < 0.02


def test_smoothstep_runs_both_ways() -> None:
    x = np.array([0.0, 0.5, 1.0], np.float32)
    assert smoothstep(x, 0.0, 1.0).tolist() == [0.0, 0.5, 1.0]
    assert smoothstep(x, 1.0, 0.0).tolist() == [1.0, 0.5, 0.0]
