"""How numbers are put into words."""


def counted(number: int, thing: str) -> str:
    """``1 video``, ``2,000 videos``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def counts(**numbers: int) -> str:
    """``counts(video=1, crop=5)``: ``1 video, 5 crops``."""
    return ", ".join(counted(number, thing) for thing, number in numbers.items())
