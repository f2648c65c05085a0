"""Where a gallery's vectors are searched: here, or by a copy of them in Milvus. What counts are the shards, always."""

import json
import secrets
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from reidapp.errors import ReidappError
from reidapp.gallery import database, milvus, schema
from reidapp.gallery.derived import outdate
from reidapp.gallery.milvus import COLLECTION, VECTORS, MilvusIndex
from reidapp.gallery.snapshot import Snapshots
from reidapp.gallery.store import Gallery
from reidapp.gallery.writer import next_generation

FAISS = "faiss"
_LEFT = "vectors left"  # setting: [address, collection] of each copy that nobody asks any more, until it is gone


@dataclass(frozen=True)
class Mirror:
    """Where vectors are searched, and how many of the model in use are there: ``held`` of ``rows``.

    Attributes:
        vectors: the address of Milvus, or faiss.
    """

    vectors: str
    rows: int
    held: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return dict(vars(self))

    def __str__(self) -> str:
        if self.vectors == FAISS:
            return f"{self.rows} vectors, searched here by Faiss"
        rest = f"; the other {self.rows - self.held} are searched here" if self.held < self.rows else ""
        return f"{self.held} of {self.rows} vectors are in {self.vectors}{rest}"


def mirror(gallery: Gallery) -> Mirror:
    """
    Raises:
        ReidappError: Milvus cannot be reached.
    """
    index = Snapshots(gallery, gallery.model_id).current().index
    lacking = index.lacking if isinstance(index, MilvusIndex) else 0
    return Mirror(place(gallery), len(index), len(index) - lacking)


def place(gallery: Gallery) -> str:
    """Where a gallery's vectors are searched: an address, or faiss."""
    return _settings(gallery).get(VECTORS, FAISS)


def reached(to: str) -> str:
    """An address as it is kept, where Milvus answers; or faiss.

    Raises:
        UserError: no such address, or the token is wrong.
        ReidappError: Milvus cannot be reached.
    """
    if to == FAISS:
        return to
    address = milvus.checked(to)
    milvus.collections(address, "")
    return address


def move(gallery: Gallery, to: str, progress: milvus.Progress = lambda done, total, what: None) -> Mirror:
    """Search the vectors elsewhere from now on; searches go on meanwhile, and find the same.

    Args:
        to: an address (`milvus.checked`), where a copy is made, or brought up to date; or faiss. What another Milvus
            had goes, or is forgotten where that does not answer and faiss is asked for a second time.

    Raises:
        UserError: no such address, or the token is wrong.
        ReidappError: Milvus cannot be reached.
    """
    to, old = reached(to), _settings(gallery)
    if old.get(VECTORS, FAISS) == to:
        catch_up(gallery, progress, gone_for_good=to == FAISS)
        return mirror(gallery)
    new = {} if to == FAISS else {VECTORS: to, COLLECTION: f"reidapp_{secrets.token_hex(4)}"}
    with database.changing(gallery.engine) as session:
        left = _left(session)
        forget(session)
        session.add_all(schema.Setting(key=key, value=value) for key, value in new.items())
        _leave(session, [*left, *([(old[VECTORS], old[COLLECTION])] if old else [])])
        outdate(session)
        next_generation(session)
    catch_up(gallery, progress)
    return mirror(gallery)


def catch_up(
    gallery: Gallery, progress: milvus.Progress = lambda done, total, what: None, gone_for_good: bool = False
) -> None:
    """Make the copy hold what is committed, and no more, under every model; and let go of copies that were left.

    Args:
        gone_for_good: forget those, too, whose Milvus does not answer.

    Raises:
        ReidappError: Milvus cannot be reached, or does not keep what it is given.
    """
    if settings := _settings(gallery):
        _fill(gallery, settings[VECTORS], settings[COLLECTION], progress)
    with Session(gallery.engine) as session:
        left = _left(session)
    for each in left:
        address, prefix = each
        try:
            for name in milvus.collections(address, prefix):
                milvus.drop(address, name)
        except ReidappError:
            if not gone_for_good:
                raise
        with database.changing(gallery.engine) as session:
            _leave(session, [other for other in _left(session) if other != each])


def _fill(gallery: Gallery, address: str, prefix: str, progress: milvus.Progress) -> None:
    there = milvus.collections(address, prefix)
    for model in gallery.models():
        own = [name for name in there if name.startswith(f"{prefix}_{model.id[:16]}")]
        if own or model.active:
            Snapshots(gallery, model.id).catch_up(progress)
        there = [name for name in there if name not in own]
    for name in there:  # of models that the gallery has no longer
        milvus.drop(address, name)


def let_go(gallery: Gallery) -> None:
    """`catch_up` after rows were deleted.

    Raises:
        ReidappError: Milvus could not be made to delete them, too.
    """
    try:
        catch_up(gallery)
    except ReidappError as error:
        again = f"`reidapp gallery vectors -g {gallery.path} --to {place(gallery)}` does it later"
        raise ReidappError(f"deleted from {gallery.path}, but not from its copy; {again}. {error}") from error


def forget(session: Session) -> None:
    """Let a gallery be searched here, as the copy of another has to be: two would empty each other's collections."""
    session.execute(delete(schema.Setting).where(schema.Setting.key.in_([VECTORS, COLLECTION, _LEFT])))


def _left(session: Session) -> list[tuple[str, str]]:
    """Copies that are to go: addresses, and what their collections' names begin with."""
    stored = session.scalar(select(schema.Setting.value).where(schema.Setting.key == _LEFT))
    return [(address, prefix) for address, prefix in json.loads(stored or "[]")]


def _leave(session: Session, left: list[tuple[str, str]]) -> None:
    session.execute(delete(schema.Setting).where(schema.Setting.key == _LEFT))
    if left:
        session.add(schema.Setting(key=_LEFT, value=json.dumps(left)))


def _settings(gallery: Gallery) -> dict[str, str]:
    with Session(gallery.engine) as session:
        rows = select(schema.Setting.key, schema.Setting.value).where(schema.Setting.key.in_([VECTORS, COLLECTION]))
        return dict(session.execute(rows).all())
