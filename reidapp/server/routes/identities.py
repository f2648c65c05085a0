"""People whom users have named: which tracklets show them. Every action can be undone."""

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from reidapp.gallery.identities import Identities
from reidapp.server.access import Desk, Investigator, Viewer
from reidapp.server.routes import _seen
from reidapp.server.routes._shared import Done, Model, Name, NameInPath, TrackletId, Utc

router = APIRouter(tags=["identities"])


class Judged(BaseModel):
    """A tracklet that somebody judged, and its best shot; what the gallery knows of it is null once it is gone."""

    tracklet: str
    verdict: Literal["yes", "no"]
    by: str
    at: str
    camera: str | None
    zone: str | None
    video: str | None
    start: Utc | None
    end: Utc | None
    crop: str | None
    thumbnail: str | None
    url: str


class Identity(BaseModel):
    """A named person, and how many tracklets show them, or do not."""

    name: str
    by: str
    at: str
    yes: int
    no: int


class IdentityWithTracklets(Identity):
    tracklets: list[Judged]


class IdentityList(BaseModel):
    identities: list[Identity]


class NewIdentity(Model):
    name: Name
    tracklets: list[TrackletId] = Field([], max_length=1000, description="That show the person.")


class Rename(Model):
    name: Name


class Verdicts(Model):
    tracklets: Annotated[list[TrackletId], Field(min_length=1, max_length=1000)]
    verdict: Literal["yes", "no"] | None = Field("yes", description="null takes back what was said.")


class Merge(Model):
    into: Name = Field(description="Who it is the same person as; this name stays.")


class Times(Model):
    count: int = Field(1, ge=1, le=1000)


class Action(BaseModel):
    """A line of the log. Undone: it does not count at present."""

    id: int
    at: str
    by: str
    told: str
    undone: bool


class ActionList(BaseModel):
    actions: list[Action]


@router.get("/identities")
def identities(desk: Viewer) -> IdentityList:
    """All named people."""
    found = (_seen.identity_part(desk, each) for each in _identities(desk).all())
    return IdentityList(identities=[Identity(**each.to_dict()) for each in found if each])


@router.post("/identities", status_code=201)
def new_identity(desk: Investigator, new: NewIdentity) -> IdentityWithTracklets:
    """Name a person."""
    _check_seen(desk, new.tracklets)
    _identities(desk).new(new.name, new.tracklets)
    return _told(desk, new.name)


@router.get("/identities/{name:path}")
def identity(desk: Viewer, name: NameInPath) -> IdentityWithTracklets:
    """A person's tracklets: where and when, and who said so."""
    return _told(desk, name)


@router.patch("/identities/{name:path}")
def rename_identity(desk: Investigator, name: NameInPath, to: Rename) -> IdentityWithTracklets:
    """Call a person by another name."""
    _seen.identity(desk, name, whole=True)
    _identities(desk).rename(name, to.name)
    return _told(desk, to.name)


@router.delete("/identities/{name:path}")
def delete_identity(desk: Investigator, name: NameInPath) -> Done:
    """Take a name away; the tracklets stay."""
    _seen.identity(desk, name, whole=True)
    desk.note("delete", what="identity", name=name)
    return Done(done=[_identities(desk).delete(name)])


@router.post("/identities/{name:path}/tracklets")
def judge(desk: Investigator, name: NameInPath, verdicts: Verdicts) -> IdentityWithTracklets:
    """Say that tracklets show a person, or that they don't, or take it back."""
    _seen.identity(desk, name)
    _check_seen(desk, verdicts.tracklets)
    if verdicts.verdict is None:
        _identities(desk).remove(name, verdicts.tracklets)
    else:
        _identities(desk).add(name, verdicts.tracklets, verdicts.verdict)
    return _told(desk, name)


@router.post("/identities/{name:path}/merge")
def merge(desk: Investigator, name: NameInPath, merge: Merge) -> IdentityWithTracklets:
    """Two names are one person's."""
    for each in (name, merge.into):
        _seen.identity(desk, each, whole=True)
    _identities(desk).merge(name, merge.into)
    return _told(desk, merge.into)


@router.post("/identities/{name:path}/unmerge")
def unmerge(desk: Investigator, name: NameInPath) -> Done:
    """Take the last merge into a person apart; what was said since then stays."""
    _seen.identity(desk, name, whole=True)
    return Done(done=[_identities(desk).unmerge(name)])


@router.get("/identity-actions")
def identity_actions(desk: Viewer) -> ActionList:
    """All that was done to identities, when and by whom; who may not see all of the gallery sees what they did."""
    log = [each for each in _identities(desk).log() if desk.asker.sees_all or each.by == desk.asker.name]
    return ActionList(actions=[Action(**each.to_dict()) for each in log])


@router.post("/identity-actions/undo")
def undo(desk: Investigator, times: Times) -> Done:
    """Undo the last actions, whoever did them; who may not see all of the gallery undoes their own."""
    return Done(done=_identities(desk).undo(times.count, own=not desk.asker.sees_all))


@router.post("/identity-actions/redo")
def redo(desk: Investigator, times: Times) -> Done:
    """Do again what was undone last."""
    return Done(done=_identities(desk).redo(times.count, own=not desk.asker.sees_all))


def _identities(desk: Desk) -> Identities:
    return Identities(desk.gallery, desk.asker.name)


def _check_seen(desk: Desk, tracklets: list[str]) -> None:
    if not desk.asker.sees_all:  # those that are gone from the gallery may be taken back
        for tracklet in tracklets:
            desk.tracklet(tracklet)


def _told(desk: Desk, name: str) -> IdentityWithTracklets:
    info = _seen.identity(desk, name)
    judged = [
        Judged(
            **vars(each),
            thumbnail=desk.url("crops", each.crop) if each.crop else None,
            url=desk.url("tracklets", each.tracklet),
        )
        for each in info.judged
    ]
    return IdentityWithTracklets(**info.to_dict(), tracklets=judged)
