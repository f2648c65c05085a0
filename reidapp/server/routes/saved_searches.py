"""Searches that are kept, to be run again: their pictures, filters and answers."""

from dataclasses import replace
from typing import Any

from fastapi import APIRouter
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from reidapp.errors import UnknownError, UserError
from reidapp.gallery.queries import first_pieces
from reidapp.gallery.saved_searches import SavedSearches, SavedSearchInfo
from reidapp.gallery.store import iso
from reidapp.server.access import Desk, Investigator, Viewer
from reidapp.server.media import send_file
from reidapp.server.routes._shared import Done, Model, Name, NameInPath, file_of
from reidapp.server.routes.search import Tracklets

router = APIRouter(prefix="/saved-searches", tags=["saved searches"])


class SavedSearch(BaseModel):
    """A search as it was saved, less what was deleted since. Run it by POST /search with `saved`."""

    name: str
    by: str
    at: str
    pictures: list[str] = Field(description="URLs of the crops of the person.")
    tracklets: list[str]
    identity: str | None
    filters: dict[str, Any]
    yes: list[str]
    no: list[str]


class SavedSearchList(BaseModel):
    searches: list[SavedSearch]


class ToSave(Model):
    name: Name
    search: str = Field(pattern="^[A-Za-z0-9_-]{1,64}$", description="Id of a search that was made, with its answers.")


class Answers(Model):
    yes: Tracklets = Field([])
    no: Tracklets = Field([])


@router.get("")
def saved_searches(desk: Viewer) -> SavedSearchList:
    """All, by name."""
    return SavedSearchList(searches=[_told(desk, each) for each in _searches(desk).all()])


@router.post("", status_code=201)
def save_search(desk: Investigator, wanted: ToSave) -> SavedSearch:
    """Keep a search that was made, under a name."""
    kept = desk.service.searches.get(wanted.search)
    limits = {"cameras": list(kept.cameras or ()), "after": iso(kept.after), "before": iso(kept.before)}
    question = replace(kept.question, save=wanted.name, filters={key: value for key, value in limits.items() if value})
    if question.saved:
        raise UserError(f'this search is saved as "{question.saved}" already, and answers are kept there')
    desk.service.find(replace(kept, question=question), desk.asker.name)
    return _told(desk, _searches(desk).get(wanted.name))


@router.get("/{name:path}/pictures/{number}", response_class=FileResponse, **file_of("image/webp"))
def saved_picture(desk: Viewer, name: NameInPath, number: int) -> FileResponse:
    """A picture that the search asks with, from 0."""
    pictures = _searches(desk).get(name).pictures
    if not 0 <= number < len(pictures):
        raise UnknownError(f'saved search "{name}": it has no picture {number}')
    return send_file(pictures[number], "image/webp", "private, no-cache")


@router.get("/{name:path}")
def saved_search(desk: Viewer, name: NameInPath) -> SavedSearch:
    """One of them."""
    return _told(desk, _searches(desk).get(name))


@router.post("/{name:path}/answers")
def answer_saved_search(desk: Investigator, name: NameInPath, answers: Answers) -> SavedSearch:
    """Keep what was seen in hits; P(match) can be calibrated by it."""
    searches, said = _searches(desk), []
    for tracklets in (answers.yes, answers.no):
        for tracklet in tracklets:
            desk.tracklet(tracklet)
        said.append(list(first_pieces(desk.gallery, tracklets).values()))
    if both := {*said[0]} & {*said[1]}:
        raise UserError(f"tracklet {min(both)}: both yes and no; say one of them")
    searches.answer(name, *said)
    return _told(desk, searches.get(name))


@router.delete("/{name:path}")
def delete_saved_search(desk: Investigator, name: NameInPath) -> Done:
    """Forget a search, its pictures and its answers."""
    _searches(desk).delete(name)
    return Done(done=[f'saved search "{name}" is forgotten'])


def _searches(desk: Desk) -> SavedSearches:
    return SavedSearches(desk.gallery, desk.asker.name)


def _told(desk: Desk, info: SavedSearchInfo) -> SavedSearch:
    asker = desk.asker

    def seen(tracklets: list[str]) -> list[str]:
        return tracklets if asker.sees_all else [id_ for id_ in tracklets if desk.sees(id_)]

    urls = [desk.url("saved-searches", info.name, "pictures", number) for number in range(len(info.pictures))]
    ids = {key: seen(getattr(info, key)) for key in ("tracklets", "yes", "no")}
    return SavedSearch(**{**vars(info), "pictures": urls, **ids})
