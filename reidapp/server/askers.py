"""Who asks, and what they may do and see."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from reidapp.errors import ReidappError

Role = Literal["viewer", "investigator", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)  # each may do what those before it may
HeadsRight = Literal["shown", "blurred"]
HEADS: tuple[HeadsRight, ...] = get_args(HeadsRight)


class RefusedError(ReidappError):
    """Whoever asks may not do this."""


@dataclass(frozen=True)
class Asker:
    """Somebody who asks.

    Attributes:
        name: stands beside what they leave behind.
        role: viewers look and search; investigators also judge, name and export; admins change the gallery.
        cameras: names of the cameras, or groups, that they may see; None: all.
        after, before: the time that they may see, UTC; None: no bound.
        id: what the log calls them; it says nothing of who they are.
        heads: whether they see heads as they are; None: as their role does.
    """

    name: str
    role: Role = "admin"
    cameras: frozenset[str] | None = None
    after: datetime | None = None
    before: datetime | None = None
    id: str = ""
    heads: HeadsRight | None = None

    def is_at_least(self, role: Role) -> bool:
        """Whether they may do what a role may. An admin who does not see all is an investigator: what admins do is done
        to all of a gallery."""
        if role == "admin" and not self.sees_all:
            return False
        return ROLES.index(self.role) >= ROLES.index(role)

    @property
    def sees_heads(self) -> bool:
        """Whether heads are shown to them, in the page and in what they export; else all are blurred, everywhere."""
        return self.is_at_least("investigator") if self.heads is None else self.heads == "shown"

    @property
    def sees_all(self) -> bool:
        """Whether they may see all cameras at all times."""
        return self.cameras is None and self.after is None and self.before is None
