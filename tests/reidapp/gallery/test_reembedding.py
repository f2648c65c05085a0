"""A gallery moves to another model and back; stopped or killed on the way, it ends with the same vectors."""

import multiprocessing
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from models import zoo
from reidapp.asking import Question
from reidapp.errors import ReidappError, UserError
from reidapp.files import BusyError
from reidapp.gallery import reembedding, schema, vectors
from reidapp.gallery.deletion import Selection, delete_from, drop_other_models
from reidapp.gallery.reembedding import model_called, reembed
from reidapp.gallery.search import Searcher
from reidapp.gallery.snapshot import Snapshots
from reidapp.gallery.store import Gallery
from reidapp.gallery.verification import verify
from reidapp.gallery.writer import GalleryWriter, MovedError, NewChunk, NewCrop, NewTracklet
from reidapp.imaging import decode_crop, encode_crop
from reidapp.model_card import model_identity
from reidapp.server import service
from tests.killing import die_at
from tests.reidapp.commands import as_json
from tests.reidapp.gallery.test_search import START_MS, add_video, chunk_of
from tests.small_gallery import ColourEmbedder, ShirtDetector, png, query_crop

COLOURS = np.random.default_rng(0).integers(0, 256, (40, 3), dtype=np.uint8)


class Half(ColourEmbedder):
    """Another model: sees the upper half, and has a different length."""

    card = replace(ColourEmbedder.card, version="2", dim=32)
    identity = "ha1f" * 16

    def __init__(self) -> None:
        self.seen: list[tuple[str | None, int]] = []

    def embed(self, crops: Sequence[np.ndarray], camera: str | None = None) -> np.ndarray:
        self.seen.append((camera, len(crops)))
        rows = super().embed([crop[: len(crop) // 2] for crop in crops])[:, :32] + 1e-3
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def chunk(number: int, colours: np.ndarray) -> NewChunk:
    """A tracklet for each colour, with two crops."""
    embedder = ColourEmbedder()
    drawn = [np.tile(colour, (16, 8, 1)) for colour in colours for _ in range(2)]
    made = chunk_of(number, [(60 * number + i, embedder.embed(drawn[2 * i : 2 * i + 2])) for i in range(len(colours))])
    crops = iter(drawn)

    def drawn_on(tracklet: NewTracklet) -> NewTracklet:
        return replace(tracklet, crops=[pictured(crop) for crop in tracklet.crops])

    def pictured(crop: NewCrop) -> NewCrop:
        return replace(crop, webp=encode_crop(next(crops)))

    return replace(made, tracklets=[drawn_on(tracklet) for tracklet in made.tracklets])


@pytest.fixture(autouse=True)
def one_chunk_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reembedding, "_BATCH", 1)


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    """Two cameras, five chunks, one of them empty."""
    file = tmp_path / "colours.onnx"
    file.write_bytes(b"stands for a model")
    made = Gallery.create(tmp_path / "gallery", file, ColourEmbedder.card, ColourEmbedder.identity)
    add_video(made, 0, "gate", [chunk(0, COLOURS[:3]), chunk(1, COLOURS[:0]), chunk(2, COLOURS[3:7])], START_MS)
    add_video(made, 1, "hall", [chunk(0, COLOURS[7:9]), chunk(1, COLOURS[9:12])], START_MS)
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "half.onnx"
    path.write_bytes(b"stands for another model")
    return path


def stored(gallery: Gallery, model_id: str, dim: int) -> dict[str, bytes]:
    """{crop: its vector} under a model."""
    query = select(schema.Crop.id, schema.Crop.position, schema.Block.day, schema.Block.first_row).join(
        schema.Block, schema.Block.chunk_id == schema.Crop.chunk_id
    )
    with Session(gallery.engine) as session:
        rows = session.execute(query.where(schema.Block.model_id == model_id)).all()
    found = {}
    for crop, position, day, first in rows:
        row = first + position
        found[crop] = vectors.read(vectors.shard_path(gallery.path, model_id, day), row + 1, dim)[row].tobytes()
    return found


def picture(gallery: Gallery, crop: str) -> np.ndarray:
    return decode_crop(gallery.crop_file(crop).read_bytes())


def test_there_and_back_again(gallery: Gallery, file: Path) -> None:
    before, half = stored(gallery, ColourEmbedder.identity, 64), Half()
    report = reembed(gallery, half, file)
    assert (report.embedded, report.reused, report.interrupted) == (24, 0, False)
    assert half.seen == [("gate", 6), ("gate", 8), ("hall", 4), ("hall", 6)]
    assert gallery.model_id == Half.identity
    assert gallery.model_file.read_bytes() == file.read_bytes()
    crop = next(iter(before))
    (hit,) = Searcher(gallery, half).search(half.embed([picture(gallery, crop)]), top=1).hits
    assert hit.score > 0.99

    class Blind(ColourEmbedder):
        def embed(self, crops: Sequence[np.ndarray], camera: str | None = None) -> np.ndarray:
            raise AssertionError("going back embeds nothing")

    back = reembed(gallery, Blind(), file)
    assert (back.embedded, back.reused) == (0, 24)
    assert gallery.model_id == ColourEmbedder.identity
    assert stored(gallery, ColourEmbedder.identity, 64) == before
    assert gallery.model_file.read_bytes() == b"stands for a model"


def test_what_was_indexed_in_between_is_embedded_on_the_way_back(gallery: Gallery, file: Path) -> None:
    reembed(gallery, Half(), file)
    with gallery.writing() as writer:
        new = chunk(7, COLOURS[20:22])
        drawn = [np.tile(colour, (16, 8, 1)) for colour in COLOURS[20:22] for _ in range(2)]
        writer.add_chunk(schema.identifier("video", 1), replace(new, embeddings=Half().embed(drawn)))
    assert reembed(gallery, ColourEmbedder(), file).embedded == 4
    assert len(stored(gallery, ColourEmbedder.identity, 64)) == 28
    new_crop = schema.identifier(schema.identifier(schema.identifier("video", 1), 7), "crop", 0)
    embedder = ColourEmbedder()
    (hit,) = Searcher(gallery, embedder).search(embedder.embed([picture(gallery, new_crop)]), top=1).hits
    assert new_crop in {crop.id for crop in gallery.tracklet(hit.tracklet).crops}
    assert hit.score > 0.99


def test_open_readers_stay_with_their_model(gallery: Gallery, file: Path) -> None:
    embedder = ColourEmbedder()
    searcher = Searcher(gallery, embedder)
    query = embedder.embed([query_crop("red")])
    before = searcher.search(query).hits
    reembed(gallery, Half(), file)
    assert searcher.search(query).hits == before
    with pytest.raises(UserError, match="made by model"):
        Searcher(gallery, embedder)


class Interrupting(Half):
    def __init__(self, calls: int) -> None:
        super().__init__()
        self.calls = calls

    def embed(self, crops: Sequence[np.ndarray], camera: str | None = None) -> np.ndarray:
        if len(self.seen) == self.calls:
            raise KeyboardInterrupt
        return super().embed(crops, camera)


def test_interrupted_it_keeps_the_old_model_and_goes_on_later(gallery: Gallery, file: Path) -> None:
    generation = gallery.generation
    report = reembed(gallery, Interrupting(2), file)
    assert (report.interrupted, report.embedded) == (True, 14)
    assert (gallery.model_id, gallery.generation) == (ColourEmbedder.identity, generation)
    assert "interrupted: 14 crops" in str(report)
    report = reembed(gallery, Half(), file)
    assert (report.embedded, report.reused) == (10, 14)
    assert gallery.generation == generation + 1


def _until_killed(path: Path, file: Path, step: str, calls: int) -> None:
    """Embed anew, and die without a word after the n-th call of a step."""
    die_at(vectors if step == "append" else GalleryWriter, step, calls, after=True)
    reembed(Gallery.open(path), Half(), file)


@pytest.mark.slow
@pytest.mark.parametrize(("step", "calls"), [("add_model", 1), ("append", 2), ("add_vectors", 2), ("append", 4)])
def test_killed_anywhere_it_ends_with_the_same_vectors(gallery: Gallery, file: Path, step: str, calls: int) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_until_killed, args=(gallery.path, file, step, calls))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert gallery.model_id == ColourEmbedder.identity
    reembed(gallery, Half(), file)
    resumed = stored(gallery, Half.identity, 32)
    assert len(resumed) == 24
    half = Half()
    for crop, vector in resumed.items():
        assert vector == half.embed([picture(gallery, crop)]).astype(np.float16).tobytes()


def sound(gallery: Gallery) -> bool:
    """But for the models' files, which are none here."""
    return all(fault.what.startswith("models/") for fault in verify(gallery).faults)


class Meanwhile(Half):
    """Something happens while the second batch is embedded."""

    def __init__(self, what: Callable[[], object]) -> None:
        super().__init__()
        self.what = what

    def embed(self, crops: Sequence[np.ndarray], camera: str | None = None) -> np.ndarray:
        if len(self.seen) == 1:
            self.what()
        return super().embed(crops, camera)


def test_what_is_indexed_meanwhile_is_embedded_too(gallery: Gallery, file: Path) -> None:
    later = chunk(0, COLOURS[20:22])
    report = reembed(gallery, Meanwhile(lambda: add_video(gallery, 2, "yard", [later], START_MS)), file)
    assert (report.embedded, report.reused) == (28, 0)
    assert gallery.model_id == Half.identity
    assert len(stored(gallery, Half.identity, 32)) == len(stored(gallery, ColourEmbedder.identity, 64)) == 28
    assert sound(gallery)


def test_who_indexes_when_the_gallery_moves_is_told_and_adds_nothing(gallery: Gallery, file: Path) -> None:
    with gallery.writing() as writer:
        reembed(gallery, Half(), file)
        with pytest.raises(MovedError, match="moved to another model just now; run the command again"):
            writer.add_chunk(gallery.tracklets()[0].video.id, chunk(7, COLOURS[20:22]))
    assert gallery.summary().crops == 24
    assert sound(gallery)


def test_it_ends_though_something_is_committed_each_time_it_is_nearly_done(
    gallery: Gallery, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    derive, numbers = Snapshots.derive, iter(range(2, 50))

    def derived_late(snapshots: Snapshots) -> None:
        derive(snapshots)
        number = next(numbers)
        add_video(gallery, number, f"yard {number}", [chunk(0, COLOURS[number : number + 1])], START_MS)

    monkeypatch.setattr(Snapshots, "derive", derived_late)
    report = reembed(gallery, Half(), file)
    assert gallery.model_id == Half.identity
    assert report.embedded == gallery.summary().crops == 26
    assert sound(gallery)


def test_nothing_is_deleted_meanwhile(gallery: Gallery, file: Path) -> None:
    first = Selection(tracklets=[gallery.tracklets()[0].id])

    def forget() -> None:
        with gallery.writing() as writer, pytest.raises(BusyError, match="is embedding it anew; wait until it ends"):
            delete_from(writer, first)

    assert reembed(gallery, Meanwhile(forget), file).embedded == 24
    with gallery.writing() as writer:
        delete_from(writer, first)
    assert gallery.summary().crops == 22
    assert sound(gallery)


def test_what_a_killed_prune_left_is_gone_before_its_model_comes_back(gallery: Gallery, file: Path) -> None:
    reembed(gallery, Half(), file)
    with gallery.writing() as writer, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Gallery, "remove_leftovers", Mock(side_effect=RuntimeError("killed")))
        with pytest.raises(RuntimeError, match="killed"):
            drop_other_models(writer)
    first = gallery.path.parent / "colours.onnx"
    reembed(gallery, ColourEmbedder(), first)
    with gallery.writing():  # which removes what deletions have left
        pass
    assert gallery.model_file.read_bytes() == first.read_bytes()
    assert sound(gallery)


def test_one_process_at_a_time_embeds_anew(gallery: Gallery, file: Path) -> None:
    with gallery.embedding_anew(), pytest.raises(ReidappError, match="`reidapp reembed`, is embedding it anew; wait"):
        reembed(gallery, Half(), file)


def test_a_shard_that_is_gone_is_said(gallery: Gallery, file: Path) -> None:
    assert reembed(gallery, Interrupting(3), file).interrupted
    shard = next((gallery.path / "vectors" / Half.identity[:16]).glob("*.f16"))
    shard.unlink()
    with pytest.raises(ReidappError, match="18 vectors should be there and 0 are; `reidapp gallery repair`"):
        reembed(gallery, Half(), file)
    assert gallery.model_id == ColourEmbedder.identity


@pytest.mark.parametrize(("data", "why"), [(None, "no such image file"), (b"", "not an image"), (b"RIFF", "not an")])
def test_a_crop_that_cannot_be_read_is_named(gallery: Gallery, file: Path, data: bytes | None, why: str) -> None:
    crop = max(gallery.path.rglob("*.webp"))
    crop.unlink() if data is None else crop.write_bytes(data)
    with pytest.raises(UserError, match=f"^{crop}: {why}"):
        reembed(gallery, Half(), file)
    assert gallery.model_id == ColourEmbedder.identity


def test_models_are_called_by_name_version_or_id(gallery: Gallery, file: Path) -> None:
    reembed(gallery, Half(), file)
    first, second = gallery.models()
    assert (first.id, first.active, first.crops) == (Half.identity, True, 24)
    assert (second.id, second.active, second.crops) == (ColourEmbedder.identity, False, 24)
    for wanted in ("colours/1", ColourEmbedder.identity[:8]):
        found = model_called(gallery, wanted)
        assert found is not None
        assert found.id == ColourEmbedder.identity
    assert model_called(gallery, "c0c0") is None  # too short to mean an id
    with pytest.raises(UserError, match=r'"colours": .* has several; name one: colours/2 \(ha1fha1f\), colours/1'):
        model_called(gallery, "colours")


def test_a_shipped_name_means_the_shipped_model(tmp_path: Path) -> None:
    """Though the gallery has another one of that name, such as that of an earlier version of reidapp."""
    (tmp_path / "old.onnx").write_bytes(b"stands for an earlier model")
    card = replace(ColourEmbedder.card, name="small")
    made = Gallery.create(tmp_path / "gallery", tmp_path / "old.onnx", card, ColourEmbedder.identity)
    add_video(made, 0, "gate", [chunk(0, COLOURS[:2])], START_MS)
    assert as_json("reembed", "--gallery", made.path, "--model", "small")["embedded"] == 4
    assert made.model_id == model_identity(zoo.path_of("small"))


def test_a_running_server_follows(gallery: Gallery, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    monkeypatch.setattr(service, "Embedder", lambda path, batch: opened.append(path) or Half())
    running = service.SearchService(gallery, ColourEmbedder(), ShirtDetector())
    query = running.take_query(png(query_crop("red")), "red.png").id
    wanted = service.Wanted(Question(crops=running.crops([service.Part(query)])))
    assert running.find(wanted, "test").result.rows == 24
    reembed(gallery, Half(), file)
    assert running.find(wanted, "test").result.rows == 24
    assert running.find(wanted, "test").result.rows == 24
    assert opened == [gallery.model_file]
    assert running.embedder.identity == Half.identity
