"""Searches that are kept, to be run again: their pictures, filters and answers."""

from dataclasses import replace
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, Field

from reidapp.asking import keep
from reidapp.errors import UnknownError, UserError
from reidapp.gallery.facts import iso
from reidapp.gallery.saved_searches import SavedSearches, SavedSearchInfo
from reidapp.server.access import Desk, Investigator, Viewer
from reidapp.server.media import send_saved_picture
from reidapp.server.routes import _seen
from reidapp.server.routes._shared import Done, Model, Name, NameInPath, file_of
from reidapp.server.routes.search import Tracklets, judged

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
    clear: Tracklets = Field([], description="Take back what was said of these.")


@router.get("")
def saved_searches(desk: Viewer) -> SavedSearchList:
    """All, by name."""
    return SavedSearchList(searches=[_told(desk, each) for each in _seen.saved_searches(desk)])


@router.post("", status_code=201)
def save_search(desk: Investigator, wanted: ToSave) -> SavedSearch:
    """Keep a search that was made, under a name."""
    kept = desk.own(desk.service.searches, wanted.search)
    cameras = None if kept.cameras is None else list(kept.cameras)
    limits = {"cameras": cameras, "after": iso(kept.after), "before": iso(kept.before)}
    filters = {key: value for key, value in limits.items() if value is not None}
    question = replace(kept.question, save=wanted.name, filters=filters)
    if question.saved:
        raise UserError(f'this search is saved as "{question.saved}" already, and answers are kept there')
    keep(desk.gallery, question, question.crops, desk.asker.name)
    return _told(desk, _searches(desk).get(wanted.name))


@router.get("/{name:path}/pictures/{number}", response_class=Response, **file_of("image/webp"))
def saved_picture(desk: Viewer, name: NameInPath, number: int) -> Response:
    """A picture that the search asks with, from 0."""
    pictures = _seen.saved_search(desk, name).pictures
    if not 0 <= number < len(pictures):
        raise UnknownError(f'saved search "{name}": it has no picture {number}')
    return send_saved_picture(desk, name, pictures[number])


@router.get("/{name:path}")
def saved_search(desk: Viewer, name: NameInPath) -> SavedSearch:
    """One of them."""
    return _told(desk, _seen.saved_search(desk, name))


@router.post("/{name:path}/answers")
def answer_saved_search(desk: Investigator, name: NameInPath, answers: Answers) -> SavedSearch:
    """Keep what was seen in hits; P(match) can be calibrated by it."""
    _seen.saved_search(desk, name)
    searches, (yes, no, clear) = _searches(desk), judged(desk, answers.yes, answers.no, answers.clear)
    searches.answer(name, yes, no, clear)
    return _told(desk, searches.get(name))


@router.delete("/{name:path}")
def delete_saved_search(desk: Investigator, name: NameInPath) -> Done:
    """Forget a search, its pictures and its answers."""
    _seen.saved_search(desk, name)
    desk.note("delete", what="saved search", name=name)
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
