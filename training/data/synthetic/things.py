"""What stands about in a place: bicycles, cars, trees, poles, benches, shelves, luggage."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .camera import Image, View
from .palette import NAMED, RGB, vary
from .seeds import weighted
from .surface import Floats

Points = Sequence[tuple[float, float, float]] | NDArray[np.floating]
Draw = Callable[[np.random.Generator, "Pen", float, float], None]
SHIFT = 4  # bits of the fractions of a pixel that OpenCV draws with

DULL = ("dark grey", "grey", "black", "brown", "tan", "light grey", "olive", "navy", "white", "khaki")
BRIGHT = ("red", "blue", "green", "yellow", "orange", "white", "light blue", "teal", "pink", "black", "wine")


@dataclass(frozen=True)
class Pen:
    """Draws into ``picture`` (RGB uint8, in place) what has world coordinates in metres; what is near goes last."""

    view: View
    picture: Image

    def _pixels(self, points: Points) -> NDArray[np.int32] | None:
        world = np.asarray(points, np.float32)
        if world[:, 2].min() < 1.0:
            return None
        return np.round(self.view.project(world) * (1 << SHIFT)).astype(np.int32)

    def fill(self, points: Points, colour: RGB | Floats) -> None:
        """A polygon; one that reaches behind the camera is left out."""
        corners = self._pixels(points)
        if corners is not None:
            cv2.fillPoly(self.picture, [corners], _level(colour), cv2.LINE_AA, SHIFT)

    def line(self, points: Points, colour: RGB | Floats, width: float) -> None:
        """A line through the points, ``width`` metres thick."""
        corners = self._pixels(points)
        if corners is not None:
            thick = max(round(width * self.view.focal / float(np.asarray(points)[:, 2].mean())), 1)
            cv2.polylines(self.picture, [corners], False, _level(colour), thick, cv2.LINE_AA, SHIFT)

    def block(
        self, x: float, z: float, wide: float, high: float, deep: float, colour: Floats, low: float = 0.0
    ) -> None:
        """A box whose front stands at z: front, lighter top, darker side."""
        left, right, top = x - wide / 2, x + wide / 2, low + high
        side = left if x > 0 else right
        far = z + deep
        self.fill([(side, low, z), (side, low, far), (side, top, far), (side, top, z)], colour * 0.65)
        self.fill([(left, top, z), (right, top, z), (right, top, far), (left, top, far)], colour * 1.15)
        self.fill([(left, low, z), (right, low, z), (right, top, z), (left, top, z)], colour)

    def shade(self, x: float, z: float, wide: float, deep: float) -> None:
        """The dark ground under a thing."""
        corners = self._pixels([(x - wide, 0, z), (x + wide, 0, z), (x + wide, 0, z + deep), (x - wide, 0, z + deep)])
        if corners is None:
            return
        left, top = np.maximum(corners.min(0) // (1 << SHIFT) - 3, 0)
        right, bottom = corners.max(0) // (1 << SHIFT) + 4
        patch = self.picture[top:bottom, left:right]
        if not patch.size:
            return
        mask = np.zeros(patch.shape[:2], np.uint8)
        cv2.fillPoly(mask, [corners - np.array([left, top], np.int32) * (1 << SHIFT)], 255, cv2.LINE_AA, SHIFT)
        soft = cv2.GaussianBlur(mask, (0, 0), 2.0).astype(np.float32)[..., None] / 255
        patch[:] = patch * (1 - 0.5 * soft)


def _level(colour: RGB | Floats) -> list[float]:
    return [float(v) for v in np.clip(np.asarray(colour) * 255, 0, 255)]


def _shade_of(rng: np.random.Generator, names: Sequence[str]) -> Floats:
    colour = np.asarray(vary(rng, NAMED[str(rng.choice(names))], 0.25), np.float32)
    return np.asarray(0.45 * colour + 0.55 * colour.mean(), np.float32)  # weather and dust have taken some of it


def bicycles(rng: np.random.Generator, pen: Pen, x: float, z: float) -> None:
    """A row of parked bicycles, some leaning, seen from the side or from the end."""
    turn = float(rng.choice([0.0, 1.2])) + float(rng.normal(0, 0.15))
    step = 0.9 if turn < 0.6 else 0.42
    for k in reversed(range(int(rng.integers(2, 8)))):
        _bicycle(rng, pen, x + step * k, z + float(rng.uniform(0, 0.3)), turn + float(rng.normal(0, 0.08)))


def _bicycle(rng: np.random.Generator, pen: Pen, x: float, z: float, turn: float) -> None:
    lean = float(rng.normal(0.05, 0.08))
    paint, dark = _shade_of(rng, BRIGHT), _shade_of(rng, ("black", "dark grey"))
    rubber = dark if rng.random() < 0.7 else _shade_of(rng, ("grey", "light grey"))

    def at(along: float, up: float) -> tuple[float, float, float]:
        return x + along * float(np.cos(turn)) + lean * up, up, z + along * float(np.sin(turn))

    pen.shade(x, z - 0.1, 0.5, 0.3)
    angles = np.linspace(0, 2 * np.pi, 21)
    for hub in (-0.52, 0.52):
        pen.line([at(hub + 0.32 * np.cos(a), 0.33 + 0.32 * np.sin(a)) for a in angles], rubber, 0.035)
        for a in angles[:20:3]:
            pen.line([at(hub, 0.33), at(hub + 0.3 * np.cos(a), 0.33 + 0.3 * np.sin(a))], rubber * 1.4, 0.004)
    frame = [(-0.52, 0.33), (-0.15, 0.8), (0.4, 0.75), (0.52, 0.33)]
    for tubes in (frame, [(0.4, 0.68), (-0.08, 0.32), (-0.52, 0.33)], [(-0.08, 0.32), (-0.17, 0.9)]):
        pen.line([at(*end) for end in tubes], paint, 0.035)
    pen.line([at(0.4, 0.75), at(0.36, 1.0), at(0.5, 1.02)], dark, 0.03)
    pen.line([at(-0.28, 0.92), at(-0.06, 0.92)], dark, 0.06)
    if rng.random() < 0.35:
        pen.fill([at(0.4, 0.7), at(0.75, 0.72), at(0.72, 0.95), at(0.42, 0.95)], _shade_of(rng, DULL))


def car(rng: np.random.Generator, pen: Pen, x: float, z: float) -> None:
    """A parked car from the side."""
    paint = _shade_of(rng, ("white", "black", "dark grey", "light grey", "navy", "red", "grey", "blue"))
    flip, tall = float(rng.choice([-1, 1])), float(rng.uniform(0.95, 1.25))

    def at(along: float, up: float, back: float = 0.0) -> tuple[float, float, float]:
        return x + flip * along, up * tall, z + back

    pen.shade(x, z - 0.2, 2.2, 1.6)
    roof = [(-1.25, 0.9), (-0.75, 1.4), (0.55, 1.42), (1.15, 0.95)]
    pen.fill([at(*p, 0.9) for p in roof], paint * 0.8)
    body = [(-2.1, 0.3), (-2.15, 0.75), (-1.3, 0.92), *roof[1:3], (1.15, 0.95), (2.05, 0.85), (2.1, 0.3)]
    pen.fill([at(*p) for p in body], paint)
    pen.fill([at(*p) for p in [(-2.1, 0.3), (-2.12, 0.52), (2.08, 0.5), (2.1, 0.3)]], paint * 0.7)
    glass = np.array([0.16, 0.19, 0.22], np.float32) * float(rng.uniform(0.6, 2.0))
    pen.fill([at(*p) for p in [(-1.1, 0.93), (-0.7, 1.33), (-0.1, 1.35), (-0.1, 0.95)]], glass)
    pen.fill([at(*p) for p in [(0.0, 0.95), (0.0, 1.35), (0.5, 1.34), (0.98, 0.96)]], glass)
    for hub in (-1.35, 1.3):
        for radius, shade in ((0.34, 0.05), (0.21, 0.55), (0.06, 0.2)):
            rim = [at(hub + radius * np.cos(a), 0.33 + radius * np.sin(a)) for a in np.linspace(0, 6.28, 20)]
            pen.fill(rim, np.full(3, shade, np.float32))
    pen.fill([at(1.95, 0.62), at(2.07, 0.62), at(2.07, 0.75), at(1.95, 0.75)], np.array([0.8, 0.75, 0.6], np.float32))


def _leaves(rng: np.random.Generator, pen: Pen, middle: tuple[float, float, float], size: float, count: int) -> None:
    """A cloud of leaves, darker below."""
    green = np.asarray(vary(rng, (0.26, 0.32, 0.20), 0.3), np.float32)
    spread = rng.normal(0, 0.42, (count, 3)) * size
    for dx, dy, dz in spread[np.argsort(spread[:, 1])]:
        spot = (middle[0] + dx, max(middle[1] + 0.7 * dy, 0.0), middle[2] + 0.3 * dz)
        light = float(np.clip(0.85 + 0.5 * dy / size + rng.normal(0, 0.3), 0.25, 1.7))
        radius = float(rng.uniform(0.04, 0.14)) * size
        around = [
            (spot[0] + radius * np.cos(a), max(spot[1] + radius * np.sin(a), 0), spot[2])
            for a in np.linspace(0, 2 * np.pi, 6)
        ]
        pen.fill(around, green * light)


def tree(rng: np.random.Generator, pen: Pen, x: float, z: float) -> None:
    """A trunk in a pit, leaves above."""
    bark = np.asarray(vary(rng, (0.30, 0.25, 0.20), 0.3), np.float32)
    width = float(rng.uniform(0.12, 0.4))
    pen.shade(x, z - 0.3, 0.5, 0.6)
    pen.line([(x, 0, z), (x + float(rng.normal(0, 0.1)), 2.6, z)], bark, width)
    pen.line([(x + 0.2 * width, 0, z), (x + 0.2 * width, 2.6, z)], bark * 0.6, width * 0.35)
    _leaves(rng, pen, (x, 3.0, z), float(rng.uniform(1.2, 2.2)), 160)


def shrub(rng: np.random.Generator, pen: Pen, x: float, z: float) -> None:
    """A low bush, perhaps in a tub."""
    pen.shade(x, z - 0.2, 0.5, 0.5)
    low = 0.0
    if rng.random() < 0.4:
        low = 0.45
        pen.block(x, z, 0.7, low, 0.6, _shade_of(rng, DULL))
    _leaves(rng, pen, (x, low + 0.35, z), float(rng.uniform(0.5, 1.0)), 110)


def pole(rng: np.random.Generator, pen: Pen, x: float, z: float) -> None:
    """A lamp post or a sign post with its plate."""
    paint = _shade_of(rng, DULL)
    pen.line([(x, 0, z), (x, 3.6, z)], paint, float(rng.uniform(0.05, 0.14)))
    if rng.random() < 0.5:
        low, wide = float(rng.uniform(1.2, 2.0)), float(rng.uniform(0.2, 0.5))
        _plate(rng, pen, x, low, z, wide, float(rng.uniform(0.4, 0.9)))


def _plate(rng: np.random.Generator, pen: Pen, x: float, low: float, z: float, half: float, high: float) -> None:
    """A plate with lines of something written on it and a picture."""
    ground, ink = _shade_of(rng, BRIGHT), _shade_of(rng, ("black", "white", "red", "blue", "yellow"))

    def box(left: float, right: float, bottom: float, top: float, colour: Floats) -> None:
        corners = ((left, bottom), (right, bottom), (right, top), (left, top))
        pen.fill([(x + u * half, low + v * high, z) for u, v in corners], colour)

    box(-1, 1, 0, 1, ground)
    box(-0.8, float(rng.uniform(0.0, 0.8)), 0.55, 0.9, _shade_of(rng, BRIGHT))
    for v in (0.1, 0.25, 0.4):
        box(-0.8, float(rng.uniform(0.0, 0.8)), v, v + 0.07, ink)


def poster(rng: np.random.Generator, pen: Pen, x: float, z: float) -> None:
    """A board or a vending machine with a bright face."""
    if rng.random() < 0.4:
        pen.shade(x, z - 0.1, 0.5, 0.6)
        pen.block(x, z, 0.95, 1.85, 0.6, _shade_of(rng, BRIGHT))
    _plate(rng, pen, x, float(rng.uniform(0.5, 1.0)), z - 0.01, float(rng.uniform(0.35, 0.8)), 1.0)


def pillar(rng: np.random.Generator, pen: Pen, x: float, z: float) -> None:
    """A square column."""
    colour = _shade_of(rng, ("grey", "light grey", "white", "beige", "dark grey"))
    pen.shade(x, z - 0.2, 0.4, 0.6)
    pen.block(x, z, float(rng.uniform(0.3, 0.6)), 3.5, 0.5, colour)


def bench(rng: np.random.Generator, pen: Pen, x: float, z: float) -> None:
    """A bench with slats."""
    wood = _shade_of(rng, ("brown", "tan", "grey", "dark grey", "green"))
    pen.shade(x, z - 0.1, 0.8, 0.6)
    for side in (-0.65, 0.65):
        pen.line([(x + side, 0, z), (x + side, 0.42, z), (x + side, 0.85, z + 0.4)], wood * 0.5, 0.05)
    for up, back in ((0.43, 0.0), (0.43, 0.15), (0.43, 0.3), (0.6, 0.4), (0.75, 0.42)):
        pen.line([(x - 0.8, up, z + back), (x + 0.8, up, z + back)], wood * float(rng.uniform(0.85, 1.15)), 0.06)


def boxes(rng: np.random.Generator, pen: Pen, x: float, z: float) -> None:
    """Bins, boxes and luggage side by side."""
    for _ in range(int(rng.integers(1, 4))):
        wide, high = float(rng.uniform(0.3, 0.8)), float(rng.uniform(0.3, 1.0))
        pen.shade(x, z - 0.1, 0.6 * wide, 0.5)
        pen.block(x, z, wide, high, 0.35, _shade_of(rng, (*DULL, *BRIGHT)))
        if rng.random() < 0.5:
            handle = [(x - 0.1, high, z), (x - 0.1, high + 0.3, z), (x + 0.1, high + 0.3, z), (x + 0.1, high, z)]
            pen.line(handle, _shade_of(rng, ("black", "grey")), 0.025)
        x += wide + float(rng.uniform(0.05, 0.3))


def fence(rng: np.random.Generator, pen: Pen, x: float, z: float) -> None:
    """A railing of upright bars."""
    paint, high, long = _shade_of(rng, DULL), float(rng.uniform(0.8, 1.5)), float(rng.uniform(2.0, 5.0))
    for up in (0.12, high):
        pen.line([(x - long / 2, up, z), (x + long / 2, up, z)], paint, 0.05)
    for along in np.arange(-long / 2, long / 2, 0.14):
        pen.line([(x + along, 0.1, z), (x + along, high, z)], paint, 0.025)


def bollards(rng: np.random.Generator, pen: Pen, x: float, z: float) -> None:
    """Posts in a row, some with a bright band."""
    paint, band = _shade_of(rng, DULL), _shade_of(rng, BRIGHT)
    for k in range(int(rng.integers(2, 6))):
        spot = x + 1.1 * k
        pen.line([(spot, 0, z), (spot, 0.85, z)], paint, 0.13)
        pen.line([(spot, 0.65, z), (spot, 0.75, z)], band, 0.13)


def shelf(rng: np.random.Generator, pen: Pen, x: float, z: float) -> None:
    """A rack full of goods or books."""
    wide, high, rows = float(rng.uniform(0.9, 2.2)), float(rng.uniform(1.2, 2.1)), int(rng.integers(3, 6))
    pen.shade(x, z - 0.1, 0.6 * wide, 0.4)
    pen.block(x, z, wide, high, 0.4, _shade_of(rng, DULL))
    names = (*DULL, *BRIGHT)
    for row in range(rows):
        low, at = high * (row + 0.1) / rows, x - 0.48 * wide
        while at < x + 0.44 * wide:
            w, h = float(rng.uniform(0.04, 0.2)), high / rows * float(rng.uniform(0.4, 0.8))
            pen.fill([(at, low, z), (at + w, low, z), (at + w, low + h, z), (at, low + h, z)], _shade_of(rng, names))
            at += w + 0.01


def table(rng: np.random.Generator, pen: Pen, x: float, z: float) -> None:
    """A table with chairs."""
    wood, seat = _shade_of(rng, DULL), _shade_of(rng, (*DULL, *BRIGHT))
    pen.shade(x, z, 0.9, 0.8)
    for side in (-1.0, 1.0):
        for back in (0.0, 0.7):
            pen.line([(x + 0.6 * side, 0, z + back), (x + 0.6 * side, 0.7, z + back)], wood * 0.6, 0.05)
    pen.block(x, z, 1.4, 0.05, 0.7, wood, low=0.7)
    for side in (-1.15, 1.15):
        pen.block(x + side, z + 0.1, 0.4, 0.05, 0.4, seat, low=0.43)
        pen.block(x + side * 1.16, z + 0.1, 0.05, 0.5, 0.4, seat * 0.8, low=0.45)
        for leg in (-0.15, 0.15):
            pen.line([(x + side + leg, 0, z + 0.1), (x + side + leg, 0.43, z + 0.1)], seat * 0.5, 0.03)


OUTDOOR: dict[Draw, float] = {
    bicycles: 24, car: 12, tree: 13, shrub: 12, pole: 10, poster: 3, pillar: 4, bench: 5, boxes: 6, fence: 6,
    bollards: 3,
}  # fmt: skip
INDOOR: dict[Draw, float] = {shelf: 22, table: 18, poster: 8, pillar: 10, boxes: 14, bench: 8, shrub: 8, fence: 3}


def furnish(rng: np.random.Generator, pen: Pen, indoor: bool, near: float, far: float, most: int) -> None:
    """Stand up to ``most`` things about between ``near`` and ``far`` metres, the farthest first."""
    weights = INDOOR if indoor else OUTDOOR
    count = int(rng.integers(2 * most // 5, most + 1))
    # Equal shares of the picture, not of the ground: most things would be at the horizon.
    for z in sorted((1 / rng.uniform(1 / far, 1 / near, count)).tolist(), reverse=True):
        draw = weighted(rng, weights)
        draw(rng, pen, float(rng.uniform(-0.62, 0.62)) * z, z)
