"""Pieces of tracklets: tracking begins anew with each chunk, and a row says which one of the chunk before it continues.

To a user they are one tracklet, which is called by the id of its first piece.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.orm import Session

from reidapp.errors import ReidappError, UnknownError, UserError
from reidapp.gallery import database, schema

if TYPE_CHECKING:
    from reidapp.gallery.store import Gallery

_MIN_PREFIX = 6  # digits of an id


def continuations(session: Session) -> dict[str, str]:
    """{piece: the piece that it continues} of all that continue one."""
    before = select(schema.Tracklet.id, schema.Tracklet.continues).where(schema.Tracklet.continues.is_not(None))
    return {piece: earlier for piece, earlier in session.execute(before) if earlier}


def roots(session: Session) -> dict[str, str]:
    """{piece: first piece} of every tracklet that continues another."""
    before = continuations(session)
    return {id_: first_piece(id_, before) for id_ in before}


def first_piece(piece: str, before: Mapping[str, str | None]) -> str:
    """What a piece's tracklet begins with.

    Args:
        before: what pieces continue.

    Raises:
        ReidappError: it continues itself.
    """
    first, steps = piece, 0
    while earlier := before.get(first):
        first, steps = earlier, steps + 1
        if steps > len(before):
            raise ReidappError(f"tracklet {piece}: continues itself; restore a back-up of the gallery")
    return first


def beginnings(session: Session, before: Mapping[str, str | None]) -> dict[str, str]:
    """{piece: first piece} of some pieces, of which is known what they continue.

    Raises:
        ReidappError: one continues itself.
    """
    known = dict(before)
    piece = schema.Tracklet
    while waiting := set(filter(None, known.values())) - known.keys():
        rows = session.execute(select(piece.id, piece.continues).where(piece.id.in_(database.listed(waiting))))
        known |= dict.fromkeys(waiting) | {row.id: row.continues for row in rows}
    return {id_: first_piece(id_, known) for id_ in before}


def first_pieces(gallery: "Gallery", tracklets: Sequence[str], missing_ok: bool = False) -> dict[str, str]:
    """{id as given: first piece's id}; an id may be the beginning of one, 6 digits at least.

    Raises:
        UserError: no such tracklet, or several begin so.
    """
    found = {}
    with Session(gallery.engine) as session:
        before = roots(session) if tracklets else {}
        for given in tracklets:
            known = session.get(schema.Tracklet, given) is not None
            if not known and len(given) >= _MIN_PREFIX:
                begins = schema.Tracklet.id.startswith(given.lower(), autoescape=True)
                several = session.scalars(select(schema.Tracklet.id).where(begins).limit(2)).all()
                if len(several) > 1:
                    raise UserError(f"tracklet {given}: several begin so, such as {' and '.join(several)}")
                id_, known = (several[0], True) if several else (given, False)
            else:
                id_ = given
            if not known and not missing_ok:
                raise UnknownError(f"tracklet {given}: not in this gallery; `reidapp search` prints their ids")
            found[given] = before.get(id_, id_)
    return found


def joined_pieces(session: Session, ids: Collection[str]) -> dict[str, list[schema.Tracklet]]:
    """{id: all pieces of its tracklet in order of time}; the id may be any piece's.

    Raises:
        UnknownError: there is no such tracklet.
        ReidappError: it continues itself.
    """
    piece = schema.Tracklet
    found = dict[str, schema.Tracklet]()
    waiting = set(ids)
    while waiting:  # back to where they begin
        rows = session.scalars(select(piece).where(piece.id.in_(database.listed(waiting)))).all()
        found |= {row.id: row for row in rows}
        waiting = {row.continues for row in rows if row.continues} - found.keys()
    if unknown := set(ids) - found.keys():
        raise UnknownError(f"tracklet {min(unknown)}: not in this gallery")
    waiting = set(found)
    while waiting:  # and on to where they end
        rows = session.scalars(select(piece).where(piece.continues.in_(database.listed(waiting)))).all()
        waiting = {row.id for row in rows} - found.keys()
        found |= {row.id: row for row in rows}
    following = {row.continues: row for row in found.values() if row.continues}
    before = {row.id: row.continues for row in found.values()}

    def joined(row: schema.Tracklet) -> list[schema.Tracklet]:
        pieces = [found[first_piece(row.id, before)]]
        while later := following.get(pieces[-1].id):
            pieces.append(later)
        return pieces

    return {id_: joined(found[id_]) for id_ in ids}
