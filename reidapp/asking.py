"""A search as users ask for it: pictures, tracklets, an identity or a saved search, refined by answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from reidapp.embedding import Embeds
from reidapp.errors import UserError
from reidapp.footage.detection import Detector
from reidapp.gallery.identities import Identities
from reidapp.gallery.pieces import first_pieces
from reidapp.gallery.queries import Asked, asked, tracklets_of_shots
from reidapp.gallery.saved_searches import SavedSearches
from reidapp.gallery.store import Gallery
from reidapp.imaging import read_image
from reidapp.query import QueryCrop, embed_crops, query_crop
from reidapp.query_quality import QueryWarning


@dataclass(frozen=True)
class Question:
    """What a user asks with; several kinds together make one query.

    Attributes:
        person: see `reidapp.query.QueryImage.crop`.
        tracklets: ids, or their beginnings.
        identity: a name; its tracklets ask, and those that were judged are no hits.
        saved: name of a saved search, whose answers count too, and to which `keep` adds the new ones.
        yes, no: tracklets that were judged.
        combine: see `reidapp.gallery.queries`.
        save: name to save the search under.
        filters: to be saved with it.
        crops: of pictures that were looked at before.
        clear: tracklets, by first pieces' ids, of which the saved search's answers do not count.
        may_ask: whether a tracklet of the identity or the saved search counts; None: all. Who asks may not see others.
    """

    images: Sequence[Path] = ()
    person: int | None = None
    tracklets: Sequence[str] = ()
    identity: str | None = None
    saved: str | None = None
    yes: Sequence[str] = ()
    no: Sequence[str] = ()
    combine: str | None = None
    save: str | None = None
    filters: dict[str, Any] = field(default_factory=dict)
    crops: Sequence[QueryCrop] = ()
    clear: Sequence[str] = ()
    may_ask: Callable[[str], bool] | None = None


@dataclass(frozen=True)
class Answerable:
    """A question as the index takes it, and what to tell who asks.

    Attributes:
        crops: of the pictures it asks with, without those of a saved search.
        filters: of the saved search.
    """

    asked: Asked
    crops: list[QueryCrop]
    warnings: list[QueryWarning]
    filters: dict[str, Any]


def ask(
    gallery: Gallery, embedder: Embeds, detector: Callable[[], Detector], question: Question, by: str
) -> Answerable:
    """Make a query of a question; nothing is written.

    Args:
        detector: opened only where there is a picture to look at.
        by: who asks.

    Raises:
        UserError: nothing to ask with, something unknown, or a picture in which it is not clear who is meant.
    """
    searches = SavedSearches(gallery, by)
    if question.saved and question.save:
        raise UserError("search: --saved and --save exclude each other; answers are added to a saved search by --saved")
    saved = searches.get(question.saved) if question.saved else None
    identity_name = question.identity or (saved.identity if saved else None)
    identity = Identities(gallery, by).show(identity_name) if identity_name else None
    if identity and not identity.tracklets("yes"):
        raise UserError(f'identity "{identity.name}": no tracklet is its; `reidapp identity add` says which are')

    finder = detector() if question.images else None
    seen = [query_crop(file, gallery, finder, question.person) for file in question.images] if finder else []
    crops = [*question.crops, *seen]
    kept = [QueryCrop(read_image(file), None, []) for file in saved.pictures] if saved else []
    there = [each.tracklet for each in identity.judged if each.verdict == "yes" and each.start] if identity else []
    theirs = filter(question.may_ask or bool, [*(saved.tracklets if saved else []), *there])
    tracklets = [*question.tracklets, *theirs]
    new = first_pieces(gallery, [*question.yes, *question.no])
    said = dict.fromkeys(saved.yes if saved else [], "yes") | dict.fromkeys(saved.no if saved else [], "no")
    said = {id_: said[id_] for id_ in filter(question.may_ask or bool, said) if id_ not in question.clear}
    for verdict, given in (("yes", question.yes), ("no", question.no)):
        said |= {new[id_]: verdict for id_ in given}
    query = asked(
        gallery,
        embedder.identity,
        embed_crops([*crops, *kept], embedder) if crops or kept else None,
        tracklets=tracklets,
        known=[each.tracklet for each in identity.judged] if identity else (),
        yes=[id_ for id_, verdict in said.items() if verdict == "yes"],
        no=[id_ for id_, verdict in said.items() if verdict == "no"] + _contradicted(new, question),
        combine=question.combine or (saved.filters.get("combine") if saved else None),
    )
    shots = [file.stem for file, crop in zip(question.images, seen, strict=False) if crop.camera]
    query = replace(query, seen=query.seen | tracklets_of_shots(gallery, shots))
    filters = {key: value for key, value in saved.filters.items() if key != "combine"} if saved else {}
    return Answerable(query, crops, [warning for crop in crops for warning in crop.warnings], filters)


def keep(gallery: Gallery, question: Question, crops: Sequence[QueryCrop], by: str) -> None:
    """Save a question with its answers, or add these to the saved search that it asks with.

    Args:
        crops: of its pictures.
        by: who asks.

    Raises:
        UserError: the name is taken, or something is unknown.
    """
    searches, name = SavedSearches(gallery, by), question.save or question.saved
    if question.save:
        first = list(first_pieces(gallery, question.tracklets).values())
        filters = question.filters | ({"combine": question.combine} if question.combine else {})
        searches.save(question.save, [crop.image for crop in crops], first, question.identity, filters)
    if name and (question.yes or question.no):
        yes, no = (list(first_pieces(gallery, given).values()) for given in (question.yes, question.no))
        searches.answer(name, yes, no)


def time_of(text: str | None, option: str, gallery: Gallery) -> datetime | None:
    """A time as the user wrote it; one without a zone is the cameras' time.

    Raises:
        UserError: no time, or the cameras have several zones.
    """
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise UserError(f'{option}: "{text}" is not a time such as 2026-03-02T10:30:00') from error
    if time.tzinfo is None:
        zones = {camera.zone for camera in gallery.cameras()} or {"UTC"}
        if len(zones) > 1:
            raise UserError(f"{option}: the cameras have several time zones; write one, as in {text}+00:00")
        time = time.replace(tzinfo=ZoneInfo(zones.pop()))
    return time


def check_period(after: datetime | None, before: datetime | None) -> None:
    """
    Raises:
        UserError: the period ends before it begins.
    """
    if after and before and after >= before:
        raise UserError(f"the period ends ({before}) before it begins ({after}); nothing lies in between")


def _contradicted(new: dict[str, str], question: Question) -> list[str]:
    """Tracklets that one question calls both, which is for `asked` to refuse."""
    return sorted({new[id_] for id_ in question.yes} & {new[id_] for id_ in question.no})
