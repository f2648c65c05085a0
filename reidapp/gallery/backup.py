"""Copies of a gallery at one moment, while others write to it: back-ups, and galleries made of them again.

The rows are copied first, all at once, into an SQLite file or onto a server, wherever they are now; what they name is
there and does not change (vectors are only added behind, and `Gallery.files_kept` lets no file go). Crops and models
are linked where that is possible, since they are never written to in place; of shards, the rows that count are copied.
A copy is held against its rows before it has its name, so a folder of that name is whole.
"""

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from reidapp import files
from reidapp.errors import ReidappError, UserError
from reidapp.gallery import database, erasure, mirror, schema, vectors
from reidapp.gallery.saved_searches import picture_path
from reidapp.gallery.store import Gallery
from reidapp.gallery.verification import Progress, Verification, verify

_PIECE = 1 << 20  # bytes


def copy_gallery(
    source: Gallery,
    target: Path,
    progress: Progress = lambda done, total, camera: None,
    url: str | None = None,
) -> Verification:
    """Copy a gallery as it is now to a folder that is not there yet, or is empty.

    Killed at any moment, it leaves ``TARGET.new`` at most, and rows on the server; the next run begins both anew.

    Args:
        url: of a PostgreSQL database for the copy's rows; None: a file in its folder.

    Raises:
        UserError: there is something already, in the folder or in the database.
        ReidappError: the copy is not whole, as the source is not; or the disk is full.
    """
    if target.is_file() or (target.is_dir() and any(target.iterdir())):
        raise UserError(f"{target}: not an empty folder; nothing is overwritten, give another name")
    half_made = target.with_name(f"{target.name}.new")
    with files.disk_named(target):
        database.empty_again(half_made, url)
        with source.files_kept():
            database.copy_rows(source.engine, half_made, url)
            copy = Gallery.open(half_made, url)
            with database.changing(copy.engine) as session:
                mirror.forget(session)
                erasure.forget_being_a_backup(session)
            _copy_files(source, copy)
        found = verify(copy, progress)
        if found.faults:
            with database.changing(copy.engine) as session:
                database.clear(session)
        copy.engine.dispose()
        if found.faults:
            shutil.rmtree(half_made)
            first = found.faults[0]
            raise ReidappError(
                f"{source.path}: not whole, so {target} was not made: {first.what} (faults: {len(found.faults)}); "
                f"`reidapp gallery repair --gallery {source.path}` mends what can be mended"
            )
        os.sync()
        os.replace(half_made, target)
        files.flush_folder(target.absolute().parent)
    return found


def _copy_files(source: Gallery, copy: Gallery) -> None:
    """All that the copied rows name; what is missing is for `verify` to say."""
    block, crop = schema.Block, schema.Crop

    def take(file: Path, how: Callable[[Path, Path], None] = _link) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            how(source.path / file.relative_to(copy.path), file)

    with Session(copy.engine) as session:
        dims = {model.id: model.card["dim"] for model in session.scalars(select(schema.Model))}
        ends = select(block.model_id, block.day, func.max(block.first_row + block.rows))
        for model_id, day, rows in session.execute(ends.group_by(block.model_id, block.day)):
            shard = vectors.shard_path(copy.path, model_id, day)
            take(shard, partial(_copy_start, size=rows * dims[model_id] * 2))
        for model_id in dims:
            take(copy.model_path(model_id))
        for chunk_id, crop_id in session.execute(select(crop.chunk_id, crop.id)):
            take(copy.crop_path(chunk_id, crop_id))
        for search in session.scalars(select(schema.SavedSearch)):
            for number in range(search.pictures):
                take(picture_path(copy, search.id, number))


def _link(file: Path, copy: Path) -> None:
    try:
        os.link(file, copy)
    except FileNotFoundError:
        raise
    except OSError:  # another disk, or one that knows no links
        shutil.copyfile(file, copy)


def _copy_start(shard: Path, copy: Path, size: int) -> None:
    with shard.open("rb") as source, copy.open("wb") as target:
        while size > 0 and (piece := source.read(min(size, _PIECE))):
            target.write(piece)
            size -= len(piece)
