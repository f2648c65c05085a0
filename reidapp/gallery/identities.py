"""People whom users have named: which tracklets show them and which don't, said by whom and when.

Every action is a line in a log that only grows, with each row it changed as it was before and after. So every action
can be undone, and the undoing undone; a merge can be taken apart again even after other actions. Tracklets are named by
their first pieces, whose ids derive from content: another model, another run of the same footage and corrected
cameras change nothing here.
"""

import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from reidapp.errors import UnknownError, UserError
from reidapp.gallery import database, schema
from reidapp.gallery.facts import iso, utc
from reidapp.gallery.naming import check_name
from reidapp.gallery.pieces import first_pieces
from reidapp.gallery.store import Gallery
from reidapp.registry import suggestion
from reidapp.wording import counted

Verdict = Literal["yes", "no"]
_TABLES: dict[str, type[schema.Base]] = {
    "identity": schema.Identity,
    "member": schema.Member,
    "saved_search": schema.SavedSearch,
}


@dataclass(frozen=True)
class Judged:
    """A tracklet of an identity, and its best shot; what the gallery knows of it is None once it is gone from there."""

    tracklet: str
    verdict: str
    by: str
    at: str
    camera: str | None = None
    zone: str | None = None
    video: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    crop: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: times ISO 8601 UTC."""
        return {**vars(self), "start": iso(self.start), "end": iso(self.end)}

    def __str__(self) -> str:
        seen = f"{self.camera}  {self.start:%Y-%m-%d %H:%M:%S} – {self.end:%H:%M:%S} UTC" if self.start else "deleted"
        return f"{self.verdict:<3}  {self.tracklet}  {seen}  ({self.by}, {self.at})"


@dataclass(frozen=True)
class IdentityInfo:
    """A named person, with the tracklets judged."""

    name: str
    by: str
    at: str
    judged: list[Judged] = field(default_factory=list)

    def tracklets(self, verdict: Verdict) -> list[str]:
        """Ids of those that were judged so."""
        return [each.tracklet for each in self.judged if each.verdict == verdict]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        counts = {verdict: len(self.tracklets(verdict)) for verdict in ("yes", "no")}
        return {"name": self.name, "by": self.by, "at": self.at} | counts

    def __str__(self) -> str:
        yes, no = (len(self.tracklets(verdict)) for verdict in ("yes", "no"))
        return f"{self.name}  {counted(yes, 'tracklet')}" + (f", {no} that are not" if no else "")


@dataclass(frozen=True)
class Action:
    """A line of the log. ``undone``: it does not count at present."""

    id: int
    at: str
    by: str
    told: str
    undone: bool

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return dict(vars(self))

    def __str__(self) -> str:
        return f"{self.at}  {self.by}  {self.told}" + ("  (undone)" if self.undone else "")


class Identities:
    """The identities of a gallery. Safe while a run of indexing writes: one writer has the database at a time.

    Args:
        by: who acts, for the log.
    """

    def __init__(self, gallery: Gallery, by: str) -> None:
        self.gallery = gallery
        self.by = by

    # Reading

    @database.blames_rows
    def all(self) -> list[IdentityInfo]:
        """All, by name."""
        with Session(self.gallery.engine) as session:
            names = session.scalars(select(schema.Identity.name).order_by(schema.Identity.name)).all()
            return [self._info(session, name) for name in names]

    def show(self, name: str) -> IdentityInfo:
        """One, with where and when its tracklets were seen.

        Raises:
            UserError: no such identity.
        """
        with Session(self.gallery.engine) as session:
            return self._info(session, name, where=True)

    def of(self, tracklets: Sequence[str] | None = None) -> dict[str, str]:
        """{tracklet: name} of those, or of all, that show somebody who has a name."""
        named = (
            select(schema.Member.tracklet_id, schema.Identity.name)
            .join(schema.Identity)
            .where(schema.Member.verdict == "yes")
            .order_by(schema.Identity.name, schema.Member.tracklet_id)
        )
        if tracklets is not None:
            named = named.where(schema.Member.tracklet_id.in_(tracklets))
        with Session(self.gallery.engine) as session:
            return dict(session.execute(named).all())

    def log(self) -> list[Action]:
        """All that was done, in order."""
        with Session(self.gallery.engine) as session:
            actions = session.scalars(select(schema.IdentityAction).order_by(schema.IdentityAction.id)).all()
            done, _ = _state(actions)
            counting = {action.id for action in done}
            return [
                Action(a.id, a.at, a.by, a.told, a.kind not in ("undo", "redo") and a.id not in counting)
                for a in actions
            ]

    # Acting; each returns what was done, in words

    def new(self, name: str, tracklets: Sequence[str] = ()) -> str:
        """Name a person, and say which tracklets show them.

        Raises:
            UserError: the name is taken or empty, or a tracklet is unknown or shows another identity.
        """
        with self._acting("new") as action:
            identity = action.new(name)
            action.judge(identity, self._first(tracklets), "yes")
            action.told = f'new "{name}"' + (f" with {counted(len(tracklets), 'tracklet')}" if tracklets else "")
        return action.told

    def add(self, name: str, tracklets: Sequence[str], verdict: Verdict = "yes") -> str:
        """Say that tracklets show a person, or (``no``) that they don't.

        Raises:
            UserError: no such identity, or a tracklet is unknown or shows another identity.
        """
        with self._acting("add") as action:
            action.judge(action.called(name), self._first(tracklets), verdict)
            action.told = f'{counted(len(tracklets), "tracklet")} {"of" if verdict == "yes" else "not of"} "{name}"'
        return action.told

    def remove(self, name: str, tracklets: Sequence[str]) -> str:
        """Take back what was said of tracklets, yes or no.

        Raises:
            UserError: no such identity, or nothing was said of one of them.
        """
        with self._acting("remove") as action:
            identity = action.called(name)
            for tracklet in self._first(tracklets, missing_ok=True):
                if (row := action.session.get(schema.Member, (identity.id, tracklet))) is None:
                    raise UserError(f'tracklet {tracklet}: nobody has said that it is "{name}", or is not')
                action.change("member", row, None)
            action.told = f'{counted(len(tracklets), "tracklet")} taken from "{name}"'
        return action.told

    def rename(self, name: str, to: str) -> str:
        """
        Raises:
            UserError: no such identity, or the name is taken.
        """
        with self._acting("rename") as action:
            identity = action.called(name)
            action.check_free(to)
            action.change("identity", identity, {**_values(identity), "name": to})
            action.told = f'"{name}" is called "{to}"'
        return action.told

    def merge(self, name: str, into: str) -> str:
        """Two identities are one person: what was said of the first holds for the second. A yes outweighs a no.

        Raises:
            UserError: no such identity, or both are the same.
        """
        with self._acting("merge") as action:
            one, other = action.called(name), action.called(into)
            if one.id == other.id:
                raise UserError(f'"{name}" cannot be merged into itself')
            moved = 0
            for row in action.members(one):
                values, own = _values(row), action.session.get(schema.Member, (other.id, row.tracklet_id))
                action.change("member", row, None)
                if own is None or (own.verdict, values["verdict"]) == ("no", "yes"):
                    action.change("member", own, values | {"identity_id": other.id})
                    moved += 1
            for search in action.session.scalars(select(schema.SavedSearch).filter_by(identity=one.id)):
                action.change("saved_search", search, _values(search) | {"identity": other.id})
            action.change("identity", other, _values(other))  # no change, but the log names it
            action.change("identity", one, None)
            action.told = f'"{name}" merged into "{into}", with {moved} tracklets'
        return action.told

    def unmerge(self, name: str) -> str:
        """Take the last merge into an identity apart. What was added since stays; what was removed since is not back.

        Raises:
            UserError: no such identity, nothing was merged into it, or the other's name is taken.
        """
        with self._acting("unmerge") as action:
            target = action.called(name)
            merge = self._last_merge(action.session, target)
            gone = next(c["before"] for c in merge.changes if c["table"] == "identity" and not c["after"])
            action.check_free(gone["name"])
            action.change("identity", None, gone)
            merged = {c["after"]["tracklet_id"]: c for c in merge.changes if c["table"] == "member" and c["after"]}
            moved = 0
            for change in merge.changes:
                if change["table"] != "member" or change["after"]:
                    continue
                tracklet = change["before"]["tracklet_id"]
                if tracklet in merged:
                    row = action.session.get(schema.Member, (target.id, tracklet))
                    if row is None or row.verdict != merged[tracklet]["after"]["verdict"]:
                        continue  # the later word counts
                    action.change("member", row, merged[tracklet]["before"])
                action.change("member", None, change["before"])
                moved += 1
            for change in merge.changes:
                if change["table"] == "saved_search":
                    search = action.session.get(schema.SavedSearch, change["before"]["id"])
                    if search is not None:
                        action.change("saved_search", search, _values(search) | {"identity": gone["id"]})
            action.of = merge.id
            action.told = f'"{gone["name"]}" is itself again, with {moved} tracklets; they were merged into "{name}"'
        return action.told

    def delete(self, name: str) -> str:
        """Take a name away, with all that was said of its tracklets; they stay in the gallery.

        Raises:
            UserError: no such identity, or a saved search asks for it.
        """
        with self._acting("delete") as action:
            identity = action.called(name)
            rows = action.members(identity)
            for row in rows:
                action.change("member", row, None)
            action.change("identity", identity, None)
            action.told = f'"{name}" is no name any more; it had {len(rows)} tracklets'
        return action.told

    def undo(self, count: int = 1, own: bool = False) -> list[str]:
        """Undo the last actions that count, last first.

        Args:
            own: only if whoever acts did them.

        Raises:
            UserError: there are not so many, or one is another's.
        """
        return self._back_and_forth("undo", count, own)

    def redo(self, count: int = 1, own: bool = False) -> list[str]:
        """Do again what was undone last.

        Args:
            own: only if whoever acts did it.

        Raises:
            UserError: there is not so much, or something was done since, or it is another's.
        """
        return self._back_and_forth("redo", count, own)

    def _back_and_forth(self, kind: Literal["undo", "redo"], count: int, own: bool) -> list[str]:
        told: list[str] = []
        with database.changing(self.gallery.engine) as session:
            for _ in range(count):
                actions = session.scalars(select(schema.IdentityAction).order_by(schema.IdentityAction.id)).all()
                stack = _state(actions)[kind == "redo"]
                if not stack:
                    raise UserError(f"identity {kind}: {len(told)} of {count} could be; nothing more to {kind}")
                target = stack[-1]
                if own and target.by != self.by:
                    raise UserError(f"identity {kind}: the last action was not yours")
                action = _Action(session, kind, self.by, of=target.id)
                for change in target.changes if kind == "redo" else reversed(target.changes):
                    before, after = change["before"], change["after"]
                    if kind == "undo":
                        before, after = after, before
                    model = _TABLES[change["table"]]
                    found = session.get(model, _key(change["table"], before)) if before else None
                    if found is None and change["table"] == "saved_search":
                        continue  # those are deleted without a log
                    if before and (found is None or _values(found) != before):
                        raise UserError(f"identity {kind}: {target.told}: the rows are no longer as that left them")
                    action.change(change["table"], found, after)
                action.told = f"{kind}: {target.told}"
                action.write()
                told.append(action.told)
        return told

    def _last_merge(self, session: Session, target: schema.Identity) -> schema.IdentityAction:
        actions = session.scalars(select(schema.IdentityAction).order_by(schema.IdentityAction.id)).all()
        done, _ = _state(actions)
        apart = {action.of for action in done if action.kind == "unmerge"}
        for action in reversed(done):
            if action.kind == "merge" and action.id not in apart and _into(action) == target.id:
                return action
        raise UserError(f'nothing was merged into "{target.name}", or all of it is itself again')

    def _first(self, tracklets: Sequence[str], missing_ok: bool = False) -> list[str]:
        return list(dict.fromkeys(first_pieces(self.gallery, tracklets, missing_ok).values()))

    def _info(self, session: Session, name: str, where: bool = False) -> IdentityInfo:
        identity = _called(session, name)
        rows = session.scalars(
            select(schema.Member)
            .filter_by(identity_id=identity.id)
            .order_by(schema.Member.verdict.desc(), schema.Member.at, schema.Member.tracklet_id)
        ).all()
        seen = self._seen(session, [row.tracklet_id for row in rows]) if where else {}
        judged = [Judged(row.tracklet_id, row.verdict, row.by, row.at, **seen.get(row.tracklet_id, {})) for row in rows]
        return IdentityInfo(identity.name, identity.by, identity.at, judged)

    def _seen(self, session: Session, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """{tracklet: what `Judged` says of it} of those that are there."""
        there = session.scalars(select(schema.Tracklet.id).where(schema.Tracklet.id.in_(database.listed(ids)))).all()
        return {
            id_: {
                "camera": info.camera,
                "zone": info.video.zone,
                "video": info.video.id,
                "start": info.start,
                "end": info.end,
                "crop": info.best_shot.id if info.best_shot else None,
            }
            for id_, info in zip(there, self.gallery.tracklets_called(there), strict=True)
        }

    @contextmanager
    def _acting(self, kind: str) -> Iterator["_Action"]:
        with database.changing(self.gallery.engine) as session:
            action = _Action(session, kind, self.by)
            yield action
            action.write()


class _Action:
    """Changes rows, and notes each as it was before and after."""

    def __init__(self, session: Session, kind: str, by: str, of: int | None = None) -> None:
        self.session = session
        self.kind = kind
        self.by = by
        self.of = of
        self.at = schema.now()
        self.told = ""
        self.changes: list[dict[str, Any]] = []

    def change(self, table: str, row: schema.Base | None, after: dict[str, Any] | None) -> None:
        """A row becomes another (None: there is none)."""
        self.changes.append({"table": table, "before": _values(row) if row else None, "after": after})
        if row is None and after is not None:
            self.session.add(_TABLES[table](**after))
        elif row is not None and after is None:
            if isinstance(row, schema.Identity):
                self._check_unasked(row)
            self.session.delete(row)
        elif row is not None and after is not None:
            for key, value in after.items():
                setattr(row, key, value)
        self.session.flush()

    def new(self, name: str) -> schema.Identity:
        self.check_free(name)
        values = {"id": uuid.uuid4().hex[:16], "name": name, "by": self.by, "at": self.at}
        self.change("identity", None, values)
        return self.called(name)

    def called(self, name: str) -> schema.Identity:
        return _called(self.session, name)

    def members(self, identity: schema.Identity) -> Sequence[schema.Member]:
        return self.session.scalars(
            select(schema.Member).filter_by(identity_id=identity.id).order_by(schema.Member.tracklet_id)
        ).all()

    def check_free(self, name: str) -> None:
        check_name("identity", name)
        if self.session.scalar(select(func.count()).select_from(schema.Identity).filter_by(name=name)):
            raise UserError(f'identity "{name}": there is one of this name; add to it, or take another name')

    def _check_unasked(self, identity: schema.Identity) -> None:
        if search := self.session.scalar(select(schema.SavedSearch).filter_by(identity=identity.id)):
            raise UserError(f'"{identity.name}" is asked for by the saved search "{search.name}"; delete that first')

    def _seen(self, tracklet: str) -> str:
        """A tracklet for who sees pictures with camera and time, not ids."""
        seen = self.session.execute(
            select(schema.Camera.name, schema.Camera.zone, schema.Video.start_ms, schema.Tracklet.start_s)
            .select_from(schema.Tracklet)
            .join(schema.Chunk, schema.Chunk.id == schema.Tracklet.chunk_id)
            .join(schema.Video, schema.Video.id == schema.Chunk.video_id)
            .join(schema.Camera, schema.Camera.id == schema.Video.camera_id)
            .where(schema.Tracklet.id == tracklet)
        ).first()
        if not seen:
            return f"tracklet {tracklet}"
        camera, zone, video_ms, start_s = seen
        start = utc(video_ms + 1000 * start_s).astimezone(ZoneInfo(zone))
        return f"{camera}, {start:%Y-%m-%d %H:%M:%S %Z}, tracklet {tracklet}"

    def judge(self, identity: schema.Identity, tracklets: Sequence[str], verdict: Verdict) -> None:
        for tracklet in tracklets:
            if verdict == "yes":
                other = self.session.scalar(
                    select(schema.Identity.name)
                    .join(schema.Member)
                    .where(schema.Member.tracklet_id == tracklet, schema.Member.verdict == "yes")
                    .where(schema.Member.identity_id != identity.id)
                )
                if other:
                    raise UserError(
                        f'{self._seen(tracklet)}: is "{other}" already, so not "{identity.name}"; remove it there '
                        f"first, or merge the two"
                    )
            own = self.session.get(schema.Member, (identity.id, tracklet))
            if own is None or own.verdict != verdict:
                said = {"verdict": verdict, "by": self.by, "at": self.at}
                self.change("member", own, {"identity_id": identity.id, "tracklet_id": tracklet} | said)

    def write(self) -> None:
        if self.changes or self.kind in ("undo", "redo"):
            self.session.add(
                schema.IdentityAction(
                    at=self.at, by=self.by, kind=self.kind, told=self.told, of=self.of, changes=self.changes
                )
            )
            self.session.flush()


def forget_tracklets(session: Session, tracklets: Collection[str]) -> None:
    """Remove all that was said of tracklets which are being deleted, in the log too."""
    gone = database.listed(tracklets)
    for model in (schema.Member, schema.Answer, schema.CaseHit):
        session.execute(delete(model).where(model.tracklet_id.in_(gone)))
    for action in session.scalars(select(schema.IdentityAction)):
        kept = [c for c in action.changes if (c["before"] or c["after"]).get("tracklet_id") not in tracklets]
        if len(kept) < len(action.changes):
            action.changes = kept


def with_those_merged(session: Session, identity: str) -> set[str]:
    """Ids: an identity's, and of all who were merged into it and not taken apart again: they are the same person."""
    done, _ = _state(session.scalars(select(schema.IdentityAction).order_by(schema.IdentityAction.id)).all())
    apart, found = {action.of for action in done if action.kind == "unmerge"}, {identity}
    for action in reversed(done):
        if action.kind == "merge" and action.id not in apart and _into(action) in found:
            found |= {c["before"]["id"] for c in action.changes if c["table"] == "identity" and not c["after"]}
    return found


def _state(
    actions: Sequence[schema.IdentityAction],
) -> tuple[list[schema.IdentityAction], list[schema.IdentityAction]]:
    """(actions that count, actions that were undone and may be redone), the last one last."""
    done: list[schema.IdentityAction] = []
    undone: list[schema.IdentityAction] = []
    for action in actions:
        if action.kind == "undo":
            undone.append(done.pop())
        elif action.kind == "redo":
            done.append(undone.pop())
        else:
            done.append(action)
            undone = []
    return done, undone


def _into(merge: schema.IdentityAction) -> str | None:
    """The id of the identity that another was merged into."""
    return next((c["after"]["id"] for c in merge.changes if c["table"] == "identity" and c["after"]), None)


def _called(session: Session, name: str) -> schema.Identity:
    if found := session.scalar(select(schema.Identity).filter_by(name=name)):
        return found
    known = sorted(session.scalars(select(schema.Identity.name)))
    there = f"known: {', '.join(known)}" if known else "there is none yet; `reidapp identity new` makes one"
    raise UnknownError(f'identity "{name}" is not in this gallery{suggestion(name, known)}; {there}')


def _values(row: schema.Base) -> dict[str, Any]:
    return {column.key: getattr(row, column.key) for column in row.__table__.columns}


def _key(table: str, values: dict[str, Any]) -> Any:
    return (values["identity_id"], values["tracklet_id"]) if table == "member" else values["id"]
