"""What changes a gallery: chunks of recordings and vectors of models come in, each in one transaction."""

import dataclasses
import hashlib
import itertools
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import ColumnElement, delete, exists, func, select, true
from sqlalchemy.orm import Session

from reidapp import files
from reidapp.box import Box
from reidapp.errors import ReidappError
from reidapp.gallery import cameras, database, schema, vectors
from reidapp.gallery.facts import PathPoint, utc
from reidapp.model_card import ModelCard
from reidapp.settings import CameraSettings

if TYPE_CHECKING:
    from reidapp.gallery.store import Gallery

DAMAGED = "damaged; what can be decoded is indexed"
CONTINUES_WITHIN_S = 3.0  # a tracklet goes on, also across a chunk's border, if no more than this lies between


@dataclass(frozen=True)
class NewCrop:
    """A best shot on its way into the gallery: the stored bytes, and where they come from."""

    time_s: float
    box: Box
    quality: float
    webp: bytes


@dataclass(frozen=True)
class NewTracklet:
    """A tracklet on its way into the gallery. ``continues``: the id of the piece that it goes on."""

    path: list[PathPoint]
    crops: list[NewCrop]
    continues: str | None = None


@dataclass(frozen=True)
class NewChunk:
    """What indexing found in one chunk of a video.

    Attributes:
        embeddings: float32 ``[crops, D]``, in the order of the tracklets and of their crops.
        last_s: presentation time of the last decoded frame; None if there was none.
        first_s: presentation time of the first decoded frame; None if there was none. Not stored.
        damaged: something in it was lost or spoilt; then the video's note says so.
    """

    number: int
    start_s: float
    frames: int
    detections: int
    last_s: float | None
    tracklets: list[NewTracklet]
    embeddings: np.ndarray
    damaged: bool = False
    first_s: float | None = None


@dataclass(frozen=True)
class NewPicture:
    """A picture on its way into the gallery: a recording of one chunk.

    Attributes:
        camera: as its path names it.
    """

    camera: str
    video: schema.Video
    chunk: NewChunk


@dataclass(frozen=True)
class StoredChunk:
    """A committed chunk: its camera's name as the model knows it, and its crops' files in their vectors' order."""

    id: str
    camera: str
    crops: list[Path]


class MovedError(ReidappError):
    """Another process has moved the gallery to another model than the one at hand."""


class GalleryWriter:
    """Adds videos and chunks. Each commit is one transaction: files first, flushed, then the rows that name them."""

    def __init__(self, gallery: "Gallery") -> None:
        self.gallery = gallery
        self.model_id = gallery.model_id

    def video(self, video_id: str) -> schema.Video | None:
        """A recording's row; None where it is not here."""
        with Session(self.gallery.engine, expire_on_commit=False) as session:
            return session.get(schema.Video, video_id)

    def settings_at(self, path: Path) -> dict[str, object]:
        """What the newest recording that was found at a path was indexed with."""
        used = select(schema.Video.settings).filter_by(path=str(path)).order_by(schema.Video.mtime_ns.desc())
        with Session(self.gallery.engine) as session:
            return session.scalars(used).first() or {}

    def videos_at(self, paths: Sequence[str]) -> dict[str, list[tuple[str, int]]]:
        """(id, size) of the videos that were found at each path so far."""
        found = select(schema.Video.path, schema.Video.id, schema.Video.size)
        videos: dict[str, list[tuple[str, int]]] = defaultdict(list)
        with Session(self.gallery.engine) as session:
            for path, id_, size in session.execute(found.where(schema.Video.path.in_(database.listed(paths)))):
                videos[path].append((id_, size))
        return videos

    def chunks_done(self, video_id: str) -> set[int]:
        """Numbers of the chunks that are committed."""
        with Session(self.gallery.engine) as session:
            return set(session.scalars(select(schema.Chunk.number).where(schema.Chunk.video_id == video_id)))

    def add_video(self, camera: str, zone: str, video: schema.Video) -> None:
        """Add a video and, if it is new, its camera with a clock in ``zone``.

        Its start is computed from what is written, by the camera's clock; one without it keeps its ``start_ms``. One
        that was deleted is no longer held to be.
        """
        with database.changing(self.gallery.engine) as session:
            self._add_video(session, camera, zone, video)

    def _add_video(self, session: Session, camera: str, zone: str, video: schema.Video) -> None:
        row = self._camera(session, camera, zone)
        if video.written is None:
            video.written = utc(video.start_ms).isoformat()
        else:
            video.start_ms = cameras.start_ms(video.written, row.zone, row.offset_s)
        video.camera_id = row.id
        session.execute(delete(schema.Deleted).where(schema.Deleted.video_id == video.id))
        session.add(video)
        session.flush()

    def set_camera(self, camera: str, zone: str, settings: CameraSettings) -> None:
        """What a user says of a camera before its recordings come; if it is new, its clock is in ``zone``."""
        with database.changing(self.gallery.engine) as session:
            row = self._camera(session, camera, zone)
            cameras.change(session, row.name, settings)
            next_generation(session)

    def change_camera(self, camera: str, settings: CameraSettings) -> None:
        """Correct a camera's name, clock or group; searches see it at once.

        Raises:
            UserError: no such camera, or its new name or group is taken.
        """
        with database.changing(self.gallery.engine) as session:
            cameras.change(session, camera, settings)
            next_generation(session)

    def merge_camera(self, camera: str, into: str) -> cameras.Merged:
        """Make a camera's recordings another's.

        Raises:
            UserError: no such camera, or their clocks differ.
        """
        with database.changing(self.gallery.engine) as session:
            merged = cameras.merge(session, camera, into)
            next_generation(session)
            return merged

    def clock_of(self, camera: str) -> tuple[str, str] | None:
        """(name, zone) of a camera by a name that it has or had; None for one that is not here."""
        with Session(self.gallery.engine) as session:
            row = cameras.camera_called(session, camera)
            return (row.name, row.zone) if row else None

    def name_in_model(self, camera: str, known: Sequence[str]) -> str:
        """A camera's name among those that a model knows, which may be one that it had before."""
        with Session(self.gallery.engine) as session:
            row = cameras.camera_called(session, camera)
            return cameras.name_in_model(session, row, known) if row else camera

    @staticmethod
    def _camera(session: Session, name: str, zone: str) -> schema.Camera:
        row = cameras.camera_called(session, name)
        if row is None:
            row = schema.Camera(name=name, zone=zone, offset_s=0.0)
            session.add(row)
            session.flush()
        return row

    def finish_video(self, video_id: str, duration_s: float, note: str | None) -> None:
        """Mark a video as indexed to its end."""
        with database.changing(self.gallery.engine) as session:
            video = session.get_one(schema.Video, video_id)
            video.done, video.duration_s, video.note = True, duration_s, note

    def moved(self, video_id: str, path: Path, mtime_ns: int) -> None:
        """Remember that a recording lies somewhere else now."""
        with database.changing(self.gallery.engine) as session:
            video = session.get_one(schema.Video, video_id)
            video.path, video.mtime_ns = str(path), mtime_ns

    def last_frame(self, video_id: str) -> float:
        """Presentation time of the last frame that the committed chunks have seen; 0 if there is none."""
        latest = select(func.max(schema.Chunk.last_s)).where(schema.Chunk.video_id == video_id)
        with Session(self.gallery.engine) as session:
            return session.scalar(latest) or 0.0

    def add_chunk(self, video_id: str, chunk: NewChunk) -> None:
        """Commit a chunk: its crops, vectors and rows become visible together."""
        self._write_crops(video_id, chunk)
        with database.changing(self.gallery.engine) as session:
            self._check_model(session)
            self._add_chunk(session, video_id, chunk)
            next_generation(session)

    def add_pictures(self, zone: str, pictures: Sequence[NewPicture]) -> None:
        """Commit new pictures together; new cameras' clocks are in ``zone``."""
        for picture in pictures:
            self._write_crops(picture.video.id, picture.chunk)
        with database.changing(self.gallery.engine) as session:
            self._check_model(session)
            for picture in pictures:
                self._add_video(session, picture.camera, zone, picture.video)
                self._add_chunk(session, picture.video.id, picture.chunk)
            next_generation(session)

    def _check_model(self, session: Session) -> None:
        """What is added has vectors of this writer's model; meanwhile another process may have moved the gallery."""
        if session.get_one(schema.Setting, "model").value != self.model_id:
            raise MovedError(f"{self.gallery.path}: it was moved to another model just now; run the command again")

    def _add_chunk(self, session: Session, video_id: str, chunk: NewChunk) -> None:
        chunk_id = schema.identifier(video_id, chunk.number)
        video = session.get_one(schema.Video, video_id)
        if chunk.damaged:
            video.note = DAMAGED
        session.add(
            schema.Chunk(
                id=chunk_id,
                video_id=video_id,
                number=chunk.number,
                frames=chunk.frames,
                detections=chunk.detections,
                last_s=chunk.last_s,
            )
        )
        session.flush()
        session.add_all(_tracklet_rows(chunk_id, chunk))
        session.flush()
        session.add_all(crops := _crop_rows(chunk_id, chunk))
        if crops:
            day = utc(video.start_ms + chunk.start_s * 1000).strftime("%Y-%m-%d")
            session.add(self._write_vectors(session, self.model_id, chunk_id, day, chunk.embeddings))

    def add_model(self, file: Path, card: ModelCard, model_id: str) -> None:
        """Make room for the vectors of another model, whose file is copied into the gallery; `use_model` switches."""
        if not (own := self.gallery.model_path(model_id)).is_file():
            files.write_whole(own, file.read_bytes())
        with database.changing(self.gallery.engine) as session:
            session.merge(schema.Model(id=model_id, card=dataclasses.asdict(card)))

    def chunks_without(self, model_id: str) -> list[StoredChunk]:
        """The chunks whose crops have no vectors of a model yet, camera by camera."""
        with Session(self.gallery.engine) as session:
            return self._chunks_without(session, model_id)

    def _chunks_without(self, session: Session, model_id: str) -> list[StoredChunk]:
        waiting = (
            select(schema.Chunk.id, schema.Camera.name, schema.Crop.id)
            .join(schema.Video, schema.Video.id == schema.Chunk.video_id)
            .join(schema.Camera, schema.Camera.id == schema.Video.camera_id)
            .join(schema.Crop, schema.Crop.chunk_id == schema.Chunk.id)
            .where(~exists().where(schema.Block.chunk_id == schema.Chunk.id, schema.Block.model_id == model_id))
            .order_by(schema.Camera.name, schema.Video.start_ms, schema.Video.id, schema.Chunk.number)
            .order_by(schema.Crop.position)
        )
        rows = session.execute(waiting).all()
        known = session.get_one(schema.Model, model_id).card.get("cameras", [])
        in_model = cameras.names_in_model(session, known)
        groups = itertools.groupby(rows, key=lambda row: (row[0], row[1]))
        return [
            StoredChunk(id_, in_model[camera], [self.gallery.crop_path(id_, row[2]) for row in group])
            for (id_, camera), group in groups
        ]

    def add_vectors(self, chunk: StoredChunk, model_id: str, embeddings: np.ndarray) -> None:
        """Commit the vectors ``[crops, D]`` of a chunk, in its crops' order, under a model that is not searched yet."""
        with database.changing(self.gallery.engine) as session:
            session.add(self._vectors_of(session, chunk, model_id, embeddings))

    def _vectors_of(self, session: Session, chunk: StoredChunk, model_id: str, embeddings: np.ndarray) -> schema.Block:
        days = select(schema.Block.day).filter_by(chunk_id=chunk.id).order_by(schema.Block.model_id)
        day = session.scalars(days).first()
        assert day is not None  # noqa: S101 - what indexing wrote with the crops; for mypy
        return self._write_vectors(session, model_id, chunk.id, day, embeddings)

    def use_model(self, model_id: str, embed: Callable[[StoredChunk], np.ndarray]) -> int:
        """Search the vectors of another model from now on.

        Args:
            embed: of the chunks that have come since the others were embedded; nobody writes while these are.

        Returns:
            crops embedded by it.

        Raises:
            ReidappError: vectors are missing in the shards.
        """
        self.model_id = model_id
        with database.changing(self.gallery.engine) as session:
            last = self._chunks_without(session, model_id)
            session.add_all([self._vectors_of(session, chunk, model_id, embed(chunk)) for chunk in last])
            session.get_one(schema.Setting, "model").value = model_id
            next_generation(session)
            session.flush()
            crops, written, searchable = self._counted(session, true())
            if not crops == written == searchable:
                raise ReidappError(
                    f"{self.gallery.path}: {crops} crops, {written} vectors written, {searchable} searchable; these "
                    "must be equal. The gallery is still searched with the old model; restore a back-up of its vectors"
                )
        return sum(len(chunk.crops) for chunk in last)

    def border(self, video_id: str, number: int) -> list[tuple[str, PathPoint, np.ndarray]]:
        """The tracklets that reach the end of a committed chunk: (id, last point, mean embedding ``[D]``)."""
        chunk_id = schema.identifier(video_id, number)
        with Session(self.gallery.engine) as session:
            chunk = session.get(schema.Chunk, chunk_id)
            block = session.get(schema.Block, (chunk_id, self.model_id))
            if chunk is None or block is None or chunk.last_s is None:
                return []
            dim = session.get_one(schema.Model, self.model_id).card["dim"]
            rows = vectors.read_block(self.gallery.path, block, dim).astype(np.float32)
            late = select(schema.Tracklet).filter_by(chunk_id=chunk_id).order_by(schema.Tracklet.id)
            reaching = []
            for tracklet in session.scalars(late.where(schema.Tracklet.end_s > chunk.last_s - CONTINUES_WITHIN_S)):
                positions = session.scalars(select(schema.Crop.position).filter_by(tracklet_id=tracklet.id)).all()
                last = PathPoint(tracklet.path[-1][0], Box(*tracklet.path[-1][1:]))
                reaching.append((tracklet.id, last, rows[list(positions)].mean(0)))
            return reaching

    def counted(self, video_ids: Sequence[str] | None = None) -> tuple[int, int, int]:
        """(crop rows, vector rows, vector rows that the shards hold) of these videos, or all; they must be equal."""
        of_videos = true() if video_ids is None else schema.Chunk.video_id.in_(database.listed(video_ids))
        with Session(self.gallery.engine) as session:
            return self._counted(session, of_videos)

    def _counted(self, session: Session, of_videos: ColumnElement[bool]) -> tuple[int, int, int]:
        crops = session.scalar(select(func.count(schema.Crop.id)).join(schema.Chunk).where(of_videos)) or 0
        dim = session.get_one(schema.Model, self.model_id).card["dim"]
        blocks = session.scalars(
            select(schema.Block).join(schema.Chunk).where(of_videos).where(schema.Block.model_id == self.model_id)
        ).all()
        held = {day: self._rows_held(day, dim) for day in {block.day for block in blocks}}
        searchable = sum(block.rows for block in blocks if block.first_row + block.rows <= held[block.day])
        return crops, sum(block.rows for block in blocks), searchable

    def _rows_held(self, day: str, dim: int) -> int:
        shard = vectors.shard_path(self.gallery.path, self.model_id, day)
        return shard.stat().st_size // (2 * dim) if shard.is_file() else 0

    def _write_crops(self, video_id: str, chunk: NewChunk) -> None:
        chunk_id = schema.identifier(video_id, chunk.number)
        if not (rows := _crop_rows(chunk_id, chunk)):
            return
        folder = self.gallery.chunk_folder(chunk_id)
        half_made = folder.with_suffix(".new")
        for leftover in (half_made, folder):  # of a run that was killed before its commit
            shutil.rmtree(leftover, ignore_errors=True)
        files.make_folder(half_made)
        images = [crop.webp for tracklet in chunk.tracklets for crop in tracklet.crops]
        for row, webp in zip(rows, images, strict=True):
            files.write_flushed(half_made / f"{row.id}.webp", webp)
        files.flush_folder(half_made)
        os.replace(half_made, folder)
        files.flush_folder(folder.parent)

    def _write_vectors(
        self, session: Session, model_id: str, chunk_id: str, day: str, embeddings: np.ndarray
    ) -> schema.Block:
        shard = select(func.max(schema.Block.first_row + schema.Block.rows)).filter_by(model_id=model_id, day=day)
        first_row = session.scalar(shard) or 0
        digest = vectors.append(vectors.shard_path(self.gallery.path, model_id, day), first_row, embeddings)
        return schema.Block(
            chunk_id=chunk_id,
            model_id=model_id,
            day=day,
            first_row=first_row,
            rows=len(embeddings),
            sha256=digest,
        )


def next_generation(session: Session) -> None:
    """Let every reader know that there is something new, once this is committed."""
    generation = session.get_one(schema.Setting, "generation")
    generation.value = str(int(generation.value) + 1)


def digest(data: bytes) -> str:
    """16 hex digits by which a stored crop's bytes are known again."""
    return hashlib.sha256(data).hexdigest()[:16]


def _tracklet_rows(chunk_id: str, chunk: NewChunk) -> list[schema.Tracklet]:
    return [
        schema.Tracklet(
            id=schema.identifier(chunk_id, index),
            chunk_id=chunk_id,
            start_s=tracklet.path[0].time_s,
            end_s=tracklet.path[-1].time_s,
            path=[[round(point.time_s, 4), *(round(v, 5) for v in point.box)] for point in tracklet.path],
            continues=tracklet.continues,
        )
        for index, tracklet in enumerate(chunk.tracklets)
    ]


def _crop_rows(chunk_id: str, chunk: NewChunk) -> list[schema.Crop]:
    shots = [(index, crop) for index, tracklet in enumerate(chunk.tracklets) for crop in tracklet.crops]
    if len(shots) != len(chunk.embeddings):
        raise ReidappError(f"chunk {chunk.number}: {len(shots)} crops but {len(chunk.embeddings)} embeddings")
    return [
        schema.Crop(
            id=schema.identifier(chunk_id, "crop", position),
            tracklet_id=schema.identifier(chunk_id, index),
            chunk_id=chunk_id,
            position=position,
            time_s=crop.time_s,
            x1=crop.box.x1,
            y1=crop.box.y1,
            x2=crop.box.x2,
            y2=crop.box.y2,
            quality=crop.quality,
            digest=digest(crop.webp),
        )
        for position, (index, crop) in enumerate(shots)
    ]
