"""Bags: on the back, at the side, across, in the hand."""

from .appearance import Appearance
from .body import Piece, whole
from .clothing import plain
from .figure import Figure, Row
from .skeleton import Bone
from .surface import tube
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


def carried_pieces(who: Appearance, figure: Figure, spacing: float) -> list[Piece]:
    """What this person carries; straps over the trunk are painted by the clothing."""
    if who.bag == "none":
        return []
    j, side, k = figure.joints, who.bag_side, who.bag_size
    behind = 0.108 * figure.build.girth + who.upper.ease
    if who.bag == "backpack":
        depth = 0.075 * k
        rows = _box(j.shoulder + 0.03, j.shoulder - 0.42 * k, 0.0, -behind - 0.75 * depth, 0.150 * k, depth)
        bone, square = Bone.CHEST, 0.5
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
    wrinkle(surface, 0.10, who.seed % 73)
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
