"""One footage camera: its place, its look, and every frame of the people who pass, with the truth."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from cv2.typing import MatLike

from .appearance import Appearance, draw_appearance, look_alike
from .body import Body
from .build import build_body
from .camera import Image, Look, View, draw_look, draw_setting, sharpened, unseen_look
from .plan import NEAR, Visit
from .pose import Pose
from .raster import Placed, draw, place, shadow
from .scene import Scene, draw_scene
from .seeds import FOOTAGE_CAMERA, FOOTAGE_FRAME, FOOTAGE_IDENTITY, FOOTAGE_LOOK, FOOTAGE_PLAN, FOOTAGE_VIEW, stream

# (largest height in pixels, spacing of points in metres): a near person needs more points than a far one.
DETAIL = ((150.0, 0.0075), (1e9, 0.0052))
GRAIN_ROOM = 64
QUIET = 0.0  # how busy scenes are: OpenCV's detector loses people in scenes as busy as crops' are
# Steps a little shorter than in crops: people look about, and detectors know short steps better.
WALK = 0.82


@dataclass(frozen=True)
class Person:
    """A person in one frame of the truth; boxes are x1, y1, x2, y2 as fractions of the frame, clipped."""

    person: int
    box: tuple[float, float, float, float]
    head: tuple[float, float, float, float]
    visible: float


def look_alike_pairs(people: int) -> tuple[tuple[int, int], ...]:
    """Which people are dressed alike: a third of them, in pairs."""
    return tuple((2 * k, 2 * k + 1) for k in range(max(people // 6, 1 if people >= 4 else 0)))


def footage_appearances(seed: int, people: int) -> list[Appearance]:
    """The people of a footage, by number from 0."""
    everyone = [draw_appearance(stream(seed, FOOTAGE_IDENTITY, index)) for index in range(people)]
    for first, second in look_alike_pairs(people):
        everyone[second] = look_alike(stream(seed, FOOTAGE_IDENTITY, second), everyone[first])
    return everyone


def footage_view(seed: int, camera: int, size: tuple[int, int]) -> View:
    """One camera's view: 2.0 to 2.4 m up, so that people are about 0.3 to 0.6 of the frame high.

    It looks down as far as the feet of those who pass nearest need.
    """
    rng = stream(seed, FOOTAGE_VIEW, camera)
    width, height = size
    focal, up = float(rng.uniform(0.76, 0.86)) * width, float(rng.uniform(2.0, 2.4))
    below = np.arctan2(up, NEAR) - np.arctan2(0.93 * height / 2, focal)
    return View(width, height, focal, up, float(below + rng.uniform(0.0, 0.03)))


def footage_look(rng: np.random.Generator, setting: str) -> Look:
    """A camera's look, milder than in crops: recordings are sharper than what a detector cuts out far away."""
    look = draw_look(rng, setting)
    return replace(
        look,
        blur=min(look.blur, 0.5),
        noise=min(0.5 * look.noise, 0.01),
        sharpen=min(look.sharpen, 0.6),
        haze=look.haze / 2,
        contrast=look.contrast + 0.1,
    )


class Studio:
    """One camera's recording: draws any frame of it, and says who is where; ``setting`` is how it is lit."""

    def __init__(
        self,
        seed: int,
        camera: int,
        people: list[Appearance],
        visits: list[Visit],
        size: tuple[int, int],
        unseen: bool = False,
    ) -> None:
        """
        Args:
            people: all of the world, by number.
            size: width and height of a frame, pixels.
            unseen: the camera has an `unseen_look`.
        """
        rng = stream(seed, FOOTAGE_CAMERA, camera)
        self.seed, self.camera, self.visits = seed, camera, visits
        self.view = footage_view(seed, camera, size)
        self.setting = draw_setting(rng)
        self.scene: Scene = draw_scene(rng, self.view, self.setting, busy=QUIET)
        self.look = footage_look(rng, self.setting)
        if unseen:
            self.look = unseen_look(stream(seed, FOOTAGE_LOOK, camera), self.look)
        self.people = people
        self._bodies: dict[tuple[int, float], Body] = {}
        self._poses = [_carriage(stream(seed, FOOTAGE_PLAN, camera, k), people[v.person]) for k, v in enumerate(visits)]
        self._table = self.look.table()
        self._grain = _grain(rng, size, self.look.noise)

    def present(self, t: float) -> list[tuple[int, Placed]]:
        """Everyone who is on the way at second ``t``: the person's number and points, far ones first."""
        found = [
            (visit.person, self._placed(pose, visit, t))
            for pose, visit in zip(self._poses, self.visits, strict=True)
            if visit.begin <= t < visit.end
        ]
        return sorted(found, key=lambda item: -float(item[1].z.mean()))

    def _body(self, person: int, pixels: float) -> Body:
        spacing = next(s for most, s in DETAIL if pixels * 640 / self.view.width <= most) * 640 / self.view.width
        key = (person, spacing)
        if key not in self._bodies:
            self._bodies[key] = build_body(self.people[person], spacing)
        return self._bodies[key]

    def _placed(self, pose: Pose, visit: Visit, t: float) -> Placed:
        share = visit.share(t)
        x, z, yaw = visit.place(share)
        who = self.people[visit.person]
        body = self._body(visit.person, self.view.focal * who.build.height / z)
        steps = share * visit.length_m / (WALK * who.gait.stride(body.figure.joints))
        effort = 0.15 if visit.standing(t) else WALK
        return place(body, replace(pose, phase=pose.phase + 2 * np.pi * steps, effort=effort), self.view, x, z, yaw)

    def frame(self, t: float, skip: int | None = None) -> tuple[Image, list[Person]]:
        """The picture at second ``t`` (RGB uint8 [H, W, 3]) and who is in it; ``skip`` leaves out one person."""
        picture = self.scene.picture.copy()
        present = [item for item in self.present(t) if item[0] != skip]
        masks = [self._paint(picture, placed) for _, placed in present]
        front = Mask(0, 0, self.scene.front)
        picture[front.covered] = self.scene.picture[front.covered]
        truth = []
        for k, (person, placed) in enumerate(present):
            found = _truth(person, placed, masks[k], [front, *(mask for mask in masks[k + 1 :] if mask is not None)])
            if found is not None:
                truth.append(found)
        return self._recorded(picture, t), truth

    def heads(self, t: float) -> list[tuple[int, np.ndarray]]:
        """Everyone whose head is to be seen at second ``t``: the person's number and its pixels, bool [H, W].

        A head is what lies within the outline of its points, and is hidden by nobody nearer and by nothing in front.
        """
        hidden = self.scene.front.copy()
        found = []
        for person, placed in reversed(self.present(t)):
            head = _outline(placed) & ~hidden
            if head.any():
                found.append((person, head))
            hidden |= _silhouette(placed)
        return found

    def _paint(self, picture: Image, placed: Placed) -> "Mask | None":
        """Draw one person with a shadow into the picture; returns the pixels covered."""
        height, width = picture.shape[:2]
        x1, y1, x2, y2 = placed.bounds()
        wide = 0.18 * (y2 - y1)
        left, top = max(int(x1 - wide), 0), max(int(y1) - 2, 0)
        right, bottom = min(int(x2 + wide) + 1, width), min(int(y2 + 0.3 * wide) + 2, height)
        if right - left < 2 or bottom - top < 2:
            return None
        region = (float(left), float(top), float(right), float(bottom))
        size = (bottom - top, right - left)
        patch = picture[top:bottom, left:right].astype(np.float32) / 255
        patch *= 1 - (self.scene.shadow * shadow(placed, self.scene.slant, region, size))[..., None]
        fine = (round(size[0] * 1.5), round(size[1] * 1.5))
        sprite = draw(placed, region, fine, self.scene.light)
        mask = None
        if sprite is not None:
            both: MatLike = np.dstack([sprite.colour, sprite.alpha])
            both = cv2.resize(both, (size[1], size[0]), interpolation=cv2.INTER_AREA)
            patch = np.asarray(patch * (1 - both[..., 3:]) + both[..., :3], np.float32)
            mask = Mask(left, top, both[..., 3] > 0.5)
        picture[top:bottom, left:right] = np.clip(patch * 255, 0, 255)
        return mask

    def _recorded(self, picture: Image, t: float) -> Image:
        image: MatLike = cv2.LUT(picture, self._table)
        image = cv2.transform(image, self.look.mixing())
        if self.look.blur > 0.2:
            image = cv2.GaussianBlur(image, (0, 0), self.look.blur)
        image = sharpened(image, self.look.sharpen)
        rng = stream(self.seed, FOOTAGE_FRAME, self.camera, round(t * 1000))
        height, width = image.shape[:2]
        top, left = int(rng.integers(GRAIN_ROOM)), int(rng.integers(GRAIN_ROOM))
        grain = self._grain[top : top + height, left : left + width]
        return np.asarray(cv2.add(image, grain, dtype=cv2.CV_8U), np.uint8)


def _grain(rng: np.random.Generator, size: tuple[int, int], strength: float) -> np.ndarray:
    """A field of noise, a little larger than a frame, that each frame takes another part of (int16)."""
    field = rng.standard_normal((size[1] + GRAIN_ROOM, size[0] + GRAIN_ROOM, 1), np.float32) * strength * 255
    return np.repeat(np.round(field), 3, axis=2).astype(np.int16)


@dataclass(frozen=True)
class Mask:
    """The pixels that a drawn person covers: upper left corner and bool [h, w]."""

    left: int
    top: int
    covered: np.ndarray

    def share_hidden_by(self, others: "list[Mask]") -> float:
        """Share of these pixels that others cover."""
        mine = self.covered.copy()
        height, width = mine.shape
        for other in others:
            dx, dy = other.left - self.left, other.top - self.top
            x1, y1 = max(dx, 0), max(dy, 0)
            x2, y2 = min(dx + other.covered.shape[1], width), min(dy + other.covered.shape[0], height)
            if x1 < x2 and y1 < y2:
                mine[y1:y2, x1:x2] &= ~other.covered[y1 - dy : y2 - dy, x1 - dx : x2 - dx]
        return 1 - mine.sum() / max(self.covered.sum(), 1)


def _outline(placed: Placed) -> np.ndarray:
    """The pixels of a head, bool [H, W]."""
    points = np.stack([placed.u[placed.body.head], placed.v[placed.body.head]], axis=1)
    picture = np.zeros((placed.view.frame_height, placed.view.width), np.uint8)
    cv2.fillConvexPoly(picture, cv2.convexHull(np.round(points).astype(np.int32)), 1)
    return picture > 0


def _silhouette(placed: Placed) -> np.ndarray:
    """The pixels that a body covers, bool [H, W]; points lie about a pixel apart, so gaps are closed."""
    height, width = placed.view.frame_height, placed.view.width
    inside = (placed.u >= 0) & (placed.u < width) & (placed.v >= 0) & (placed.v < height)
    picture = np.zeros((height, width), np.uint8)
    picture[placed.v[inside].astype(np.int32), placed.u[inside].astype(np.int32)] = 1
    return cv2.morphologyEx(picture, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)) > 0


def _truth(person: int, placed: Placed, mask: Mask | None, nearer: list[Mask]) -> Person | None:
    if mask is None or not mask.covered.any():
        return None
    width, height = placed.view.width, placed.view.frame_height
    full = placed.bounds()
    box = _fractions(full, width, height)
    inside = (
        (box[2] - box[0]) * width * (box[3] - box[1]) * height / max((full[2] - full[0]) * (full[3] - full[1]), 1e-6)
    )
    visible = inside * (1 - mask.share_hidden_by(nearer))
    if visible <= 0:
        return None
    return Person(person, box, _fractions(placed.head_bounds(), width, height), float(min(visible, 1.0)))


def _fractions(box: tuple[float, float, float, float], width: int, height: int) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (min(max(v / n, 0.0), 1.0) for v, n in zip(box, (width, height, width, height), strict=True))
    return x1, y1, x2, y2


def _carriage(rng: np.random.Generator, who: Appearance) -> Pose:
    """What a person's arms do during one visit."""
    arms = [who.hand(side) or str(rng.choice(["swing", "pocket", "phone"], p=[0.86, 0.10, 0.04])) for side in (1, -1)]
    return Pose(
        phase=float(rng.uniform(0, 2 * np.pi)), arm_right=arms[0], arm_left=arms[1], glance=float(rng.normal(0, 0.12))
    )
