"""What a gallery knows of files: by path, size and date, or by their content."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from reidapp.files import fingerprint
from reidapp.footage.sources import Source
from reidapp.gallery import schema
from reidapp.gallery.store import Gallery

State = Literal["indexed", "deleted"]


@dataclass(frozen=True)
class Known:
    """
    Attributes:
        done: see `Gallery.files_done`.
        deleted: see `Gallery.deleted`.
    """

    done: Mapping[tuple[str, int, int], str] = field(default_factory=dict)
    deleted: Collection[str] = ()

    @classmethod
    def to(cls, gallery: Gallery) -> "Known":
        return cls(gallery.files_done(), gallery.deleted())

    def state(self, source: Source, by_content: bool = False) -> State | None:
        """``indexed`` to its end; ``deleted`` from the gallery, so that it stays out; None for what is new.

        Args:
            by_content: open it, if it is not known by its path: it may have been moved, touched or copied.

        Raises:
            OSError: it cannot be read.
        """
        found = str(source.path), source.size, source.mtime_ns
        if found in self.done:
            return "indexed"
        if schema.identifier(*found) in self.deleted:
            return "deleted"
        if not by_content or not (self.done or self.deleted):
            return None
        id_ = fingerprint(source.path, source.size)
        return "indexed" if id_ in self._ids else "deleted" if id_ in self.deleted else None

    @cached_property
    def _ids(self) -> frozenset[str]:
        return frozenset(self.done.values())


NOTHING = Known()  # to a gallery that is still to be made
