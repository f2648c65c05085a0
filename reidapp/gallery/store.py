"""A gallery on disk: opening it, asking it for rows, and writing chunks into it.

gallery/
  gallery.db          rows (SQLite, WAL); or database.json, which says where they are
  vectors/            embeddings, raw fp16, one shard per model and day
  crops/ab/<chunk>/   the best shots of a chunk's tracklets, WebP
  models/             the embedding model, so that a gallery can be searched wherever it is
  clips/, exports/, adapted/   what a server has made: parts of recordings, archives of cases, versions of the model
"""

import dataclasses
import hashlib
import itertools
import json
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import ColumnElement, Engine, delete, exists, func, select, true
from sqlalchemy.orm import Session

from reidapp import files
from reidapp.box import Box
from reidapp.errors import ReidappError, UnknownError, UserError
from reidapp.gallery import cameras, database, schema, vectors
from reidapp.model_card import ModelCard
from reidapp.settings import CameraSettings
from reidapp.wording import counts

DAMAGED = "damaged; what can be decoded is indexed"
CONTINUES_WITHIN_S = 3.0  # a tracklet goes on, also across a chunk's border, if no more than this lies between


@dataclass(frozen=True)
class CameraInfo:
    """A camera: its clock, the UTC span of its footage, and how much of it there is.

    Attributes:
        zone: IANA name.
        offset_s: by which its clock is ahead of the true time.
        group: None where it is in none.
    """

    name: str
    zone: str
    offset_s: float
    group: str | None
    first: datetime
    last: datetime
    videos: int
    tracklets: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: times ISO 8601 UTC."""
        return {**vars(self), "first": iso(self.first), "last": iso(self.last)}

    def __str__(self) -> str:
        zone = ZoneInfo(self.zone)
        ahead = f", {abs(self.offset_s):g} s {'ahead' if self.offset_s > 0 else 'behind'}" if self.offset_s else ""
        group = f"  group {self.group}" if self.group else ""
        return (
            f"{self.name}  {self.zone}{ahead}{group}  {counts(recording=self.videos, tracklet=self.tracklets)}  "
            f"{self.first.astimezone(zone):%Y-%m-%d %H:%M:%S} – {self.last.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"
        )


@dataclass(frozen=True)
class VideoInfo:
    id: str
    camera: str
    zone: str
    path: Path
    size: int  # bytes, when it was indexed
    mtime_ns: int  # then
    start: datetime  # UTC
    start_source: str  # template, name, container or mtime
    uncertain: str | None  # why the start may be wrong
    duration_s: float
    width: int
    height: int


@dataclass(frozen=True)
class PathPoint:
    """Where a tracklet's person was: seconds in the video, and the box."""

    time_s: float
    box: Box


@dataclass(frozen=True)
class CropInfo:
    id: str
    time_s: float
    box: Box
    quality: float
    file: Path


@dataclass(frozen=True)
class TrackletInfo:
    """A tracklet with all the pieces that continue it, as one."""

    id: str  # of the first piece
    camera: str
    video: VideoInfo
    start: datetime
    end: datetime
    start_s: float
    end_s: float
    path: list[PathPoint]
    crops: list[CropInfo]


@dataclass(frozen=True)
class ModelInfo:
    """An embedding model of a gallery: its card, how many crops have vectors of it, and whether it is searched."""

    id: str
    card: ModelCard
    file: Path
    crops: int
    active: bool

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        named = {"name": self.card.name, "version": self.card.version}
        return named | {key: getattr(self, key) for key in ("id", "crops", "active")}

    def __str__(self) -> str:
        mark = "  in use" if self.active else ""
        return f"{self.card.name}/{self.card.version}  {self.id[:8]}  {self.crops} crops{mark}"


@dataclass(frozen=True)
class GallerySummary:
    """What a gallery has in it. ``unfinished`` are those of the videos that were not indexed to their end."""

    model: str
    cameras: int
    videos: int
    unfinished: int
    tracklets: int
    crops: int
    first: datetime | None
    last: datetime | None


@dataclass(frozen=True)
class GalleryFacts:
    """A gallery at a glance; ``bytes`` on disk, by part; ``rows``: where they are."""

    rows: str
    summary: GallerySummary
    models: list[ModelInfo]
    bytes: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: times ISO 8601 UTC."""
        facts = vars(self.summary) | {key: iso(getattr(self.summary, key)) for key in ("first", "last")}
        return facts | {"rows": self.rows, "models": [m.to_dict() for m in self.models], "bytes": self.bytes}

    def __str__(self) -> str:
        s = self.summary
        begun = f" ({s.unfinished} not indexed to their end)" if s.unfinished else ""
        found = counts(tracklet=s.tracklets, crop=s.crops)
        lines = [f"{counts(camera=s.cameras, recording=s.videos)}{begun}, {found}"]
        if s.first and s.last:
            lines.append(f"{s.first:%Y-%m-%d %H:%M:%S} – {s.last:%Y-%m-%d %H:%M:%S} UTC")
        lines += [f"rows in {self.rows}"] if "://" in self.rows else []
        lines += [f"model {model}" for model in self.models]
        parts = ", ".join(f"{name} {size / 1e6:.1f}" for name, size in self.bytes.items())
        return "\n".join([*lines, f"{sum(self.bytes.values()) / 1e6:.1f} MB on disk: {parts}"])


@dataclass(frozen=True)
class NewCrop:
    """A best shot on its way into the gallery: the stored bytes, and where they come from."""

    time_s: float
    box: Box
    quality: float
    webp: bytes


@dataclass(frozen=True)
class NewTracklet:
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


class Gallery:
    """A folder that holds what indexing found. Readers may be many; one process writes at a time (`writing`)."""

    def __init__(self, path: Path, engine: Engine) -> None:
        self.path = path
        self.engine = engine
        self._tracklets_of = ("", dict[int, int]())  # a generation, and its counts

    @classmethod
    def open(cls, path: Path, url: str | None = None) -> "Gallery":
        """Open a gallery that exists.

        Args:
            url: of the server with its rows, where it has another address than before, or with a password.

        Raises:
            UserError: there is none, or its rows are not where they were; see `database.opened`.
        """
        if not database.is_there(path):
            if path.is_dir() and any(path.iterdir()):
                raise UserError(f"{path}: no gallery here; name the folder that `reidapp index --gallery` made")
            raise UserError(f"{path}: no gallery here; make one with `reidapp index FOLDER --gallery {path}`")
        return cls(path, database.opened(path, url))

    @classmethod
    def create(cls, path: Path, model: Path, card: ModelCard, model_id: str, url: str | None = None) -> "Gallery":
        """Make an empty gallery for one model, whose file is copied into it; or open what another process makes there.

        Args:
            url: of a PostgreSQL database for its rows; None: a file in its folder.

        Raises:
            UserError: the folder holds other things or cannot be written, or the database holds another gallery.
        """
        others = path.is_file() or (path.is_dir() and not all(map(_of_creation, path.iterdir())))
        if others and not database.is_there(path):
            raise UserError(f"{path}: not a gallery and not an empty folder; give another --gallery")
        if not files.writable(path):
            raise UserError(f"{path}: cannot be written to, by this user or at all; give another --gallery")
        with files.disk_named(path):
            files.make_folder(path)
            with files.locked(path / "files.lock"):
                if not database.is_there(path):
                    with database.founding(path, url) as session:  # the rows come last: who has them is complete
                        files.make_folder(path / "models")
                        files.write_whole(path / "models" / f"{model_id[:16]}.onnx", model.read_bytes())
                        session.add(schema.Model(id=model_id, card=dataclasses.asdict(card)))
                        session.add(schema.Setting(key="model", value=model_id))
                        session.add(schema.Setting(key="generation", value="0"))
        return cls.open(path, url)

    # Reading

    @property
    def model_id(self) -> str:
        """sha256 of the model whose vectors are searched."""
        return self._setting("model")

    def check_in_use(self, model_id: str) -> None:
        """
        Raises:
            ReidappError: the gallery is searched with another model now.
        """
        if self.model_id != model_id:
            raise ReidappError(f"{self.path}: moved to another model meanwhile, so nothing was kept; run this again")

    @property
    def model_file(self) -> Path:
        return self.model_path(self.model_id)

    @database.blames_rows
    def models(self) -> list[ModelInfo]:
        """All models that it has vectors of, or had begun to make; the one in use first."""
        rows = func.coalesce(func.sum(schema.Block.rows), 0)
        counts = select(schema.Model, rows).outerjoin(schema.Block).group_by(schema.Model.id).order_by(schema.Model.id)
        with Session(self.engine) as session:
            active = session.get_one(schema.Setting, "model").value
            found = [
                ModelInfo(
                    model.id,
                    ModelCard.from_json(json.dumps(model.card), str(self.path)),
                    self.model_path(model.id),
                    crops,
                    model.id == active,
                )
                for model, crops in session.execute(counts)
            ]
        return sorted(found, key=lambda model: not model.active)

    @property
    def detector(self) -> str:
        """The detector that indexed the newest recording, as the user named it; queries use the same."""
        asked = schema.Video.settings["detector"].as_string().is_not(None)  # for crops, none was
        latest = select(schema.Video.settings).where(asked)
        latest = latest.order_by(schema.Video.start_ms.desc(), schema.Video.id).limit(1)
        with Session(self.engine) as session:
            return (session.scalar(latest) or {}).get("detector", "hog")

    @property
    @database.blames_rows
    def generation(self) -> int:
        """Grows with every commit."""
        return int(self._setting("generation"))

    @database.blames_rows
    def cameras(self) -> list[CameraInfo]:
        """All cameras, by name."""
        starts, ends = func.min(schema.Video.start_ms), func.max(schema.Video.start_ms + schema.Video.duration_s * 1000)
        spans = (
            select(schema.Camera, starts, ends, func.count())
            .join(schema.Video)
            .group_by(schema.Camera.id)
            .order_by(schema.Camera.name)
        )
        with Session(self.engine) as session:
            tracklets = self._counts(session)
            return [
                CameraInfo(
                    name=camera.name,
                    zone=camera.zone,
                    offset_s=camera.offset_s,
                    group=camera.group,
                    first=utc(first),
                    last=utc(last),
                    videos=videos,
                    tracklets=tracklets.get(camera.id, 0),
                )
                for camera, first, last, videos in session.execute(spans)
            ]

    def _counts(self, session: Session) -> dict[int, int]:
        """{camera: tracklets}, counted once for each state of the gallery: a server asks for cameras all the time."""
        generation = session.get_one(schema.Setting, "generation").value
        known = self._tracklets_of
        if known[0] != generation:
            # A piece that continues another tracklet is no tracklet of its own to the user.
            counts = (
                select(schema.Video.camera_id, func.count(schema.Tracklet.id))
                .join(schema.Chunk, schema.Chunk.video_id == schema.Video.id)
                .join(schema.Tracklet, schema.Tracklet.chunk_id == schema.Chunk.id)
                .where(schema.Tracklet.continues.is_(None))
                .group_by(schema.Video.camera_id)
            )
            known = self._tracklets_of = generation, dict(session.execute(counts).all())
        return known[1]

    @database.blames_rows
    def video(self, video_id: str) -> VideoInfo:
        """
        Raises:
            UserError: no such video.
        """
        with Session(self.engine) as session:
            found = self._videos(session, [video_id])
        if not found:
            raise UnknownError(f"video {video_id}: not in this gallery")
        return found[video_id]

    def tracklet(self, tracklet_id: str) -> TrackletInfo:
        """A tracklet, joined with all that it continues and that continue it.

        Raises:
            UnknownError: no such tracklet.
        """
        return self.tracklets_called([tracklet_id])[0]

    @database.blames_rows
    def tracklets_called(self, ids: Sequence[str]) -> list[TrackletInfo]:
        """Tracklets in the order of their ids, or of any of their pieces' ids; with a few questions for all of them.

        Raises:
            UnknownError: there is no such tracklet.
        """
        with Session(self.engine) as session:
            found = _pieces(session, ids)
            chunks = {pieces[0].chunk_id for pieces in found.values()}
            of_chunks = select(schema.Chunk.id, schema.Chunk.video_id).where(
                schema.Chunk.id.in_(database.listed(chunks))
            )
            video_of = dict(session.execute(of_chunks).all())
            videos = self._videos(session, set(video_of.values()))
            crops = self._crops(session, [piece.id for pieces in found.values() for piece in pieces])
            return [_tracklet_info(found[id_], videos[video_of[found[id_][0].chunk_id]], crops) for id_ in ids]

    def tracklets(self) -> list[TrackletInfo]:
        """All tracklets, by id; those that go on across a chunk's border once."""
        begun = select(schema.Tracklet.id).where(schema.Tracklet.continues.is_(None)).order_by(schema.Tracklet.id)
        with Session(self.engine) as session:
            ids = session.scalars(begun).all()
        return self.tracklets_called(ids)

    def crop_file(self, crop_id: str) -> Path:
        """The WebP file of a best shot.

        Raises:
            UserError: no such crop.
        """
        with Session(self.engine) as session:
            crop = session.get(schema.Crop, crop_id)
            if crop is None:
                raise UnknownError(f"crop {crop_id}: not in this gallery")
            return self.crop_path(crop.chunk_id, crop.id)

    def camera_of_crop(self, file: Path) -> str | None:
        """The camera of the best shot that a file holds, by the name that the model knows it by; None for a file that
        is none of this gallery's."""
        crop = (
            select(schema.Crop.chunk_id, schema.Camera)
            .join(schema.Chunk, schema.Chunk.id == schema.Crop.chunk_id)
            .join(schema.Video, schema.Video.id == schema.Chunk.video_id)
            .join(schema.Camera, schema.Camera.id == schema.Video.camera_id)
            .where(schema.Crop.id == file.stem)
        )
        with Session(self.engine) as session:
            found = session.execute(crop).one_or_none()
            if found is None or self.crop_path(found[0], file.stem).resolve() != file.resolve():
                return None
            known = session.get_one(schema.Model, self.model_id).card.get("cameras", ())
            return cameras.name_in_model(session, found[1], known)

    def crop_path(self, chunk_id: str, crop_id: str) -> Path:
        return self._chunk_folder(chunk_id) / f"{crop_id}.webp"

    @database.blames_rows
    def summary(self) -> GallerySummary:
        cameras = self.cameras()
        unfinished = select(func.count()).select_from(schema.Video).where(~schema.Video.done)
        with Session(self.engine) as session:
            model = session.get_one(schema.Model, self.model_id)
            return GallerySummary(
                model=model.card["name"],
                cameras=len(cameras),
                videos=sum(camera.videos for camera in cameras),
                unfinished=session.scalar(unfinished) or 0,
                tracklets=sum(camera.tracklets for camera in cameras),
                crops=session.scalar(select(func.count()).select_from(schema.Crop)) or 0,
                first=min((camera.first for camera in cameras), default=None),
                last=max((camera.last for camera in cameras), default=None),
            )

    @database.blames_rows
    def facts(self) -> GalleryFacts:
        return GalleryFacts(database.place(self.engine), self.summary(), self.models(), self.sizes())

    def sizes(self) -> dict[str, int]:
        """Bytes on disk, by part."""
        sizes = {name: files.size_of(self.path / name) for name in ("crops", "vectors", "models")}
        return {"database": database.size(self.engine)} | sizes

    # Writing

    def check_writable(self) -> None:
        """For what takes long and is kept in the gallery at its end.

        Raises:
            UserError: its folder can only be read.
        """
        if not files.writable(self.path):
            raise UserError(f"{self.path}: {files.READ_ONLY}")

    @contextmanager
    def writing(self) -> Iterator["GalleryWriter"]:
        """The right to write, for one process at a time.

        Raises:
            ReidappError: another process is writing to this gallery; or, from within, its disk is full.
        """
        busy = f"{self.path}: another process, such as `reidapp index`, is writing to this gallery; wait until it ends"
        with files.disk_named(self.path), self._held("writer", busy):
            self.remove_leftovers()  # of a deletion that was killed
            yield GalleryWriter(self)

    def is_being_written(self) -> bool:
        """Whether another process has the right to write now."""
        try:
            with self._held("writer", "busy"):
                return False
        except files.BusyError:
            return True

    @contextmanager
    def embedding_anew(self) -> Iterator["GalleryWriter"]:
        """The right to add vectors of a model that is not searched yet, for one process at a time.

        Beside it another may be `writing`: indexing goes on. Who deletes has both rights.

        Raises:
            ReidappError: another process does; or, from within, the disk is full.
        """
        busy = f"{self.path}: another process, such as `reidapp reembed`, is embedding it anew; wait until it ends"
        with files.disk_named(self.path), self._held("reembedding", busy):
            self.remove_leftovers()  # of a deletion that was killed
            yield GalleryWriter(self)

    @contextmanager
    def files_kept(self) -> Iterator[None]:
        """While this is held no file goes that rows have named, as a back-up needs it."""
        with self._held("files") if files.writable(self.path) else nullcontext():
            yield

    @contextmanager
    def copying(self) -> Iterator[None]:
        """The right to change the copy of the vectors (`milvus`), for one process at a time; waits for it."""
        with self._held("copy"):
            yield

    @contextmanager
    def _held(self, what: str, busy: str | None = None) -> Iterator[None]:
        """By one process on this machine, and by one machine."""
        self.check_writable()
        with files.locked(self.path / f"{what}.lock", busy), database.held(self.engine, what, busy):
            yield

    def remove_leftovers(self) -> None:
        """Remove the files that deletions have left; waits while `files_kept` is held."""
        with Session(self.engine) as session:
            if session.scalar(select(schema.Leftover.path).limit(1)) is None:
                return
        with self.files_kept():
            with Session(self.engine) as session:
                paths = session.scalars(select(schema.Leftover.path)).all()
            for path in (self.path / each for each in paths):
                if not os.path.normpath(path).startswith(os.path.join(os.path.normpath(self.path), "")):
                    raise ReidappError(f"{self.path}: a row names {path} to be removed, which is not in the gallery")
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
            with database.changing(self.engine) as session:
                session.execute(delete(schema.Leftover).where(schema.Leftover.path.in_(database.listed(paths))))
        database.shed(self.engine)

    @database.blames_rows
    def _setting(self, key: str) -> str:
        with Session(self.engine) as session:
            return session.get_one(schema.Setting, key).value

    def _videos(self, session: Session, ids: Collection[str]) -> dict[str, VideoInfo]:
        cameras_of = {camera.id: camera for camera in session.scalars(select(schema.Camera))}
        rows = session.scalars(select(schema.Video).where(schema.Video.id.in_(database.listed(ids))))
        return {row.id: _video_info(row, cameras_of[row.camera_id]) for row in rows}

    def _crops(self, session: Session, pieces: Collection[str]) -> dict[str, list[CropInfo]]:
        """{piece: its best shots in order of time}."""
        of_pieces = select(schema.Crop).where(schema.Crop.tracklet_id.in_(database.listed(pieces)))
        crops: dict[str, list[CropInfo]] = defaultdict(list)
        for c in session.scalars(of_pieces.order_by(schema.Crop.time_s)):
            box, path = Box(c.x1, c.y1, c.x2, c.y2), self.crop_path(c.chunk_id, c.id)
            crops[c.tracklet_id].append(CropInfo(c.id, c.time_s, box, c.quality, path))
        return crops

    def model_path(self, model_id: str) -> Path:
        return self.path / "models" / f"{model_id[:16]}.onnx"

    def _chunk_folder(self, chunk_id: str) -> Path:
        return self.path / "crops" / chunk_id[:2] / chunk_id


class GalleryWriter:
    """Adds videos and chunks. Each commit is one transaction: files first, flushed, then the rows that name them."""

    def __init__(self, gallery: Gallery) -> None:
        self.gallery = gallery
        self.model_id = gallery.model_id

    def video(self, video_id: str) -> schema.Video | None:
        with Session(self.gallery.engine, expire_on_commit=False) as session:
            return session.get(schema.Video, video_id)

    def files_done(self) -> set[tuple[str, int, int]]:
        """(path, size, mtime_ns) of every file that is indexed to its end, as it was then."""
        done = select(schema.Video.path, schema.Video.size, schema.Video.mtime_ns).where(schema.Video.done)
        with Session(self.gallery.engine) as session:
            return {(path, size, mtime_ns) for path, size, mtime_ns in session.execute(done)}

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

    def deleted(self) -> set[str]:
        """Of recordings that were deleted: their ids, and the keys of their files (`schema.Deleted`)."""
        rows = select(schema.Deleted.video_id, schema.Deleted.file)
        with Session(self.gallery.engine) as session:
            return {each for row in session.execute(rows) for each in row}

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
            file = vectors.shard_path(self.gallery.path, self.model_id, block.day)
            dim = session.get_one(schema.Model, self.model_id).card["dim"]
            rows = vectors.read(file, block.first_row + block.rows, dim)[block.first_row :].astype(np.float32)
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
        folder = self.gallery._chunk_folder(chunk_id)
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


def roots(session: Session) -> dict[str, str]:
    """{piece: first piece} of every tracklet that continues another."""
    links = select(schema.Tracklet.id, schema.Tracklet.continues).where(schema.Tracklet.continues.is_not(None))
    before = dict(session.execute(links).all())
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


def next_generation(session: Session) -> None:
    generation = session.get_one(schema.Setting, "generation")
    generation.value = str(int(generation.value) + 1)


def digest(data: bytes) -> str:
    """16 hex digits by which a stored crop's bytes are known again."""
    return hashlib.sha256(data).hexdigest()[:16]


def utc(milliseconds: float) -> datetime:
    """UTC milliseconds since 1970 as a datetime."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def iso(time: datetime | None) -> str | None:
    """A UTC time as JSON has it."""
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z") if time else None


def _of_creation(entry: Path) -> bool:
    """Whether a run that was killed while it created a gallery has left this."""
    if entry.name == "models" and entry.is_dir():
        return all(file.name.endswith((".onnx", ".onnx.new")) for file in entry.iterdir())
    half_made = tuple(f"{name}.new" for name in (database.FILE_NAME, database.REFERENCE))
    return entry.name == "files.lock" or entry.name.startswith(half_made)


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


def _pieces(session: Session, ids: Collection[str]) -> dict[str, list[schema.Tracklet]]:
    """{id: all pieces of its tracklet in order of time}; the id may be any piece's."""
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


def _tracklet_info(
    pieces: Sequence[schema.Tracklet], video: VideoInfo, crops: Mapping[str, list[CropInfo]]
) -> TrackletInfo:
    first, last = pieces[0], pieces[-1]
    return TrackletInfo(
        id=first.id,
        camera=video.camera,
        video=video,
        start=video.start + timedelta(seconds=first.start_s),
        end=video.start + timedelta(seconds=last.end_s),
        start_s=first.start_s,
        end_s=last.end_s,
        path=[PathPoint(point[0], Box(*point[1:])) for piece in pieces for point in piece.path],
        crops=[crop for piece in pieces for crop in crops.get(piece.id, [])],
    )


def _video_info(video: schema.Video, camera: schema.Camera) -> VideoInfo:
    return VideoInfo(
        id=video.id,
        camera=camera.name,
        zone=camera.zone,
        path=Path(video.path),
        size=video.size,
        mtime_ns=video.mtime_ns,
        start=utc(video.start_ms),
        start_source=video.start_source,
        uncertain=cameras.uncertain(video.start_source, video.written, camera.zone),
        duration_s=video.duration_s,
        width=video.width,
        height=video.height,
    )
