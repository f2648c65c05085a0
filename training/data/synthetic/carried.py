"""What people carry: bags on the back, at the side, across, in the hand; a suitcase on wheels, an umbrella."""

import numpy as np

from .appearance import Appearance
from .body import Piece, whole
from .clothing import plain
from .figure import Figure, Row
from .skeleton import Bone
from .surface import merged, tube
from .textures import wrinkle


def _box(top: float, bottom: float, x: float, z: float, rx: float, rz: float) -> list[Row]:
    """A box with rounded edges as a profile."""
    edge = min(0.03, (top - bottom) / 5)
    return [
        (top, x, z, rx * 0.3, rz * 0.3),
        (top - 0.3 * edge, x, z, rx * 0.85, rz * 0.75),
        (top - edge, x, z, rx, rz * 0.92),
        (top - 0.6 * (top - bottom), x, z, rx, rz),
        (bottom + edge, x, z, rx, rz),
        (bottom + 0.2 * edge, x, z, rx * 0.85, rz * 0.8),
        (bottom, x, z, rx * 0.3, rz * 0.3),
    ]


def _umbrella(who: Appearance, figure: Figure, spacing: float) -> Piece:
    """An open umbrella, held before the chest."""
    j, x = figure.joints, who.bag_side * 0.10
    top = j.height + 0.22
    wide = 0.46 * who.bag_size
    rows = [
        (top, x, 0.16, 0.01, 0.01),
        (top - 0.03, x, 0.16, 0.40 * wide, 0.40 * wide),
        (top - 0.10, x, 0.16, 0.80 * wide, 0.80 * wide),
        (top - 0.20, x, 0.16, wide, wide),
    ]
    cover = tube(rows, spacing)
    panel = ((cover.angle * (8 / (2 * np.pi))).astype(np.int32) % 2)[:, None]
    colour = plain(cover, who.bag_colour, 0.03) * (1 - 0.12 * panel)
    stick = tube([(top, x, 0.16, 0.012, 0.012), (j.waist + 0.1, x, 0.20, 0.012, 0.012)], spacing, smooth=False)
    surface = merged([cover, stick])
    colour = np.concatenate([colour, plain(stick, (0.25, 0.25, 0.26))])
    return Piece(surface, colour, whole(surface, Bone.CHEST), 0.10)


def carried_pieces(who: Appearance, figure: Figure, spacing: float) -> list[Piece]:
    """What this person carries; straps over the trunk are painted by the clothing."""
    if who.bag == "none":
        return []
    j, side, k = figure.joints, who.bag_side, who.bag_size
    behind = 0.108 * figure.build.girth + who.upper.ease
    if who.bag == "umbrella":
        return [_umbrella(who, figure, spacing)]
    if who.bag == "backpack":
        depth, middle = 0.075 * k, -behind - 0.055 * k
        top = j.shoulder + 0.03
        rows = [
            (top, 0.0, middle + 0.02, 0.03, 0.02),
            (top - 0.02, 0.0, middle + 0.015, 0.085 * k, 0.6 * depth),
            (top - 0.08, 0.0, middle, 0.130 * k, 0.85 * depth),
            (top - 0.26 * k, 0.0, middle, 0.148 * k, depth),
            (top - 0.40 * k, 0.0, middle, 0.145 * k, 1.05 * depth),
            (top - 0.44 * k, 0.0, middle, 0.110 * k, 0.8 * depth),
            (top - 0.45 * k, 0.0, middle, 0.02, 0.02),
        ]
        bone, square = Bone.CHEST, 0.62
    elif who.bag == "suitcase":
        rows = _box(0.62 * k, 0.06, side * j.shoulder_x, -0.42, 0.20 * k, 0.12 * k)
        rows = [
            (j.wrist - 0.06, side * j.shoulder_x, -0.36, 0.012, 0.05),
            (0.63 * k, *rows[0][1:3], 0.012, 0.05),
            *rows,
        ]
        bone, square = Bone.PELVIS, 0.5
    elif who.bag in ("shoulder", "crossbody"):
        x = side * (figure.hip_width + who.upper.ease + 0.05)
        top = j.hip + (0.06 if who.bag == "shoulder" else 0.01)
        rows = _box(top, top - 0.24 * k, x, -0.02, 0.05 * k, 0.135 * k)
        bone, square = Bone.PELVIS, 0.5
    else:
        x = side * j.shoulder_x
        top = j.wrist - 0.10
        rows = _box(top, top - (0.24 if who.bag == "handbag" else 0.36) * k, x - side * 0.01, 0.0, 0.05 * k, 0.14 * k)
        bone, square = (Bone.LOWER_ARM_R if side > 0 else Bone.LOWER_ARM_L), 0.55
    surface = tube(rows, spacing, square=square)
    wrinkle(surface, 0.0 if who.bag == "suitcase" else 0.22, who.seed % 73)
    colour = plain(surface, who.bag_colour, 0.05)
    if who.bag == "backpack":
        y, z = surface.points[:, 1], surface.points[:, 2]
        pocket = (
            (abs(y - (j.shoulder - 0.29 * k)) < 0.10 * k)
            & (z < -behind - depth)
            & (abs(surface.points[:, 0]) < 0.11 * k)
        )
        colour[pocket] *= 0.8
    return [Piece(surface, colour, whole(surface, bone), 0.12)]
