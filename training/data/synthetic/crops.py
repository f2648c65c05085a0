"""One person crop: a person in a place, cut out as a detector would, as one camera's sensor records it."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from cv2.typing import MatLike

from .appearance import Appearance
from .body import Body
from .camera import Image, Look, View, draw_look, draw_setting, sharpened
from .pose import Pose, draw_pose
from .raster import Placed, Region, draw, place, shadow
from .scene import Scene, draw_scene
from .surface import Floats

SCENES_PER_CAMERA = 3
SUPERSAMPLE = 1.375


@dataclass(frozen=True)
class CropCamera:
    """A camera that people's crops come from: one look, a few places, the way most people walk there (yaw, radians)."""

    look: Look
    scenes: tuple[Scene, ...]
    walking: tuple[float, ...]


def draw_crop_camera(rng: np.random.Generator, passers: Sequence[Body]) -> CropCamera:
    """One camera with its places, in which ``passers`` stand about far away."""
    setting = draw_setting(rng)
    look = draw_look(rng, setting)
    pitch = float(rng.uniform(0.04, 0.5))
    height = 1.6 + 4.5 * pitch + float(rng.uniform(0, 0.5))
    scenes = []
    for _ in range(SCENES_PER_CAMERA):
        view = View(800, 600, 700.0, height, float(np.clip(pitch + rng.normal(0, 0.04), 0.03, 0.6)))
        scenes.append(_peopled(rng, draw_scene(rng, view, setting), passers))
    return CropCamera(look, tuple(scenes), tuple(float(a) for a in rng.uniform(0, 2 * np.pi, SCENES_PER_CAMERA)))


def _peopled(rng: np.random.Generator, scene: Scene, passers: Sequence[Body]) -> Scene:
    """The place with some of these people farther away than anybody whom crops show."""
    for z in sorted(rng.uniform(8.5, 13.0, int(rng.integers(0, 7))).tolist(), reverse=True):
        who = passers[int(rng.integers(len(passers)))]
        x = float(rng.uniform(-0.5, 0.5)) * z
        placed = place(who, _pose(rng, who.appearance), scene.view, x, z, float(rng.uniform(0, 2 * np.pi)))
        x1, y1, x2, y2 = (round(v) for v in placed.bounds())
        x1, y1, x2, y2 = max(x1, 0), max(y1, 0), min(x2 + 1, scene.view.width), min(y2 + 1, scene.view.frame_height)
        if x2 - x1 < 8 or y2 - y1 < 8:
            continue
        sprite = draw(placed, (x1, y1, x2, y2), (y2 - y1, x2 - x1), scene.light)
        if sprite is not None:
            patch = scene.picture[y1:y2, x1:x2]
            patch[:] = np.clip(patch * (1 - sprite.alpha[..., None]) + 255 * sprite.colour, 0, 255)
    return scene


def draw_crop(
    rng: np.random.Generator,
    body: Body,
    camera: CropCamera,
    scene_index: int,
    extras: Sequence[Body],
    size: tuple[int, int],
) -> bytes:
    """A crop of ``body`` as JPEG bytes, ``size`` (height, width); ``extras`` are bystanders to draw from."""
    scene = camera.scenes[scene_index]
    big = (round(size[0] * SUPERSAMPLE), round(size[1] * SUPERSAMPLE))
    distance = _distance(rng, scene.view)
    x = float(rng.uniform(-0.3, 0.3)) * distance
    yaw = _yaw(rng, camera.walking[scene_index])
    placed = place(body, _pose(rng, body.appearance), scene.view, x, distance, yaw)
    region = _jittered(rng, placed.bounds())
    bright = float(rng.uniform(0.9, 1.1))
    picture = _cut_out(scene.picture, region, big).astype(np.float32) * np.float32(bright / 255)
    empty = picture.copy()
    others = _others(rng, scene.view, extras, x, distance, camera.walking[scene_index])
    dark = shadow(placed, scene.slant, region, big)
    picture *= 1 - (scene.shadow * dark)[..., None]
    for who in sorted([placed, *others], key=lambda p: -float(p.z.mean())):
        sprite = draw(who, region, big, scene.light)
        if sprite is not None:
            picture += (sprite.colour - picture) * sprite.alpha[..., None]
    before = _cut_out(scene.front.view(np.uint8), region, big).astype(bool)
    picture[before] = empty[before]
    if rng.random() < 0.06:
        _obstacle(rng, picture)
    return _recorded(rng, picture, camera.look, size)


def _distance(rng: np.random.Generator, view: View) -> float:
    """Metres at which the person stands near the middle of the frame."""
    middle = view.height / np.tan(view.pitch) if view.pitch > 0.12 else 9.0
    return float(np.clip(middle * rng.uniform(0.75, 1.15), 4.0, 8.5))


def _yaw(rng: np.random.Generator, walking: float) -> float:
    """Most people follow the camera's walking direction, one way or the other."""
    if rng.random() < 0.85:
        return walking + float(rng.normal(0, 0.3)) + (np.pi if rng.random() < 0.4 else 0.0)
    return float(rng.uniform(0, 2 * np.pi))


def _pose(rng: np.random.Generator, who: Appearance) -> Pose:
    return draw_pose(rng, who.hand(1), who.hand(-1))


def _jittered(rng: np.random.Generator, bounds: Region) -> Region:
    """A detector's box round the person, of any shape near 1:2 (crops are then resized to it); 8 % are badly cut."""
    x1, y1, x2, y2 = bounds
    tall = (y2 - y1) * float(rng.uniform(0.94, 1.12))
    wide = max(tall / 2 * float(rng.uniform(0.68, 1.04)), 0.72 * (x2 - x1))
    cx = (x1 + x2) / 2 + float(rng.normal(0, 0.05)) * wide
    cy = (y1 + y2) / 2 + float(rng.normal(0, 0.02)) * tall
    if rng.random() < 0.08:
        cut = float(rng.uniform(0.6, 0.85))
        cy += tall * (1 - cut) / 2 * (1 if rng.random() < 0.3 else -1)
        tall *= cut
        wide *= float(rng.uniform(0.8, 1.0))
    return cx - wide / 2, cy - tall / 2, cx + wide / 2, cy + tall / 2


def _cut_out(picture: Image, region: Region, size: tuple[int, int]) -> Image:
    """What a picture has inside the region; past the frame it is mirrored."""
    height, width = size
    x1, y1, x2, y2 = region
    affine = np.array([[(x2 - x1) / width, 0, x1], [0, (y2 - y1) / height, y1]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(picture, affine, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT), np.uint8
    )


def _others(
    rng: np.random.Generator, view: View, extras: Sequence[Body], x: float, distance: float, walking: float
) -> list[Placed]:
    """Bystanders: behind in 20 % of the crops, beside as in a group in 10 %, in front in 7 %."""
    placed = []
    for chance, near, far, aside in (
        (0.20, 0.5, 4.0, (0.2, 1.0)),
        (0.10, -0.2, 0.3, (0.5, 0.7)),
        (0.07, -1.0, -0.45, (0.30, 0.5)),
    ):
        if rng.random() < chance and extras:
            other = extras[int(rng.integers(len(extras)))]
            side = float(rng.choice([-1, 1])) * float(rng.uniform(*aside))
            z = max(distance + float(rng.uniform(near, far)), 2.0)
            yaw = _yaw(rng, walking)
            placed.append(place(other, _pose(rng, other.appearance), view, x * z / distance + side, z, yaw))
    return placed


def _obstacle(rng: np.random.Generator, picture: Floats) -> None:
    """A pillar or a box in front of the person."""
    height, width = picture.shape[:2]
    colour = picture[int(rng.integers(height)), 0] * float(rng.uniform(0.5, 1.1))
    if rng.random() < 0.5:
        left = int(rng.uniform(0.0, 0.9) * width)
        picture[:, left : left + int(rng.uniform(0.08, 0.2) * width)] = colour
    else:
        top, left = int(rng.uniform(0.6, 0.85) * height), int(rng.uniform(-0.3, 0.5) * width)
        picture[top:, max(left, 0) : left + int(rng.uniform(0.5, 0.9) * width)] = colour


def _recorded(rng: np.random.Generator, picture: Floats, look: Look, size: tuple[int, int]) -> bytes:
    """What the sensor and the encoder make of a picture."""
    height, width = size
    share = height / 128
    rows = min(round(float(rng.uniform(*look.pixels)) * share), height)
    small: MatLike = cv2.resize(picture, (max(round(rows * width / height), 4), rows), interpolation=cv2.INTER_AREA)
    small = cv2.transform(small, look.mixing())
    if look.blur > 0.2:
        small = cv2.GaussianBlur(small, (0, 0), look.blur)
    small = small + rng.standard_normal(small.shape, np.float32) * np.float32(look.noise)
    image: MatLike = np.clip(small * 255, 0, 255).astype(np.uint8)
    image = cv2.LUT(image, look.table(float(rng.uniform(0.92, 1.08))))
    image = sharpened(image, look.sharpen)
    if rng.random() < 0.15:
        image = cv2.blur(image, (int(rng.integers(2, 5)), 1))
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
    quality = int(rng.integers(look.jpeg[0], look.jpeg[1] + 1))
    return cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
