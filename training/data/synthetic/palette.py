"""Colours of clothes, skin, hair and shoes, as often as one sees them in the street (sRGB 0..1)."""

import numpy as np

from .seeds import weighted

RGB = tuple[float, float, float]

NAMED: dict[str, RGB] = {
    "white": (0.90, 0.90, 0.88),
    "black": (0.07, 0.07, 0.08),
    "dark grey": (0.21, 0.21, 0.22),
    "grey": (0.45, 0.45, 0.46),
    "light grey": (0.68, 0.68, 0.68),
    "navy": (0.10, 0.13, 0.27),
    "blue": (0.14, 0.28, 0.60),
    "light blue": (0.52, 0.68, 0.85),
    "denim": (0.22, 0.30, 0.44),
    "light denim": (0.45, 0.55, 0.68),
    "red": (0.70, 0.12, 0.13),
    "wine": (0.36, 0.09, 0.15),
    "pink": (0.86, 0.56, 0.63),
    "orange": (0.86, 0.45, 0.13),
    "yellow": (0.89, 0.77, 0.20),
    "green": (0.16, 0.46, 0.25),
    "olive": (0.33, 0.35, 0.19),
    "mint": (0.58, 0.79, 0.68),
    "teal": (0.09, 0.43, 0.46),
    "purple": (0.40, 0.22, 0.50),
    "lilac": (0.68, 0.59, 0.78),
    "beige": (0.77, 0.69, 0.55),
    "khaki": (0.56, 0.50, 0.36),
    "brown": (0.35, 0.23, 0.15),
    "tan": (0.62, 0.44, 0.27),
}

UPPER = {
    "white": 21, "black": 16, "dark grey": 7, "grey": 8, "navy": 6, "blue": 6, "light grey": 6, "light blue": 6,
    "red": 7, "beige": 5, "wine": 2, "pink": 3, "orange": 2, "yellow": 3, "green": 4, "olive": 3, "mint": 2, "teal": 2,
    "purple": 2, "lilac": 1, "khaki": 2, "brown": 3, "tan": 2, "denim": 3,
}  # fmt: skip
LOWER = {
    "black": 26, "denim": 15, "dark grey": 10, "navy": 10, "grey": 7, "light denim": 9, "khaki": 7, "beige": 6,
    "white": 4, "brown": 3, "olive": 2, "red": 1, "light grey": 3, "blue": 2, "pink": 1, "tan": 1, "wine": 1,
    "green": 1,
}  # fmt: skip
SHOES = {
    "black": 32, "white": 24, "brown": 12, "dark grey": 11, "grey": 8, "tan": 5, "navy": 4, "red": 2, "blue": 2,
    "beige": 4,
}  # fmt: skip
BAGS = {
    "black": 40, "dark grey": 12, "navy": 10, "brown": 9, "tan": 6, "grey": 6, "red": 4, "blue": 4, "beige": 4,
    "green": 2, "olive": 3, "pink": 2, "white": 3, "wine": 2, "yellow": 1, "orange": 1,
}  # fmt: skip
HAIR: dict[RGB, int] = {
    (0.05, 0.045, 0.04): 46,
    (0.13, 0.09, 0.06): 28,
    (0.26, 0.17, 0.10): 13,
    (0.46, 0.33, 0.18): 7,
    (0.66, 0.53, 0.32): 5,
    (0.40, 0.17, 0.08): 2,
}
GREY_HAIR: dict[RGB, int] = {(0.30, 0.29, 0.28): 4, (0.55, 0.54, 0.53): 5, (0.80, 0.79, 0.77): 4}
SKIN: dict[RGB, int] = {
    (0.84, 0.68, 0.59): 30,
    (0.79, 0.62, 0.51): 32,
    (0.72, 0.54, 0.43): 20,
    (0.60, 0.43, 0.33): 9,
    (0.49, 0.34, 0.26): 5,
    (0.36, 0.25, 0.19): 4,
}


def vary(rng: np.random.Generator, colour: RGB, amount: float = 0.22) -> RGB:
    """The colour, lighter or darker and slightly turned in hue."""
    light = float(rng.uniform(1 - amount, 1 + amount))
    tint = rng.normal(1.0, 0.05, 3)
    lift = float(rng.uniform(0.0, 0.03))
    r, g, b = (
        float(np.clip(value * light * shift + lift, 0.02, 0.97)) for value, shift in zip(colour, tint, strict=True)
    )
    return r, g, b


def draw_named(rng: np.random.Generator, weights: dict[str, int]) -> tuple[str, RGB]:
    """A colour's name and one shade of it."""
    name = weighted(rng, weights)
    return name, vary(rng, NAMED[name])


def draw_shade(rng: np.random.Generator, weights: dict[RGB, int]) -> RGB:
    """One shade of a colour without a name (skin, hair)."""
    return vary(rng, weighted(rng, weights), 0.10)
