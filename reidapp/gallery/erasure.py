"""Erasing a person or a period, which `deletion` alone does not: also who they were, and all that was asked about them.

What goes with the rows, vectors and pictures that `deletion` takes out: the identity with every name it had, in the log
of identities too; saved searches that ask for it, or for a tracklet that goes, with their pictures; its names where
somebody wrote them into a case or a search's name. One transaction does all that and writes down what is left: a row
that says when, by whom and how much (`schema.Erasure`). Then files go, the database is written anew and its log is
emptied. Killed before the commit, nothing has happened; after it, `finish` does the rest.
"""

import json
import re
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from reidapp import files
from reidapp.errors import ReidappError, UnknownError, UserError
from reidapp.gallery import database, schema
from reidapp.gallery.cameras import MEANS
from reidapp.gallery.database import listed
from reidapp.gallery.deletion import Deletion, Selection, leave, resolved, take_out, what_goes
from reidapp.gallery.identities import with_those_merged
from reidapp.gallery.normalisation import normalise
from reidapp.gallery.pieces import roots
from reidapp.gallery.saved_searches import picture_path
from reidapp.gallery.snapshot import Snapshots
from reidapp.gallery.store import Gallery
from reidapp.gallery.traces import Traces, traces_of
from reidapp.gallery.writer import GalleryWriter
from reidapp.registry import suggestion
from reidapp.wording import counted

ERASED = "(erased)"  # stands where a name was
_NORMALISED = "normalised"  # among a tombstone's counts: means of cameras are to be made anew
BACKUPS, BACKUP_OF, ID = "backups", "backup of", "id"  # settings: where back-ups are, whose one is, and who that is


@dataclass(frozen=True)
class Subject:
    """Whom to erase: either a named person, by the name or the identity's id, or what a selection names."""

    identity: str | None = None
    selection: Selection | None = None

    @property
    def kind(self) -> str:
        """What it is in the row that stays: identity, tracklets or footage."""
        if self.identity:
            return "identity"
        return "tracklets" if self.selection and self.selection.tracklets else "footage"


@dataclass(frozen=True)
class Plan:
    """What goes, or went.

    Attributes:
        names: that the person has or had, as far as nobody else has them now; they are not to be kept.
        searches: saved ones, which go as a whole.
        texts: written by users, in which a name stands and is taken out.
    """

    rows: Deletion
    identities: int = 0
    searches: int = 0
    texts: int = 0
    names: tuple[str, ...] = field(default=(), repr=False)

    def __bool__(self) -> bool:
        return bool(self.rows or self.identities or self.searches)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it, without names."""
        said = {key: getattr(self, key) for key in ("identities", "searches", "texts")}
        return self.rows.to_dict() | said

    def __str__(self) -> str:
        more = {"identity": self.identities, "saved search": self.searches, "text with a name": self.texts}
        plural = {"identity": "identities", "saved search": "saved searches", "text with a name": "texts with a name"}
        said = [f"{count:,} {what if count == 1 else plural[what]}" for what, count in more.items() if count]
        return ", ".join([*([str(self.rows)] if self.rows or not said else []), *said])


@dataclass(frozen=True)
class Tombstone:
    """What is left of an erasure. ``ended``: None where it was broken off, until it is finished."""

    id: str
    at: str
    by: str
    kind: str
    counts: dict[str, int]
    ended: str | None

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return dict(vars(self))

    def __str__(self) -> str:
        what = ", ".join(f"{key} {count}" for key, count in self.counts.items() if count)
        end = "" if self.ended else "  broken off: the next erasure finishes it"
        return f"{self.at}  {self.id[:8]}  {self.kind}  {what or 'nothing'}  by {self.by or '?'}{end}"


@dataclass
class _Found:
    """What an erasure takes out, by ids."""

    videos: set[str]
    pieces: set[str]
    identities: set[str] = field(default_factory=set)
    searches: set[str] = field(default_factory=set)
    names: tuple[str, ...] = ()


def planned(gallery: Gallery, subject: Subject) -> Plan:
    """What `erase` would take out.

    Raises:
        UserError: nobody of this name, or an unknown camera or tracklet.
    """
    with Session(gallery.engine) as session:
        return _plan(session, _found(session, gallery, subject))


def identity_id(gallery: Gallery, called: str) -> str:
    """
    Raises:
        UnknownError: nobody of this name.
    """
    with Session(gallery.engine) as session:
        return _identity(session, called)


def traces_before(gallery: Gallery, subject: Subject) -> Traces:
    """What to look for after an erasure; read before it.

    Raises:
        UserError: as `planned`.
    """
    with Session(gallery.engine) as session:
        found = _found(session, gallery, subject)
    return traces_of(gallery, found.pieces, found.names)


def erase(writer: GalleryWriter, subject: Subject, by: str) -> tuple[Plan, list[str]]:
    """Erase, for good. What an erasure before it had left undone is done first.

    Args:
        by: the account's id, for the row that stays.

    Returns:
        What went, and what to do now, in words.

    Raises:
        UserError: nobody of this name, or an unknown camera or tracklet.
        BusyError: another process embeds the gallery anew, or keeps the database so busy that its log stays.
    """
    gallery = writer.gallery
    with gallery.embedding_anew():
        notes = finish(gallery)
        with database.changing(gallery.engine) as session:
            found = _found(session, gallery, subject)
            if plan := _plan(session, found):
                _take_out(session, gallery, found)
                _bury(session, found, plan, uuid.uuid4().hex, by, subject.kind)
        return plan, list(dict.fromkeys([*notes, *finish(gallery)]))


def finish(gallery: Gallery) -> list[str]:
    """Do what an erasure that was broken off has left undone; nothing where there is none. For who may write.

    Returns:
        What to do now, in words.

    Raises:
        BusyError: others keep the database so busy that its log stays.
    """
    with Session(gallery.engine) as session:
        waiting = session.scalars(select(schema.Erasure).where(schema.Erasure.ended.is_(None))).all()
    if not waiting:
        return []
    gallery.remove_leftovers()
    notes = _derived_anew(gallery, any(row.counts.get(_NORMALISED) for row in waiting))
    database.shed_wholly(gallery.engine)
    with database.changing(gallery.engine) as session:
        for row in waiting:
            session.get_one(schema.Erasure, row.id).ended = schema.now()
    database.shed(gallery.engine)
    return notes


def is_pending(gallery: Gallery) -> bool:
    """Whether an erasure was broken off."""
    return any(each.ended is None for each in tombstones(gallery))


def tombstones(gallery: Gallery) -> list[Tombstone]:
    """What is left of all erasures, the latest first."""
    with Session(gallery.engine) as session:
        rows = session.scalars(select(schema.Erasure).order_by(schema.Erasure.at.desc(), schema.Erasure.id)).all()
        return [Tombstone(row.id, row.at, row.by, row.kind, _counts(row), row.ended) for row in rows]


# Back-ups


def remember_backup(gallery: Gallery, backup: Path) -> None:
    """Say of a copy whose back-up it is, and to the gallery where it lies, for `erase_from_backups`.

    Of a gallery that can only be read nothing is remembered: nobody erases from it.
    """
    if not files.writable(gallery.path):
        return
    with database.changing(gallery.engine) as session:
        own = _setting(session, ID) or uuid.uuid4().hex
        known = [*_backups(session), str(backup.absolute())]
        session.merge(schema.Setting(key=ID, value=own))
        session.merge(schema.Setting(key=BACKUPS, value=json.dumps(list(dict.fromkeys(known)))))
    copy = Gallery.open(backup)
    with database.changing(copy.engine) as session:
        session.merge(schema.Setting(key=ID, value=own))
        session.merge(schema.Setting(key=BACKUP_OF, value=own))
    copy.engine.dispose()


def forget_being_a_backup(session: Session) -> None:
    """Of a gallery that was made of a back-up."""
    session.execute(delete(schema.Setting).where(schema.Setting.key == BACKUP_OF))


def erase_from_backups(gallery: Gallery) -> tuple[list[str], list[str]]:
    """Erase from the gallery's back-ups what was erased from it since they were made.

    Returns:
        What was done, and which back-ups are not there now; and what has failed: in words.
    """
    with Session(gallery.engine) as session:
        known, own = _backups(session), _setting(session, ID)
        buried = session.scalars(select(schema.Erasure).order_by(schema.Erasure.at)).all()
    said, failed = list[str](), list[str]()
    if not buried:
        return said, failed
    for path in map(Path, known):
        if database.is_there(path):
            try:
                done = _erase_from_backup(gallery, path, own, buried)
            except ReidappError as error:
                failed.append(f"{path}: still has whom this gallery has erased: {error}")
            else:
                said += [f"{path}: {counted(done, 'erasure')} done there, too"] if done else []
        elif not path.parent.is_dir():
            said.append(f"{path}: not there now; it is looked for again with the next back-up")
    return said, failed


def _erase_from_backup(gallery: Gallery, path: Path, own: str | None, buried: Sequence[schema.Erasure]) -> int:
    backup = Gallery.open(path)
    try:
        with Session(backup.engine) as session:
            if own is None or _setting(session, BACKUP_OF) != own:
                return 0  # another gallery lies there now
            done = set(session.scalars(select(schema.Erasure.id)))
        new = [row for row in buried if row.id not in done]
        if new or is_pending(backup):
            with backup.writing():
                for row in new:
                    _repeat(gallery, backup, row)
                finish(backup)
        return len(new)
    finally:
        backup.engine.dispose()


def _repeat(gallery: Gallery, backup: Gallery, row: schema.Erasure) -> None:
    """Take out of a back-up what an erasure has taken out of its gallery, and what it had of the same people then."""
    gone = set(row.gone)

    def known(session: Session, ids: Any) -> set[str]:
        return {id_ for id_ in session.scalars(select(ids)) if _buried(id_) in gone}

    with database.changing(backup.engine) as session:
        videos, root_of = known(session, schema.Video.id), roots(session)
        of_videos = select(schema.Tracklet.id).join(schema.Chunk).where(schema.Chunk.video_id.in_(listed(videos)))
        pieces = known(session, schema.Tracklet.id) | set(session.scalars(of_videos))
        found = _Found(videos, _with_pieces(session, {root_of.get(piece, piece) for piece in pieces}))
        logged = session.scalars(select(schema.IdentityAction)).all()  # has those who were merged, too
        found.identities = {id_ for action in logged for id_, _ in _identities_of(action) if _buried(id_) in gone}
        found.identities |= known(session, schema.Identity.id)
        found.searches = known(session, schema.SavedSearch.id)
        if found.identities:
            # Of tracklets that have gone from the gallery since in another way nothing says that they were the person's
            # but the back-up; of those that are still there the gallery knows better.
            of_person = _shown(session, found.identities)
            with Session(gallery.engine) as now:
                there = set(now.scalars(select(schema.Tracklet.id).where(schema.Tracklet.id.in_(listed(of_person)))))
            found.pieces |= _with_pieces(session, of_person - there)
        _complete(session, found)
        plan = _plan(session, found)
        if plan:
            _take_out(session, backup, found)
        _bury(session, found, plan, row.id, row.by, row.kind, at=row.at)


# What goes


def _found(session: Session, gallery: Gallery, subject: Subject) -> _Found:
    if bool(subject.identity) == bool(subject.selection):
        raise UserError("erase: give one of an identity, tracklets, or a camera and times")
    if subject.selection:
        found = _Found(*resolved(session, gallery, subject.selection))
    else:
        identities = with_those_merged(session, _identity(session, str(subject.identity)))
        found = _Found(set(), _with_pieces(session, _shown(session, identities)), identities)
    return _complete(session, found)


def _complete(session: Session, found: _Found) -> _Found:
    """With the searches that go as a whole, and the names."""
    answered = select(schema.Answer.search_id).where(
        schema.Answer.verdict == "yes", schema.Answer.tracklet_id.in_(listed(found.pieces))
    )
    found.searches |= set(session.scalars(answered))
    for search in session.scalars(select(schema.SavedSearch)):
        if search.identity in found.identities or found.pieces.intersection(search.tracklets):
            found.searches.add(search.id)
    found.names = _names(session, found.identities)
    return found


def _identity(session: Session, called: str) -> str:
    identity = schema.Identity
    found = session.scalar(select(identity.id).filter_by(name=called)) or session.scalar(
        select(identity.id).filter_by(id=called)
    )
    if found is None:
        known = sorted(session.scalars(select(identity.name)))
        raise UnknownError(f'identity "{called}" is not in this gallery{suggestion(called, known)}')
    return found


def _identities_of(action: schema.IdentityAction) -> Iterator[tuple[str, str]]:
    """(id, name) of each identity as a row of the log has it."""
    for change in action.changes:
        if change["table"] == "identity":
            yield from ((row["id"], row["name"]) for row in (change["before"], change["after"]) if row)


def _shown(session: Session, identities: Collection[str]) -> set[str]:
    """Tracklets, by their first pieces, that show one of them."""
    yes = select(schema.Member.tracklet_id).where(schema.Member.verdict == "yes")
    return set(session.scalars(yes.where(schema.Member.identity_id.in_(listed(identities)))))


def _with_pieces(session: Session, first: Collection[str]) -> set[str]:
    """All pieces, of those that are there, of tracklets that are named by their first ones."""
    there = set(session.scalars(select(schema.Tracklet.id).where(schema.Tracklet.id.in_(listed(first)))))
    return there | {piece for piece, root in roots(session).items() if root in there}


def _names(session: Session, identities: Collection[str]) -> tuple[str, ...]:
    """That they have or had, but for those that somebody else has now; the longest first."""
    rows = session.execute(select(schema.Identity.id, schema.Identity.name)).all()
    names = {name for id_, name in rows if id_ in identities}
    if identities:
        for action in session.scalars(select(schema.IdentityAction)):
            names |= {name for id_, name in _identities_of(action) if id_ in identities}
    return tuple(sorted(names - {name for id_, name in rows if id_ not in identities}, key=len, reverse=True))


def _plan(session: Session, found: _Found) -> Plan:
    texts = sum(before != after for *_, before, after in _texts(session, found))
    rows = what_goes(session, found.videos, found.pieces)
    return Plan(rows, len(found.identities), len(found.searches), texts, found.names)


def _take_out(session: Session, gallery: Gallery, found: _Found) -> None:
    for row, column, before, after in list(_texts(session, found)):
        if before != after:
            setattr(row, column, after)
    session.flush()
    of_searches = schema.Answer.search_id.in_(listed(found.searches))
    session.execute(delete(schema.Answer).where(of_searches))
    session.execute(delete(schema.SavedSearch).where(schema.SavedSearch.id.in_(listed(found.searches))))
    session.execute(delete(schema.Member).where(schema.Member.identity_id.in_(listed(found.identities))))
    session.execute(delete(schema.Identity).where(schema.Identity.id.in_(listed(found.identities))))
    _forget_in_log(session, found)
    leave(session, gallery, (picture_path(gallery, id_, 0).parent for id_ in found.searches))
    take_out(session, gallery, found.videos, found.pieces)


def _bury(session: Session, found: _Found, plan: Plan, id_: str, by: str, kind: str, at: str | None = None) -> None:
    """Write down that it was, and forget the means of cameras, of which those who go are a part."""
    means = session.scalars(select(schema.Setting).where(schema.Setting.key.startswith(MEANS))).all()
    for each in means:
        session.delete(each)
    rows = plan.rows
    counts = {
        "recordings": rows.videos, "tracklets": rows.tracklets, "crops": rows.crops, "vectors": rows.vectors,
        "identities": plan.identities, "searches": plan.searches, "texts": plan.texts,
    }  # fmt: skip
    ids = sorted(map(_buried, found.videos | found.pieces | found.identities | found.searches))
    counts |= {_NORMALISED: 1} if means else {}
    at = at or schema.now("milliseconds")  # so fine, because the latest is listed first
    session.add(schema.Erasure(id=id_, at=at, by=by, kind=kind, counts=counts, gone=ids))


def _counts(row: schema.Erasure) -> dict[str, int]:
    return {what: count for what, count in row.counts.items() if what != _NORMALISED}


def _buried(id_: str) -> str:
    return schema.identifier("erased", id_)


def _texts(session: Session, found: _Found) -> Iterator[tuple[Any, str, str, str]]:
    """(row, its attribute, text, the same without names) of all that users have written."""
    if not found.names:
        return
    clean = _cleaner(found.names)
    written: dict[type[Any], tuple[str, ...]] = {
        schema.CaseFile: ("name", "note"),
        schema.CaseHit: ("note",),
        schema.SavedSearch: ("name",),
    }
    for model, columns in written.items():
        for row in session.scalars(select(model)):
            if isinstance(row, schema.SavedSearch) and row.id in found.searches:
                continue
            for column in columns:
                before = getattr(row, column)
                after = clean(before)
                if before != after and column == "name":  # which nobody else may have
                    after = f"{after} {row.id[:6]}"
                yield row, column, before, after


def _cleaner(names: Sequence[str]) -> Callable[[str], str]:
    """Takes names out of a text, where they stand as words of their own, in upper or lower case."""
    any_of = re.compile("|".join(rf"(?<!\w){re.escape(name)}(?!\w)" for name in names), re.IGNORECASE)
    return lambda text: any_of.sub(ERASED, text)


def _forget_in_log(session: Session, found: _Found) -> None:
    """Rows of the log of identities stay, so that those around them can be undone; without who is erased."""
    clean = _cleaner(found.names) if found.names else lambda text: text
    for action in session.scalars(select(schema.IdentityAction)):
        names = {name for id_, name in _identities_of(action) if id_ in found.identities}
        told = _cleaner(sorted(names, key=len, reverse=True))(action.told) if names else action.told
        kept = [change for change in action.changes if not _concerns(change, found)]
        changes = [_cleaned(change, clean) for change in kept]
        if (told := clean(told)) != action.told:
            action.told = told
        if changes != action.changes:
            action.changes = changes


def _concerns(change: dict[str, Any], found: _Found) -> bool:
    """Whether a change of a row is of somebody who is erased."""
    for row in (change["before"], change["after"]):
        if row and change["table"] == "identity" and row["id"] in found.identities:
            return True
        if row and change["table"] == "member" and row["identity_id"] in found.identities:
            return True
        if row and change["table"] == "saved_search" and row["id"] in found.searches:
            return True
        if row and change["table"] == "saved_search" and row["identity"] in found.identities:
            return True
    return False


def _cleaned(value: Any, clean: Callable[[str], str]) -> Any:
    """The same with every text in it cleaned, as the rows are that it may have to match when it is undone."""
    if isinstance(value, dict):
        return {key: each if key in ("id", "table") else _cleaned(each, clean) for key, each in value.items()}
    if isinstance(value, list):
        return [_cleaned(each, clean) for each in value]
    return clean(value) if isinstance(value, str) else value


# What is derived


def _derived_anew(gallery: Gallery, normalised: bool) -> list[str]:
    snapshots = Snapshots(gallery, gallery.model_id)
    if (lock := snapshots.folder / "derived.lock").is_file():
        with files.locked(lock):
            pass  # whom another process has begun to write files of before the rows were gone, is in none after this
    snapshots.derive()
    return _normalised_anew(gallery) if normalised else []


def _normalised_anew(gallery: Gallery) -> list[str]:
    try:
        found = normalise(gallery)
    except UserError as error:
        return [f"camera normalisation is off: {error}"]
    return [str(found).replace("\n  ", "; ")] if found.recalibrate or not found.on else []


def _backups(session: Session) -> list[str]:
    return list(json.loads(_setting(session, BACKUPS) or "[]"))


def _setting(session: Session, key: str) -> str | None:
    return session.scalar(select(schema.Setting.value).filter_by(key=key))
