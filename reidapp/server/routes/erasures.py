"""Erasing a person or a period for good, and what says that it was done."""

from fastapi import APIRouter, Request
from pydantic import AwareDatetime, BaseModel, Field

from reidapp.errors import UnknownError
from reidapp.gallery import erasure
from reidapp.gallery.deletion import Selection
from reidapp.gallery.erasure import Subject
from reidapp.server.access import Admin, Desk
from reidapp.server.job_commands import erase_command
from reidapp.server.jobs import new_id
from reidapp.server.routes._shared import Model, Name, TrackletId, Utc, jobs_of
from reidapp.server.routes.jobs import Job, told

router = APIRouter(tags=["erasures"])


class ToErase(Model):
    """An identity, or tracklets, or what a camera has seen until a time (or ever), or all of them until a time."""

    identity: Name | None = Field(None, description="A person's name.")
    tracklets: list[TrackletId] = Field([], max_length=1000)
    camera: Name | None = None
    before: AwareDatetime | None = None


class Erasable(BaseModel):
    """What would go. Names, in the identities' log and in texts, go with the identity."""

    videos: int
    tracklets: int
    crops: int
    vectors: int
    said: int = Field(description="Users' yes and no, and hits in cases.")
    identities: int = Field(description="The person, and those who were merged into them.")
    searches: int = Field(description="Saved ones that ask for them.")
    texts: int = Field(description="Names of cases and searches, and notes, in which a name of theirs stands.")
    cameras: list[str]
    first: Utc | None
    last: Utc | None


class Erasure(BaseModel):
    """What stays: that it was done."""

    id: str
    at: str
    by: str = Field(description="The account's id in the log; empty where there was no log.")
    kind: str = Field(description="identity, tracklets or footage.")
    counts: dict[str, int]
    ended: str | None = Field(description="null: it was broken off, and the next erasure finishes it.")


class ErasureList(BaseModel):
    erasures: list[Erasure]


@router.get("/erasures")
def erasures(desk: Admin) -> ErasureList:
    """All that were done, the latest first."""
    return ErasureList(erasures=[Erasure(**each.to_dict()) for each in erasure.tombstones(desk.gallery)])


@router.post("/erasure-plans")
def plan_erasure(desk: Admin, wanted: ToErase) -> Erasable:
    """What an erasure would take out. Nothing is changed."""
    return Erasable(**erasure.planned(desk.gallery, _subject(desk, wanted)).to_dict())


@router.post("/erasures", status_code=202)
def erase(desk: Admin, request: Request, wanted: ToErase) -> Job:
    """Erase, for good, and look into every byte of the gallery for what is left; the job's result says what was found.

    Jobs that have exported cases are forgotten, with their archives, and so are query pictures of the last minutes.
    """
    subject, id_ = _subject(desk, wanted), new_id()
    if not erasure.planned(desk.gallery, subject):
        raise UnknownError("erase: there is nothing of that")
    command = erase_command(desk.gallery, subject)
    desk.note("erased", what=subject.kind, job=id_)
    jobs_of(request).forget(desk.gallery.path, {"export"})
    desk.service.forget()
    asked = {"what": subject.kind}  # and not whom, which would be kept for as long as the server runs
    return told(desk, jobs_of(request).begin("erase", desk.gallery.path, desk.asker.name, asked, command, id_))


def _subject(desk: Desk, wanted: ToErase) -> Subject:
    """An identity by its id, since other accounts of the machine can read a command's arguments."""
    seen = wanted.tracklets or wanted.camera or wanted.before
    selection = Selection(None, wanted.camera, None, wanted.before, wanted.tracklets) if seen else None
    identity = erasure.identity_id(desk.gallery, wanted.identity) if wanted.identity else None
    return Subject(identity, selection)
