"""Searches of a gallery that grows, shrinks and moves to another model, with and without derived files."""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from reidapp.gallery import schema, snapshot, vectors
from reidapp.gallery.derived import SUFFIX, Segment, outdate
from reidapp.gallery.facts import utc
from reidapp.gallery.repair import repair
from reidapp.gallery.search import Searcher
from reidapp.gallery.snapshot import Snapshot, Snapshots
from reidapp.gallery.store import Gallery
from reidapp.gallery.verification import verify
from reidapp.gallery.writer import StoredChunk, next_generation
from tests.reidapp.gallery.test_search import DAY_MS, DIM, START_MS, Model, add_video, chunk_of, new_gallery, unit


class Other(Model):
    card = Model.card
    identity = "cd" * 32


@pytest.fixture(autouse=True)
def _few_rows_are_worth_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "_WORTH", 20)


def grow(gallery: Gallery, rng: np.random.Generator, number: int) -> None:
    """A video of one of three cameras on one of three days, some of whose tracklets go on across its chunks."""
    video = schema.identifier("video", number)
    chunks = []
    for n in range(int(rng.integers(1, 4))):
        tracklets = [
            (n * 60 + 18.0 * i, unit(rng.normal(size=(int(rng.integers(1, 4)), DIM))))
            for i in range(int(rng.integers(0, 4)))
        ]
        goes_on = n > 0 and bool(tracklets) and bool(chunks[-1].tracklets) and rng.random() < 0.5
        before = schema.identifier(schema.identifier(video, n - 1), 0)
        chunks.append(chunk_of(n, tracklets, continues=before if goes_on else None))
    camera, day = ("gate", "hall", "yard")[int(rng.integers(3))], int(rng.integers(3))
    add_video(gallery, number, camera, chunks, START_MS + day * DAY_MS + number * 1000)


def erase(gallery: Gallery, rng: np.random.Generator) -> None:
    """A chunk goes, its shard is written anew under another name, and what continued its tracklets begins there."""
    with Session(gallery.engine) as session, session.begin():
        chunk = rng.choice(session.scalars(select(schema.Block.chunk_id).order_by(schema.Block.chunk_id)).all())
        for block in session.scalars(select(schema.Block).filter_by(chunk_id=chunk)).all():
            rest = select(schema.Block).filter_by(model_id=block.model_id, day=block.day)
            path = vectors.shard_path(gallery.path, block.model_id, block.day)
            data = path.read_bytes()
            new, content = f"{block.day.partition('.')[0]}.{rng.integers(2**40)}", b""
            for each in session.scalars(rest.order_by(schema.Block.first_row)).all():
                if each is not block:
                    piece = data[each.first_row * DIM * 2 : (each.first_row + each.rows) * DIM * 2]
                    each.day, each.first_row = new, len(content) // (DIM * 2)
                    content += piece
            vectors.shard_path(gallery.path, block.model_id, new).write_bytes(content)
            path.unlink()
            session.delete(block)
        tracklets = session.scalars(select(schema.Tracklet).filter_by(chunk_id=str(chunk))).all()
        for tracklet in tracklets:
            for later in session.scalars(select(schema.Tracklet).filter_by(continues=tracklet.id)):
                later.continues = None
        for crop in session.scalars(select(schema.Crop).filter_by(chunk_id=str(chunk))):
            session.delete(crop)
        session.flush()
        for tracklet in tracklets:
            session.delete(tracklet)
        outdate(session)
        next_generation(session)


def reembed(gallery: Gallery, model: type[Model]) -> None:
    with gallery.writing() as writer:
        writer.add_model(gallery.model_file, model.card, model.identity)

        def made(chunk: StoredChunk) -> np.ndarray:
            rng = np.random.default_rng([int(chunk.id, 16), int(model.identity[:4], 16)])
            return unit(rng.normal(size=(len(chunk.crops), DIM)))

        for chunk in writer.chunks_without(model.identity)[1:]:
            writer.add_vectors(chunk, model.identity, made(chunk))
        writer.use_model(model.identity, made)


def truth(gallery: Gallery) -> list[tuple[str, str, float, float, np.ndarray]]:
    """(first piece, camera, first and last ms, stored vector) of each crop, row by row from the database."""
    of_crops = (
        select(schema.Crop, schema.Block, schema.Video, schema.Camera.name)
        .join(schema.Chunk, schema.Chunk.id == schema.Crop.chunk_id)
        .join(schema.Video, schema.Video.id == schema.Chunk.video_id)
        .join(schema.Camera, schema.Camera.id == schema.Video.camera_id)
        .join(schema.Block, schema.Block.chunk_id == schema.Crop.chunk_id)
        .where(schema.Block.model_id == gallery.model_id)
    )
    found, shards = [], {}
    with Session(gallery.engine) as session:
        pieces = {piece.id: piece for piece in session.scalars(select(schema.Tracklet))}
        for crop, block, video, camera in session.execute(of_crops):
            if block.day not in shards:
                file = vectors.shard_path(gallery.path, gallery.model_id, block.day)
                shards[block.day] = np.fromfile(file, "<f2").reshape(-1, DIM)
            row = shards[block.day][block.first_row + crop.position].astype(np.float64)
            piece = pieces[crop.tracklet_id]
            span = (video.start_ms + piece.start_s * 1000, video.start_ms + piece.end_s * 1000)
            while piece.continues:
                piece = pieces[piece.continues]
            found.append((piece.id, camera, *span, row))
        assert len(found) == session.scalar(select(func.count()).select_from(schema.Crop))
    return found


def expected(
    rows: list[tuple[str, str, float, float, np.ndarray]],
    query: np.ndarray,
    cameras: list[str] | None,
    after: datetime | None,
    before: datetime | None,
) -> list[tuple[str, float]]:
    """(tracklet, score) of all tracklets, best first."""
    best: dict[str, float] = {}
    for tracklet, camera, first, last, row in rows:
        if (
            (cameras is None or camera in cameras)
            and (after is None or last >= after.timestamp() * 1000)
            and (before is None or first <= before.timestamp() * 1000)
        ):
            best[tracklet] = max(best.get(tracklet, -2.0), float(np.float32(row @ query.astype(np.float64))))
    return sorted(best.items(), key=lambda pair: -pair[1])


def check(gallery: Gallery, found: Snapshot, rng: np.random.Generator) -> None:
    rows = truth(gallery)
    query = unit(rng.normal(size=DIM))
    times = [utc(START_MS + float(rng.uniform(0, 3)) * DAY_MS) for _ in range(2)]
    for cameras in (None, ["gate"], ["hall", "yard"]):
        known = None if cameras is None else [name for name in cameras if name in found.cameras]
        for after, before in ((None, None), (times[0], None), (None, times[1]), (min(times), max(times))):
            kept = found.selected(known, after, before)
            best = found.best_rows(query[None], kept, 1000)
            mine = [(f"{found.tracklet_of[row]:016x}", score) for row, score in best]
            assert mine == expected(rows, query, known, after, before)


def live(gallery: Gallery, rng: np.random.Generator, tidy: Callable[[Snapshots], None]) -> Snapshots:
    """A gallery grows, is deleted from and moved to another model, and is searched after each step, tidied or not."""
    models: list[type[Model]] = [Model, Other]
    long_open = {model.identity: Snapshots(gallery, model.identity) for model in models}
    for number in range(11):
        grow(gallery, rng, number)
        if gallery.model_id == Other.identity or number % 5 == 4:
            reembed(gallery, Other)
        if number > 3 and rng.random() < 0.4 and truth(gallery):
            erase(gallery, rng)
        mine = long_open[gallery.model_id]
        if rng.random() < 0.4:
            tidy(mine)
        check(gallery, mine.current(), rng)
        check(gallery, Snapshots(gallery, gallery.model_id).current(), rng)
    tidy(mine)
    return mine


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_the_same_hits_as_brute_force_whatever_happens(tmp_path: Path, seed: int) -> None:
    mine = live(new_gallery(tmp_path), np.random.default_rng(seed), Snapshots.derive)
    assert mine.current().segments
    assert not mine.current().worth_deriving


@pytest.fixture
def derived(tmp_path: Path) -> tuple[Gallery, Path]:
    """A gallery, and the derived file of all its rows."""
    gallery, rng = new_gallery(tmp_path), np.random.default_rng(0)
    for number in range(8):
        grow(gallery, rng, number)
    snapshots = Snapshots(gallery, gallery.model_id)
    snapshots.derive()
    (segment,) = snapshots.current().segments
    assert len(segment.codes) == len(truth(gallery))
    return gallery, segment.path


def cut_short(data: bytes) -> bytes:
    return data[:-100]


def emptied(data: bytes) -> bytes:
    return b""


def one_bit_less(data: bytes) -> bytes:
    return data[:-1000] + bytes([data[-1000] ^ 4]) + data[-999:]


def of_another_kind(data: bytes) -> bytes:
    return b"x" * len(data)


@pytest.mark.parametrize("damage", [cut_short, emptied, one_bit_less, of_another_kind])
def test_a_damaged_file_is_not_used_and_made_anew(derived: tuple[Gallery, Path], damage: Callable) -> None:
    gallery, file = derived
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    snapshots = Snapshots(gallery, gallery.model_id)
    assert snapshots.current().segments == ()
    check(gallery, snapshots.current(), np.random.default_rng(1))
    snapshots.derive()
    assert [segment.path for segment in snapshots.current().segments] == [file]
    assert file.read_bytes() == whole
    check(gallery, snapshots.current(), np.random.default_rng(2))


def test_vectors_made_anew_outdate_their_codes(derived: tuple[Gallery, Path]) -> None:
    gallery, _ = derived
    snapshots = Snapshots(gallery, gallery.model_id)
    assert snapshots.current().segments
    with Session(gallery.engine) as session, session.begin():
        block = session.scalars(select(schema.Block)).first()
        assert block is not None
        file = vectors.shard_path(gallery.path, block.model_id, block.day)
        data = bytearray(file.read_bytes())
        rows = unit(np.random.default_rng(5).normal(size=(block.rows, DIM))).astype("<f2").tobytes()
        data[block.first_row * DIM * 2 : block.first_row * DIM * 2 + len(rows)] = rows
        file.write_bytes(data)
        block.sha256 = hashlib.sha256(rows).hexdigest()
        outdate(session)
        next_generation(session)
    for opened in (snapshots, Snapshots(gallery, gallery.model_id)):
        assert opened.current().segments == ()
        check(gallery, opened.current(), np.random.default_rng(1))


def test_a_disk_that_cannot_be_written_is_searched_without_files(
    derived: tuple[Gallery, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery, file = derived
    file.unlink()

    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Segment, "write", refuse)
    searcher = Searcher(gallery, Model(), derive=True)
    query = unit(np.random.default_rng(1).normal(size=(1, DIM)))
    assert len(searcher.search(query, top=5).hits) == 5
    Snapshots(gallery, gallery.model_id).derive()
    assert len(searcher.search(query, top=5).hits) == 5
    assert not list(file.parent.glob(f"*{SUFFIX}"))


def test_half_a_file_of_a_killed_process_goes(derived: tuple[Gallery, Path]) -> None:
    gallery, file = derived
    half_made = file.with_name(f"{'0' * 16}{SUFFIX}.new")
    half_made.write_bytes(b"half")
    Snapshots(gallery, gallery.model_id).derive()
    assert not half_made.exists()
    assert file.exists()


@pytest.mark.slow
def test_small_files_become_large_ones(tmp_path: Path) -> None:
    gallery, rng = new_gallery(tmp_path), np.random.default_rng(3)
    snapshots = Snapshots(gallery, gallery.model_id)
    for number in range(20):
        grow(gallery, rng, number)
        snapshots.derive()
        sizes = [len(segment.codes) for segment in snapshots.current().segments]
        assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) < 5
    assert snapshots.current().fresh_rows < 20
    check(gallery, snapshots.current(), rng)


def test_a_snapshot_stays_as_it_was(derived: tuple[Gallery, Path]) -> None:
    gallery, file = derived
    held = Snapshots(gallery, gallery.model_id).current()
    query = unit(np.random.default_rng(4).normal(size=(1, DIM)))
    before = held.best_rows(query, held.selected(), 50)
    erase(gallery, np.random.default_rng(0))
    grow(gallery, np.random.default_rng(7), 99)
    file.unlink()
    assert held.best_rows(query, held.selected(), 50) == before


WRITER = """
import sys
from pathlib import Path
import numpy as np
from reidapp.gallery.store import Gallery
from tests.reidapp.gallery import test_snapshot as here
gallery, rng = Gallery.open(Path(sys.argv[1])), np.random.default_rng(11)
here.snapshot._WORTH = 20
for line in sys.stdin:
    here.grow(gallery, rng, int(line))
    if int(line) % 4 == 0:
        here.Snapshots(gallery, gallery.model_id).derive()
    print("written", flush=True)
"""


@pytest.mark.slow
def test_a_search_beside_a_writing_process_sees_whole_commits(derived: tuple[Gallery, Path]) -> None:
    gallery, _ = derived
    searcher, snapshots = Searcher(gallery, Model()), Snapshots(gallery, gallery.model_id)
    query = unit(np.random.default_rng(1).normal(size=(1, DIM)))

    def look() -> int:
        result = searcher.search(query, top=10_000)
        now = snapshots.current()
        assert (now.crops != 0).all()  # no row without its crop
        assert len(now.index.search(query[0], len(now.crops)).rows) == len(now.crops)
        assert result.rows >= len(result.hits) > 0
        return len(now.crops)

    command, seen = [sys.executable, "-c", WRITER, str(gallery.path)], set()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as writer:
        assert writer.stdin
        assert writer.stdout
        print(100, file=writer.stdin)
        for number in range(101, 111):
            print(number, file=writer.stdin)  # a round ahead: it has always something to write while we look
            while not wait([writer.stdout.fileno()], timeout=0):
                seen.add(look())
            assert writer.stdout.readline() == "written\n"
            seen.add(look())
        assert writer.stdout.readline() == "written\n"
    assert writer.returncode == 0
    assert len(seen) > 3
    check(gallery, snapshots.current(), np.random.default_rng(2))


def test_verify_names_a_damaged_file_and_repair_makes_it_anew(derived: tuple[Gallery, Path]) -> None:
    gallery, file = derived
    whole = file.read_bytes()
    file.write_bytes(cut_short(whole))
    name = str(file.relative_to(gallery.path))
    assert [fault.what for fault in verify(gallery).faults if SUFFIX in fault.what] == [f"{name}: damaged"]
    report = repair(gallery, lambda _: Model())
    assert report.derived == 1
    assert not [fault for fault in report.after.faults if SUFFIX in fault.what]
    assert file.read_bytes() == whole
