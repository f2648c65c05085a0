"""How long a gallery keeps what was seen."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from reidapp.gallery.deletion import outdated, planned, retention, set_retention
from reidapp.server.access import Admin, Desk
from reidapp.server.routes._shared import Model

router = APIRouter(prefix="/retention", tags=["retention"])


class Retention(BaseModel):
    days: int | None = Field(description="null: for ever.")
    outdated: int = Field(description="Tracklets that are older; the server deletes them within the hour.")


class ToKeep(Model):
    days: int | None = Field(ge=1, le=36_500, description="null: for ever.")


@router.get("")
def kept(desk: Admin) -> Retention:
    """For how many days the gallery keeps what was seen."""
    return _told(desk)


@router.put("")
def keep(desk: Admin, wanted: ToKeep) -> Retention:
    """Keep what was seen for so many days; within the hour a job deletes what is older, and so does each indexing."""
    desk.note("change", what="retention")
    set_retention(desk.gallery, wanted.days)
    return _told(desk)


def _told(desk: Desk) -> Retention:
    older = outdated(desk.gallery)
    return Retention(days=retention(desk.gallery), outdated=planned(desk.gallery, older).tracklets if older else 0)
