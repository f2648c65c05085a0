"""The galleries of one server."""

import itertools
from collections.abc import Iterator, Sequence

from sqlalchemy.exc import SQLAlchemyError

from reidapp.errors import ReidappError, UnknownError
from reidapp.registry import suggestion
from reidapp.server.service import SearchService

UNREADABLE = (ReidappError, SQLAlchemyError, OSError)  # what reading a gallery fails by


class Galleries:
    """Services by the names of their galleries' folders; the first is meant where no name is said.

    A name that was given already gets a number: ``gallery``, ``gallery-2``.
    """

    def __init__(self, services: Sequence[SearchService]) -> None:
        self._services: dict[str, SearchService] = {}
        for service in services:
            base = service.gallery.path.resolve().name
            names = itertools.chain([base], (f"{base}-{number}" for number in itertools.count(2)))
            self._services[next(name for name in names if name not in self._services)] = service

    @property
    def names(self) -> list[str]:
        """The default one first."""
        return list(self._services)

    @property
    def default(self) -> SearchService:
        """The one that is meant where no name is said."""
        return next(iter(self._services.values()))

    def __iter__(self) -> Iterator[tuple[str, SearchService]]:
        return iter(self._services.items())

    def named(self, name: str | None) -> SearchService:
        """One of them; the default one for None.

        Raises:
            UnknownError: there is none of this name.
        """
        if name is None:
            return self.default
        if name not in self._services:
            raise UnknownError(f'gallery "{name}" is not served here{suggestion(name, self.names)}')
        return self._services[name]
