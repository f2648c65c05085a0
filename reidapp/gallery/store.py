"""A gallery on disk: opening it, asking it for rows, and the right to change it; what changes it is in `writer`.

gallery/
  gallery.db          rows (SQLite, WAL); or database.json, which says where they are
  vectors/            embeddings, raw fp16, one shard per model and day
  crops/ab/<chunk>/   the best shots of a chunk's tracklets, WebP
  models/             the embedding model, so that a gallery can be searched wherever it is
  clips/, exports/, adapted/   what a server has made: parts of recordings, archives of cases, versions of the model
"""

import dataclasses
import json
import os
import shutil
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Engine, delete, func, select
from sqlalchemy.orm import Session

from reidapp import files
from reidapp.box import Box
from reidapp.errors import ReidappError, UnknownError, UserError
from reidapp.gallery import cameras, database, schema
from reidapp.gallery.facts import (
    CameraInfo,
    CropInfo,
    GalleryFacts,
    GallerySummary,
    ModelInfo,
    PathPoint,
    TrackletInfo,
    VideoInfo,
    utc,
)
from reidapp.gallery.pieces import joined_pieces
from reidapp.gallery.writer import GalleryWriter
from reidapp.model_card import ModelCard


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
        """The ONNX file of the model whose vectors are searched."""
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
            found = joined_pieces(session, ids)
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
        """Where a best shot is, or is to be."""
        return self.chunk_folder(chunk_id) / f"{crop_id}.webp"

    @database.blames_rows
    def summary(self) -> GallerySummary:
        """What is in it, in numbers."""
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
    def files_done(self) -> dict[tuple[str, int, int], str]:
        """{(path, size, mtime_ns): id} of every file that is indexed to its end, as it was then."""
        video = schema.Video
        done = select(video.path, video.size, video.mtime_ns, video.id).where(video.done)
        with Session(self.engine) as session:
            return {(path, size, mtime_ns): id_ for path, size, mtime_ns, id_ in session.execute(done)}

    @database.blames_rows
    def deleted(self) -> set[str]:
        """Of recordings that were deleted: their ids, and the keys of their files (`schema.Deleted`)."""
        rows = select(schema.Deleted.video_id, schema.Deleted.file)
        with Session(self.engine) as session:
            return {each for row in session.execute(rows) for each in row}

    @database.blames_rows
    def facts(self) -> GalleryFacts:
        """What `reidapp gallery info` tells. Looks at every file of it."""
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
            numbers = map(float, (c.time_s, c.quality, c.x1, c.y1, c.x2, c.y2))  # SQLite keeps texts as well as numbers
            time_s, quality, *corners = numbers
            path = self.crop_path(c.chunk_id, c.id)
            crops[c.tracklet_id].append(CropInfo(c.id, time_s, Box(*corners), quality, path))
        return crops

    def model_path(self, model_id: str) -> Path:
        """Where a model's ONNX file is, or is to be."""
        return self.path / "models" / f"{model_id[:16]}.onnx"

    def chunk_folder(self, chunk_id: str) -> Path:
        """Where a chunk's best shots are, or are to be."""
        return self.path / "crops" / chunk_id[:2] / chunk_id


def _of_creation(entry: Path) -> bool:
    """Whether a run that was killed while it created a gallery has left this."""
    if entry.name == "models" and entry.is_dir():
        return all(file.name.endswith((".onnx", ".onnx.new")) for file in entry.iterdir())
    half_made = tuple(f"{name}.new" for name in (database.FILE_NAME, database.REFERENCE))
    return entry.name == "files.lock" or entry.name.startswith(half_made)


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
