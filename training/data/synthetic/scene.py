"""Places: ground in perspective, walls with windows, doors or hedges, things that stand about."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .camera import Image, Light, View, draw_light
from .palette import NAMED, RGB, vary
from .surface import Floats
from .textures import noise

GROUNDS = ("tiles", "asphalt", "paving", "grass", "concrete")
WALLS = ("plaster", "brick", "panels", "windows", "hedge")
GROUND_COLOURS: dict[str, tuple[RGB, ...]] = {
    "tiles": ((0.62, 0.60, 0.57), (0.72, 0.69, 0.63), (0.50, 0.50, 0.52)),
    "asphalt": ((0.34, 0.34, 0.35), (0.42, 0.42, 0.42)),
    "paving": ((0.56, 0.54, 0.50), (0.50, 0.46, 0.42), (0.60, 0.57, 0.55)),
    "grass": ((0.36, 0.42, 0.22), (0.42, 0.45, 0.28)),
    "concrete": ((0.60, 0.60, 0.58), (0.52, 0.52, 0.50)),
}
WALL_COLOURS: dict[str, tuple[RGB, ...]] = {
    "plaster": ((0.78, 0.75, 0.68), (0.66, 0.68, 0.70), (0.72, 0.66, 0.58)),
    "brick": ((0.55, 0.36, 0.29), (0.60, 0.50, 0.42)),
    "panels": ((0.62, 0.64, 0.66), (0.52, 0.56, 0.58)),
    "windows": ((0.66, 0.63, 0.60), (0.58, 0.58, 0.58)),
    "hedge": ((0.25, 0.33, 0.18), (0.30, 0.36, 0.22)),
}


@dataclass(frozen=True)
class Scene:
    """An empty place as one camera sees it: its view, its light, and the picture (RGB uint8 [H, W, 3])."""

    view: View
    light: Light
    picture: Image
    shadow: float  # darkness of shadows, 0..1
    slant: tuple[float, float]  # how far a shadow falls per metre of height, along x and z


def draw_scene(rng: np.random.Generator, view: View) -> Scene:
    """An empty place, perhaps with things along the wall."""
    rays = view.rays()
    wall_at = float(rng.uniform(9.5, 15.0))
    tilt = float(rng.normal(0, 0.12))
    down = np.minimum(rays[..., 1], -1e-4)
    reach = np.asarray(-view.height / down, np.float32)
    ground_x, ground_z = rays[..., 0] * reach, rays[..., 2] * reach
    # The wall is the plane z + tilt·x = wall_at.
    to_wall = np.asarray(wall_at / np.maximum(rays[..., 2] + tilt * rays[..., 0], 1e-3), np.float32)
    picture = _ground(rng, ground_x, ground_z)
    wall_y = view.height + rays[..., 1] * to_wall
    is_wall = wall_y > 0
    picture[is_wall] = _wall(rng, rays[..., 0][is_wall] * to_wall[is_wall], wall_y[is_wall])
    foot = np.exp(-np.abs(wall_y) / 0.10)
    picture *= (1 - 0.25 * foot)[..., None]
    _clutter(rng, view, picture, wall_at)
    fall = 1 + float(rng.uniform(-0.12, 0.12)) * (rays[..., 0] / 0.6)
    picture *= fall[..., None]
    light = draw_light(rng)
    slant = (float(-light.towards[0] * 0.35), float(rng.uniform(-0.1, 0.35)))
    return Scene(view, light, np.clip(picture * 255, 0, 255).astype(np.uint8), 0.25 + 0.5 * light.direct, slant)


def _choose(rng: np.random.Generator, options: tuple[RGB, ...]) -> Floats:
    return np.asarray(vary(rng, options[int(rng.integers(len(options)))], 0.2), np.float32)


def _ground(rng: np.random.Generator, x: Floats, z: Floats) -> Floats:
    """Colours of the ground at x, z metres."""
    kind = str(rng.choice(GROUNDS, p=[0.28, 0.22, 0.24, 0.10, 0.16]))
    base = _choose(rng, GROUND_COLOURS[kind])
    far = np.clip(6.0 / np.maximum(z, 1.0), 0.0, 1.0)
    rough = noise(x, z, 0.35, int(rng.integers(99))) * far
    broad = noise(x, z, 3.0, int(rng.integers(99)), 3)
    grain = {"grass": 0.17, "asphalt": 0.09}.get(kind, 0.055)
    value = 1 + grain * rough + 0.06 * broad
    cell = float(rng.uniform(0.35, 1.1))
    if kind in ("tiles", "paving"):
        joint = 0.018 if kind == "tiles" else 0.03
        turn = float(rng.uniform(-0.5, 0.5))
        u, v = x * np.cos(turn) + z * np.sin(turn), z * np.cos(turn) - x * np.sin(turn)
        v = v / cell
        u = u / cell / (1.0 if kind == "tiles" else 2.0) + (np.floor(v) % 2) * (0.5 if kind == "paving" else 0.0)
        edge = np.minimum(np.minimum(u % 1, 1 - u % 1), np.minimum(v % 1, 1 - v % 1)) * cell
        soft = np.clip(edge / (joint + 0.004 * np.maximum(z, 1)), 0, 1)
        plate = np.sin(np.floor(u) * 127.1 + np.floor(v) * 311.7) * 43758.5
        value = value * (1 + 0.05 * ((plate % 1) - 0.5)) * (1 - 0.22 * far * (1 - soft))
    picture = base * value[..., None]
    if kind in ("asphalt", "concrete") and rng.random() < 0.6:
        turn, place = float(rng.uniform(-1.2, 1.2)), float(rng.uniform(3, 8))
        line = np.abs((z - place) * np.cos(turn) + x * np.sin(turn)) < 0.06
        picture[line] = picture[line] * 0.5 + 0.38
    return picture.astype(np.float32)


def _wall(rng: np.random.Generator, x: Floats, y: Floats) -> Floats:
    """Colours of the wall at x aside and y up, metres [N]."""
    kind = str(rng.choice(WALLS, p=[0.32, 0.14, 0.22, 0.22, 0.10]))
    base = _choose(rng, WALL_COLOURS[kind])
    value = 1 + 0.02 * noise(x, y, 0.5, int(rng.integers(99))) + 0.03 * noise(x, y, 6.0, int(rng.integers(99)), 2)
    picture = base * value[:, None]
    if kind == "hedge":
        return (picture * (1 + 0.30 * noise(x, y, 0.5, 3))[:, None]).astype(np.float32)
    if kind == "brick":
        row = np.floor(y / 0.09)
        u = x / 0.27 + 0.5 * (row % 2)
        joint = ((y / 0.09) % 1 < 0.14) | (u % 1 < 0.06)
        picture *= np.where(joint, 1.18, 1 + 0.10 * np.sin(np.floor(u) * 12.9 + row * 78.2))[:, None]
    if kind == "panels":
        wide = float(rng.uniform(1.2, 2.4))
        picture *= np.where(((x / wide) % 1 < 0.02) | ((y / 1.3) % 1 < 0.02), 0.75, 1.0)[:, None]
    if kind == "windows":
        wide, phase = float(rng.uniform(2.2, 3.6)), float(rng.uniform(0, 1))
        u = (x / wide + phase) % 1
        glass = (u > 0.22) & (u < 0.78) & (y > 1.0) & (y < 2.5)
        frame = glass & ((u < 0.25) | (u > 0.75) | (y < 1.07) | (y > 2.43) | (abs(u - 0.5) < 0.012))
        picture[glass] = np.array([0.40, 0.46, 0.50], np.float32) * (0.7 + 0.25 * y[glass] / 2.5)[:, None]
        picture[frame] = 0.80
    if rng.random() < 0.5:
        skirting = y < float(rng.uniform(0.1, 0.9))
        picture[skirting] *= float(rng.uniform(0.72, 0.9))
    if rng.random() < 0.4:
        at = float(rng.uniform(-4, 4))
        door = (abs(x - at) < 0.55) & (y < 2.1)
        picture[door] = _choose(rng, ((0.40, 0.30, 0.24), (0.35, 0.40, 0.45), (0.60, 0.60, 0.60)))
        picture[door & (abs(x - at) > 0.49)] *= 0.7
    return picture.astype(np.float32)


def _clutter(rng: np.random.Generator, view: View, picture: Floats, wall_at: float) -> None:
    """Benches, bins, planters and boxes by the wall: blocks with a lighter top and a soft shadow."""
    for _ in range(int(rng.integers(0, 4))):
        z = float(rng.uniform(0.88, 0.96)) * wall_at
        x = float(rng.uniform(-0.55, 0.55)) * wall_at
        wide, high, deep = float(rng.uniform(0.25, 0.8)), float(rng.uniform(0.3, 0.75)), float(rng.uniform(0.3, 0.6))
        names = ("dark grey", "grey", "olive", "brown", "green", "blue", "tan", "light grey")
        colour = np.asarray(vary(rng, NAMED[str(rng.choice(names))], 0.25))
        corners = np.array([(dx, y, dz) for y in (0.0, high) for dz in (0.0, deep) for dx in (-wide, wide)], np.float32)
        spots = view.project(corners + np.array([x, 0, z], np.float32))
        _polygon(picture, spots[[0, 1, 3, 2]] + np.array([3, 2], np.float32), picture.mean((0, 1)) * 0.6)
        _polygon(picture, spots[[0, 1, 5, 4]], colour * 0.8)
        _polygon(picture, spots[[4, 5, 7, 6]], colour * 1.1)


def _polygon(picture: Floats, corners: Floats, colour: NDArray[np.floating]) -> None:
    cv2.fillConvexPoly(picture, np.round(corners * 16).astype(np.int32), [float(v) for v in colour], cv2.LINE_8, 4)
