"""``adapt``, quick and by training: the round index → adapt → re-embed → search → back again, and what is refused."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from models.export import export_network
from models.network import Network
from models.run_folder import last_epoch
from reidapp.box import Box
from reidapp.embedding import Embedder
from reidapp.errors import UserError
from reidapp.gallery import schema
from reidapp.gallery.comparison import compare
from reidapp.gallery.facts import PathPoint
from reidapp.gallery.identities import Identities
from reidapp.gallery.reembedding import model_called, reembed
from reidapp.gallery.search import Searcher
from reidapp.gallery.store import Gallery
from reidapp.gallery.writer import NewChunk, NewCrop, NewTracklet
from reidapp.imaging import decode_crop, encode_crop
from reidapp.model_card import ModelCard
from training import adapting
from training.adapting import adapt, adapt_quick
from training.methods._extract import Extract
from training.methods.ise import ISE

PEOPLE, CROPS = 9, 4
LOOKS = {
    "gate": (0.5, 0),
    "hall": (0.4, 140),
    "yard": (1.0, 0),
    "attic": (0.8, 30),
}  # contrast and brightness of a camera
HEIGHT, WIDTH = 32, 16


def person(number: int, crop: int, camera: str) -> np.ndarray:
    """Coloured blocks, a little noise, and the camera's look on all of it."""
    blocks = np.random.default_rng(number).integers(0, 256, (4, 2, 3))
    noise = np.random.default_rng((number, crop)).normal(0, 20, (HEIGHT, WIDTH, 3))
    contrast, brightness = LOOKS[camera]
    image = (np.kron(blocks, np.ones((8, 8, 1))) + noise) * contrast + brightness
    return np.clip(image, 0, 255).astype(np.uint8)


def chunk_of(camera: str, people: range, embedder: Embedder) -> NewChunk:
    """A tracklet for each person; all are there together, side by side."""
    tracklets = []
    for number in people:
        box = Box(number / 10, 0.2, number / 10 + 0.05, 0.8)
        shots = [NewCrop(float(i), box, 0.9, encode_crop(person(number, i, camera))) for i in range(CROPS)]
        tracklets.append(NewTracklet([PathPoint(0.0, box), PathPoint(3.0, box)], shots))
    crops = [decode_crop(shot.webp) for tracklet in tracklets for shot in tracklet.crops]
    return NewChunk(0, 0.0, 4, 4 * len(people), 3.0, tracklets, embedder.embed(crops, camera))


def add_camera(gallery: Gallery, number: int, camera: str, people: range, embedder: Embedder) -> None:
    video_id = schema.identifier("video", camera)
    with gallery.writing() as writer:
        video = schema.Video(
            id=video_id, path=f"/none/{camera}.mp4", size=1, mtime_ns=1, start_ms=1_000_000 * number,
            start_source="name", duration_s=60.0, width=640, height=360, settings={}, done=True, note=None,
        )  # fmt: skip
        writer.add_video(camera, "UTC", video)
        writer.add_chunk(video_id, chunk_of(camera, people, embedder))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network: it sees colours and edges, and every camera's look."""
    torch.manual_seed(0)
    network = Network({"height": HEIGHT, "width": WIDTH, "backbone": "resnet18", "head": "bnneck"}).eval()
    path = tmp_path_factory.mktemp("model") / "start.onnx"
    export_network(network, ModelCard("start", "1", HEIGHT, WIDTH, network.dim, scores={"p": {"mAP": 0.5}}), path)
    return path


def new_gallery(folder: Path, model: Path, cameras: dict[str, int]) -> Gallery:
    """People 0, 1, … before each of some cameras."""
    embedder = Embedder(model)
    gallery = Gallery.create(folder / "gallery", model, embedder.card, embedder.identity)
    for number, (camera, people) in enumerate(cameras.items()):
        add_camera(gallery, number, camera, range(people), embedder)
    return gallery


def found_elsewhere(gallery: Gallery) -> float:
    """Share of the gate's people whose first hit in the hall and the yard is right."""
    embedder = Embedder(gallery.model_file)
    searcher = Searcher(gallery, embedder)
    right = []
    for number in range(PEOPLE):
        query = embedder.embed([person(number, 9, "gate")], "gate")
        for camera in ("hall", "yard"):
            (hit,) = searcher.search(query, cameras=[camera], top=1).hits
            right.append(round(hit.box.x1 * 10) == number)
    return float(np.mean(right))


@pytest.mark.slow
def test_the_whole_round(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = new_gallery(tmp_path, model, {"gate": PEOPLE, "hall": PEOPLE, "yard": PEOPLE, "attic": 2})
    before = found_elsewhere(gallery)
    result = adapt_quick(gallery, tmp_path / "new.onnx")
    assert (result.card.name, result.card.version, result.card.scores) == ("start", "1+1", {})
    assert result.card.cameras == ["gate", "hall", "yard"]
    assert result.cameras == {"attic": 0, "gate": 36, "hall": 36, "yard": 36}
    assert result.warnings == ["fewer than 16 crops, so the common statistics: attic (8)"]
    assert "gate (36), hall (36), yard (36)" in result.card.training_data
    assert result.before.crops == 116
    assert (result.after.same_camera or 1) < (result.before.same_camera or 0)
    assert result.chosen in result.tried

    adapted = Embedder(result.model)
    assert reembed(gallery, adapted, result.model).embedded == 116
    stored = compare(gallery, [adapted]).models[0].label_free  # so the chosen statistics are those in the file
    assert stored.same_camera == pytest.approx(result.after.same_camera, abs=1e-3)
    assert stored.within == pytest.approx(result.after.within, abs=1e-3)
    assert len({round(one.scores.within or 0, 2) for one in result.tried}) > 1
    assert found_elsewhere(gallery) > before
    hit = next(h for t in gallery.tracklets() if t.camera == "hall" for h in t.crops)
    stored = Searcher(gallery, adapted).search(adapted.embed([decode_crop(hit.file.read_bytes())], "hall"), top=1)
    assert stored.hits[0].score > 0.999  # embedded with the statistics of its own camera

    old = model_called(gallery, "start/1")
    assert old is not None
    back = reembed(gallery, Embedder(old.file), old.file)
    assert (back.embedded, back.reused) == (0, 116)
    assert found_elsewhere(gallery) == before
    without_export(monkeypatch)
    assert adapt_quick(gallery, tmp_path / "newer.onnx", start=result.model).card.version == "1+2"


@pytest.mark.slow
def test_versions_that_wait_in_the_gallery_are_counted(model: Path, tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path, model, {"gate": PEOPLE})
    (gallery.path / "adapted").mkdir()
    assert adapt_quick(gallery, gallery.path / "adapted" / "one.onnx").card.version == "1+1"
    (gallery.path / "adapted" / "damaged.onnx").write_bytes(b"no model")
    assert adapt_quick(gallery, tmp_path / "two.onnx").card.version == "1+2"
    assert [each.card.version for each in gallery.models()] == ["1"]


def without_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes its seconds."""
    monkeypatch.setattr(adapting, "export_network", lambda *args, **options: None)


@pytest.mark.slow
def test_one_camera_is_said(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_export(monkeypatch)
    result = adapt_quick(new_gallery(tmp_path, model, {"gate": PEOPLE}), tmp_path / "new.onnx")
    assert "one camera: nothing between cameras can get better" in result.warnings[0]
    assert (result.before.same_camera, result.after.same_camera) == (None, None)
    assert "–" in str(result)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cameras", "why"),
    [({}, "no crop in it to adapt to; index footage first"), ({"gate": 2, "hall": 3}, "at most 12 crops of a camera")],
)
def test_too_little(model: Path, tmp_path: Path, cameras: dict[str, int], why: str) -> None:
    gallery = new_gallery(tmp_path, model, cameras)
    with pytest.raises(UserError, match=why):
        adapt_quick(gallery, tmp_path / "new.onnx")
    assert not (tmp_path / "new.onnx").exists()


@pytest.mark.slow
def test_a_wrong_name_is_said_before_any_work(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"must end in \.onnx"):
        adapt_quick(new_gallery(tmp_path, model, {}), tmp_path / "run")


SHORT = ["schedule.images=256", "sampler={identities: 4, images: 4, each: identities, batches: 8}"]


@pytest.mark.slow
def test_training_on_a_gallery(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gallery, short = new_gallery(tmp_path, model, {"gate": PEOPLE, "hall": PEOPLE, "yard": PEOPLE}), SHORT
    for number, name in enumerate(["Zdenka", "Otakar"]):
        Identities(gallery, "ana").new(name, [t.id for t in gallery.tracklets() if t.path[0].box.x1 == number / 10])
    result = adapt(gallery, tmp_path / "run", changes=short, lines=True)
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    *_, last = [line for line in said if line.get("step") == "training"]
    assert (last["done"], last["total"], last["text"].partition(" ")[0]) == (256, 256, "2/2")
    assert {"note": f"network starts from {gallery.model_file}"} in said
    assert {"note": "labels that users gave: 6 tracklets of 2 people, 1 pair told apart"} in said
    assert result.model == tmp_path / "run" / "model.onnx"
    assert result.card.version == "1+1"
    what = (
        "108 unlabelled crops of one's own cameras: gate (36), hall (36), yard (36); by users' words 6 tracklets of 2"
    )
    assert what in result.card.training_data
    assert f"adapt --recipe ise {' '.join(short)} to version 1, 256 images" in result.card.recipe
    assert result.card.recipe.endswith(result.chosen.name)
    names = [one.name for one in result.tried]
    assert names[:2] == ["common statistics", "statistics of each camera"]
    assert names[-1] == "statistics of each camera, the network's own as 256 crops more"
    assert result.chosen in result.tried
    assert f"taken: {result.chosen.name}, " in str(result)
    assert result.named is not None
    assert (result.named.people, len(result.named.models)) == (2, 2)
    assert "mAP of 2 named, from camera to camera" in str(result)
    assert "which flatters the new one" in str(result)
    assert result.to_dict()["named"]["learnt"]
    written = [file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()]
    assert not any(name in each for each in written for name in (b"Zdenka", b"Otakar"))
    assert reembed(gallery, Embedder(result.model), result.model).embedded == 108

    log = (tmp_path / "run" / "log.jsonl").read_text()
    without_export(monkeypatch)
    again = adapt(gallery, tmp_path / "run", changes=short, resume=True, quiet=True)  # the gallery's model is new now
    assert (tmp_path / "run" / "log.jsonl").read_text() == log
    assert again.after == result.after


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cameras", "recipe", "why"),
    [
        ({}, "ise", "no crop in it to adapt to; index footage first"),
        ({"gate": 4, "hall": 4}, "ise", "32 crops in it, and training needs 64"),
        ({"gate": 20}, "ise", "one camera in it"),
        ({"gate": 9, "hall": 9}, "bot", "makes no clusters; take ise"),
        ({"gate": 9, "hall": 9}, "isse", 'did you mean "ise"'),
    ],
)
def test_what_cannot_be_trained_on(model: Path, tmp_path: Path, cameras: dict[str, int], recipe: str, why: str) -> None:
    gallery = new_gallery(tmp_path, model, cameras)
    with pytest.raises(UserError, match=why):
        adapt(gallery, tmp_path / "run", recipe)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_stopped_half_way_and_with_labelled_crops_besides(
    model: Path, crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is trained is kept, the gallery is as it was, and the same command goes on."""
    gallery, run = new_gallery(tmp_path, model, {"gate": PEOPLE, "hall": PEOPLE}), tmp_path / "run"
    source = [f"market1501:{crops}"]
    before = gallery.generation, gallery.models()
    without_export(monkeypatch)
    epoch = ISE.epoch

    def stopped(self: ISE, rng: np.random.Generator, done: float, extract: Extract) -> Iterator[np.ndarray]:
        if done:
            raise KeyboardInterrupt
        return epoch(self, rng, done, extract)

    monkeypatch.setattr(ISE, "epoch", stopped)
    with pytest.raises(KeyboardInterrupt):
        adapt(gallery, run, changes=SHORT, source=source, quiet=True)
    assert last_epoch(run) == run / "epoch-001"
    assert not (run / "model.onnx").exists()
    assert (gallery.generation, gallery.models()) == before

    monkeypatch.setattr(ISE, "epoch", epoch)
    with pytest.raises(UserError, match="its source was"):
        adapt(gallery, run, changes=SHORT, resume=True, quiet=True)
    result = adapt(gallery, run, changes=SHORT, source=source, resume=True, quiet=True)
    assert [json.loads(line)["epoch"] for line in (run / "log.jsonl").read_text().splitlines()] == [1, 2]
    assert result.card.training_data.endswith(f"gate (36), hall (36); market1501:{crops}")
    assert (gallery.generation, gallery.models()) == before


@pytest.mark.slow
def test_no_cluster(model: Path, tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path, model, {"gate": PEOPLE, "hall": PEOPLE})
    with pytest.raises(UserError, match=r"no cluster found.*raise eps"):
        adapt(gallery, tmp_path / "run", changes=["method.ise.clustering={dbscan: {min_samples: 99}}"], quiet=True)


@pytest.mark.slow
def test_tracklets_of_one_crop(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.training.test_adapting.CROPS", 1)
    monkeypatch.setattr(adapting, "_FEWEST_TO_TRAIN", 4)
    gallery = new_gallery(tmp_path, model, {"gate": PEOPLE, "hall": PEOPLE})
    with pytest.raises(UserError, match="no tracklet in it has two crops"):
        adapt(gallery, tmp_path / "run")
