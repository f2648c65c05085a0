"""Places, indoors and out: ground in perspective, sun and shade on it, a wall or a hedge, and what stands about."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .camera import Image, Light, View, draw_light
from .palette import RGB, vary
from .seeds import weighted
from .surface import Floats, smoothstep
from .textures import noise
from .things import Pen, furnish

GROUND_COLOURS: dict[str, tuple[RGB, ...]] = {
    "tiles": ((0.62, 0.60, 0.57), (0.72, 0.69, 0.63), (0.50, 0.50, 0.52)),
    "asphalt": ((0.34, 0.34, 0.35), (0.42, 0.42, 0.42)),
    "paving": ((0.56, 0.54, 0.51), (0.48, 0.45, 0.43), (0.58, 0.56, 0.55), (0.50, 0.42, 0.38)),
    "cobbles": ((0.50, 0.48, 0.46), (0.42, 0.42, 0.42)),
    "grass": ((0.36, 0.42, 0.22), (0.42, 0.45, 0.28)),
    "concrete": ((0.60, 0.60, 0.58), (0.52, 0.52, 0.50)),
    "carpet": ((0.35, 0.34, 0.36), (0.40, 0.33, 0.30), (0.28, 0.32, 0.38)),
}
WALL_COLOURS: dict[str, tuple[RGB, ...]] = {
    "plaster": ((0.78, 0.75, 0.68), (0.66, 0.68, 0.70), (0.62, 0.58, 0.52)),
    "brick": ((0.50, 0.34, 0.28), (0.56, 0.48, 0.42)),
    "panels": ((0.62, 0.64, 0.66), (0.46, 0.50, 0.52)),
    "windows": ((0.62, 0.60, 0.57), (0.52, 0.52, 0.52)),
    "shopfront": ((0.12, 0.13, 0.15), (0.20, 0.20, 0.21), (0.30, 0.29, 0.28)),
    "hedge": ((0.25, 0.32, 0.18), (0.29, 0.34, 0.22)),
}
# How often each is met, by whether one is indoors.
GROUNDS = (
    {"tiles": 20, "asphalt": 22, "paving": 30, "cobbles": 10, "grass": 7, "concrete": 11},
    {"tiles": 50, "concrete": 25, "carpet": 25},
)
WALLS = (
    {"plaster": 17, "brick": 14, "panels": 10, "windows": 22, "shopfront": 17, "hedge": 20},
    {"plaster": 35, "panels": 25, "windows": 12, "shopfront": 28},
)
QUIET_WALLS = {"plaster": 40, "panels": 25, "windows": 22, "brick": 13}


@dataclass(frozen=True)
class Scene:
    """An empty place as one camera sees it: its view, its light, and the picture (RGB uint8 [H, W, 3]).

    ``front`` are the pixels of things that stand before everybody, bool [H, W].
    """

    view: View
    light: Light
    picture: Image
    front: NDArray[np.bool_]
    shadow: float  # darkness of shadows, 0..1
    slant: tuple[float, float]  # how far a shadow falls per metre of height, along x and z


def draw_scene(rng: np.random.Generator, view: View, setting: str, busy: float = 1.0) -> Scene:
    """A place with things standing about.

    Args:
        setting: one of camera.SETTINGS.
        busy: how much there is to see besides people, 0..1. Real crops are full of it; where OpenCV's detector has to
            find most people, hardly anything may be (benchmarks/synthetic_detectability.py).
    """
    indoor = setting == "indoor"
    rays = view.rays()
    wall_at = float(rng.uniform(9.5, 15.0))
    tilt = float(rng.normal(0, 0.12))
    down = np.minimum(rays[..., 1], -1e-4)
    reach = np.asarray(-view.height / down, np.float32)
    ground_x, ground_z = rays[..., 0] * reach, rays[..., 2] * reach
    # The wall is the plane z + tilt·x = wall_at.
    to_wall = np.asarray(wall_at / np.maximum(rays[..., 2] + tilt * rays[..., 0], 1e-3), np.float32)
    picture = _ground(rng, ground_x, ground_z, indoor, busy)
    if setting == "day" and busy > 0.5:
        picture *= _sunlight(rng, ground_x, ground_z)[..., None]
    wall_y = view.height + rays[..., 1] * to_wall
    is_wall = wall_y > 0
    picture[is_wall] = _wall(rng, rays[..., 0][is_wall] * to_wall[is_wall], wall_y[is_wall], indoor, busy)
    foot = np.exp(-np.abs(wall_y) / 0.10)
    picture *= (1 - 0.25 * foot)[..., None]
    fall = float(rng.uniform(1.02 - 0.2 * busy, 1.10)) * (1 + float(rng.uniform(-0.15, 0.15)) * (rays[..., 0] / 0.6))
    image = np.clip(picture * fall[..., None] * 255, 0, 255).astype(np.uint8)
    furnish(
        rng, Pen(view, image), indoor, 6.0 * busy + 0.88 * wall_at * (1 - busy), 0.95 * wall_at, round(3 + 9 * busy)
    )
    front = _front(rng, view, image)
    image = _worn(rng, image, busy)
    light = draw_light(rng, setting)
    slant = (float(-light.towards[0] * 0.35), float(rng.uniform(-0.1, 0.35)))
    return Scene(view, light, image, front, 0.25 + 0.5 * light.direct, slant)


def _worn(rng: np.random.Generator, image: Image, busy: float) -> Image:
    """The picture with the small and large unevenness that nothing real is without."""
    v, u = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32) * (800 / image.shape[1])
    seed = int(rng.integers(99))
    uneven = 1 + 0.055 * busy * noise(u, v, 14.0, seed, 3) + 0.05 * busy * noise(u, v, 90.0, seed + 1, 2)
    speckled = image * uneven[..., None] + 3 * busy * noise(u, v, 6.0, seed + 2, 2)[..., None]
    return np.clip(speckled, 0, 255).astype(np.uint8)


def _front(rng: np.random.Generator, view: View, image: Image) -> NDArray[np.bool_]:
    """In some places a post stands near the camera, at the side of the frame; where it is."""
    before = image.copy()
    if rng.random() < 0.3:
        z = 3.4
        x = float(rng.choice([-1, 1])) * float(rng.uniform(0.6, 0.95)) * view.width / 2 / view.focal * z
        Pen(view, image).block(x, z, float(rng.uniform(0.08, 0.2)), 3.5, 0.1, _choose(rng, GROUND_COLOURS["concrete"]))
    return np.asarray((before != image).any(-1))


def _sunlight(rng: np.random.Generator, x: Floats, z: Floats) -> Floats:
    """Shadows of leaves, or of a building, on the ground: a factor per pixel."""
    kind = rng.random()
    if kind < 0.3:
        shade = smoothstep(noise(x, z, float(rng.uniform(0.8, 2.0)), int(rng.integers(99))), -0.2, 0.3)
    elif kind < 0.5:
        turn, place = float(rng.uniform(-1.2, 1.2)), float(rng.uniform(3, 9))
        shade = smoothstep((z - place) * np.cos(turn) + x * np.sin(turn), -0.03, 0.03)
    else:
        return np.ones_like(x)
    return np.asarray(1.1 - float(rng.uniform(0.25, 0.5)) * shade, np.float32)


def _choose(rng: np.random.Generator, options: tuple[RGB, ...]) -> Floats:
    colour = np.asarray(vary(rng, options[int(rng.integers(len(options)))], 0.2), np.float32)
    return np.asarray(0.6 * colour + 0.4 * colour.mean(), np.float32)  # places are greyer than what people wear


def _ground(rng: np.random.Generator, x: Floats, z: Floats, indoor: bool, busy: float) -> Floats:
    """Colours of the ground at x, z metres."""
    kind = weighted(rng, GROUNDS[indoor])
    base = _choose(rng, GROUND_COLOURS[kind])
    far = np.clip(6.0 / np.maximum(z, 1.0), 0.0, 1.0)
    rough = noise(x, z, 0.35, int(rng.integers(99))) * far
    broad = noise(x, z, 3.0, int(rng.integers(99)), 3)
    grain = {"grass": 0.20, "asphalt": 0.13, "cobbles": 0.12, "carpet": 0.05}.get(kind, 0.08)
    value = 1 + (0.3 + 0.7 * busy) * (grain * rough + 0.07 * broad)
    if kind in ("tiles", "paving", "cobbles"):
        low, high = {"tiles": (0.3, 0.9), "paving": (0.15, 0.5), "cobbles": (0.10, 0.16)}[kind]
        cell = float(rng.uniform(low, high))
        joint = min(0.018 if kind == "tiles" else 0.03, 0.15 * cell)
        turn = float(rng.uniform(-0.8, 0.8))
        u, v = x * np.cos(turn) + z * np.sin(turn), z * np.cos(turn) - x * np.sin(turn)
        v = v / cell
        u = u / cell / (1.0 if kind == "tiles" else 2.0) + (np.floor(v) % 2) * (0.0 if kind == "tiles" else 0.5)
        edge = np.minimum(np.minimum(u % 1, 1 - u % 1), np.minimum(v % 1, 1 - v % 1)) * cell
        soft = np.clip(edge / (joint + 0.004 * np.maximum(z, 1)), 0, 1)
        plate = np.sin(np.floor(u) * 127.1 + np.floor(v) * 311.7) * 43758.5
        varied, deep = float(rng.uniform(0.05, 0.3)), float(rng.uniform(0.2, 0.5))
        shown = 0.3 + 0.7 * busy
        value = value * (1 + shown * varied * ((plate % 1) - 0.5)) * (1 - shown * deep * far * (1 - soft))
    if not indoor and busy > 0.5:
        value = value * (1 - 0.45 * (noise(x, z, 0.22, int(rng.integers(99)), 2) > 1.9) * far)
    picture = base * value[..., None]
    if kind in ("asphalt", "concrete") and rng.random() < 0.6:
        turn, place = float(rng.uniform(-1.2, 1.2)), float(rng.uniform(3, 8))
        line = np.abs((z - place) * np.cos(turn) + x * np.sin(turn)) < 0.06
        picture[line] = picture[line] * 0.5 + 0.38
    return picture.astype(np.float32)


def _wall(rng: np.random.Generator, x: Floats, y: Floats, indoor: bool, busy: float) -> Floats:
    """Colours of the wall at x aside and y up, metres [N]."""
    kind = weighted(rng, WALLS[indoor] if busy > 0.5 else QUIET_WALLS)
    base = _choose(rng, WALL_COLOURS[kind])
    rough, broad = noise(x, y, 0.3, int(rng.integers(99))), noise(x, y, 5.0, int(rng.integers(99)), 2)
    picture = base * (1 + (0.4 + 0.6 * busy) * (0.04 * rough + 0.06 * broad))[:, None]
    if kind == "hedge":
        light = 1 + 0.35 * noise(x, y, 0.25, 3) + 0.30 * noise(x, y, 1.6, 5, 2)
        return np.asarray(picture * np.maximum(light, 0.15)[:, None], np.float32)
    if kind == "brick":
        high = float(rng.uniform(0.08, 0.2))
        row = np.floor(y / high)
        u = x / (3 * high) + 0.5 * (row % 2)
        joint = ((y / high) % 1 < 0.16) | (u % 1 < 0.06)
        picture *= np.where(joint, 1.22, 1 + 0.16 * np.sin(np.floor(u) * 12.9 + row * 78.2))[:, None]
    if kind == "panels":
        wide = float(rng.uniform(0.4, 2.4))
        picture *= np.where(((x / wide) % 1 < 0.03) | ((y / 1.1) % 1 < 0.02), 0.65, 1.0)[:, None]
    if kind in ("windows", "shopfront"):
        wide, phase = float(rng.uniform(1.4, 3.6)), float(rng.uniform(0, 1))
        u = (x / wide + phase) % 1
        low = 0.15 if kind == "shopfront" else float(rng.uniform(0.5, 1.0))
        glass = (u > 0.08) & (u < 0.92) & (y > low) & (y < 2.6)
        frame = glass & ((u < 0.11) | (u > 0.89) | (y < low + 0.07) | (y > 2.53) | (abs(u - 0.5) < 0.014))
        # What is behind the glass, or mirrored in it, is dark with bright patches.
        bright = (
            0.10
            + 0.35 * (1 - busy)
            + 0.45 * busy * (noise(x, 0.6 * y, 0.5, int(rng.integers(99)), 3) > float(rng.uniform(0.3, 1.5)))
        )
        tone = np.asarray(vary(rng, (0.80, 0.88, 0.92), 0.2), np.float32)
        picture[glass] = bright[glass][:, None] * (0.6 + 0.3 * y[glass] / 2.5)[:, None] * tone
        picture[frame] = _choose(rng, ((0.75, 0.75, 0.75), (0.30, 0.30, 0.30), (0.45, 0.38, 0.32)))
    if rng.random() < 0.5:
        skirting = y < float(rng.uniform(0.1, 0.9))
        picture[skirting] *= float(rng.uniform(0.6, 0.85))
    if rng.random() < 0.4:
        at = float(rng.uniform(-4, 4))
        door = (abs(x - at) < 0.55) & (y < 2.1)
        picture[door] = _choose(rng, ((0.40, 0.30, 0.24), (0.35, 0.40, 0.45), (0.60, 0.60, 0.60)))
        picture[door & (abs(x - at) > 0.49)] *= 0.7
    return picture.astype(np.float32)
