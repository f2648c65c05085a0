"""Cameras: where one stands and what it sees (view), how its world is lit (light), what its sensor does (look)."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from .surface import Floats

Image = NDArray[np.uint8]

SETTINGS = ("day", "dusk", "indoor")


def draw_setting(rng: np.random.Generator) -> str:
    """When or where a camera looks: one of SETTINGS."""
    return str(rng.choice(SETTINGS, p=[0.62, 0.13, 0.25]))


@dataclass(frozen=True)
class View:
    """A pinhole camera over flat ground, ``height`` metres up, looking down by ``pitch`` radians; focal in pixels.

    The world has x to the right, y up and z ahead; the camera stands at (0, height, 0).
    """

    width: int
    frame_height: int
    focal: float
    height: float
    pitch: float

    @property
    def centre_x(self) -> float:
        return self.width / 2

    @property
    def centre_y(self) -> float:
        return self.frame_height / 2

    def axes(self) -> Floats:
        """Rows: the camera's right, down and forward in the world, float32 [3, 3]."""
        c, s = np.cos(self.pitch), np.sin(self.pitch)
        return np.array([[1, 0, 0], [0, -c, -s], [0, -s, c]], np.float32)

    def body_map(self, x: float, z: float, yaw: float) -> tuple[Floats, Floats]:
        """Turn [3, 3] and shift [3] from a body's own frame at (x, z) to the camera's axes."""
        c, s = np.cos(yaw), np.sin(yaw)
        turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]], np.float32)
        axes = self.axes()
        return axes @ turn, axes @ np.array([x, -self.height, z], np.float32)

    def project(self, points: Floats) -> Floats:
        """World points [N, 3] → pixels [N, 2]."""
        seen = (np.asarray(points, np.float32) - np.array([0, self.height, 0], np.float32)) @ self.axes().T
        return seen[:, :2] * (self.focal / seen[:, 2:]) + np.array([self.centre_x, self.centre_y], np.float32)

    def rays(self) -> Floats:
        """World direction of each pixel, float32 [H, W, 3], forward part about 1."""
        u, v = np.meshgrid(np.arange(self.width, dtype=np.float32), np.arange(self.frame_height, dtype=np.float32))
        local = np.stack(
            [(u + 0.5 - self.centre_x) / self.focal, (v + 0.5 - self.centre_y) / self.focal, np.ones_like(u)], axis=-1
        )
        return (local @ self.axes()).astype(np.float32)


@dataclass(frozen=True)
class Light:
    """Light in camera axes: unit direction towards it [3], strength of the direct and the ambient part."""

    towards: Floats
    direct: float
    ambient: float


def draw_light(rng: np.random.Generator, setting: str) -> Light:
    """Light from above: the sun or a cloudy sky, what is left of it at dusk, or lamps."""
    side, front = rng.normal(0, 0.6), rng.uniform(-0.9, 0.15)
    towards = np.array([side, -1.0, front], np.float32)
    low, high = {"day": (0.25, 0.85), "dusk": (0.10, 0.40), "indoor": (0.25, 0.55)}[setting]
    direct = float(rng.uniform(low, high))
    return Light(towards / np.linalg.norm(towards), direct, float(rng.uniform(1.06, 1.20)) - 0.5 * direct)


@dataclass(frozen=True)
class Look:
    """What a sensor and its encoder do to the colours and the detail.

    ``gains`` are the white balance, ``pixels`` the height in pixels that a person-high crop has on the sensor, blur and
    noise are standard deviations (pixels of the crop; share of the range).
    """

    gains: tuple[float, float, float]
    exposure: float
    contrast: float
    saturation: float
    gamma: float
    haze: float
    blur: float
    sharpen: float
    noise: float
    pixels: tuple[float, float]
    jpeg: tuple[int, int]

    def table(self, exposure: float = 1.0) -> Image:
        """White balance, exposure, contrast, gamma and haze as a lookup table, uint8 [1, 256, 3]."""
        x = np.linspace(0, 1, 256, dtype=np.float32)[:, None] * np.asarray(self.gains, np.float32)
        x = np.clip(x * self.exposure * exposure, 0, None) ** self.gamma
        x = x / (1 + 0.12 * x**4)
        x = 0.45 + (x - 0.45) * self.contrast
        x = x * (1 - self.haze) + 0.62 * self.haze
        return np.clip(x * 255 + 0.5, 0, 255).astype(np.uint8)[None]

    def mixing(self) -> Floats:
        """Saturation as a colour matrix [3, 3]."""
        grey = np.array([0.299, 0.587, 0.114], np.float32)
        return (np.eye(3) * self.saturation + (1 - self.saturation) * grey).astype(np.float32)


def draw_look(rng: np.random.Generator, setting: str) -> Look:
    """One camera's look. Cameras differ more than real ones do (benchmarks/crop_statistics.py)."""
    warm, tint = rng.normal(0, 0.03), rng.normal(0, 0.012)
    if setting != "day":
        warm += float(rng.choice([-0.03, 0.03, 0.06]))
    dim = 0.88 if setting == "dusk" else 1.0
    low = float(rng.uniform(55, 108))
    quality = int(rng.integers(45, 88))
    return Look(
        gains=(float(np.exp(warm)), float(np.exp(tint)), float(np.exp(-warm))),
        exposure=dim * float(np.exp(rng.normal(0.15, 0.05))),
        contrast=float(rng.uniform(0.82, 1.06)),
        saturation=dim * float(rng.uniform(0.60, 0.95)),
        gamma=float(rng.uniform(0.94, 1.12)),
        haze=float(max(0.0, rng.normal(0.03, 0.04))),
        blur=float(max(0.0, rng.normal(0.15, 0.25))),
        sharpen=float(max(0.0, rng.normal(0.65, 0.35))),
        noise=float(rng.uniform(0.006, 0.02)) / dim,
        pixels=(low, float(min(low * rng.uniform(1.3, 2.0), 150))),
        jpeg=(quality, min(quality + 14, 97)),
    )


def unseen_look(rng: np.random.Generator, look: Look) -> Look:
    """A look that `draw_look` never gives, so of a camera such as no generated person was seen by.

    Real cameras have all of them: a wrong white balance, a dirty dome, a sensor at its limit, colours turned up, or
    none at all, as by night.
    """
    kind = rng.choice(["tinted", "faded", "dark", "vivid", "grey"])
    if kind == "tinted":
        warm = float(rng.choice([-1, 1]) * rng.uniform(0.22, 0.35))
        return replace(look, gains=(float(np.exp(warm)), 1.0, float(np.exp(-warm))))
    if kind == "faded":
        return replace(look, contrast=0.6 * look.contrast, haze=float(rng.uniform(0.2, 0.35)), saturation=0.4)
    if kind == "dark":
        return replace(look, exposure=float(rng.uniform(0.55, 0.7)), noise=0.02)
    if kind == "vivid":
        return replace(look, saturation=float(rng.uniform(1.5, 1.9)), contrast=1.4, sharpen=1.5)
    return replace(look, saturation=0.0, gamma=float(rng.uniform(0.75, 0.85)), noise=0.02)


def sharpened(image: MatLike, amount: float) -> Image:
    """Unsharp masking, as most cameras do."""
    soft = cv2.GaussianBlur(image, (0, 0), 1.0)
    return cv2.addWeighted(image, 1 + amount, soft, -amount, 0).astype(np.uint8)
