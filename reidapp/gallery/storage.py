"""How much disk a gallery takes, and by that how much it will take for the footage that is to come."""

import shutil
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from reidapp.gallery import schema
from reidapp.gallery.store import Gallery

_LEAST_S = 60.0  # of footage: with less, what every gallery takes would count for too much
_HOUR_S = 3600.0


@dataclass(frozen=True)
class Storage:
    """
    Attributes:
        bytes: that the gallery takes, by part.
        free: bytes, on the disk that it lies on.
        footage_s, footage_bytes: of the videos that were indexed to their end, wherever they lie.
    """

    bytes: dict[str, int]
    free: int
    footage_s: float
    footage_bytes: int

    @property
    def per_hour(self) -> float | None:
        """Bytes that an hour of footage has taken so far; None where too little is indexed to tell."""
        grown = sum(size for part, size in self.bytes.items() if part != "models")
        return grown / self.footage_s * _HOUR_S if self.footage_s >= _LEAST_S else None

    @property
    def hours_left(self) -> float | None:
        """Hours of footage that what is free holds, at that rate; None where nothing is known of it."""
        return self.free / self.per_hour if self.per_hour else None


def storage(gallery: Gallery) -> Storage:
    """What a gallery takes now. Looks at every file of it: a second for some 100,000 crops."""
    video = schema.Video
    length, size = (func.coalesce(func.sum(column), 0) for column in (video.duration_s, video.size))
    with Session(gallery.engine) as session:
        footage_s, footage_bytes = session.execute(select(length, size).where(video.done, video.duration_s > 0)).one()
    return Storage(gallery.sizes(), shutil.disk_usage(gallery.path).free, float(footage_s), int(footage_bytes))
