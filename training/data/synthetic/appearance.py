"""Who somebody is, as data: build, hair, clothes, shoes and what they carry."""

from dataclasses import dataclass, replace

import numpy as np

from .palette import BAGS, GREY_HAIR, HAIR, LOWER, NAMED, RGB, SHOES, SKIN, UPPER, draw_named, draw_shade, vary
from .pose import Gait, draw_gait
from .seeds import weighted


@dataclass(frozen=True)
class Build:
    """Proportions; lengths in metres, girths as factors of an average person's."""

    height: float
    leg_share: float
    shoulders: float  # half width between the shoulder joints
    hips: float  # half width between the hip joints
    girth: float
    limbs: float
    belly: float
    head: float
    female: bool
    age: str  # child, adult, old


@dataclass(frozen=True)
class Cloth:
    """Colour and pattern of one piece; ``seed`` places the pattern."""

    name: str
    colour: RGB
    pattern: str
    second: RGB
    scale: float
    seed: int


@dataclass(frozen=True)
class Upper:
    """What is worn above.

    ``sleeve`` is 0 none … 1 to the wrist, ``hem`` metres below the belt line, ``ease`` metres of looseness.
    """

    kind: str
    cloth: Cloth
    sleeve: float
    hem: float
    ease: float
    open_front: bool
    inner: RGB
    sleeves: RGB | None  # of another colour than the rest
    collar: str  # round, deep, shirt, hood, high


@dataclass(frozen=True)
class Lower:
    """What is worn below: ``length`` 0 at the hip … 1 at the ankle, ``ease`` metres of looseness at the hem."""

    kind: str
    cloth: Cloth
    length: float
    ease: float
    tights: RGB | None


@dataclass(frozen=True)
class Appearance:
    """Everything that is seen of an identity and does not change between images."""

    build: Build
    gait: Gait
    skin: RGB
    hair: RGB
    hair_style: str
    beard: float  # 0 none … 1 full
    glasses: bool
    hat: str
    hat_colour: RGB
    upper: Upper
    lower: Lower
    shoes: str
    shoe_colour: RGB
    sole: RGB
    socks: RGB
    bag: str
    bag_colour: RGB
    bag_side: int  # +1 right, -1 left
    bag_size: float
    scarf: RGB | None
    seed: int

    def hand(self, side: int) -> str | None:
        """What the hand at this side (+1 right) must do because of what it carries; one of pose.ARMS."""
        if side != self.bag_side:
            return None
        return {"handbag": "hang", "carrier": "hang", "suitcase": "hang", "umbrella": "front"}.get(self.bag)


def draw_build(rng: np.random.Generator) -> Build:
    """Proportions of one person."""
    female = bool(rng.random() < 0.46)
    age = weighted(rng, {"child": 3, "adult": 89, "old": 8})
    height = float(np.clip(rng.normal(1.65 if female else 1.77, 0.065), 1.48, 1.98))
    if age == "child":
        height = float(rng.uniform(1.22, 1.5))
    girth = float(np.clip(rng.normal(0.98, 0.11) + max(0.0, rng.normal(-0.05, 0.14)), 0.8, 1.4))
    scale = height / 1.72
    return Build(
        height=height,
        leg_share=float(rng.normal(0.525, 0.012)),
        shoulders=scale * float(rng.normal(0.157 if female else 0.177, 0.009)) * (0.8 + 0.2 * girth),
        hips=scale * float(rng.normal(0.094 if female else 0.087, 0.005)) * (0.75 + 0.25 * girth),
        girth=girth,
        limbs=float(np.clip(0.45 + 0.55 * girth + rng.normal(0, 0.06), 0.78, 1.35)),
        belly=float(np.clip(rng.normal(0.0, 0.3) + 1.6 * (girth - 1.0), 0.0, 1.0)),
        head=float(rng.normal(1.0, 0.035)) * (1.72 / height) ** (0.6 if age == "child" else 0.0),
        female=female,
        age=age,
    )


def _draw_cloth(rng: np.random.Generator, weights: dict[str, int], patterns: dict[str, float]) -> Cloth:
    name, colour = draw_named(rng, weights)
    pattern = weighted(rng, patterns)
    second = vary(rng, NAMED[_contrast(rng, name)])
    return Cloth(name, colour, pattern, second, float(rng.uniform(0.7, 1.5)), int(rng.integers(1 << 31)))


def _contrast(rng: np.random.Generator, name: str) -> str:
    """Another colour that shows on this one."""
    base = np.array(NAMED[name])
    names = [other for other in UPPER if np.abs(np.array(NAMED[other]) - base).sum() > 0.6]
    return weighted(rng, {other: UPPER[other] for other in names})


UPPER_PATTERNS = {
    "plain": 36.0, "logo": 11.0, "print": 8.0, "text": 6.0, "stripes": 9.0, "plaid": 6.0, "blocks": 4.0, "band": 3.0,
    "denim": 3.0, "flowers": 4.0, "heather": 6.0, "dots": 3.0, "pinstripes": 3.0, "yoke": 4.0, "fade": 2.0,
    "halves": 1.0, "camouflage": 1.0,
}  # fmt: skip
LOWER_PATTERNS = {
    "plain": 74.0, "heather": 9.0, "camouflage": 2.0, "plaid": 3.0, "pinstripes": 2.0, "blocks": 2.0,
    "side stripe": 6.0,
}  # fmt: skip
SKIRT_PATTERNS = {"plain": 48.0, "pleats": 18.0, "flowers": 13.0, "dots": 6.0, "plaid": 9.0, "stripes": 6.0}


BAG_KINDS = {
    "none": 45.0, "backpack": 23.0, "shoulder": 10.0, "crossbody": 8.0, "handbag": 6.0, "carrier": 4.0, "suitcase": 2.0,
    "umbrella": 2.0,
}  # fmt: skip


def draw_upper(rng: np.random.Generator, female: bool) -> Upper:
    """One piece above the belt."""
    kind = weighted(
        rng,
        {
            "t-shirt": 40, "shirt": 17, "sweater": 10, "hoodie": 9, "jacket": 13, "coat": 5, "vest": 3,
            "dress": 11 if female else 0,
        },
    )  # fmt: skip
    patterns = dict(UPPER_PATTERNS)
    if kind in ("jacket", "coat"):
        patterns |= {"logo": 3, "print": 0, "text": 2, "plaid": 3, "stripes": 1, "flowers": 0, "dots": 0, "plain": 70}
    if kind == "dress":
        patterns |= {"logo": 0, "print": 0, "text": 0, "flowers": 16, "dots": 8, "yoke": 2, "fade": 4}
    if kind == "shirt":
        patterns |= {"plaid": 16, "pinstripes": 12, "logo": 0, "print": 2, "text": 0, "denim": 6}
    cloth = _draw_cloth(rng, UPPER, patterns)
    short = float(rng.uniform(0.28, 0.48))
    sleeve = {
        "t-shirt": short, "shirt": 1.0 if rng.random() < 0.6 else short, "sweater": 1.0, "hoodie": 1.0, "jacket": 1.0,
        "coat": 1.0, "vest": 0.0, "dress": float(rng.choice([0.0, 0.3, 0.5, 1.0])),
    }[kind]  # fmt: skip
    hem = {"coat": float(rng.uniform(0.18, 0.45)), "dress": float(rng.uniform(0.22, 0.62))}.get(
        kind, float(rng.uniform(-0.05, 0.09))
    )
    ease = {"coat": 0.024, "jacket": 0.022, "hoodie": 0.019, "sweater": 0.015, "vest": 0.005, "dress": 0.008}.get(
        kind, 0.011
    )
    collar = {"hoodie": "hood", "shirt": "shirt", "coat": "shirt", "jacket": "high"}.get(
        kind, weighted(rng, {"round": 7, "deep": 3})
    )
    return Upper(
        kind=kind,
        cloth=cloth,
        sleeve=sleeve,
        hem=hem,
        ease=ease * float(rng.uniform(0.7, 1.5)),
        open_front=bool(rng.random() < {"jacket": 0.45, "coat": 0.45, "shirt": 0.12, "hoodie": 0.2}.get(kind, 0.0)),
        inner=draw_named(rng, UPPER)[1],
        sleeves=cloth.second if kind in ("t-shirt", "sweater", "jacket") and rng.random() < 0.08 else None,
        collar=collar,
    )


def draw_lower(rng: np.random.Generator, female: bool) -> Lower:
    """One piece below the belt."""
    kind = weighted(
        rng,
        {"trousers": 37, "jeans": 30, "shorts": 22, "skirt": 18 if female else 0, "leggings": 9 if female else 1},
    )
    cloth = _draw_cloth(rng, LOWER, SKIRT_PATTERNS if kind == "skirt" else LOWER_PATTERNS)
    if kind == "jeans":
        name = weighted(rng, {"denim": 55, "light denim": 25, "navy": 10, "black": 10})
        cloth = replace(cloth, name=name, colour=vary(rng, NAMED[name]), pattern="denim")
    length = {"shorts": float(rng.uniform(0.33, 0.52)), "skirt": float(rng.uniform(0.3, 0.8))}.get(
        kind, float(rng.uniform(0.93, 1.0))
    )
    ease = {"leggings": 0.002, "skirt": float(rng.uniform(0.01, 0.07)), "shorts": float(rng.uniform(0.02, 0.05))}.get(
        kind, float(rng.uniform(0.012, 0.04))
    )
    bare = kind in ("skirt", "shorts")
    tights = draw_named(rng, LOWER)[1] if bare and female and rng.random() < 0.3 else None
    return Lower(kind, cloth, length, ease, tights)


def draw_appearance(rng: np.random.Generator) -> Appearance:
    """Everything about one identity."""
    build = draw_build(rng)
    female = build.female
    style = weighted(
        rng,
        {"bob": 20, "long": 34, "ponytail": 22, "bun": 12, "short": 8, "curly": 4}
        if female
        else {"short": 46, "buzz": 18, "side": 18, "bald": 8, "curly": 6, "long": 3, "bun": 1},
    )
    shoe_colour, bag_colour = (draw_named(rng, colours)[1] for colours in (SHOES, BAGS))
    upper = draw_upper(rng, female)
    hats = {"none": 84.0, "cap": 9.0, "beanie": 4.0, "brim": 3.0, "hood": 18.0 if upper.collar == "hood" else 0.0}
    return Appearance(
        build=build,
        gait=draw_gait(rng, build.age == "old"),
        skin=draw_shade(rng, SKIN),
        hair=draw_shade(rng, GREY_HAIR if build.age == "old" else HAIR),
        hair_style=style,
        beard=float(rng.uniform(0.4, 1.0)) if not female and rng.random() < 0.3 else 0.0,
        glasses=bool(rng.random() < 0.2),
        hat=weighted(rng, hats),
        hat_colour=draw_named(rng, BAGS)[1],
        upper=upper,
        lower=draw_lower(rng, female),
        shoes=weighted(rng, {"sneaker": 55, "leather": 22, "boot": 14, "sandal": 9}),
        shoe_colour=shoe_colour,
        sole=(0.85, 0.85, 0.83) if rng.random() < 0.5 else (0.12, 0.11, 0.10),
        socks=(0.85, 0.85, 0.84) if rng.random() < 0.5 else (0.13, 0.13, 0.14),
        bag=weighted(rng, BAG_KINDS),
        bag_colour=bag_colour,
        bag_side=int(rng.choice([-1, 1])),
        bag_size=float(rng.uniform(0.8, 1.2)),
        scarf=draw_named(rng, UPPER)[1] if rng.random() < 0.05 else None,
        seed=int(rng.integers(1 << 31)),
    )


def look_alike(rng: np.random.Generator, original: Appearance) -> Appearance:
    """Another person in the same kind and colour of clothes who still differs in at least two visible marks."""
    other = draw_appearance(rng)
    for _ in range(50):
        if other.build.female == original.build.female:
            break
        other = draw_appearance(rng)
    bag = other.bag
    if bag == original.bag:
        bag = "none" if original.bag != "none" else "backpack"
    hair = other.hair_style
    if hair == original.hair_style:
        hair = "ponytail" if original.build.female and hair != "ponytail" else ("side" if hair != "side" else "buzz")
    upper = replace(
        original.upper, cloth=replace(original.upper.cloth, colour=vary(rng, original.upper.cloth.colour, 0.06))
    )
    lower = replace(
        original.lower, cloth=replace(original.lower.cloth, colour=vary(rng, original.lower.cloth.colour, 0.06))
    )
    hat = "none" if other.hat == "hood" and upper.collar != "hood" else other.hat
    return replace(other, bag=bag, hair_style=hair, hat=hat, upper=upper, lower=lower)
