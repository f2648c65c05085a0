"""The disk: what the gallery takes of it, and what is left."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from reidapp.gallery.storage import storage
from reidapp.server.access import Admin

router = APIRouter(tags=["storage"])


class Storage(BaseModel):
    """What the gallery takes on its disk. All sizes in bytes."""

    bytes: dict[str, int] = Field(description="By part: database, crops, vectors, models.")
    free: int
    per_hour: float | None = Field(
        description="Taken so far by an hour of footage; null where less than a minute is indexed."
    )
    hours_left: float | None = Field(
        description="Of footage, all cameras together, that what is free will hold at that rate; null without one."
    )
    footage_s: float = Field(description="Seconds of the videos that are indexed to their end.")
    footage_bytes: int = Field(description="Size of those videos' own files.")


@router.get("/storage")
def disk(desk: Admin) -> Storage:
    """What the gallery takes on its disk, what is left there, and what an hour of footage has taken so far."""
    found = storage(desk.gallery)
    return Storage(**vars(found), per_hour=found.per_hour, hours_left=found.hours_left)
