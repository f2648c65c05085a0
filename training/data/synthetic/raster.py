"""From posed points to pixels: project, keep the nearest point of each pixel, close gaps, shade."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .body import Body, Posed
from .camera import Light, View
from .pose import Pose
from .surface import Floats

Region = tuple[float, float, float, float]  # x1, y1, x2, y2 in pixels of a view


@dataclass(frozen=True)
class Sprite:
    """A drawn person: colour float32 [h, w, 3] (RGB, sRGB 0..1, 0 outside) and alpha float32 [h, w]."""

    colour: Floats
    alpha: Floats


@dataclass(frozen=True)
class Placed:
    """A body seen by a camera: points and normals in camera axes (``posed``), their pixel coordinates u, v [N]."""

    body: Body
    view: View
    posed: Posed
    u: Floats
    v: Floats

    @property
    def z(self) -> Floats:
        """Depth of the points [N], metres."""
        return self.posed.points[2]

    def bounds(self) -> Region:
        """x1, y1, x2, y2 in pixels of the view, not clipped."""
        return float(self.u.min()), float(self.v.min()), float(self.u.max()), float(self.v.max())

    def head_bounds(self) -> Region:
        """The same of the head with its hair and hat."""
        u, v = self.u[self.body.head], self.v[self.body.head]
        return float(u.min()), float(v.min()), float(u.max()), float(v.max())


def place(body: Body, pose: Pose, view: View, x: float, z: float, yaw: float) -> Placed:
    """Stand a body on the ground at (x, z) metres, turned by ``yaw`` (0 walks away, π towards the camera)."""
    posed = body.posed(pose, *view.body_map(x, z, yaw))
    inverse = np.float32(view.focal) / posed.points[2]
    u = posed.points[0] * inverse + np.float32(view.centre_x)
    v = posed.points[1] * inverse + np.float32(view.centre_y)
    return Placed(body, view, posed, u, v)


def draw(placed: Placed, region: Region, size: tuple[int, int], light: Light) -> Sprite | None:
    """Draw the part of the view inside ``region`` (x1, y1, x2, y2 pixels) as a picture of ``size`` (height, width)."""
    height, width = size
    x1, y1, x2, y2 = region
    (px, py, pz), (nx, ny, nz) = placed.posed.points, placed.posed.normals
    inside = (placed.u > x1) & (placed.u < x2) & (placed.v > y1) & (placed.v < y2)
    seen = np.flatnonzero(inside & (px * nx + py * ny + pz * nz < 0))
    if len(seen) < 12:
        return None
    column = ((placed.u[seen] - np.float32(x1)) * np.float32(width / (x2 - x1))).astype(np.int32)
    row = ((placed.v[seen] - np.float32(y1)) * np.float32(height / (y2 - y1))).astype(np.int32)
    pixel = np.minimum(row, height - 1) * width + np.minimum(column, width - 1)
    depth = pz[seen]
    near, far = float(depth.min()), float(depth.max())
    # Sixteen bits of depth (a fraction of a millimetre) sort by radix, several times faster than floats.
    level = ((far - depth) * np.float32(65535 / (far - near + 1e-6))).astype(np.uint16)
    nearest_last = np.argsort(level, kind="stable")
    index = np.full(height * width, -1, np.int32)
    index[pixel[nearest_last]] = seen[nearest_last]
    return _shaded(placed, *_closed(index.reshape(height, width), pz, far + 1.0), light)


def _closed(index: NDArray[np.int32], z: Floats, far: float) -> tuple[NDArray[np.int32], Floats]:
    """Fill pixels that no point hit, or that show what is behind their neighbours, from a neighbour; with the depth."""
    depth = z[index]
    depth[index < 0] = far
    for before, here, after in (
        (np.s_[:, :-2], np.s_[:, 1:-1], np.s_[:, 2:]),
        (np.s_[:-2], np.s_[1:-1], np.s_[2:]),
    ):
        hole = np.maximum(depth[before], depth[after]) < depth[here] - np.float32(0.05)
        np.copyto(index[here], index[before].copy(), where=hole)
        np.copyto(depth[here], depth[before].copy(), where=hole)
    return index, depth


def _shaded(placed: Placed, index: NDArray[np.int32], depth: Floats, light: Light) -> Sprite:
    """Light on the points that are seen."""
    mask = index >= 0
    flat = index[mask]
    nx, ny, nz = placed.posed.normals[:, flat]
    scale = 1 / np.sqrt(nx * nx + ny * ny + nz * nz + np.float32(1e-9))
    nx, ny, nz = nx * scale, ny * scale, nz * scale
    lx, ly, lz = (np.float32(v) for v in light.towards)
    direct = np.maximum(nx * lx + ny * ly + nz * lz, 0)
    shade = np.float32(light.ambient) * (np.float32(0.81) - np.float32(0.19) * ny) + np.float32(light.direct) * direct
    # A little darker where the surface turns away keeps limbs apart without outlines.
    shade *= np.float32(0.8) - np.float32(0.2) * np.maximum(nz * np.float32(1.6), -1)
    around = cv2.blur(depth, (9, 9))
    shade *= 1 - np.clip((depth - around)[mask] * np.float32(2.5), 0, np.float32(0.35))
    hx, hy, hz = _half(light)
    mirror = np.maximum(nx * hx + ny * hy + nz * hz, 0) ** 2
    shine = np.float32(0.5 * light.direct) * placed.body.gloss[flat] * (mirror * mirror) ** 4
    colour = np.zeros((*index.shape, 3), np.float32)
    colour[mask] = placed.body.colours[flat] * shade[:, None] + shine[:, None]
    return Sprite(colour, mask.astype(np.float32))


def _half(light: Light) -> Floats:
    """The direction between the light and the camera."""
    half = light.towards + np.array([0, 0, -1], np.float32)
    return (half / np.linalg.norm(half)).astype(np.float32)


def shadow(placed: Placed, slant: tuple[float, float], region: Region, size: tuple[int, int]) -> Floats:
    """How much of the light a body takes from the ground in ``region``, float32 [height, width], 0..1.

    ``slant`` is how many metres the shadow falls aside (x) and away (z) per metre of height.
    """
    height, width = size
    x1, y1, x2, y2 = region
    view = placed.view
    axes = view.axes()
    x, y, z = axes.T @ placed.posed.points[:, ::7]
    high = y + np.float32(view.height)
    ground = np.stack([x + slant[0] * high, np.full_like(x, -view.height), z + slant[1] * high])
    right, below, ahead = axes @ ground.astype(np.float32)
    # A quarter of the resolution is enough: shadows are soft.
    rows, columns = max(height // 4, 1), max(width // 4, 1)
    column = ((right / ahead * view.focal + view.centre_x - x1) * (columns / (x2 - x1))).astype(np.int32)
    row = ((below / ahead * view.focal + view.centre_y - y1) * (rows / (y2 - y1))).astype(np.int32)
    inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    pixel, low = (row * columns + column)[inside], high[inside] < 0.25
    mask = np.zeros(rows * columns, np.float32)
    mask[pixel[~low]] = 0.55
    # Feet touch the ground: what is low shades more than what is high.
    mask[pixel[low]] = 1.0
    soft = cv2.GaussianBlur(mask.reshape(rows, columns), (0, 0), max(rows / 64, 0.8))
    return np.asarray(cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
