"""Names that users give: what they may be, and what is said of one that is not there."""

from collections.abc import Iterable

from reidapp.errors import UserError
from reidapp.registry import suggestion


def not_there(what: str, name: str, known: Iterable[str]) -> str:
    """An error's text for a name that nothing has: with the nearest one, and all that there are.

    Args:
        what: kind of thing, such as camera.
    """
    names = sorted(known)
    return f'{what} "{name}" is not in this gallery{suggestion(name, names)}; known: {", ".join(names) or "none"}'


def check_name(what: str, name: str) -> None:
    """Refuse a name that nobody could type again.

    Args:
        what: it is the name of.

    Raises:
        UserError: it has no letter, or a blank at one of its ends.
    """
    if not name.strip() or name != name.strip():
        raise UserError(f'{what} "{name}": a name needs a letter, and no blank at its ends')
