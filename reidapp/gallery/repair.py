"""Making anew what a gallery has lost, as `verification` finds it.

What is missing or damaged is derived from what is still there: vectors from the stored crops, crops from the recording,
a model's file from another copy of it. Nothing that a user cannot get back in another way is ever removed.
"""

import functools
import hashlib
import itertools
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from reidapp import files
from reidapp.box import Box
from reidapp.embedding import Embeds
from reidapp.errors import ReidappError
from reidapp.footage.decoding import frames
from reidapp.gallery import cameras, database, schema, vectors
from reidapp.gallery.derived import outdate
from reidapp.gallery.facts import utc
from reidapp.gallery.recordings import PRESENT, Recordings
from reidapp.gallery.snapshot import Snapshots
from reidapp.gallery.store import Gallery
from reidapp.gallery.verification import IN_ORDER, Leftover, Progress, Verification, is_crop, stored, verify
from reidapp.gallery.writer import digest, next_generation
from reidapp.imaging import cut, decode_crop, encode_crop, is_picture, read_image
from reidapp.model_card import is_model


@dataclass
class RepairReport:
    """What a repair did; ``after`` is how the gallery is now.

    Attributes:
        crops: cut out of their recordings again; ``exact_crops`` are known to be what was there, bit for bit.
        vectors: made of the stored crops again; ``exact_vectors`` likewise.
        links: between tracklets, taken out.
        videos: that the next `reidapp index` goes on with.
    """

    crops: int = 0
    exact_crops: int = 0
    vectors: int = 0
    exact_vectors: int = 0
    models: int = 0
    links: int = 0
    videos: int = 0
    derived: int = 0
    leftovers: int = 0
    after: Verification = field(default_factory=Verification)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return vars(self) | {"after": self.after.to_dict()}

    def __str__(self) -> str:
        exactly = "of them bit for bit as before"
        did = {
            f"leftovers removed: {self.leftovers}": self.leftovers,
            f"model files copied: {self.models}": self.models,
            f"crops cut out again: {self.crops}, {self.exact_crops} {exactly}": self.crops,
            f"vectors made again: {self.vectors}, {self.exact_vectors} {exactly}": self.vectors,
            f"damaged files of codes removed, and made anew: {self.derived}": self.derived,
            f"links between tracklets taken out: {self.links}": self.links,
            f"videos to go on with, run `reidapp index` again: {self.videos}": self.videos,
        }
        return "\n".join([*(text for text, count in did.items() if count), str(self.after)])


def repair(
    gallery: Gallery,
    open_model: Callable[[Path], Embeds],
    models: Sequence[Path] = (),
    progress: Progress = lambda done, total, camera: None,
) -> RepairReport:
    """Make anew what can be made anew. Killed at any moment, it leaves a gallery that another run repairs.

    Args:
        open_model: an embedder of a model file.
        models: files among which one that is missing may be.

    Raises:
        ReidappError: the gallery is being written by another process, or its database can't be read.
    """
    with gallery.writing(), gallery.embedding_anew():
        before = verify(gallery, progress)
        mending = _Mending(gallery, open_model)
        mending.leftovers(before.leftovers)
        mending.models(before.broken.models, models)
        mending.rows(before.broken.links, before.broken.videos)
        mending.crops(before.broken.crops)
        mending.make_room(before.broken.without_vectors)
        mending.vectors()
        mending.derived(before.broken.derived)
        mending.report.after = verify(gallery, progress)
    return mending.report


class _Mending:
    def __init__(self, gallery: Gallery, open_model: Callable[[Path], Embeds]) -> None:
        self.gallery = gallery
        self.report = RepairReport()
        self.embedder = functools.cache(lambda model_id: open_model(gallery.model_path(model_id)))

    def leftovers(self, leftovers: Sequence[Leftover]) -> None:
        for leftover in leftovers:
            path = self.gallery.path / leftover.path
            if leftover.keep is not None:
                with path.open("r+b") as shard:
                    shard.truncate(leftover.keep)
            elif path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        self.report.leftovers = len(leftovers)

    def models(self, ids: Sequence[str], candidates: Iterable[Path]) -> None:
        for candidate, id_ in itertools.product(candidates, ids):
            if is_model(candidate, id_):
                files.write_whole(self.gallery.model_path(id_), candidate.read_bytes())
                self.report.models += 1

    def rows(self, links: Sequence[str], videos: Sequence[str]) -> None:
        with database.changing(self.gallery.engine) as session:
            for id_ in links:
                session.get_one(schema.Tracklet, id_).continues = None
            for id_ in videos:
                session.get_one(schema.Video, id_).done = False
            outdate(session)
            next_generation(session)
        self.report.links, self.report.videos = len(links), len(videos)

    def crops(self, lost: dict[str, list[str]]) -> None:
        recordings = Recordings()
        for chunk_id, ids in lost.items():
            with Session(self.gallery.engine) as session:
                video = self.gallery.video(session.get_one(schema.Chunk, chunk_id).video_id)
                crops = [session.get_one(schema.Crop, id_) for id_ in ids]
            if recordings.state(video) == PRESENT:
                for crop in crops:
                    self._cut_again(video.path, crop)

    def _cut_again(self, recording: Path, crop: schema.Crop) -> None:
        image = _frame(recording, crop.time_s)
        if image is None:
            return  # it can't be read any more, and the verification at the end says what is missing
        webp = encode_crop(cut(image, Box(crop.x1, crop.y1, crop.x2, crop.y2)))
        self.report.crops += 1
        if digest(webp) == crop.digest:
            self.report.exact_crops += 1
        else:
            # By another version of a decoder, or of a crop that is older than digests: the chunk's vectors may not be
            # those of this picture, and count as damaged until they are made of it.
            with database.changing(self.gallery.engine) as session:
                session.get_one(schema.Crop, crop.id).digest = digest(webp)
                session.execute(update(schema.Block).filter_by(chunk_id=crop.chunk_id).values(sha256=vectors.DAMAGED))
        file = self.gallery.crop_path(crop.chunk_id, crop.id)
        files.make_folder(file.parent)
        files.write_whole(file, webp)

    def make_room(self, chunk_ids: Sequence[str]) -> None:
        """A block for each chunk that has none, in a gap of its size or behind the others; `vectors` fills it."""
        model_id = self.gallery.model_id if chunk_ids else ""
        for chunk_id in chunk_ids:
            with database.changing(self.gallery.engine) as session:
                video = session.get_one(schema.Video, session.get_one(schema.Chunk, chunk_id).video_id)
                rows = len(session.scalars(select(schema.Crop.id).filter_by(chunk_id=chunk_id)).all())
                start_ms = video.start_ms + 1000 * self._start_s(session, chunk_id, video)
                others = select(schema.Block.day).filter_by(chunk_id=chunk_id).order_by(schema.Block.model_id)
                other = session.scalars(others).first()
                day, first_row = other or utc(start_ms).strftime("%Y-%m-%d"), 0
                shard = select(schema.Block).filter_by(model_id=model_id, day=day).order_by(schema.Block.first_row)
                for block in session.scalars(shard):
                    if block.first_row - first_row == rows:
                        break
                    first_row = block.first_row + block.rows
                placed = {"model_id": model_id, "day": day, "first_row": first_row, "rows": rows}
                session.add(schema.Block(chunk_id=chunk_id, **placed, sha256=vectors.DAMAGED))

    @staticmethod
    def _start_s(session: Session, chunk_id: str, video: schema.Video) -> float:
        return float(session.get_one(schema.Chunk, chunk_id).number * video.settings.get("chunk_s", 0))

    def vectors(self) -> None:
        with Session(self.gallery.engine) as session:
            blocks = session.scalars(select(schema.Block).order_by(*IN_ORDER)).all()
            session.expunge_all()
        for (model_id, day), group in itertools.groupby(blocks, key=lambda block: (block.model_id, block.day)):
            if is_model(self.gallery.model_path(model_id), model_id):
                self._shard(model_id, vectors.shard_path(self.gallery.path, model_id, day), list(group))

    def _shard(self, model_id: str, file: Path, blocks: list[schema.Block]) -> None:
        """A shard in which something is damaged is written anew beside its place, and replaced as a whole."""
        with Session(self.gallery.engine) as session:
            width = 2 * session.get_one(schema.Model, model_id).card["dim"]
        before = list(stored(file, blocks, width))
        if all(hashlib.sha256(data).hexdigest() == block.sha256 for block, data in before):
            return
        content, digests = bytearray(max(block.first_row + block.rows for block in blocks) * width), {}
        for block, data in before:
            if hashlib.sha256(data).hexdigest() != block.sha256:
                made, complete = self._embedded(block, data)
                data = made.astype("<f2").tobytes()
                # Where a crop is lost, its vector stays a damaged one.
                digests[block.chunk_id] = hashlib.sha256(data).hexdigest() if complete else vectors.UNKNOWN
                self.report.vectors += block.rows
                self.report.exact_vectors += block.rows * (digests[block.chunk_id] == block.sha256)
            content[block.first_row * width : block.first_row * width + len(data)] = data
        files.make_folder(file.parent)
        files.write_whole(file, bytes(content))
        with database.changing(self.gallery.engine) as session:
            for chunk_id, sha256 in digests.items():
                session.get_one(schema.Block, (chunk_id, model_id)).sha256 = sha256
            outdate(session)
            next_generation(session)

    def derived(self, damaged: Sequence[Path]) -> None:
        for file in damaged:
            file.unlink(missing_ok=True)
        for model in self.gallery.models():
            Snapshots(self.gallery, model.id).derive()
        self.report.derived = len(damaged)

    def _embedded(self, block: schema.Block, data: bytes) -> tuple[np.ndarray, bool]:
        """A block's vectors, fp16 ``[rows, D]``, and whether all are made of crops.

        A crop that is lost keeps the vector that is stored, if that has a vector's length, or gets one of zeros, which
        is like nobody.
        """
        embedder = self.embedder(block.model_id)
        with Session(self.gallery.engine) as session:
            video = session.get_one(schema.Video, session.get_one(schema.Chunk, block.chunk_id).video_id)
            camera = session.get_one(schema.Camera, video.camera_id)
            name = cameras.name_in_model(session, camera, embedder.card.cameras)
            order = select(schema.Crop).filter_by(chunk_id=block.chunk_id).order_by(schema.Crop.position)
            crops = session.scalars(order).all()
        made = np.zeros((block.rows, embedder.card.dim), np.float16)
        whole = len(data) // made.strides[0] * made.strides[0]
        before = np.frombuffer(data[:whole], "<f2").reshape(-1, embedder.card.dim)
        sound = np.abs(np.linalg.norm(before.astype(np.float32), axis=1) - 1) < 0.01
        made[: len(before)][sound] = before[sound]
        there = {crop.position: self.gallery.crop_path(crop.chunk_id, crop.id) for crop in crops}
        there = {crop.position: there[crop.position] for crop in crops if is_crop(there[crop.position], crop.digest)}
        made[list(there)] = embedder.embed([decode_crop(file.read_bytes()) for file in there.values()], name)
        return made, len(there) == block.rows


def _frame(recording: Path, time_s: float) -> np.ndarray | None:
    try:
        if is_picture(recording):
            return read_image(recording)
        # One thread, as in indexing: what damage in a recording looks like depends on their number.
        frame = next(frames(recording, time_s, time_s + 1, None, threads=1), None)
    except ReidappError:
        return None
    return frame.image if frame else None
