"""Skin, what is worn above and below, shoes: the pieces from the neck down."""

import numpy as np
from numpy.typing import NDArray

from .appearance import Appearance
from .body import Piece, arm_weights, leg_weights, trunk_weights
from .figure import Figure, Row
from .palette import RGB
from .skeleton import Bone
from .surface import Floats, Surface, smoothstep, tube
from .textures import dye, folded, noise, unrolled, wrinkle


def plain(surface: Surface, colour: RGB, mottle: float = 0.03, seed: int = 0) -> Floats:
    """One colour [N, 3] with a little variation."""
    u, v = unrolled(surface)
    return (np.asarray(colour, np.float32) * (1 + mottle * noise(u, v, 0.06, seed))[:, None]).astype(np.float32)


def paint(colour: Floats, mask: NDArray[np.bool_], other: RGB) -> None:
    """Give the masked points another colour, in place."""
    colour[mask] = np.asarray(other, np.float32)


def _cut(rows: list[Row], bottom: float) -> list[Row]:
    """A profile that ends at height ``bottom``, turned under there like a hem."""
    table = np.asarray(rows)
    ys = table[::-1, 0]
    end = [float(np.interp(bottom, ys, table[::-1, k])) for k in range(1, 5)]
    kept = [row for row in rows if row[0] > bottom + 0.012]
    cx, cz, rx, rz = end
    return [*kept, (bottom + 0.004, cx, cz, rx, rz), (bottom, cx, cz, rx * 0.93, rz * 0.93)]


def clothing_pieces(who: Appearance, figure: Figure, spacing: float) -> list[Piece]:
    """Everything from the neck to the soles, except what is carried."""
    pieces = [_upper(who, figure, spacing), _neck(who, figure, spacing)]
    if who.upper.collar == "hood" and who.hat != "hood":
        pieces.append(_hood(who, figure, spacing))
    if who.scarf is not None:
        pieces.append(_scarf(who, figure, spacing, who.scarf))
    for side in (1.0, -1.0):
        pieces += _arm(who, figure, spacing, side)
        pieces += _leg(who, figure, spacing, side)
        pieces.append(_shoe(who, figure, spacing, side))
    if who.upper.kind != "dress":
        pieces += _below_belt(who, figure, spacing)
    return pieces


def _upper(who: Appearance, figure: Figure, spacing: float) -> Piece:
    """The trunk's cloth from the collar to the hem, with neckline, opening and straps of bags painted in."""
    j, upper = figure.joints, who.upper
    rows = figure.trunk(upper.ease)
    bottom = j.hip + 0.035 - upper.hem
    if bottom < j.hip:
        flare = {"dress": 0.14, "coat": 0.08}.get(upper.kind, 0.03)
        wide, deep = rows[-1][3], rows[-1][4]
        drop = j.hip - bottom
        rows += [
            (j.hip - share * drop, 0.0, -0.006, wide + flare * share * drop, deep + (flare + 0.04) * share * drop)
            for share in (0.35, 0.7, 1.0)
        ]
    surface = tube(_cut(rows, bottom), spacing, square=0.86)
    colour = dye(upper.cloth, surface, chest=j.shoulder - 0.12)
    wrinkle(surface, 0.30, upper.cloth.seed % 991)
    colour = folded(surface, colour, 0.06, upper.cloth.seed % 991)
    _finish_front(who, figure, surface, colour)
    _straps(who, figure, surface, colour)
    return Piece(surface, colour, trunk_weights(figure, surface), 0.10 if upper.kind == "jacket" else 0.04)


def _finish_front(who: Appearance, figure: Figure, surface: Surface, colour: Floats) -> None:
    """Neckline, open front, buttons, belt line."""
    x, y, z = surface.points.T
    j, upper = figure.joints, who.upper
    front = z > 0.0
    if upper.open_front:
        gap = front & (abs(x) < 0.035 + 0.05 * smoothstep(y, j.hip, j.shoulder) * 0.6)
        paint(colour, gap, upper.inner)
        surface.points[gap, 2] -= 0.012
    elif upper.kind in ("jacket", "coat", "shirt"):
        line = front & (abs(x) < 0.007)
        colour[line] *= 0.6
    depth = {"deep": 0.10, "round": 0.035, "shirt": 0.05, "hood": 0.03, "high": 0.0}[upper.collar]
    bare = (y > j.shoulder + 0.045) if upper.collar != "high" else (y > j.neck + 0.05)
    bare |= front & (y > j.neck - depth + 0.9 * abs(x))
    paint(colour, bare & ~(upper.open_front & (y < j.neck - 0.02)), who.skin)
    if upper.collar in ("shirt", "high"):
        band = (y > j.neck - 0.012) & ~(front & (abs(x) < 0.03))
        paint(colour, band, tuple(0.85 * v for v in upper.cloth.colour))  # type: ignore[arg-type]
        surface.points[band] += 0.008 * surface.normals[band]
    if upper.kind == "vest":
        paint(colour, (abs(x) > figure.build.shoulders * 0.72) & (y > j.shoulder - 0.07), who.skin)


def _straps(who: Appearance, figure: Figure, surface: Surface, colour: Floats) -> None:
    """Straps of bags are cloth points that are lifted a little and painted."""
    x, y, z = surface.points.T
    j = figure.joints
    if who.bag == "backpack":
        strap = (abs(abs(x) - 0.62 * figure.build.shoulders) < 0.021) & (z > -0.06) & (y > j.shoulder - 0.27)
    elif who.bag == "crossbody":
        side = who.bag_side
        top, low = (-side * 0.45 * figure.build.shoulders, j.shoulder + 0.04), (side * figure.hip_width, j.hip + 0.02)
        share = (y - low[1]) / (top[1] - low[1])
        strap = (abs(x - (low[0] + share * (top[0] - low[0]))) < 0.020) & (share > -0.05)
    elif who.bag == "shoulder":
        strap = (abs(x - who.bag_side * 0.72 * figure.build.shoulders) < 0.017) & (y > j.waist)
    else:
        return
    paint(colour, strap, tuple(0.8 * v for v in who.bag_colour))  # type: ignore[arg-type]
    surface.points[strap] += 0.010 * surface.normals[strap]


def _neck(who: Appearance, figure: Figure, spacing: float) -> Piece:
    j = figure.joints
    r = 0.050 + 0.008 * figure.build.limbs - (0.006 if figure.build.female else 0.0)
    rows = [
        (j.chin + 0.05, 0.0, 0.0, r, r * 1.08),
        (j.neck + 0.02, 0.0, -0.012, r, r * 1.08),
        (j.neck - 0.03, 0.0, -0.014, r * 1.2, r * 1.2),
    ]
    surface = tube(rows, spacing)
    head = smoothstep(surface.points[:, 1], j.neck, j.neck + 0.06)
    return Piece(surface, plain(surface, who.skin) * 0.92, {Bone.CHEST: 1 - head, Bone.HEAD: head})


def _hood(who: Appearance, figure: Figure, spacing: float) -> Piece:
    """A hood lying on the shoulders."""
    j = figure.joints
    rows = [
        (j.neck + 0.055, 0.0, -0.045, 0.050, 0.040),
        (j.neck + 0.045, 0.0, -0.045, 0.078, 0.062),
        (j.neck + 0.005, 0.0, -0.060, 0.098, 0.070),
        (j.neck - 0.045, 0.0, -0.075, 0.085, 0.055),
        (j.neck - 0.085, 0.0, -0.080, 0.030, 0.020),
    ]
    surface = tube(rows, spacing)
    colour = plain(surface, who.upper.cloth.colour) * 0.9
    return Piece(surface, colour, trunk_weights(figure, surface))


def _scarf(who: Appearance, figure: Figure, spacing: float, shade: RGB) -> Piece:
    j = figure.joints
    rows = [
        (j.neck + 0.065, 0.0, -0.005, 0.055, 0.058),
        (j.neck + 0.060, 0.0, -0.005, 0.082, 0.085),
        (j.neck + 0.015, 0.0, -0.002, 0.095, 0.098),
        (j.neck - 0.025, 0.0, 0.0, 0.085, 0.090),
        (j.neck - 0.030, 0.0, 0.0, 0.060, 0.060),
    ]
    surface = tube(rows, spacing)
    wrinkle(surface, 0.5, 3)
    return Piece(surface, plain(surface, shade, 0.08), trunk_weights(figure, surface))


def _arm(who: Appearance, figure: Figure, spacing: float, side: float) -> list[Piece]:
    """Sleeve, what it leaves bare, and the hand."""
    j, upper = figure.joints, who.upper
    pieces = []
    reach = j.shoulder - j.wrist
    hem = j.shoulder - upper.sleeve * reach
    if upper.sleeve > 0:
        ease = upper.ease + (0.012 if upper.sleeve < 0.6 else 0.0)
        rows = figure.arm(side, ease)
        surface = tube(_cut([*rows, (j.wrist - 0.02, *rows[-1][1:])], max(hem, j.wrist - 0.005)), spacing)
        colour = dye(upper.cloth, surface, chest=j.shoulder - 0.12)
        if upper.cloth.pattern in ("logo", "print", "text"):
            colour = plain(surface, upper.cloth.colour)
        if upper.sleeves is not None:
            colour = plain(surface, upper.sleeves)
        colour[surface.points[:, 1] < hem + 0.012] *= 0.82
        wrinkle(surface, 0.32, upper.cloth.seed % 983 + int(side))
        pieces.append(Piece(surface, colour, arm_weights(figure, surface, side)))
    if upper.sleeve < 0.95:
        top = j.shoulder + 0.06 if upper.sleeve == 0 else hem + 0.03
        surface = tube(figure.arm(side), spacing)
        surface = surface.where(surface.points[:, 1] < top)
        pieces.append(Piece(surface, plain(surface, who.skin), arm_weights(figure, surface, side), 0.08))
    hand = tube(figure.hand(side), spacing)
    pieces.append(Piece(hand, plain(hand, who.skin), arm_weights(figure, hand, side), 0.08))
    return pieces


def _leg(who: Appearance, figure: Figure, spacing: float, side: float) -> list[Piece]:
    """Trouser leg or bare leg, and the sock."""
    j, lower = figure.joints, who.lower
    worn = who.upper.kind != "dress" and lower.kind != "skirt"
    length = lower.length if worn else 0.0
    hem = j.hip - length * (j.hip - j.ankle + 0.015)
    pieces = []
    if worn:
        flare = lower.ease
        rows = figure.leg(side, 0.006 if lower.kind != "leggings" else 0.001, flare)
        if lower.kind == "shorts":
            rows = [
                (y, x, z, rx + flare * min(1.0, 4 * (j.hip - y)), rz + flare * min(1.0, 4 * (j.hip - y)))
                for y, x, z, rx, rz in figure.leg(side, 0.004)
            ]
        rows.append((j.ankle - 0.06, *rows[-1][1:]))
        surface = tube(_cut(rows, hem), spacing)
        colour = dye(lower.cloth, surface, chest=j.knee)
        colour[surface.points[:, 1] < hem + 0.012] *= 0.8
        if lower.kind != "leggings":
            colour = folded(surface, colour, 0.06, lower.cloth.seed % 977 + int(side))
        wrinkle(surface, 0.28 if lower.kind != "leggings" else 0.10, lower.cloth.seed % 977 + int(side))
        pieces.append(Piece(surface, colour, leg_weights(figure, surface, side)))
    if length < 0.9:
        surface = tube(figure.leg(side), spacing)
        surface = surface.where(surface.points[:, 1] < (hem + 0.05 if worn else j.hip - 0.03))
        colour = plain(surface, lower.tights or who.skin)
        if lower.tights is None and who.shoes != "sandal":
            paint(colour, surface.points[:, 1] < j.ankle + (0.05 if who.shoes == "sneaker" else 0.10), who.socks)
        pieces.append(Piece(surface, colour, leg_weights(figure, surface, side), 0.08))
    return pieces


def _shoe(who: Appearance, figure: Figure, spacing: float, side: float) -> Piece:
    j = figure.joints
    k = figure.joints.height / 1.72
    x = side * (j.hip_x + 0.004)
    shaft = {"boot": 0.20, "sneaker": 0.012, "leather": 0.004, "sandal": -0.03}[who.shoes] * k
    wide = 1.12 if who.shoes in ("sneaker", "boot") else 1.0
    rows = [
        (j.ankle + shaft, x, -0.006, 0.044 * wide, 0.048),
        (j.ankle - 0.020, x, 0.010, 0.043 * wide, 0.062),
        (j.ankle - 0.038, x, 0.040 * k, 0.044 * wide, 0.105 * k),
        (0.026, x, 0.052 * k, 0.047 * wide, 0.134 * k),
        (0.008, x, 0.052 * k, 0.047 * wide, 0.137 * k),
        (0.000, x, 0.052 * k, 0.044 * wide, 0.130 * k),
    ]
    surface = tube(rows, spacing)
    colour = plain(surface, who.shoe_colour)
    y = surface.points[:, 1]
    if who.shoes == "sandal":
        paint(colour, (surface.points[:, 2] > 0.03) & ((surface.points[:, 2] * 30).astype(int) % 2 == 0), who.skin)
    paint(colour, y < (0.026 if who.shoes == "sneaker" else 0.014), who.sole)
    return Piece(
        surface, colour, leg_weights(figure, surface, side), 0.25 if who.shoes in ("leather", "boot") else 0.06
    )


def _below_belt(who: Appearance, figure: Figure, spacing: float) -> list[Piece]:
    """A skirt, or the seat of trousers."""
    j, lower = figure.joints, who.lower
    if lower.kind == "skirt":
        rows = [row for row in figure.trunk(0.008) if row[0] < j.waist + 0.03]
        bottom = j.hip - lower.length * (j.hip - j.ankle) * 0.9
        wide, deep, drop = rows[-1][3], rows[-1][4], j.hip - bottom
        rows += [
            (j.hip - s * drop, 0.0, -0.006, wide + 0.01 + lower.ease * s, deep + 0.012 + (lower.ease + 0.025) * s)
            for s in (0.3, 0.65, 1.0)
        ]
        surface = tube(_cut(rows, bottom), spacing)
        wrinkle(surface, 0.3, lower.cloth.seed % 971)
    else:
        surface = tube(figure.seat(0.002), spacing, square=0.9)
        wrinkle(surface, 0.12, lower.cloth.seed % 971)
    colour = dye(lower.cloth, surface, chest=j.knee)
    colour[surface.points[:, 1] > j.waist - 0.005] *= 0.55
    # What the upper piece covers would shine through it where both bend.
    bare = surface.points[:, 1] < j.hip + 0.065 - who.upper.hem
    surface, colour = surface.where(bare), colour[bare]
    return [Piece(surface, colour, trunk_weights(figure, surface))]
