"""Taking recordings, periods and tracklets out of a gallery: rows, vectors, pictures, and what was said of them.

One transaction takes all rows, and names the files that are no longer wanted (`schema.Leftover`); those go right after
it. A run that is killed before the commit has deleted nothing, and after it everything: the next one who writes removes
the files. Vectors are taken out by writing their shard anew, without them, under another name: who has the old one
open, such as a search, still reads what was there when it began.
"""

import contextlib
import hashlib
import io
import itertools
import math
import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sqlalchemy import Double, and_, delete, func, insert, literal, or_, select, update
from sqlalchemy.orm import Session

from reidapp import files
from reidapp.errors import UserError
from reidapp.gallery import cameras, database, schema, vectors
from reidapp.gallery.database import listed
from reidapp.gallery.derived import SUFFIX, outdate
from reidapp.gallery.facts import ModelInfo, iso, utc
from reidapp.gallery.identities import forget_tracklets
from reidapp.gallery.pieces import first_pieces, roots
from reidapp.gallery.saved_searches import picture_path
from reidapp.gallery.snapshot import Snapshots
from reidapp.gallery.store import Gallery
from reidapp.gallery.verification import leftovers
from reidapp.gallery.writer import GalleryWriter, next_generation
from reidapp.imaging import decode_crop, encode_crop
from reidapp.wording import counted, counts

RETENTION = "retention_days"  # the setting

_MADE = ("clips", "exports")  # folders of what a server has made of recordings, and of archives of cases
_MIN_PREFIX = 6  # digits of an id


@dataclass(frozen=True)
class Selection:
    """What to delete: tracklets, or what all else that is given names together.

    A tracklet goes as a whole if any part of it lies in the period, and a recording if all of it does.

    Attributes:
        video: id, or its beginning, or path.
        after, before: aware.
        tracklets: ids or their beginnings.
    """

    video: str | None = None
    camera: str | None = None
    after: datetime | None = None
    before: datetime | None = None
    tracklets: Sequence[str] = ()


@dataclass(frozen=True)
class Deletion:
    """What goes, or went. ``said``: users' yes and no."""

    videos: int = 0
    tracklets: int = 0
    crops: int = 0
    vectors: int = 0
    said: int = 0
    cameras: tuple[str, ...] = ()
    first: datetime | None = None
    last: datetime | None = None

    def __bool__(self) -> bool:
        return bool(self.videos or self.tracklets)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: times ISO 8601 UTC."""
        return {**vars(self), "cameras": list(self.cameras), "first": iso(self.first), "last": iso(self.last)}

    def __str__(self) -> str:
        if not self:
            return "nothing"
        text = counts(recording=self.videos, tracklet=self.tracklets, crop=self.crops, vector=self.vectors)
        text += f", {counted(self.said, 'answer')} of users" if self.said else ""
        if self.first and self.last:
            text += f"; {', '.join(self.cameras)}, {self.first:%Y-%m-%d %H:%M:%S} – {self.last:%Y-%m-%d %H:%M:%S} UTC"
        return text


def planned(gallery: Gallery, selection: Selection) -> Deletion:
    """What `delete_from` would take out.

    Raises:
        UserError: an unknown video, camera or tracklet, or nothing is given.
    """
    with Session(gallery.engine) as session:
        return what_goes(session, *resolved(session, gallery, selection))


def delete_from(writer: GalleryWriter, selection: Selection) -> Deletion:
    """Take it out, for good. A recording that is deleted as a whole does not come back with the next run of indexing.

    Raises:
        UserError: an unknown video, camera or tracklet, or nothing is given.
        BusyError: another process embeds the gallery anew, and reads what would go.
    """
    with writer.gallery.embedding_anew():
        return _delete_from(writer.gallery, selection)


def _delete_from(gallery: Gallery, selection: Selection) -> Deletion:
    with database.changing(gallery.engine) as session:
        videos, pieces = resolved(session, gallery, selection)
        found = what_goes(session, videos, pieces)
        if found:
            take_out(session, gallery, videos, pieces)
    gallery.remove_leftovers()
    if found:
        Snapshots(gallery, gallery.model_id).derive()
    return found


def take_out(session: Session, gallery: Gallery, videos: Collection[str], pieces: Collection[str]) -> None:
    """Take rows out, and name the files that nobody wants then, for `Gallery.remove_leftovers` after the commit.

    Args:
        videos: ids of recordings that go as a whole.
        pieces: ids of all pieces of tracklets that go, those of the recordings among them.
    """
    unwanted = _delete(session, gallery, videos, pieces)
    unnamed = _unnamed(session, gallery)
    unnamed |= {path for path in unwanted if path.parent not in unnamed}
    made_of_it = {gallery.path / folder for folder in _MADE}
    leave(session, gallery, unnamed | made_of_it | set((gallery.path / "vectors").rglob(f"*{SUFFIX}")))
    outdate(session)
    next_generation(session)


def retention(gallery: Gallery) -> int | None:
    """The days for which a gallery keeps what was seen; None: for ever."""
    with Session(gallery.engine) as session:
        setting = session.get(schema.Setting, RETENTION)
        return int(setting.value) if setting else None


def set_retention(gallery: Gallery, days: int | None) -> None:
    """Keep what was seen for so many days from now on. Nothing is deleted before `delete_outdated`."""
    with database.changing(gallery.engine) as session:
        session.execute(delete(schema.Setting).where(schema.Setting.key == RETENTION))
        if days is not None:
            session.add(schema.Setting(key=RETENTION, value=str(days)))


def outdated(gallery: Gallery) -> Selection | None:
    """What is older than the gallery keeps it; None if it keeps everything."""
    days = retention(gallery)
    return None if days is None else older_than(days)


def older_than(days: int) -> Selection:
    """What was seen longer ago."""
    return Selection(before=datetime.now(UTC) - timedelta(days=days))


def delete_outdated(writer: GalleryWriter) -> Deletion:
    """Delete what is older than the gallery keeps it."""
    selection = outdated(writer.gallery)
    return delete_from(writer, selection) if selection else Deletion()


def drop_other_models(writer: GalleryWriter) -> list[ModelInfo]:
    """Delete vectors and files of all models but the one that is searched. Returns those."""
    gallery = writer.gallery
    others = [model for model in gallery.models() if not model.active]
    ids = [model.id for model in others]
    with database.changing(gallery.engine) as session:
        session.execute(delete(schema.Block).where(schema.Block.model_id.in_(ids)))
        session.execute(delete(schema.Model).where(schema.Model.id.in_(ids)))
        folders = (vectors.shard_path(gallery.path, id_, "").parent for id_ in ids)
        leave(session, gallery, [*folders, *(model.file for model in others)])
    gallery.remove_leftovers()
    return others


def resolved(session: Session, gallery: Gallery, wanted: Selection) -> tuple[set[str], set[str]]:
    """(videos that go as a whole, pieces of tracklets that go, those videos' among them).

    Raises:
        UserError: an unknown video, camera or tracklet, or nothing is given.
    """
    narrowed = wanted.video or wanted.camera or wanted.after or wanted.before
    if bool(wanted.tracklets) == bool(narrowed):
        raise UserError("delete: give tracklets alone, or a recording, a camera or times")
    root_of = roots(session)
    if wanted.tracklets:
        videos, first = set[str](), set(first_pieces(gallery, wanted.tracklets).values())
    else:
        video, piece = schema.Video, schema.Tracklet
        # As fractions: databases would round what is compared with whole milliseconds, or know no infinite ones.
        after = literal(wanted.after.timestamp() * 1000 if wanted.after else -math.inf, Double)
        before = literal(wanted.before.timestamp() * 1000 if wanted.before else math.inf, Double)
        of = []
        if wanted.video:
            of.append(video.id == _video_called(session, wanted.video))
        if wanted.camera:
            of.append(video.camera_id == cameras.existing(session, wanted.camera).id)
        whole = and_(video.start_ms >= after, video.start_ms + video.duration_s * 1000 <= before)
        part = and_(video.start_ms + piece.end_s * 1000 >= after, video.start_ms + piece.start_s * 1000 <= before)
        videos = set(session.scalars(select(video.id).where(whole, *of)))
        pieces = select(piece.id).join(schema.Chunk).join(video).where(or_(whole, part), *of)
        first = {root_of.get(id_, id_) for id_ in session.scalars(pieces)}
    return videos, first | {id_ for id_, root in root_of.items() if root in first}


def _video_called(session: Session, given: str) -> str:
    video = schema.Video
    begins = video.id.startswith(given.lower(), autoescape=True) if len(given) >= _MIN_PREFIX else video.id == given
    said = Path(given).expanduser()
    path = video.path.in_({given, str(said.absolute()), str(said.resolve())})  # `index` follows links
    found = session.scalars(select(video.id).where(or_(begins, path)).limit(2)).all()
    if len(found) != 1:
        what = "several recordings begin so" if found else "not in this gallery; give the id or path of a recording"
        raise UserError(f"recording {given}: {what}")
    return found[0]


def what_goes(session: Session, videos: Collection[str], pieces: Collection[str]) -> Deletion:
    """What `take_out` would take out."""
    crop, piece, video = schema.Crop, schema.Tracklet, schema.Video
    gone = listed(pieces)
    crops = select(func.count()).select_from(crop).where(crop.tracklet_id.in_(gone))
    said = (
        select(func.count()).select_from(model).where(model.tracklet_id.in_(gone))
        for model in (schema.Member, schema.Answer, schema.CaseHit)
    )
    spans = (
        select(
            schema.Camera.name,
            func.min(video.start_ms + piece.start_s * 1000),
            func.max(video.start_ms + piece.end_s * 1000),
        )
        .select_from(piece).join(schema.Chunk).join(video).join(schema.Camera)
        .where(piece.id.in_(gone)).group_by(schema.Camera.name).order_by(schema.Camera.name)
    )  # fmt: skip
    rows = session.execute(spans).all()
    return Deletion(
        videos=len(videos),
        tracklets=len(set(pieces) - roots(session).keys()),
        crops=session.scalar(crops) or 0,
        vectors=session.scalar(crops.join(schema.Block, schema.Block.chunk_id == crop.chunk_id)) or 0,
        said=sum(session.scalar(each) or 0 for each in said),
        cameras=tuple(row[0] for row in rows),
        first=min((utc(row[1]) for row in rows), default=None),
        last=max((utc(row[2]) for row in rows), default=None),
    )


def _delete(session: Session, gallery: Gallery, videos: Collection[str], pieces: Collection[str]) -> set[Path]:
    """Take the rows out. Returns pictures that are named no more."""
    gone = listed(pieces)
    crop, block = schema.Crop, schema.Block
    rows = session.execute(select(crop.chunk_id, crop.position, crop.id).where(crop.tracklet_id.in_(gone))).all()
    paths = [gallery.crop_path(chunk_id, id_) for chunk_id, _, id_ in rows]
    unwanted = _forget_in_searches(session, gallery, pieces, paths)
    forget_tracklets(session, pieces)
    positions: defaultdict[str, set[int]] = defaultdict(set)
    for chunk_id, position, _ in rows:
        positions[chunk_id].add(position)
    shards = select(block.model_id, block.day).where(block.chunk_id.in_(listed(positions))).distinct()
    for model_id, day in session.execute(shards.order_by(block.model_id, block.day)).all():
        _rewrite(session, gallery, model_id, day, positions)
    session.execute(delete(crop).where(crop.tracklet_id.in_(gone)))
    session.execute(delete(schema.Tracklet).where(schema.Tracklet.id.in_(gone)))
    _renumber(session, positions)
    _delete_videos(session, videos)
    return unwanted | set(paths)


def _delete_videos(session: Session, ids: Collection[str]) -> None:
    video, now = schema.Video, iso(datetime.now(UTC))
    found = session.execute(
        select(video.id, video.path, video.size, video.mtime_ns).where(video.id.in_(listed(ids)))
    ).all()
    rows = [{"video_id": id_, "file": schema.identifier(*file), "at": now} for id_, *file in found]
    if rows:
        session.execute(delete(schema.Deleted).where(schema.Deleted.video_id.in_(listed(ids))))
        session.execute(insert(schema.Deleted), rows)
    session.execute(delete(schema.Chunk).where(schema.Chunk.video_id.in_(listed(ids))))
    session.execute(delete(video).where(video.id.in_(listed(ids))))


def _rewrite(session: Session, gallery: Gallery, model_id: str, day: str, gone: dict[str, set[int]]) -> None:
    """Write a shard anew without some rows, ``{chunk: positions}``, under the next name."""
    width = 2 * session.get_one(schema.Model, model_id).card["dim"]
    shard = select(schema.Block).filter_by(model_id=model_id, day=day).order_by(schema.Block.first_row)
    old = vectors.shard_path(gallery.path, model_id, day)
    new_day = _next_name(session, model_id, day)
    new = vectors.shard_path(gallery.path, model_id, new_day)
    with old.open("rb") if old.is_file() else io.BytesIO() as source, new.open("wb") as target:
        for block in session.scalars(shard).all():
            kept = [row for row in range(block.rows) if row not in gone.get(block.chunk_id, ())]
            if not kept:
                session.delete(block)
                continue
            source.seek(block.first_row * width)
            data = source.read(block.rows * width)
            sound = hashlib.sha256(data).hexdigest() == block.sha256  # else it stays for `gallery repair`
            stored = np.frombuffer(data.ljust(block.rows * width, b"\0"), np.uint8).reshape(block.rows, width)
            data = stored[kept].tobytes()
            block.day, block.first_row, block.rows = new_day, target.tell() // width, len(kept)
            block.sha256 = hashlib.sha256(data).hexdigest() if sound else block.sha256 and vectors.DAMAGED
            target.write(data)
        target.flush()
        os.fsync(target.fileno())
    files.flush_folder(new.parent)
    session.flush()


def _next_name(session: Session, model_id: str, day: str) -> str:
    """``2026-03-02`` → ``2026-03-02.1`` → ``2026-03-02.2``; never one that any shard has."""
    base = day.partition(".")[0]
    names = session.scalars(select(schema.Block.day).filter_by(model_id=model_id).distinct())
    numbers = [int(found[1] or 0) for name in names if (found := re.fullmatch(rf"{base}(?:\.(\d+))?", name))]
    return f"{base}.{max(numbers) + 1}"


def _renumber(session: Session, chunks: Collection[str]) -> None:
    """Close the gaps between chunks' crops, as in their vectors."""
    crop, rows = schema.Crop, []
    left = (
        select(crop.chunk_id, crop.id).where(crop.chunk_id.in_(listed(chunks))).order_by(crop.chunk_id, crop.position)
    )
    for _, group in itertools.groupby(session.execute(left).all(), key=lambda row: row[0]):
        rows += [{"id": id_, "position": position} for position, (_, id_) in enumerate(group)]
    if rows:  # from the first on, so that no place is taken twice
        session.execute(update(crop), rows)


def _forget_in_searches(
    session: Session, gallery: Gallery, pieces: Collection[str], crops: Iterable[Path]
) -> set[Path]:
    """Saved searches ask no longer with what is deleted; one with nothing left to ask goes. Returns their pictures."""
    searches = session.scalars(select(schema.SavedSearch)).all()
    there = {picture_path(gallery, row.id, n): row for row in searches for n in range(row.pictures)}
    stored = {path: path.read_bytes() for path in there if path.is_file()}
    unwanted = _made_of(crops, stored) if stored else set()
    for search in searches:
        search.tracklets = [id_ for id_ in search.tracklets if id_ not in pieces]
        pictures = {path for path in stored if there[path] is search}
        if not (search.tracklets or search.identity or pictures - unwanted):
            session.execute(delete(schema.Answer).where(schema.Answer.search_id == search.id))
            session.delete(search)
            unwanted.add(picture_path(gallery, search.id, 0).parent)
    return unwanted


def _made_of(crops: Iterable[Path], stored: dict[Path, bytes]) -> set[Path]:
    """The queries' pictures that are best shots, with which somebody searched: stored once more, from their pixels."""
    sizes = {Image.open(path).size for path in stored}
    made = set()
    for crop in crops:
        with contextlib.suppress(OSError, SyntaxError, ValueError):  # lost or damaged
            if Image.open(crop).size in sizes:
                made.add(encode_crop(decode_crop(crop.read_bytes())))
    return {path for path, data in stored.items() if data in made}


def _unnamed(session: Session, gallery: Gallery) -> set[Path]:
    """What no row names, now or since a run was killed; tails of shards go at once."""
    unnamed = set()
    for leftover in leftovers(session, gallery):
        path = gallery.path / leftover.path
        if leftover.keep is None:
            unnamed.add(path)
        else:
            os.truncate(path, leftover.keep)
    return unnamed


def leave(session: Session, gallery: Gallery, paths: Iterable[Path]) -> None:
    """Name files for `Gallery.remove_leftovers`."""
    there = set(session.scalars(select(schema.Leftover.path)))
    if wanted := {str(path.relative_to(gallery.path)) for path in paths} - there:
        session.execute(insert(schema.Leftover), [{"path": path} for path in sorted(wanted)])
