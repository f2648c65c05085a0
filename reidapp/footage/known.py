"""What a gallery knows of files by path, size and date, without opening them.

A file that was moved or touched since is unknown here; by its content indexing knows it all the same.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

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

    done: Collection[tuple[str, int, int]] = ()
    deleted: Collection[str] = ()

    @classmethod
    def to(cls, gallery: Gallery) -> "Known":
        return cls(gallery.files_done(), gallery.deleted())

    def state(self, source: Source) -> State | None:
        """``indexed`` to its end; ``deleted`` from the gallery, so that it stays out; None for what is new."""
        found = str(source.path), source.size, source.mtime_ns
        if found in self.done:
            return "indexed"
        return "deleted" if schema.identifier(*found) in self.deleted else None


NOTHING = Known()  # to a gallery that is still to be made
