"""Cases: hits that users keep together, each with what they say of it.

A hit is a tracklet, named by its first piece, so a case outlives a change of the model. What is deleted from the
gallery goes from its cases too. A closed case is read and exported; it changes no more until it is opened again.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, Unpack

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from reidapp.errors import UnknownError, UserError
from reidapp.gallery import database, schema
from reidapp.gallery.facts import TrackletInfo, iso
from reidapp.gallery.naming import check_name, not_there
from reidapp.gallery.pieces import first_pieces
from reidapp.gallery.store import Gallery
from reidapp.wording import counted

Verdict = Literal["yes", "no", "unsure"]


class Said(TypedDict, total=False):
    """Of a hit. Verdict None: open; note None: as it is."""

    verdict: Verdict | None
    note: str | None


@dataclass(frozen=True)
class NewCaseHit:
    """A hit on its way into a case; ``score`` and ``p_match`` are of the search that found it, where one did."""

    tracklet: str
    crop: str | None = None
    verdict: Verdict | None = None
    note: str = ""
    score: float | None = None
    p_match: float | None = None


@dataclass(frozen=True)
class CaseHit:
    """A hit of a case. ``crop``: the best shot for the search that found it, or the best of all."""

    info: TrackletInfo
    crop: str | None
    verdict: str | None
    note: str
    score: float | None
    p_match: float | None
    by: str
    at: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: times ISO 8601 UTC; of the recording its name, id and length, not its place."""
        info = self.info
        said = {key: value for key, value in vars(self).items() if key != "info"}
        recording = {"file": info.video.path.name, "bytes": info.video.size, "start": iso(info.video.start)}
        return {
            "tracklet": info.id,
            "camera": info.camera,
            "zone": info.video.zone,
            "video": info.video.id,
            "start": iso(info.start),
            "end": iso(info.end),
            "start_s": info.start_s,
            "end_s": info.end_s,
            "uncertain": info.video.uncertain,
            "recording": recording,
        } | said

    def __str__(self) -> str:
        seen = f"{self.info.camera}  {self.info.start:%Y-%m-%d %H:%M:%S} – {self.info.end:%H:%M:%S} UTC"
        return f"{self.verdict or '?':<3}  {self.info.id}  {seen}  {self.note}".rstrip()


@dataclass(frozen=True)
class CaseInfo:
    """A case. ``closed``: since when, or None while it is open; ``hits`` is how many it has; ``id`` stays with it when
    it gets another name."""

    name: str
    note: str
    by: str
    at: str
    closed: str | None
    hits: int
    id: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return dict(vars(self))

    def __str__(self) -> str:
        since = f"{self.at}, closed {self.closed}" if self.closed else self.at
        return f"{self.name}  {counted(self.hits, 'hit')}  ({self.by}, {since})  {self.note}".rstrip()


class Cases:
    """The cases of a gallery; ``by`` is who acts."""

    def __init__(self, gallery: Gallery, by: str) -> None:
        self.gallery = gallery
        self.by = by

    @database.blames_rows
    def all(self) -> list[CaseInfo]:
        """By name."""
        with Session(self.gallery.engine) as session:
            rows = session.scalars(select(schema.CaseFile).order_by(schema.CaseFile.name)).all()
            return [_info(session, row) for row in rows]

    def get(self, name: str) -> CaseInfo:
        """
        Raises:
            UnknownError: no such case.
        """
        with Session(self.gallery.engine) as session:
            return _info(session, _called(session, name))

    def hits(self, name: str) -> list[CaseHit]:
        """A case's hits, in order of time.

        Raises:
            UnknownError: no such case.
        """
        with Session(self.gallery.engine) as session:
            rows = session.scalars(select(schema.CaseHit).filter_by(case_id=_called(session, name).id)).all()
        infos = self.gallery.tracklets_called([row.tracklet_id for row in rows])
        hits = [
            CaseHit(
                info,
                row.crop_id or (info.best_shot.id if info.best_shot else None),
                row.verdict,
                row.note,
                row.score,
                row.p_match,
                row.by,
                row.at,
            )
            for row, info in zip(rows, infos, strict=True)
        ]
        return sorted(hits, key=lambda hit: (hit.info.start, hit.info.id))

    def new(self, name: str, note: str = "") -> None:
        """
        Raises:
            UserError: the name is empty or taken.
        """
        with database.changing(self.gallery.engine) as session:
            _check_free(session, name)
            session.add(schema.CaseFile(id=uuid.uuid4().hex[:16], name=name, note=note, by=self.by, at=schema.now()))

    def change(self, name: str, to: str | None = None, note: str | None = None, closed: bool | None = None) -> None:
        """Give a case another name or note, close it or open it again; None leaves it.

        Raises:
            UserError: no such case, it is closed and stays so, or the name is empty or taken.
        """
        with database.changing(self.gallery.engine) as session:
            row = _called(session, name)
            if closed is False:
                row.closed = None
            if to is not None and to != name:
                _check_open(row)
                _check_free(session, to)
                row.name = to
            if note is not None and note != row.note:
                _check_open(row)
                row.note = note
            if closed and row.closed is None:
                row.closed = schema.now()

    def delete(self, name: str) -> None:
        """Forget a case, and what was said of its hits.

        Raises:
            UnknownError: no such case.
        """
        with database.changing(self.gallery.engine) as session:
            row = _called(session, name)
            session.execute(delete(schema.CaseHit).where(schema.CaseHit.case_id == row.id))
            session.delete(row)

    def add(self, name: str, hits: Sequence[NewCaseHit]) -> None:
        """Put hits into a case; of those that are in it, what is not said anew stays.

        Raises:
            UserError: no such case or tracklet, the case is closed, or a best shot that is not the tracklet's.
        """
        first = first_pieces(self.gallery, [hit.tracklet for hit in hits])
        for hit in hits:
            if hit.crop and hit.crop not in {crop.id for crop in self.gallery.tracklet(first[hit.tracklet]).crops}:
                raise UserError(f"crop {hit.crop}: not of tracklet {hit.tracklet}")
        with database.changing(self.gallery.engine) as session:
            id_ = _open(session, name).id
            for hit in hits:
                found = {"crop_id": hit.crop, "score": hit.score, "p_match": hit.p_match}
                judged = {"verdict": hit.verdict, "note": hit.note}
                tracklet = first[hit.tracklet]
                row = session.get(schema.CaseHit, (id_, tracklet))
                if row is None:
                    signed = {"by": self.by, "at": schema.now()}
                    session.add(schema.CaseHit(case_id=id_, tracklet_id=tracklet, **found, **judged, **signed))
                    continue
                if any(value is not None for value in found.values()):  # they belong together
                    _set(row, found)
                if said := {key: value for key, value in judged.items() if value}:
                    _set(row, said | {"by": self.by, "at": schema.now()})

    def judge(self, name: str, tracklet: str, **said: Unpack[Said]) -> None:
        """Say what a hit shows; what is left out stays.

        Raises:
            UserError: no such case, it is closed, or the tracklet is not in it.
        """
        new = {key: value for key, value in said.items() if (key, value) != ("note", None)}
        with database.changing(self.gallery.engine) as session:
            _set(self._hit(session, name, tracklet), new | {"by": self.by, "at": schema.now()})

    def remove(self, name: str, tracklets: Sequence[str]) -> None:
        """Take hits out of a case.

        Raises:
            UserError: no such case, it is closed, or a tracklet is not in it.
        """
        with database.changing(self.gallery.engine) as session:
            for tracklet in tracklets:
                session.delete(self._hit(session, name, tracklet))

    def _hit(self, session: Session, name: str, tracklet: str) -> schema.CaseHit:
        first = first_pieces(self.gallery, [tracklet], missing_ok=True)[tracklet]
        row = session.get(schema.CaseHit, (_open(session, name).id, first))
        if row is None:
            raise UnknownError(f'tracklet {tracklet}: not in the case "{name}"')
        return row


def _info(session: Session, row: schema.CaseFile) -> CaseInfo:
    hits = select(func.count()).select_from(schema.CaseHit).filter_by(case_id=row.id)
    return CaseInfo(row.name, row.note, row.by, row.at, row.closed, session.scalar(hits) or 0, row.id)


def _set(row: schema.CaseHit, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        setattr(row, key, value)


def _called(session: Session, name: str) -> schema.CaseFile:
    if row := session.scalar(select(schema.CaseFile).filter_by(name=name)):
        return row
    raise UnknownError(not_there("case", name, session.scalars(select(schema.CaseFile.name))))


def _open(session: Session, name: str) -> schema.CaseFile:
    row = _called(session, name)
    _check_open(row)
    return row


def _check_open(row: schema.CaseFile) -> None:
    if row.closed:
        raise UserError(f'case "{row.name}": closed; open it again to change it')


def _check_free(session: Session, name: str) -> None:
    check_name("case", name)
    if session.scalar(select(schema.CaseFile.id).filter_by(name=name)):
        raise UserError(f'case "{name}": there is one of this name; take another')
