"""Searches that users keep, to be run again, and their answers to hits.

The query's crops are kept, as pictures in the gallery, and not their embeddings: so a search outlives a change of the
model. Nothing of a query is kept unless its search is saved. Answers are pairs of a query and a tracklet with what a
user said, by which P(match) can be calibrated.
"""

import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from reidapp import files
from reidapp.errors import UnknownError, UserError
from reidapp.gallery import database, schema
from reidapp.gallery.naming import not_there
from reidapp.gallery.store import Gallery
from reidapp.imaging import encode_crop
from reidapp.wording import counted

FOLDER = "queries"


@dataclass(frozen=True)
class SavedSearchInfo:
    """A search as it was saved, less what was deleted. ``pictures`` are crops of the person; ``identity`` is a name."""

    name: str
    by: str
    at: str
    pictures: list[Path]
    tracklets: list[str]
    identity: str | None
    filters: dict[str, Any]
    yes: list[str]
    no: list[str]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**vars(self), "pictures": [str(path) for path in self.pictures]}

    def __str__(self) -> str:
        whom = [counted(len(self.pictures), "picture")] if self.pictures else []
        whom += [counted(len(self.tracklets), "tracklet")] if self.tracklets else []
        whom += [f'identity "{self.identity}"'] if self.identity else []
        filters = [f"{key} {value}" for key, value in self.filters.items() if value]
        answers = f"  {len(self.yes)} yes, {len(self.no)} no" if self.yes or self.no else ""
        return f"{self.name}  {', '.join([*whom, *filters])}{answers}  ({self.by}, {self.at})"


class SavedSearches:
    """The saved searches of a gallery; ``by`` is who acts."""

    def __init__(self, gallery: Gallery, by: str) -> None:
        self.gallery = gallery
        self.by = by

    def all(self) -> list[SavedSearchInfo]:
        """By name."""
        with Session(self.gallery.engine) as session:
            rows = session.scalars(select(schema.SavedSearch).order_by(schema.SavedSearch.name)).all()
            return [self._info(session, row) for row in rows]

    def get(self, name: str) -> SavedSearchInfo:
        """
        Raises:
            UserError: no such search.
        """
        with Session(self.gallery.engine) as session:
            return self._info(session, self._called(session, name))

    def save(
        self,
        name: str,
        crops: Sequence[np.ndarray],
        tracklets: Sequence[str] = (),
        identity: str | None = None,
        filters: dict[str, Any] | None = None,
    ) -> None:
        """Keep a search.

        Args:
            crops: RGB uint8 ``[h, w, 3]``.
            tracklets: first pieces' ids.
            filters: as `to_dict` shall show them, and a search take them.

        Raises:
            UserError: the name is empty or taken, or an unknown identity.
            DiskError: the disk is full; nothing is kept.
        """
        if not name.strip():
            raise UserError("--save: a saved search needs a name")
        id_ = uuid.uuid4().hex[:16]
        folder = self.gallery.path / FOLDER / id_
        with self._without_its_pictures_if_it_fails(folder), database.changing(self.gallery.engine) as session:
            if session.scalar(select(schema.SavedSearch.id).filter_by(name=name)):
                raise UserError(f'--save: there is a search "{name}"; take another name, or delete that')
            of = session.scalar(select(schema.Identity.id).filter_by(name=identity)) if identity else None
            if identity and of is None:
                raise UserError(f'identity "{identity}" is not in this gallery')
            if crops:
                folder.mkdir(parents=True)
            for number, crop in enumerate(crops):
                files.write_flushed(picture_path(self.gallery, id_, number), encode_crop(crop))
            session.add(
                schema.SavedSearch(
                    id=id_, name=name, by=self.by, at=schema.now(), pictures=len(crops), tracklets=list(tracklets),
                    identity=of, filters=filters or {},
                )
            )  # fmt: skip

    @contextmanager
    def _without_its_pictures_if_it_fails(self, folder: Path) -> Iterator[None]:
        with files.disk_named(self.gallery.path):
            try:
                yield
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise

    def answer(self, name: str, yes: Sequence[str], no: Sequence[str], clear: Sequence[str] = ()) -> None:
        """Keep what a user said of hits, by first pieces' ids; a later word replaces an earlier one.

        Args:
            clear: what was said of these is taken back first.

        Raises:
            UserError: no such search.
        """
        with database.changing(self.gallery.engine) as session:
            id_ = self._called(session, name).id
            of_these = schema.Answer.tracklet_id.in_(database.listed(clear))
            session.execute(delete(schema.Answer).where(schema.Answer.search_id == id_, of_these))
            for verdict, tracklets in (("yes", yes), ("no", no)):
                for tracklet in tracklets:
                    said = {"verdict": verdict, "by": self.by, "at": schema.now()}
                    session.merge(schema.Answer(search_id=id_, tracklet_id=tracklet, **said))

    def delete(self, name: str) -> None:
        """Forget a search, its pictures and its answers.

        Raises:
            UserError: no such search.
        """
        with database.changing(self.gallery.engine) as session:
            row = self._called(session, name)
            folder = self.gallery.path / FOLDER / row.id
            session.execute(delete(schema.Answer).where(schema.Answer.search_id == row.id))
            session.delete(row)
            session.add(schema.Leftover(path=str(folder.relative_to(self.gallery.path))))
        self.gallery.remove_leftovers()

    def _info(self, session: Session, row: schema.SavedSearch) -> SavedSearchInfo:
        answers = session.scalars(
            select(schema.Answer).filter_by(search_id=row.id).order_by(schema.Answer.at, schema.Answer.tracklet_id)
        ).all()
        identity = session.get(schema.Identity, row.identity) if row.identity else None
        return SavedSearchInfo(
            name=row.name,
            by=row.by,
            at=row.at,
            pictures=[file for n in range(row.pictures) if (file := picture_path(self.gallery, row.id, n)).is_file()],
            tracklets=row.tracklets,
            identity=identity.name if identity else None,
            filters=row.filters,
            yes=[answer.tracklet_id for answer in answers if answer.verdict == "yes"],
            no=[answer.tracklet_id for answer in answers if answer.verdict == "no"],
        )

    @staticmethod
    def _called(session: Session, name: str) -> schema.SavedSearch:
        if row := session.scalar(select(schema.SavedSearch).filter_by(name=name)):
            return row
        raise UnknownError(not_there("saved search", name, session.scalars(select(schema.SavedSearch.name))))


def picture_path(gallery: Gallery, search_id: str, number: int) -> Path:
    """The file of a query's picture; it is gone if that was a best shot which was deleted."""
    return gallery.path / FOLDER / search_id / f"{number}.webp"
