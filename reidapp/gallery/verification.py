"""Whether a gallery is whole: the rows say what there must be, and files are held against them by their sha256.

Each fault is named with what to do; most of them `repair` mends.
"""

import hashlib
import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from reidapp.gallery import database, schema, vectors
from reidapp.gallery.derived import SUFFIX, Segment
from reidapp.gallery.recordings import PRESENT, Recordings
from reidapp.gallery.store import Gallery
from reidapp.gallery.writer import digest
from reidapp.imaging import decode_crop
from reidapp.model_card import is_model
from reidapp.wording import counted, counts

Progress = Callable[[float, float, str], None]
"""Called with pictures looked at, pictures in all, and the camera at work."""

_BACK_UP = "restore a back-up of the gallery, or index into a new one"
_REPAIR = "`reidapp gallery repair`"
_UNREAD_S = 3.0  # at the end of a video that no chunk need hold
# Blocks, shard by shard, as their rows follow each other.
IN_ORDER = (schema.Block.model_id, schema.Block.day, schema.Block.first_row)


@dataclass(frozen=True)
class Fault:
    """Something that is not as the rows say, and what to do."""

    what: str
    remedy: str

    def to_dict(self) -> dict[str, str]:
        """As JSON has it."""
        return dict(vars(self))

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}"


@dataclass(frozen=True)
class Leftover:
    """What no row names: harmless, of a run that was killed, or of one that is at work now.

    Attributes:
        path: below the gallery.
        keep: how many of a shard's bytes rows do name, before its tail; None where all of it can go.
    """

    path: Path
    bytes: int
    keep: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"path": str(self.path), "bytes": self.bytes}


@dataclass
class Broken:
    """What `repair` has to do, by ids."""

    models: list[str] = field(default_factory=list)
    crops: dict[str, list[str]] = field(default_factory=dict)  # {chunk: crops}
    without_vectors: list[str] = field(default_factory=list)  # chunks
    links: list[str] = field(default_factory=list)  # tracklets
    videos: list[str] = field(default_factory=list)
    derived: list[Path] = field(default_factory=list)


@dataclass
class Verification:
    """What was found. ``crops``, ``written`` and ``searchable`` are rows, which must be equal.

    Attributes:
        unfinished: videos that the next `reidapp index` goes on with.
    """

    videos: int = 0
    unfinished: int = 0
    crops: int = 0
    written: int = 0
    searchable: int = 0
    faults: list[Fault] = field(default_factory=list)
    leftovers: list[Leftover] = field(default_factory=list)
    broken: Broken = field(default_factory=Broken, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        counts = {key: getattr(self, key) for key in ("videos", "unfinished", "crops", "written", "searchable")}
        lists = {key: [entry.to_dict() for entry in getattr(self, key)] for key in ("faults", "leftovers")}
        return {"whole": not self.faults} | counts | lists

    def __str__(self) -> str:
        lines = [f"fault: {fault}" for fault in self.faults]
        if self.leftovers:
            size = sum(leftover.bytes for leftover in self.leftovers) / 1e6
            lines.append(
                f"{len(self.leftovers)} leftovers of killed runs, {size:.1f} MB: harmless; {_REPAIR} removes them"
            )
        begun = f" ({self.unfinished} unfinished: `reidapp index` goes on with them)" if self.unfinished else ""
        found = f"{counts(crop=self.crops, vector=self.written)} written, {self.searchable} searchable"
        end = f"faults: {len(self.faults)}" if self.faults else "whole"
        return "\n".join([*lines, f"{counted(self.videos, 'recording')}{begun}, {found}; {end}"])


@database.blames_rows
def verify(gallery: Gallery, progress: Progress = lambda done, total, camera: None) -> Verification:
    """Hold a gallery's files against its rows. Changes nothing, and may run beside an `index` or a `serve`.

    Raises:
        ReidappError: the database can't be read to its end.
    """
    with Session(gallery.engine) as session:
        return _Inspection(gallery, session, progress).run()


class _Inspection:
    def __init__(self, gallery: Gallery, session: Session, progress: Progress) -> None:
        self.gallery = gallery
        self.session = session
        self.progress = progress
        self.found = Verification()
        self.broken = self.found.broken
        self.recordings = Recordings()
        self.models: dict[str, schema.Model] = {}
        self.crops_of: dict[str, int] = {}  # of each chunk

    def run(self) -> Verification:
        self._database()
        self._models()
        self._crops()
        self._vectors()
        self._derived()
        self._links()
        self._videos()
        self.found.leftovers = leftovers(self.session, self.gallery)
        return self.found

    def _fault(self, what: str, remedy: str) -> None:
        self.found.faults.append(Fault(what, remedy))

    def _of_rows(self, what: str, remedy: str = _BACK_UP) -> None:
        self._fault(f"{database.name(self.gallery.engine)}: {what}", remedy)

    def _database(self) -> None:
        for fault in database.faults(self.session):
            self._of_rows(fault)
        values = dict(self.session.execute(select(schema.Setting.key, schema.Setting.value)).all())
        self.active = values.get("model", "")
        if self.session.get(schema.Model, self.active) is None:
            self._of_rows("does not say with which model it is searched")
        if not values.get("generation", "").isdigit():
            self._of_rows("has lost count of its commits")

    def _models(self) -> None:
        self.models = {model.id: model for model in self.session.scalars(select(schema.Model))}
        for id_, model in self.models.items():
            file = self.gallery.model_path(id_)
            if not is_model(file, id_):
                state = "damaged" if file.is_file() else "missing"
                name = f"{model.card['name']}/{model.card['version']}"
                remedy = f"{_REPAIR} --model FILE puts another copy of it there"
                self._fault(f"models/{file.name}: {state} ({name})", remedy)
                self.broken.models.append(id_)

    def _crops(self) -> None:
        """Every stored picture, by its digest; one that is older than digests is decoded."""
        query = (
            select(schema.Crop.chunk_id, schema.Crop.id, schema.Crop.digest, schema.Chunk.video_id, schema.Camera.name)
            .join(schema.Chunk, schema.Chunk.id == schema.Crop.chunk_id)
            .join(schema.Video, schema.Video.id == schema.Chunk.video_id)
            .join(schema.Camera, schema.Camera.id == schema.Video.camera_id)
            .order_by(schema.Camera.name, schema.Video.start_ms, schema.Video.id, schema.Chunk.number)
            .order_by(schema.Crop.position)
        )
        rows = self.session.execute(query).all()
        for (chunk_id, video_id, camera), group in itertools.groupby(rows, key=lambda row: (row[0], row[3], row[4])):
            self.progress(self.found.crops, len(rows), camera)
            crops = [(row[1], row[2]) for row in group]
            self.crops_of[chunk_id] = len(crops)
            self.found.crops += len(crops)
            lost = [id_ for id_, known in crops if not is_crop(self.gallery.crop_path(chunk_id, id_), known)]
            if lost:
                self._lost(chunk_id, lost, video_id, camera)
        self.progress(len(rows), len(rows), "")

    def _lost(self, chunk_id: str, lost: list[str], video_id: str, camera: str) -> None:
        self.broken.crops[chunk_id] = lost
        video = self.gallery.video(video_id)
        if self.recordings.state(video) == PRESENT:
            remedy = f"{_REPAIR} cuts them out of the recording again"
        else:
            remedy = f"they are lost, unless {video.path} comes back as it was; then {_REPAIR}"
        folder = self.gallery.chunk_folder(chunk_id).relative_to(self.gallery.path)
        count = f"{len(lost)} of {self.crops_of[chunk_id]} pictures"
        self._fault(f"{folder}: {count} missing or damaged ({camera}, {video.path.name})", remedy)

    def _vectors(self) -> None:
        """Every block by its sha256. Blocks follow each other without a gap, since searches count a shard's rows."""
        blocks = self.session.scalars(select(schema.Block).order_by(*IN_ORDER)).all()
        having = {block.chunk_id for block in blocks if block.model_id == self.active}
        self.broken.without_vectors = [chunk_id for chunk_id in self.crops_of if chunk_id not in having]
        for (model_id, day), group in itertools.groupby(blocks, key=lambda block: (block.model_id, block.day)):
            if model_id in self.models:
                self._shard(model_id, day, list(group))
        if missing := sum(self.crops_of[chunk_id] for chunk_id in self.broken.without_vectors):
            self._of_rows(f"{counted(missing, 'crop')} without a vector", f"{_REPAIR} embeds them")

    def _shard(self, model_id: str, day: str, blocks: list[schema.Block]) -> None:
        file, width = vectors.shard_path(self.gallery.path, model_id, day), 2 * self.models[model_id].card["dim"]
        name, bad = file.relative_to(self.gallery.path), []
        for block, data in stored(file, blocks, width):
            if model_id == self.active:
                self.found.written += block.rows
                self.found.searchable += len(data) // width
            if hashlib.sha256(data).hexdigest() != block.sha256:
                bad.append(block)
        if bad:
            count = f"{sum(block.rows for block in bad)} of {sum(block.rows for block in blocks)} vectors"
            first = min(block.first_row for block in bad)
            remedy = f"{_REPAIR} makes them of the stored crops"
            self._fault(f"{name}: {count} missing or damaged, the first in row {first}", remedy)
        ends = itertools.accumulate((block.rows for block in blocks), initial=0)
        if any(block.first_row != end for block, end in zip(blocks, ends, strict=False)):
            # A block that is gone leaves its place, which `repair` gives back to it.
            lacking = model_id == self.active and self.broken.without_vectors
            self._of_rows(f"the rows of {name} are not named once each", _REPAIR if lacking else _BACK_UP)
        if any(self.crops_of.get(block.chunk_id) != block.rows for block in blocks):
            self._of_rows(f"{name} has more or fewer vectors than there are crops")

    def _derived(self) -> None:
        """Files of codes must be whole; whether they are of the rows as they are now, each search looks at."""
        for file in sorted(self.gallery.path.glob(f"vectors/*/*{SUFFIX}")):
            if Segment.open(file) is None:
                name = file.relative_to(self.gallery.path)
                self._fault(f"{name}: damaged", f"searches do without it, more slowly; {_REPAIR} makes it anew")
                self.broken.derived.append(file)

    def _links(self) -> None:
        """A tracklet continues one of the chunk before, which no other continues."""
        before, chunk, chunk_before = aliased(schema.Tracklet), aliased(schema.Chunk), aliased(schema.Chunk)
        query = (
            select(schema.Tracklet.id, schema.Tracklet.continues, chunk, chunk_before)
            .join(chunk, chunk.id == schema.Tracklet.chunk_id)
            .outerjoin(before, before.id == schema.Tracklet.continues)
            .outerjoin(chunk_before, chunk_before.id == before.chunk_id)
            .where(schema.Tracklet.continues.is_not(None))
            .order_by(schema.Tracklet.id)
        )
        continued: set[str | None] = set()
        for id_, earlier, here, there in self.session.execute(query):
            follows = there and (there.video_id, there.number + 1) == (here.video_id, here.number)
            if not follows or earlier in continued:
                self.broken.links.append(id_)
            continued.add(earlier)
        if count := len(self.broken.links):
            what = f"{count} tracklets continue one that is not there, or not just before them"
            self._of_rows(what, f"{_REPAIR} lets them begin by themselves")

    def _videos(self) -> None:
        """An indexed video has chunks from its start to its end, and a tracklet has a crop."""
        numbers = defaultdict(set)
        for video_id, number in self.session.execute(select(schema.Chunk.video_id, schema.Chunk.number)):
            numbers[video_id].add(number)
        for video in self.session.scalars(select(schema.Video).order_by(schema.Video.path)):
            self.found.videos += 1
            self.found.unfinished += not video.done
            chunk_s, there = video.settings.get("chunk_s"), numbers[video.id]
            if not video.done or not chunk_s:
                continue
            unread_s = chunk_s if video.settings.get("sampling") == "keyframes" else _UNREAD_S
            needed = max(len(there), math.ceil((video.duration_s - unread_s) / chunk_s))
            if there == set(range(needed)):
                continue
            if self.recordings.state(self.gallery.video(video.id)) == PRESENT:
                self.broken.videos.append(video.id)
                remedy = f"{_REPAIR}, and then `reidapp index`, make it anew"
            else:
                remedy = _BACK_UP
            self._of_rows(f"a part of {video.path} is missing", remedy)
        bare = select(schema.Tracklet.id).where(schema.Tracklet.id.not_in(select(schema.Crop.tracklet_id)))
        if count := len(self.session.scalars(bare).all()):
            self._of_rows(f"{counted(count, 'tracklet')} without a crop")


def leftovers(session: Session, gallery: Gallery) -> list[Leftover]:
    """The files, folders and tails of shards that no row names."""
    path, block, found = gallery.path, schema.Block, []
    models = {model.id: model.card["dim"] for model in session.scalars(select(schema.Model))}
    ends = select(block.model_id, block.day, func.max(block.first_row + block.rows)).group_by(block.model_id, block.day)
    committed = {
        vectors.shard_path(path, model_id, day): end * 2 * models[model_id]
        for model_id, day, end in session.execute(ends)
        if model_id in models
    }
    named = {gallery.chunk_folder(id_) for id_ in session.scalars(select(schema.Crop.chunk_id).distinct())}
    of_models = {gallery.model_path(id_) for id_ in models}
    others = [
        *(file for name in (database.FILE_NAME, database.REFERENCE) for file in path.glob(f"{name}.new*")),
        *(file for file in path.glob("models/*") if file not in of_models),
        *(file for file in path.glob("vectors/*/*.f16*") if file not in committed),
        *path.glob(f"vectors/*/*{SUFFIX}.new"),
        *(folder for folder in path.glob("crops/*/*") if folder not in named),
        *(half_made for half_made in path.glob("crops/*/*/*.new") if half_made.parent in named),
    ]
    for other in sorted(others):
        size = sum(f.stat().st_size for f in (other.rglob("*") if other.is_dir() else [other]) if f.is_file())
        found.append(Leftover(other.relative_to(path), size))
    for file, end in committed.items():
        if file.is_file() and (tail := file.stat().st_size - end) > 0:
            found.append(Leftover(file.relative_to(path), tail, keep=end))
    return found


def stored(file: Path, blocks: Iterable[schema.Block], width: int) -> Iterator[tuple[schema.Block, bytes]]:
    """Each block with its bytes in a shard, as many of them as there are."""
    data = memoryview(file.read_bytes() if file.is_file() else b"")
    for block in blocks:
        yield block, bytes(data[block.first_row * width : (block.first_row + block.rows) * width])


def is_crop(file: Path, known: str | None) -> bool:
    """Whether a file is a best shot's, by its digest; without one it has to be a picture."""
    try:
        data = file.read_bytes()
        if known is None:
            decode_crop(data)
    except (OSError, SyntaxError, ValueError):
        return False
    return known is None or digest(data) == known
