"""From posed points to pixels: project, keep the nearest point of each pixel, close gaps, shade."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .body import Body, Posed
from .camera import Light, View
from .surface import Floats


@dataclass(frozen=True)
class Sprite:
    """A drawn person: colour float32 [h, w, 3] (RGB, sRGB 0..1), alpha float32 [h, w], nearest depth of the body in metres."""

    colour: Floats
    alpha: Floats
    depth: float


@dataclass(frozen=True)
class Placed:
    """A body seen by a camera: pixel coordinates u, v [N], depth z [N] in metres, normals in camera axes [N, 3]."""

    body: Body
    posed: Posed
    view: View
    u: Floats
    v: Floats
    z: Floats
    normals: Floats
    facing: NDArray[np.bool_]

    def bounds(self) -> tuple[float, float, float, float]:
        """x1, y1, x2, y2 in pixels of the view, not clipped."""
        return float(self.u.min()), float(self.v.min()), float(self.u.max()), float(self.v.max())

    def head_bounds(self) -> tuple[float, float, float, float]:
        """The same of the head with its hair and hat."""
        u, v = self.u[self.body.head], self.v[self.body.head]
        return float(u.min()), float(v.min()), float(u.max()), float(v.max())


def place(body: Body, posed: Posed, view: View, x: float, z: float, yaw: float) -> Placed:
    """Stand a posed body on the ground at (x, z) metres, turned by ``yaw`` (0 walks away, π towards the camera)."""
    turn, shift = view.body_map(x, z, yaw)
    points = posed.points @ turn.T + shift
    normals = posed.normals @ turn.T
    facing = np.einsum("ij,ij->i", points, normals) < 0
    inverse = view.focal / points[:, 2]
    return Placed(
        body,
        posed,
        view,
        points[:, 0] * inverse + view.centre_x,
        points[:, 1] * inverse + view.centre_y,
        points[:, 2],
        normals,
        facing,
    )


def draw(
    placed: Placed, region: tuple[float, float, float, float], size: tuple[int, int], light: Light
) -> Sprite | None:
    """Draw the part of the view inside ``region`` (x1, y1, x2, y2 pixels) as a picture of ``size`` (height, width)."""
    height, width = size
    x1, y1, x2, y2 = region
    column = ((placed.u - x1) * np.float32(width / (x2 - x1))).astype(np.int32)
    row = ((placed.v - y1) * np.float32(height / (y2 - y1))).astype(np.int32)
    seen = np.flatnonzero(
        placed.facing
        & (column >= 0)
        & (column < width)
        & (row >= 0)
        & (row < height)
        & (placed.u >= x1)
        & (placed.v >= y1)
    )
    if len(seen) < 12:
        return None
    depth = placed.z[seen]
    nearest_last = seen[np.argsort(-depth)]
    index = np.full(height * width, -1, np.int32)
    index[row[nearest_last] * width + column[nearest_last]] = nearest_last
    index = _closed(index.reshape(height, width), placed.z)
    return _shaded(placed, index, light)


def _closed(index: NDArray[np.int32], z: Floats) -> NDArray[np.int32]:
    """Fill pixels that no point hit, or that show a surface behind the one around them, from a neighbour."""
    depth = np.where(index >= 0, z[index], np.float32(1e6)).astype(np.float32)
    for axis in (1, 0):
        before, after = np.roll(depth, 1, axis), np.roll(depth, -1, axis)
        hole = np.maximum(before, after) < depth - 0.05
        if hole.any():
            index = np.where(hole, np.roll(index, 1, axis), index)
            depth = np.where(hole, before, depth)
    return index


def _shaded(placed: Placed, index: NDArray[np.int32], light: Light) -> Sprite:
    mask = index >= 0
    flat = index[mask]
    normals = placed.normals[flat]
    normals = normals / (np.linalg.norm(normals, axis=1, keepdims=True) + 1e-6)
    albedo = placed.body.colours[flat]
    direct = np.maximum(normals @ light.towards, 0.0)
    sky = 0.5 - 0.5 * normals[:, 1]
    shade = light.ambient * (0.62 + 0.38 * sky) + light.direct * direct
    # A little darker where the surface turns away keeps limbs apart without outlines.
    shade *= 0.80 + 0.20 * np.clip(-normals[:, 2] * 1.6, 0, 1)
    half = light.towards + np.array([0, 0, -1], np.float32)
    half /= np.linalg.norm(half)
    shine = placed.body.gloss[flat] * np.maximum(normals @ half, 0.0) ** 16 * light.direct
    depth = np.full(index.shape, float(placed.z.max()), np.float32)
    depth[mask] = placed.z[flat]
    around = cv2.blur(depth, (9, 9))
    hollow = np.clip((depth - around)[mask] * 2.5, 0.0, 0.35)
    colour = np.zeros((*index.shape, 3), np.float32)
    colour[mask] = albedo * (shade * (1 - hollow))[:, None] + 0.5 * shine[:, None]
    return Sprite(colour, mask.astype(np.float32), float(placed.z.min()))


def shadow(
    posed: Posed,
    view: View,
    where: tuple[float, float, float],
    slant: tuple[float, float],
    region: tuple[float, float, float, float],
    size: tuple[int, int],
) -> Floats:
    """How much of the light a body takes from the ground in ``region``, float32 [height, width], 0..1.

    Args:
        where: x, z in metres and yaw of the body, as in ``place``.
        slant: metres that the shadow falls aside (x) and away (z) per metre of height.
    """
    height, width = size
    x, z, yaw = where
    few = posed.points[::7]
    c, s = np.cos(yaw), np.sin(yaw)
    flat = np.zeros_like(few)
    flat[:, 0] = few[:, 0] * c + few[:, 2] * s + x + slant[0] * few[:, 1]
    flat[:, 2] = few[:, 2] * c - few[:, 0] * s + z + slant[1] * few[:, 1]
    spots = view.project(flat)
    x1, y1, x2, y2 = region
    # A quarter of the resolution is enough: shadows are soft.
    rows, columns = max(height // 4, 1), max(width // 4, 1)
    column = ((spots[:, 0] - x1) * (columns / (x2 - x1))).astype(np.int32)
    row = ((spots[:, 1] - y1) * (rows / (y2 - y1))).astype(np.int32)
    inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    # Feet touch the ground: what is low shades more than what is high.
    share = np.where(few[:, 1] < 0.25, 1.0, 0.55).astype(np.float32)[inside]
    mask = np.zeros(rows * columns, np.float32)
    order = np.argsort(share)
    mask[(row[inside] * columns + column[inside])[order]] = share[order]
    soft = cv2.GaussianBlur(mask.reshape(rows, columns), (0, 0), max(rows / 64, 0.8))
    return cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)
