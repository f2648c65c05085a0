"""Have a gallery searched approximately, by looking into a part of it (`ivf`), or exactly again."""

from sqlalchemy.orm import Session

from reidapp.errors import ReidappError, UserError
from reidapp.gallery import database, mirror, schema
from reidapp.gallery.ivf import RECALL
from reidapp.gallery.milvus import Progress
from reidapp.gallery.snapshot import Snapshots
from reidapp.gallery.store import Gallery
from reidapp.gallery.writer import next_generation

_FEWEST = 100_000  # rows; an exact search among fewer takes some milliseconds, most of them for what is not the search
_LEAST = 0.5


def search_approximately(gallery: Gallery, recall: float, progress: Progress = lambda done, total, what: None) -> None:
    """From now on, look only where so much of what is nearest is found; decided by what is measured on its own rows.

    Cells are made of all rows first, which takes minutes for millions; until then, and if it is interrupted, searches
    stay as they are.

    Args:
        recall: share of the nearest rows that a search is to find, 0.5 to 1; 1: all, so searches are exact again.

    Raises:
        UserError: no such share, Milvus searches the gallery, it has few rows, or so much is not found without looking
            into more than an eighth of it.
        ReidappError: cells cannot be made now.
    """
    if not _LEAST <= recall <= 1:
        raise UserError(f"--recall {recall:g}: the share of what is nearest that is found; {_LEAST:g} to 1 expected")
    if (place := mirror.place(gallery)) != mirror.FAISS:
        again = f"`reidapp gallery vectors -g {gallery.path} --to {mirror.FAISS}` searches here"
        raise UserError(f"{gallery.path}: searched by {place}, which has ways of its own; {again}")
    if recall < 1:
        _make_cells(gallery, recall, progress)
    with database.changing(gallery.engine) as session:
        _keep(session, recall)
        next_generation(session)


def _make_cells(gallery: Gallery, recall: float, progress: Progress) -> None:
    snapshots = Snapshots(gallery, gallery.model_id, recall)
    if (rows := len(snapshots.current().crops)) < _FEWEST:
        raise UserError(
            f"{gallery.path}: {rows:,} vectors are searched exactly as fast; --recall is for {_FEWEST:,} and more"
        )
    snapshots.derive(progress)
    made = snapshots.current()
    if made.worth_deriving:
        raise ReidappError(
            f"{gallery.path}: cells were not made: another process is at it, or the disk is full; try again"
        )
    if any(not segment.cells.probes for segment in made.segments if segment.cells):
        raise UserError(
            f"{gallery.path}: to find {100 * recall:g} % of what is nearest, a search would look into more than an "
            "eighth of it, which is no faster; searches stay as they were. Try a lower --recall"
        )


def _keep(session: Session, recall: float) -> None:
    if recall < 1:
        session.merge(schema.Setting(key=RECALL, value=repr(recall)))
    elif setting := session.get(schema.Setting, RECALL):
        session.delete(setting)
