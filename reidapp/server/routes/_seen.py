"""What users have made of a gallery (names, saved searches, cases), as far as an asker may see it.

Who sees all of the gallery sees all of it. Others see a name or a case that they made themselves or in which is
something that they may see, and of it that; saved searches, whose pictures may be of anything, only if they made them.
What would show or change more than that is refused. Lists of known names, as errors have them, are for those who see
all.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from reidapp.errors import UnknownError
from reidapp.gallery.cases import CaseHit, CaseInfo, Cases
from reidapp.gallery.identities import Identities, IdentityInfo, Judged
from reidapp.gallery.saved_searches import SavedSearches, SavedSearchInfo
from reidapp.server.access import Desk
from reidapp.server.askers import RefusedError

Info = TypeVar("Info")
Seen = TypeVar("Seen")


def identity(desk: Desk, name: str, whole: bool = False) -> IdentityInfo:
    """A named person.

    Args:
        whole: it is to be changed, so all of it has to be visible.

    Raises:
        UnknownError: nothing of it may be seen, or there is none.
        RefusedError: only a part may be seen.
    """
    people = Identities(desk.gallery, desk.asker.name)
    if desk.asker.sees_all:
        return people.show(name)
    info, seen = _known(f'identity "{name}"', lambda: people.show(name), lambda info: identity_part(desk, info))
    if whole and len(seen.judged) < len(info.judged):
        raise RefusedError(f'identity "{name}": has tracklets that you may not see, so others have to change it')
    return seen


def identity_part(desk: Desk, info: IdentityInfo) -> IdentityInfo | None:
    """What of a named person may be seen; None: nothing."""
    if desk.asker.sees_all:
        return info
    seen = [part for each in info.judged if (part := _judged_part(desk, each))]
    return replace(info, judged=seen) if seen or info.by == desk.asker.name else None


def _judged_part(desk: Desk, judged: Judged) -> Judged | None:
    try:
        info = desk.tracklet(judged.tracklet)
    except UnknownError:
        return None
    if not judged.start:
        return judged
    return replace(judged, start=info.start, end=info.end, crop=info.best_shot.id if info.best_shot else None)


def saved_search(desk: Desk, name: str) -> SavedSearchInfo:
    """
    Raises:
        UnknownError: it may not be seen, or there is none.
    """
    searches = SavedSearches(desk.gallery, desk.asker.name)
    if desk.asker.sees_all:
        return searches.get(name)
    for info in saved_searches(desk):
        if info.name == name:
            return info
    raise UnknownError(f'saved search "{name}" is not in this gallery')


def saved_searches(desk: Desk) -> list[SavedSearchInfo]:
    """Those that may be seen, by name."""
    found = SavedSearches(desk.gallery, desk.asker.name).all()
    return [info for info in found if desk.asker.sees_all or info.by == desk.asker.name]


def case(desk: Desk, name: str, whole: bool = False) -> tuple[CaseInfo, list[CaseHit]]:
    """A case and its hits; arguments and errors as for `identity`."""
    cases = Cases(desk.gallery, desk.asker.name)
    if desk.asker.sees_all:
        return cases.get(name), cases.hits(name)
    info, seen = _known(f'case "{name}"', lambda: cases.get(name), lambda info: case_part(desk, info))
    if whole and len(seen[1]) < info.hits:
        raise RefusedError(f'case "{name}": has hits that you may not see, so others have to change it')
    return seen


def case_part(desk: Desk, info: CaseInfo) -> tuple[CaseInfo, list[CaseHit]] | None:
    """What of a case may be seen; None: nothing."""
    seen = [part for hit in Cases(desk.gallery, desk.asker.name).hits(info.name) if (part := _part(desk, hit))]
    mine = bool(seen) or info.by == desk.asker.name
    return (replace(info, hits=len(seen)), seen) if mine else None


def _known(what: str, find: Callable[[], Info], part: Callable[[Info], Seen | None]) -> tuple[Info, Seen]:
    """All of something, and what of it may be seen.

    Raises:
        UnknownError: that is nothing, or it is not there; in words that do not say which, nor what else there is.
    """
    with suppress(UnknownError):
        info = find()
        if (seen := part(info)) is not None:
            return info, seen
    raise UnknownError(f"{what} is not in this gallery")


def _part(desk: Desk, hit: CaseHit) -> CaseHit | None:
    info = desk.part(hit.info)
    if info is None:
        return None
    if all(crop.id != hit.crop for crop in info.crops):
        return replace(hit, info=info, crop=info.best_shot.id if info.best_shot else None)
    return replace(hit, info=info)
