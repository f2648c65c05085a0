"""Procedural cloth: a pattern's colour at points of the bind pose, and wrinkles."""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from .appearance import Cloth
from .surface import Floats, Surface, smoothstep

TILE = 256


@cache
def noise_tile(octaves: int = 4, seed: int = 1) -> Floats:
    """Smooth noise that repeats at its edges, float32 [256, 256], mean 0, standard deviation 1."""
    rng = np.random.default_rng(seed)
    total = np.zeros((TILE, TILE), np.float32)
    for octave in range(octaves):
        cells = 8 << octave
        grid = np.pad(rng.normal(size=(cells, cells)).astype(np.float32), 2, mode="wrap")
        step = TILE // cells
        big = cv2.resize(grid, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
        total += big[2 * step : 2 * step + TILE, 2 * step : 2 * step + TILE] * 0.55**octave
    return ((total - total.mean()) / total.std()).astype(np.float32)


def noise(x: Floats, y: Floats, cell: float, seed: int = 0, octaves: int = 4) -> Floats:
    """Noise at plane coordinates; ``cell`` is the size of the largest blobs in the same unit. Returns [N], σ = 1."""
    tile = noise_tile(octaves)
    scale = TILE / 8 / cell
    ix = (x * scale + (seed * 37) % TILE).astype(np.int32) & (TILE - 1)
    iy = (y * scale + (seed * 91) % TILE).astype(np.int32) & (TILE - 1)
    return tile[iy, ix]


def unrolled(surface: Surface) -> tuple[Floats, Floats]:
    """Coordinates on the cloth, metres: around (0 in front) and up."""
    around = ((surface.angle - np.pi / 2 + np.pi) % (2 * np.pi) - np.pi).astype(np.float32)
    radius = np.hypot(surface.points[:, 0] - surface.points[:, 0].mean(), surface.points[:, 2]).mean()
    return around * np.float32(radius), surface.points[:, 1]


def wrinkle(surface: Surface, strength: float, seed: int) -> None:
    """Bend the normals, in place, as folds would: long soft ones, slanting ones and short ones."""
    u, v = unrolled(surface)
    slope_v = noise(u, v, 0.22, seed, 2) * 0.6 + noise(u, v + 0.8 * u, 0.09, seed + 1, 2) * 0.55
    slope_v += noise(0.5 * u, v - 0.9 * u, 0.06, seed + 3, 2) * 0.35
    slope_u = noise(u, 0.4 * v, 0.09, seed + 2, 2) * 0.7
    tangent = np.stack([-np.sin(surface.angle), np.zeros_like(u), np.cos(surface.angle)], axis=1)
    surface.normals += strength * slope_u[:, None] * tangent
    surface.normals[:, 1] += strength * slope_v
    surface.normals /= np.linalg.norm(surface.normals, axis=1, keepdims=True) + 1e-9


def folded(surface: Surface, colour: Floats, strength: float, seed: int) -> Floats:
    """The colours, darker in deep folds."""
    u, v = unrolled(surface)
    fold = noise(0.5 * u, v + 0.6 * u, 0.055, seed + 7, 2)
    return np.asarray(colour * (1 - strength * np.clip(fold - 0.3, 0, 1.5))[:, None], np.float32)


def _where(mask: NDArray[np.bool_] | Floats, second: Floats, first: Floats) -> Floats:
    """Blend [N] between two colours ([3] or [N, 3])."""
    share = np.asarray(mask, np.float32)[:, None]
    return (first * (1 - share) + second * share).astype(np.float32)


def dye(cloth: Cloth, surface: Surface, chest: float) -> Floats:
    """The cloth's colour at each point, float32 [N, 3] sRGB; ``chest`` is the height of a logo's middle."""
    u, v = unrolled(surface)
    x, z = surface.points[:, 0], surface.points[:, 2]
    first, second = np.asarray(cloth.colour, np.float32), np.asarray(cloth.second, np.float32)
    size, kind, seed = cloth.scale, cloth.pattern, cloth.seed % 997
    base = np.broadcast_to(first, surface.points.shape)
    phase = (seed % 100) / 100
    if kind == "logo":
        wide, high = 0.075 * size, 0.05 * size * (1 + phase)
        inside = (z > 0) & (abs(x) < wide) & (abs(v - chest) < high)
        return _where(inside & (noise(x, v, 0.06, seed, 2) > -0.4), second, base)
    if kind == "print":
        wide, high = 0.12 * size, 0.10 * size * (1 + phase)
        inside = (z > 0) & (abs(x) < wide) & (abs(v - chest + 0.06) < high)
        third = np.clip(1.2 - second, 0.05, 0.9).astype(np.float32)
        motif = noise(x, v, 0.09, seed, 3)
        return _where(inside & (motif > 0.9), third, _where(inside & (motif > -0.3), second, base))
    if kind == "text":
        row = (v - chest) / (0.045 * size)
        letters = noise(x * 3, np.floor(row) * 7.0, 0.05, seed, 2) > -0.5
        return _where(
            (z > 0) & (abs(x) < 0.10 * size) & (abs(row - 0.5) < 1.5) & (row % 1 < 0.55) & letters, second, base
        )
    if kind == "band":
        return _where(abs(v - chest + 0.05) < 0.035 + 0.05 * phase, second, base)
    if kind == "fade":
        top = smoothstep(v, chest - 0.35, chest + 0.05)
        return _where(1 - top, second, base)
    if kind == "halves":
        return _where(x > 0, second, base)
    if kind == "pleats":
        return (base * (0.9 + 0.22 * (np.sin(u / (0.012 * size)) > 0))[:, None]).astype(np.float32)
    if kind == "side stripe":
        away = abs(abs(surface.angle % np.float32(2 * np.pi) - np.pi) - np.where(x > 0, np.pi, 0))
        return _where(away < 0.25, second, base)
    if kind == "stripes":
        return _where(((v / (0.075 * size) + phase) % 1.0) < (0.3 + 0.3 * phase), second, base)
    if kind == "pinstripes":
        return _where(((u / (0.035 * size) + phase) % 1.0) < 0.3, second, base)
    if kind == "plaid":
        cell = 0.085 * size
        bands = ((u / cell) % 1.0 < 0.4) * 0.5 + ((v / cell) % 1.0 < 0.4) * 0.5
        return _where(bands.astype(np.float32) * 0.9, second, base)
    if kind == "blocks":
        return _where(v < chest - 0.10 - 0.12 * phase, second, base)
    if kind == "yoke":
        return _where(v > chest + 0.02 + 0.05 * phase, second, base)
    if kind == "denim":
        fade = np.clip(noise(u, v, 0.35, seed, 2) * 0.35 + 0.25 * (z > 0), 0, 0.5)
        return (base * (1 + 0.30 * fade[:, None]) * (1 + 0.05 * noise(u, v, 0.03, seed))[:, None]).astype(np.float32)
    if kind == "flowers":
        return _where(noise(u, v, 0.10 * size, seed, 2) > 0.85, second, base)
    if kind == "camouflage":
        dark = _where(noise(u, v, 0.16, seed, 3) > 0.2, first * 0.45, base)
        return _where(noise(u, v, 0.16, seed + 5, 3) > 0.75, second * 0.8, dark)
    if kind == "heather":
        return (base * (1 + 0.16 * noise(u, v * 2, 0.05, seed))[:, None]).astype(np.float32)
    if kind == "dots":
        cell = 0.055 * size
        du, dv = (u / cell) % 1.0 - 0.5, (v / cell) % 1.0 - 0.5
        return _where(du * du + dv * dv < 0.09, second, base)
    return (base * (1 + 0.03 * noise(u, v, 0.05, seed))[:, None]).astype(np.float32)
