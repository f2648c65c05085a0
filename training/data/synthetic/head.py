"""Head: face, ears, hair, beard, glasses, hats."""

import numpy as np

from .appearance import Appearance
from .body import Piece, whole
from .clothing import paint, plain
from .figure import Figure, Row
from .palette import RGB
from .skeleton import Bone
from .surface import Floats, Surface, merged, smoothstep, tube
from .textures import noise, wrinkle

FRONT = np.float32(np.pi / 2)


def head_pieces(who: Appearance, figure: Figure, spacing: float) -> list[Piece]:
    """All pieces above the neck."""
    spacing = spacing * 0.85
    pieces = [_face(who, figure, spacing), _ears(who, figure, spacing)]
    if who.hair_style != "bald":
        pieces += _hair(who, figure, spacing)
    if who.hat != "none":
        pieces += _hat(who, figure, spacing)
    return pieces


def _scale(figure: Figure) -> tuple[float, float]:
    """Height of the crown and the head's size against an average one."""
    rows = figure.head()
    return rows[0][0], (rows[0][0] - rows[-1][0]) / 0.218


def _turn(surface: Surface) -> Floats:
    """Angle away from the face, 0 in front … π behind."""
    return abs((surface.angle - FRONT + np.pi) % (2 * np.pi) - np.pi).astype(np.float32)


def _face(who: Appearance, figure: Figure, spacing: float) -> Piece:
    top, k = _scale(figure)
    surface = tube(figure.head(), spacing)
    down = (top - surface.points[:, 1]) / k
    aside = abs(surface.points[:, 0]) / k
    front = surface.points[:, 2] > 0
    nose = np.exp(-((aside / 0.013) ** 2)) * smoothstep(down, 0.095, 0.135) * smoothstep(down, 0.150, 0.140)
    surface.points[:, 2] += (front * 0.022 * k * nose).astype(np.float32)
    surface.normals[:, 0] += np.sign(surface.points[:, 0]) * (front * (nose > 0.15) * (nose < 0.85)) * 0.5
    colour = plain(surface, who.skin, 0.02)
    colour *= (1 - 0.12 * front * np.exp(-(((down - 0.112) / 0.012) ** 2)) * (aside < 0.055))[:, None]
    shade = np.asarray(who.skin, np.float32)
    eye = front & (abs(aside - 0.031) < 0.013) & (abs(down - 0.113) < 0.0055)
    paint(colour, eye, (0.75, 0.72, 0.70))
    paint(colour, eye & (abs(aside - 0.031) < 0.006), (0.10, 0.07, 0.06))
    paint(colour, front & (abs(aside - 0.032) < 0.019) & (abs(down - 0.096) < 0.004), who.hair)
    lips = front & (aside < 0.024) & (abs(down - 0.176) < 0.006)
    colour[lips] = shade * np.array([0.86, 0.58, 0.58], np.float32)
    colour[front & (aside < 0.014) & (abs(down - 0.153) < 0.004)] *= 0.72
    if who.beard > 0:
        hairy = front & (down > 0.158 - 0.10 * np.clip(aside - 0.035, 0, 1)) & ~lips & (down > 0.150)
        hairy |= (aside > 0.05) & (down > 0.12) & (surface.points[:, 2] > 0.01)
        blend = (0.75 * who.beard * hairy)[:, None].astype(np.float32)
        colour = colour * (1 - blend) + np.asarray(who.hair, np.float32) * blend
    if who.glasses:
        rim = np.hypot((aside - 0.032) / 1.25, down - 0.114)
        frame = front & ((abs(rim - 0.018) < 0.004) | ((aside < 0.012) & (abs(down - 0.110) < 0.003)))
        frame |= (abs(down - 0.110) < 0.003) & (surface.points[:, 2] > -0.02)
        paint(colour, frame, (0.06, 0.06, 0.07))
    return Piece(surface, colour, whole(surface, Bone.HEAD), 0.10)


def _ears(who: Appearance, figure: Figure, spacing: float) -> Piece:
    top, k = _scale(figure)
    ears = []
    for side in (1.0, -1.0):
        x = side * 0.078 * k
        rows = [
            (top - 0.095 * k, x, -0.004, 0.002, 0.004),
            (top - 0.105 * k, x, -0.006, 0.010, 0.018),
            (top - 0.140 * k, x, -0.002, 0.009, 0.013),
            (top - 0.155 * k, x, 0.0, 0.003, 0.005),
        ]
        ears.append(tube(rows, spacing))
    surface = merged(ears)
    return Piece(surface, plain(surface, who.skin) * 0.93, whole(surface, Bone.HEAD), 0.08)


def _strands(surface: Surface, shade: RGB, seed: int) -> Floats:
    """Hair colour with strands that run down."""
    streak = noise(surface.angle * 0.09, surface.points[:, 1] * 0.12, 0.02, seed)
    return (np.asarray(shade, np.float32) * (1 + 0.22 * streak)[:, None]).astype(np.float32)


def _hair(who: Appearance, figure: Figure, spacing: float) -> list[Piece]:
    top, k = _scale(figure)
    style = who.hair_style
    grow = {
        "buzz": 0.004,
        "short": 0.012,
        "side": 0.016,
        "curly": 0.034,
        "bob": 0.017,
        "long": 0.016,
        "ponytail": 0.009,
        "bun": 0.009,
    }[style]
    shell = tube(figure.head(grow), spacing)
    if style in ("curly", "side", "short"):
        rough = noise(shell.angle * 0.09, shell.points[:, 1], 0.03 if style == "curly" else 0.05, who.seed % 89)
        shell.points += (rough * (0.007 if style == "curly" else 0.004))[:, None] * shell.normals
        shell.normals += 0.35 * rough[:, None] * np.array([0.5, 1.0, 0.5], np.float32)
    turn, down = _turn(shell), (top - shell.points[:, 1]) / k
    hairline = {"side": 0.058, "curly": 0.052, "buzz": 0.050}.get(style, 0.054)
    lowest = {"bob": 0.20, "long": 0.21, "ponytail": 0.165, "bun": 0.160}.get(style, 0.150)
    opening = {"bob": 0.85, "long": 0.95}.get(style, 1.30)
    border = np.where(turn < opening, hairline, np.where(turn < 1.75, max(lowest - 0.045, 0.10), lowest))
    if style in ("bob", "long"):
        border = np.where(turn < opening, hairline, lowest)
    keep = shell.where(down < border + 0.004 * np.sin(9 * shell.angle))
    shade = tuple(0.6 * h + 0.4 * s for h, s in zip(who.hair, who.skin, strict=True)) if style == "buzz" else who.hair
    pieces = [Piece(keep, _strands(keep, shade, who.seed % 83), whole(keep, Bone.HEAD), 0.18)]  # type: ignore[arg-type]
    rows = _hanging(style, top, k, who.seed)
    if rows:
        tail = tube(rows, spacing)
        chest = 0.55 * smoothstep(tail.points[:, 1], figure.joints.chin - 0.02, figure.joints.shoulder - 0.1)
        weights = {Bone.CHEST: chest, Bone.HEAD: 1 - chest}
        pieces.append(Piece(tail, _strands(tail, who.hair, who.seed % 79), weights, 0.18))
    return pieces


def _hanging(style: str, top: float, k: float, seed: int) -> list[Row]:
    """The hair that hangs or is tied behind the head."""
    drop = 0.30 + 0.18 * (seed % 100) / 100
    if style == "long":
        return [
            (top - 0.06 * k, 0.0, -0.050, 0.070 * k, 0.062 * k),
            (top - 0.15 * k, 0.0, -0.058, 0.088 * k, 0.058 * k),
            (top - 0.22 * k, 0.0, -0.072, 0.098 * k, 0.048 * k),
            (top - drop, 0.0, -0.105, 0.090, 0.036),
            (top - drop - 0.06, 0.0, -0.112, 0.030, 0.016),
        ]
    if style == "bob":
        return [
            (top - 0.06 * k, 0.0, -0.030, 0.080 * k, 0.078 * k),
            (top - 0.13 * k, 0.0, -0.034, 0.092 * k, 0.076 * k),
            (top - 0.20 * k, 0.0, -0.036, 0.094 * k, 0.068 * k),
            (top - 0.225 * k, 0.0, -0.036, 0.075 * k, 0.050 * k),
        ]
    if style == "ponytail":
        return [
            (top - 0.065 * k, 0.0, -0.105, 0.012, 0.014),
            (top - 0.085 * k, 0.0, -0.125, 0.026, 0.028),
            (top - 0.17 * k, 0.0, -0.140, 0.033, 0.028),
            (top - drop * 0.85, 0.0, -0.135, 0.026, 0.022),
            (top - drop * 0.85 - 0.06, 0.0, -0.130, 0.006, 0.006),
        ]
    if style == "bun":
        y = top - (0.015 if seed % 2 else 0.07) * k
        z = -0.075 if seed % 2 else -0.115
        return [
            (y + 0.038, 0.0, z, 0.008, 0.008),
            (y + 0.024, 0.0, z, 0.034, 0.034),
            (y - 0.015, 0.0, z, 0.038, 0.038),
            (y - 0.040, 0.0, z, 0.010, 0.010),
        ]
    return []


def _hat(who: Appearance, figure: Figure, spacing: float) -> list[Piece]:
    top, k = _scale(figure)
    if who.hat == "hood":
        return [_raised_hood(who, figure, spacing)]
    grow = {"cap": 0.018, "beanie": 0.022, "brim": 0.020}[who.hat] + (0.014 if who.hair_style == "curly" else 0.0)
    shell = tube(figure.head(grow), spacing)
    down = (top - shell.points[:, 1]) / k
    shell = shell.where(down < (0.080 if who.hat == "beanie" else 0.066) + 0.03 * (_turn(shell) > 1.4))
    surfaces = [shell]
    if who.hat != "beanie":
        reach, centre = (0.075, 0.115) if who.hat == "cap" else (0.175, -0.004)
        y = top - 0.062 * k
        rows = [
            (y + 0.006, 0.0, centre, 0.01, 0.01),
            (y + 0.004, 0.0, centre, reach * 0.95, reach * 0.9),
            (y - 0.006, 0.0, centre + 0.006, reach, reach),
            (y - 0.010, 0.0, centre, reach * 0.95, reach * 0.9),
            (y - 0.010, 0.0, centre, 0.01, 0.01),
        ]
        surfaces.append(tube(rows, spacing, smooth=False))
    surface = merged(surfaces)
    return [Piece(surface, plain(surface, who.hat_colour, 0.05), whole(surface, Bone.HEAD))]


def _raised_hood(who: Appearance, figure: Figure, spacing: float) -> Piece:
    """A hood that leaves the face open and reaches down to the shoulders."""
    top, k = _scale(figure)
    rows = [*figure.head(0.034)[:6], (top - 0.26 * k, 0.0, -0.02, 0.10, 0.10)]
    surface = tube(rows, spacing)
    down = (top - surface.points[:, 1]) / k
    surface = surface.where((_turn(surface) > 0.95) | (down < 0.045))
    wrinkle(surface, 0.4, who.seed % 67)
    return Piece(surface, plain(surface, who.upper.cloth.colour, 0.04) * 0.92, whole(surface, Bone.HEAD))
