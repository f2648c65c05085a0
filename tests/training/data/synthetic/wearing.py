"""What a witness would say of somebody."""

from training.data.synthetic.appearance import Appearance


def outfit(who: Appearance) -> tuple[str, str, str, str]:
    """Kind and colour of what is worn above and below."""
    return who.upper.kind, who.upper.cloth.name, who.lower.kind, who.lower.cloth.name


def marks(who: Appearance) -> dict[str, str]:
    """What tells two people in the same outfit apart."""
    return {
        "bag": who.bag,
        "hat": who.hat,
        "hair": who.hair_style,
        "shoes": who.shoes,
        "pattern": who.upper.cloth.pattern,
    }
