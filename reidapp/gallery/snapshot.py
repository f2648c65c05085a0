"""One consistent state of a gallery, as searches use it, and the making of derived files that speed them up."""

import threading
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from reidapp import files
from reidapp.errors import ReidappError, UserError
from reidapp.gallery import database, milvus, schema, vectors
from reidapp.gallery.camera_means import CameraMeans, key
from reidapp.gallery.coarse import SAMPLE, Coarse
from reidapp.gallery.derived import ERASURES, SUFFIX, Columns, Segment, outdate
from reidapp.gallery.gpu import Copies, GpuIndex
from reidapp.gallery.milvus import MilvusIndex
from reidapp.gallery.naming import not_there
from reidapp.gallery.nearest import Centring, ExactIndex, decoded
from reidapp.gallery.pieces import continuations, first_piece
from reidapp.gallery.seals import Block, Seals
from reidapp.gallery.store import Gallery
from reidapp.gallery.writer import next_generation

_WORTH = 20_000  # rows without a derived file that are worth one: reading them costs about a millisecond
_AT_ONCE = 500  # chunks whose crops one question asks for
_CHUNK_HOLDS = 1 << 20  # a minute of one camera has fewer rows; a forged number would ask for any memory
_STEP = 2_048  # rows coded together
_ROUNDS = 20  # in which a copy is at one with a gallery that others write to
_SAMPLE = 1_024  # rows that tell how high a query scores with anybody: mean and deviation to some 3 %


@dataclass(frozen=True)
class Snapshot:
    """What is committed at one moment. Row i of the index is a crop; the arrays ``[rows]`` say which.

    ``tracklet_of`` counts a tracklet and its continuations as one; ids are numbers (uint64). ``first_ms`` and
    ``last_ms`` are the UTC span of the row's own piece, so a filter by time compares the crops of that time.
    ``cameras`` has groups' names too. A snapshot stays usable while searches hold it, whatever becomes of the gallery.

    Attributes:
        segments: the derived files in use; their rows come first.
        fresh: the columns of the chunks that are in no segment; their rows follow, by shard.
        blocks: by chunk, in the rows' order.
        links: {piece: the piece that it continues}.
        means: of cameras, that scores are without (`camera_means`); None where normalisation is off.
        lengths: float32 ``[rows]`` of blocks without these means, by chunk and camera, as far as they are known.
        held: chunks whose vectors have been held against their sha256, see `seals`.
    """

    generation: int
    erasures: str
    index: ExactIndex
    columns: Columns
    tracklet_of: np.ndarray
    camera_of: np.ndarray
    first_ms: np.ndarray
    last_ms: np.ndarray
    cameras: dict[str, list[int]]
    segments: tuple[Segment, ...]
    fresh: dict[str, Columns]
    blocks: dict[str, Block]
    links: dict[str, str]
    means: CameraMeans | None
    lengths: dict[tuple[str, int], np.ndarray]
    held: set[str]

    @property
    def crops(self) -> np.ndarray:
        """Of each row its crop's id: uint64 ``[rows]``; 0 where it has none."""
        return self.columns.crop

    @property
    def worth_deriving(self) -> bool:
        """Whether so many rows are in no derived file that one should be made."""
        return self.fresh_rows >= _WORTH

    @property
    def fresh_rows(self) -> int:
        """How many rows are in no derived file."""
        return len(self.crops) - sum(len(segment.codes) for segment in self.segments)

    @property
    def means_digest(self) -> str | None:
        """Of the means; None where normalisation is off."""
        return self.means.digest if self.means else None

    @cached_property
    def sample(self) -> np.ndarray:
        """Rows from all over the index, evenly: float32 ``[≤ 1024, D]``, see `vectors`."""
        return self.vectors(np.arange(0, len(self.crops), -(-len(self.crops) // _SAMPLE)))

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        """Rows as they are compared: float32 ``[N, D]``."""
        stored = decoded(self.index.stored(rows))
        return self.means.centred(stored, self.camera_of[rows]) if self.means else stored

    def asking(self, queries: np.ndarray) -> np.ndarray:
        """Embeddings of one person ``[Q, D]`` as rows are compared with them."""
        return self.means.centred(queries) if self.means else queries

    def selected(
        self,
        cameras: Sequence[str] | None = None,
        after: datetime | None = None,
        before: datetime | None = None,
        without: Collection[str] = (),
    ) -> np.ndarray:
        """bool ``[rows]``: the rows that the filters keep.

        Raises:
            UserError: an unknown camera.
        """
        kept = self.crops != 0
        if cameras is not None:
            wanted = [id_ for name in cameras for id_ in self._cameras(name)]
            kept &= np.isin(np.arange(self.camera_of.max(initial=0) + 1), wanted)[self.camera_of]
        if after is not None:
            kept &= self.last_ms >= after.timestamp() * 1000
        if before is not None:
            kept &= self.first_ms <= before.timestamp() * 1000
        if without:
            kept &= ~self.of_tracklets(np.array([int(id_, 16) for id_ in without], np.uint64))
        return kept

    def of_tracklets(self, tracklets: np.ndarray) -> np.ndarray:
        """bool ``[rows]``: the rows of some tracklets."""
        if not len(tracklets):
            return np.zeros(len(self.crops), bool)
        ordered = np.sort(tracklets)  # `np.isin` would sort all rows
        place = np.searchsorted(ordered, self.tracklet_of).clip(max=len(ordered) - 1)
        return np.asarray(ordered[place] == self.tracklet_of)

    def best_rows(self, query: np.ndarray, kept: np.ndarray, top: int) -> list[tuple[int, float]]:
        """The best kept row of each of the best ``top`` tracklets: (row, score); query is float32 ``[1, D]``, `asking`.

        Rows are asked for until there are enough different tracklets, so none is lost to a tracklet with many crops.
        """
        count, centring = 4 * top, self._centring(query[0])
        while top > 0:
            found = self.index.search(query[0], count, kept, centring)
            _, first = np.unique(self.tracklet_of[found.rows], return_index=True)
            if len(first) >= top or len(found.rows) < count:
                places = np.sort(first)[:top]
                return list(zip(found.rows[places].tolist(), found.scores[places].tolist(), strict=True))
            count *= 4
        return []

    def _centring(self, query: np.ndarray) -> Centring | None:
        if self.means is None:
            return None
        shifts = self.means.means.astype(np.float64) @ query.astype(np.float64)
        return Centring(shifts[self.means.of(self.camera_of)], self._length_of)

    @cached_property
    def _length_of(self) -> np.ndarray:
        """Of each row without its camera's mean: float32 ``[rows]``."""
        assert self.means is not None  # noqa: S101 - asked only where there are some; for mypy
        blocks = [block for block in self.blocks.values() if block.rows]
        ends = np.cumsum([block.rows for block in blocks]).tolist()
        of = [(block.chunk, int(self.camera_of[end - 1])) for block, end in zip(blocks, ends, strict=True)]
        new = [place for place, each in enumerate(of) if each not in self.lengths]
        if new:
            rows = np.concatenate([np.arange(ends[place] - blocks[place].rows, ends[place]) for place in new])
            steps = (rows[i : i + _STEP] for i in range(0, len(rows), _STEP))
            found = [self.means.lengths(decoded(self.index.stored(some)), self.camera_of[some]) for some in steps]
            parts = np.split(np.concatenate(found), np.cumsum([blocks[place].rows for place in new[:-1]]))
            self.lengths.update(zip([of[place] for place in new], parts, strict=True))
        return np.concatenate([self.lengths[each] for each in of])

    def _cameras(self, name: str) -> list[int]:
        if name not in self.cameras:
            raise UserError(not_there("camera", name, self.cameras))
        return self.cameras[name]


class Snapshots:
    """Reads snapshots of a gallery's vectors of one model. What an earlier one has is not read again.

    Args:
        copies: of the vectors on a GPU, which are searched in their place.
    """

    def __init__(self, gallery: Gallery, model_id: str, copies: Copies | None = None) -> None:
        self.gallery = gallery
        self.model_id = model_id
        self._copies = copies
        self.folder = vectors.shard_path(gallery.path, model_id, "").parent
        self._opened: dict[tuple[Path, int], Segment | None] = {}
        self._last: Snapshot | None = None
        self._reading = threading.Lock()
        self._deriving: threading.Thread | None = None
        self._derived_at = -1
        self._collection: milvus.Collection | None = None
        self._copied: milvus.Collection | None = None

    def current(self) -> Snapshot:
        """All that is committed now."""
        with self._reading:
            if self._last is None or self._last.generation != self.gallery.generation:
                self._last = self._load(self._last)
            return self._last

    def derive_behind(self) -> None:
        """`derive` and `catch_up` in the background, where that is worth it; once for each state of the gallery."""
        snapshot = self.current()
        busy = self._deriving and self._deriving.is_alive()
        worth = snapshot.worth_deriving or isinstance(snapshot.index, MilvusIndex)
        if worth and not busy and snapshot.generation != self._derived_at:
            self._derived_at = snapshot.generation
            self._deriving = threading.Thread(target=self._tidy, args=[snapshot.index], name="derive", daemon=True)
            self._deriving.start()

    def _tidy(self, index: ExactIndex) -> None:
        self.derive()
        # Few rows are searched here as fast; but what was erased is to go from Milvus, too.
        with suppress(OSError, ReidappError):
            if isinstance(index, MilvusIndex) and (index.collection != self._copied or index.lacking >= _WORTH):
                self.catch_up()

    def derive(self) -> None:
        """Make the derived files that are worth it, and remove those that have become useless.

        Another process that does the same is left to it, and so is a gallery that cannot be written to.
        """
        with suppress(OSError, ReidappError):
            self.folder.mkdir(parents=True, exist_ok=True)
            with files.locked(self.folder / "derived.lock", "another process is at it"):
                while self._derive_one(self._reload()):
                    pass

    def catch_up(self, progress: milvus.Progress = lambda done, total, what: None) -> None:
        """Make the copy in Milvus hold what is committed, and no more; nothing to do where the gallery has none.

        Raises:
            ReidappError: Milvus cannot be reached, or does not keep what it is given.
        """
        index = self.current().index
        if not isinstance(index, MilvusIndex):
            return
        with self.gallery.copying():
            if index.collection.make() and not index.collection.renewed:
                # One that was lost may be made anew: who has known what was in it, is to ask again.
                with database.changing(self.gallery.engine) as session:
                    outdate(session)
                    next_generation(session)
                index = self._reload().index
                if not isinstance(index, MilvusIndex):
                    return
            for _ in range(_ROUNDS):
                there = index.collection.blocks()  # asked first: what is committed meanwhile is not taken for unwanted
                now = self._reload().index
                if not isinstance(now, MilvusIndex) or now.collection != index.collection:
                    return  # moved meanwhile, by one who sees to it
                if not now.catch_up(there, progress):
                    index.collection.settle()
                    self._copied = index.collection
                    return
        raise ReidappError(f"{index.collection.address}: does not keep what it is given; look at its log")

    def _reload(self) -> Snapshot:
        with self._reading:
            self._last = self._load(self._last)
            return self._last

    @database.blames_rows
    def _load(self, before: Snapshot | None) -> Snapshot:
        opened = self._segments()
        with Session(self.gallery.engine) as session:
            settings = dict(session.execute(select(schema.Setting.key, schema.Setting.value)).all())
            erasures = settings.get(ERASURES, "")
            if before and before.erasures != erasures:
                before = None
            dim = session.get_one(schema.Model, self.model_id).card["dim"]
            stored = settings.get(key(self.model_id))
            means = CameraMeans.read(stored) if stored else None
            videos = select(schema.Video.id, schema.Video.camera_id, schema.Video.start_ms)
            clocks = {id_: (camera, start_ms) for id_, camera, start_ms in session.execute(videos)}
            cameras = _ids_by_name(session)
            blocks = _blocks(session, self.model_id, before.blocks if before else {})
            segments, coded = _fitting(opened, blocks)
            others = sorted((block for chunk, block in blocks.items() if chunk not in coded), key=_place)
            known = before.fresh if before else {}
            # A segment of another process may have tracklets whose rows were never read here.
            same = before and [s.path for s in before.segments] == [s.path for s in segments]
            links = dict(before.links) if before and same else continuations(session)
            read = _columns(session, [block for block in others if block.chunk not in known], links)
        same_means = before and before.means and means and before.means.digest == means.digest
        fresh = {block.chunk: known.get(block.chunk) or read[block.chunk] for block in others}
        columns = Columns.joined([*(segment.columns for segment in segments), *fresh.values()])
        order = [*(blocks[chunk] for chunk in coded), *others]
        rows = np.array([block.rows for block in order], np.int64)
        collection = milvus.collection_of(settings, erasures, self.model_id, dim)
        collection = self._collection = self._collection if self._collection == collection else collection
        start_ms = np.repeat(np.array([clocks[block.video][1] for block in order], np.float64), rows)
        shards = self._shards(order, dim)
        held = before.held if before else set()
        seals = Seals(self.folder, shards, order, held)
        stretches = _stretches(order, shards, len(coded))
        found = (stretches, columns.crop, [(segment.coarse, segment.codes) for segment in segments])
        if collection:
            index: ExactIndex = MilvusIndex(*found, collection, _states(order, erasures), rows, seals)
        elif self._copies:
            # Rows that were mended are in files of the same names, and another erasure tells.
            names = [f"{erasures} {segment.path.name}" for segment in segments]
            index = GpuIndex(*found, self._copies, names, seals)
        else:
            index = ExactIndex(*found, seals)
        return Snapshot(
            generation=int(settings["generation"]),
            erasures=erasures,
            index=index,
            columns=columns,
            tracklet_of=_first_pieces(columns.piece, links),
            camera_of=np.repeat(np.array([clocks[block.video][0] for block in order], np.int32), rows),
            first_ms=start_ms + columns.start_s * 1000,
            last_ms=start_ms + columns.end_s * 1000,
            cameras=cameras,
            segments=segments,
            fresh=fresh,
            blocks={block.chunk: block for block in order},
            links=links,
            means=means,
            lengths=before.lengths if before and same_means else {},
            held=held,
        )

    def _segments(self) -> list[Segment]:
        """Those that are whole, the largest first."""
        while True:
            try:
                paths = [(path, path.stat().st_mtime_ns) for path in self.folder.glob(f"*{SUFFIX}")]
                self._opened = {key: self._opened.get(key) or Segment.open(key[0]) for key in paths}
            except FileNotFoundError:
                continue  # just now another process has put a larger one in its place
            return sorted(filter(None, self._opened.values()), key=lambda segment: -len(segment.codes))

    def _shards(self, order: Sequence[Block], dim: int) -> dict[str, np.ndarray]:
        """Those that blocks lie in, by day."""
        ends: dict[str, int] = defaultdict(int)
        for block in order:
            ends[block.day] = max(ends[block.day], block.first_row + block.rows)
        paths = {day: vectors.shard_path(self.gallery.path, self.model_id, day) for day in ends}
        return {day: np.asarray(vectors.read(paths[day], end, dim)) for day, end in ends.items()}

    def _derive_one(self, snapshot: Snapshot) -> bool:
        """Make one file of what is in none and in smaller ones, if that is worth it; whether it was."""
        used = {segment.path for segment in snapshot.segments}
        for path in set(self.folder.glob(f"*{SUFFIX}*")) - used:
            path.unlink(missing_ok=True)
        if not snapshot.worth_deriving:
            return False
        first, chosen, replaced = len(snapshot.crops) - snapshot.fresh_rows, list(snapshot.fresh), []
        for segment in reversed(snapshot.segments):
            if len(segment.codes) > len(snapshot.crops) - first:
                break
            first -= len(segment.codes)
            chosen += segment.chunks
            replaced.append(segment)
        # By their places in the shards, as far as possible in one stretch.
        blocks = sorted((snapshot.blocks[chunk] for chunk in chosen), key=_place)
        ends = dict(zip(snapshot.blocks, np.cumsum([b.rows for b in snapshot.blocks.values()]).tolist(), strict=True))
        rows = np.concatenate([np.arange(ends[block.chunk] - block.rows, ends[block.chunk]) for block in blocks])

        def stored() -> Iterator[np.ndarray]:
            return (decoded(snapshot.index.stored(rows[i : i + _STEP])) for i in range(0, len(rows), _STEP))

        sample = rows[np.linspace(0, len(rows) - 1, min(len(rows), SAMPLE)).astype(int)]
        coarse = Coarse.fitted(decoded(snapshot.index.stored(sample)), stored)
        Segment.write(
            self.folder,
            np.array([_number(block.chunk) for block in blocks], np.uint64),
            np.array([_number(block.digest) for block in blocks], np.uint64),
            snapshot.columns.of(rows),
            coarse,
            map(coarse.encode, stored()),
        )
        for segment in replaced:
            segment.path.unlink(missing_ok=True)
        return True


def _stretches(order: Sequence[Block], shards: Mapping[str, np.ndarray], coded: int) -> list[np.ndarray]:
    """The shards' parts that blocks lie in, as long as they follow each other; one begins after the coded ones."""
    stretches, start = [], 0
    for i, block in enumerate(order, start=1):
        end = block.first_row + block.rows
        if i in (coded, len(order)) or _place(order[i]) != (block.day, end):
            stretches.append(shards[block.day][order[start].first_row : end])
            start = i
    return stretches


def _place(block: Block) -> tuple[str, int]:
    return block.day, block.first_row


def _number(hexadecimal: str) -> int:
    return int(hexadecimal or "0", 16)  # a block that `gallery repair` is to make anew has no digest


def _states(blocks: Sequence[Block], erasures: str) -> np.ndarray:
    """int64 ``[blocks]``: numbers that stand for chunks and what is left of them."""
    numbers = [2 * _number(block.chunk) + _number(block.digest or erasures) for block in blocks]
    return np.array([number % 2**64 for number in numbers], np.uint64).view(np.int64)


def _blocks(session: Session, model_id: str, known: dict[str, Block]) -> dict[str, Block]:
    """All blocks; those that are known are not asked for again, since only what is behind them can be new."""
    block = schema.Block
    ends: dict[str, int] = defaultdict(int)
    for each in known.values():
        ends[each.day] = max(ends[each.day], each.first_row + each.rows)
    last = select(block.day, func.max(block.first_row)).where(block.model_id == model_id).group_by(block.day)
    found = dict(known)
    for day, first_row in session.execute(last.order_by(block.day)).all():
        if first_row < ends[day]:
            continue
        digest = func.substr(block.sha256, 1, 16)
        rows = session.execute(
            select(block.chunk_id, block.day, block.first_row, block.rows, digest, schema.Chunk.video_id)
            .join(schema.Chunk, schema.Chunk.id == block.chunk_id)
            .where(block.model_id == model_id, block.day == day, block.first_row >= ends[day])
        )
        new = [Block(*row) for row in rows]
        if absurd := [each.rows for each in new if not 0 <= each.rows < _CHUNK_HOLDS]:
            raise ValueError(f"a chunk of {absurd[0]} rows")
        found |= {each.chunk: each for each in new}
    return found


def _fitting(segments: Sequence[Segment], blocks: dict[str, Block]) -> tuple[tuple[Segment, ...], dict[str, None]]:
    """The segments whose blocks are all as they were, none in two of them; and the chunks, in the rows' order."""
    used, coded = [], dict[str, None]()
    for segment in segments:
        now = [blocks.get(chunk) for chunk in segment.chunks]
        same = [_number(block.digest) if block else None for block in now] == segment.digest.tolist()
        if same and coded.keys().isdisjoint(segment.chunks):
            used.append(segment)
            coded |= dict.fromkeys(segment.chunks)
    return tuple(used), coded


def _columns(session: Session, blocks: Sequence[Block], links: dict[str, str]) -> dict[str, Columns]:
    """Columns of blocks, by chunk; what their tracklets continue is added to the links."""
    found = {block.chunk: Columns.empty(block.rows) for block in blocks}
    crop, piece = schema.Crop, schema.Tracklet
    for i in range(0, len(blocks), _AT_ONCE):
        rows = session.execute(
            select(crop.chunk_id, crop.position, crop.id, piece.id, piece.start_s, piece.end_s, piece.continues)
            .join(piece, piece.id == crop.tracklet_id)
            .where(crop.chunk_id.in_([block.chunk for block in blocks[i : i + _AT_ONCE]]))
        )
        for chunk, position, crop_id, piece_id, start_s, end_s, continues in rows:
            columns = found[chunk]
            if position < len(columns.crop):
                columns.crop[position], columns.piece[position] = int(crop_id, 16), int(piece_id, 16)
                columns.start_s[position], columns.end_s[position] = start_s, end_s
            if continues:
                links[piece_id] = continues
    return found


def _first_pieces(pieces: np.ndarray, links: dict[str, str]) -> np.ndarray:
    """uint64: what the pieces' tracklets begin with."""
    if not links:
        return pieces
    later = np.array(sorted(int(piece, 16) for piece in links), np.uint64)
    first = np.array([int(first_piece(f"{piece:016x}", links), 16) for piece in later.tolist()], np.uint64)
    place = np.searchsorted(later, pieces).clip(max=len(later) - 1)
    return np.where(later[place] == pieces, first[place], pieces)


def _ids_by_name(session: Session) -> dict[str, list[int]]:
    """{name: ids} of cameras, and of groups that are not called like a camera."""
    groups: dict[str, list[int]] = defaultdict(list)
    names = {}
    for camera in session.scalars(select(schema.Camera)):
        names[camera.name] = [camera.id]
        if camera.group:
            groups[camera.group].append(camera.id)
    return groups | names
