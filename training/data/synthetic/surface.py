"""Surfaces as dense points: everything that is drawn is a vertical tube with a profile, cut into rings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# One row of a profile: height y, centre x and z, radii along x and z; metres.
Profile = Sequence[tuple[float, float, float, float, float]]


@dataclass
class Surface:
    """Points of a surface in the bind pose (standing, arms hanging; y up, z forward, metres).

    Shapes: points and normals float32 [N, 3]; angle [N] around the tube (0 = +x, π/2 = front).
    """

    points: Floats
    normals: Floats
    angle: Floats

    def where(self, keep: NDArray[np.bool_]) -> "Surface":
        """The points for which ``keep`` [N] is true."""
        return Surface(self.points[keep], self.normals[keep], self.angle[keep])


def _smooth(rows: Floats, dense: int = 8) -> Floats:
    """A Catmull-Rom curve through the rows [K, 5] → [(K-1)·dense+1, 5]; radii stay ≥ 0."""
    padded = np.concatenate([rows[:1], rows, rows[-1:]])
    p0, p1, p2, p3 = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = (np.arange(dense, dtype=np.float32) / dense)[None, :, None]
    m1, m2 = (p2 - p0)[:, None] / 2, (p3 - p1)[:, None] / 2
    a, b = p1[:, None], p2[:, None]
    curve = (2 * t**3 - 3 * t**2 + 1) * a + (t**3 - 2 * t**2 + t) * m1 + (3 * t**2 - 2 * t**3) * b + (t**3 - t**2) * m2
    curve = np.concatenate([curve.reshape(-1, rows.shape[1]), rows[-1:]])
    curve[:, 3:] = np.maximum(curve[:, 3:], 0.0)
    return curve


def _even_angles(angle: Floats, square: float) -> Floats:
    """Angles that put points at even distances along a squarer ring, where even angles would leave gaps mid-side."""
    dense = np.linspace(0, 2 * np.pi, 2049)
    cos, sin = np.cos(dense), np.sin(dense)
    x, z = np.sign(cos) * abs(cos) ** square, np.sign(sin) * abs(sin) ** square
    arc = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(z)))])
    return np.interp(angle % (2 * np.pi), arc * (2 * np.pi / arc[-1]), dense).astype(np.float32)


def tube(profile: Profile, spacing: float, square: float = 1.0, smooth: bool = True) -> Surface:
    """Points about ``spacing`` metres apart on the tube with this profile, given from top to bottom.

    Args:
        square: exponent on the ring's sine and cosine; 1 is an ellipse, towards 0 it becomes a rectangle.
        smooth: pass a curve through the rows; False keeps the profile's corners.
    """
    rows = np.asarray(profile, np.float32)
    curve = _smooth(rows) if smooth else rows
    step = np.diff(curve, axis=0)
    lengths = np.sqrt((step[:, 0:3] ** 2).sum(1) + np.maximum(abs(step[:, 3]), abs(step[:, 4])) ** 2)
    arc = np.concatenate([[0.0], np.cumsum(lengths)])
    rings = max(int(arc[-1] / spacing), 3)
    s = ((np.arange(rings) + 0.5) * (arc[-1] / rings)).astype(np.float32)
    y, cx, cz, rx, rz = (np.interp(s, arc, column).astype(np.float32) for column in curve.T)
    slope = np.gradient(np.stack([y, cx, cz, rx, rz]), s, axis=1).astype(np.float32)
    # Ramanujan's circumference; a squarer ring is longer.
    around = np.pi * (3 * (rx + rz) - np.sqrt((3 * rx + rz) * (rx + 3 * rz))) * (1 + 0.25 * (1 - square))
    counts = np.maximum((around / spacing).astype(np.int64), 3)
    ring = np.repeat(np.arange(rings), counts)
    within = np.arange(len(ring)) - np.repeat(np.cumsum(counts) - counts, counts)
    angle = ((within + 0.5 * (ring % 2)) * (2 * np.pi / counts)[ring]).astype(np.float32)
    if square != 1.0:
        angle = _even_angles(angle, square)
    cos, sin = np.cos(angle), np.sin(angle)
    if square != 1.0:
        ring_x, ring_z = np.sign(cos) * abs(cos) ** square, np.sign(sin) * abs(sin) ** square
        cos, sin = np.sign(cos) * abs(cos) ** (2 - square), np.sign(sin) * abs(sin) ** (2 - square)
    else:
        ring_x, ring_z = cos, sin
    points = np.stack([cx[ring] + rx[ring] * ring_x, y[ring], cz[ring] + rz[ring] * ring_z], axis=1)
    dy, dcx, dcz, drx, drz = (value[ring] for value in slope)
    nx, nz = rz[ring] * cos, rx[ring] * sin
    normals = np.stack([-nx * dy, nx * (dcx + drx * ring_x) + nz * (dcz + drz * ring_z), -nz * dy], axis=1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9
    return Surface(points.astype(np.float32), normals.astype(np.float32), angle)


def merged(surfaces: Sequence[Surface]) -> Surface:
    """All points of several surfaces as one."""
    return Surface(
        np.concatenate([s.points for s in surfaces]),
        np.concatenate([s.normals for s in surfaces]),
        np.concatenate([s.angle for s in surfaces]),
    )


def smoothstep(x: Floats, low: float, high: float) -> Floats:
    """0 below ``low``, 1 above ``high``, smooth between (``low`` > ``high`` turns it round)."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0).astype(np.float32)
    return t * t * (3 - 2 * t)
