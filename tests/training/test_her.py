import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from models.export import export_network
from models.network import Network
from models.run_folder import last_epoch, load_network
from reidapp.cli import app
from reidapp.embedding import Embedder
from reidapp.errors import UserError
from reidapp.imaging import read_image
from reidapp.model_card import ModelCard
from training.data.datasets import load_dataset
from training.her import apply_her, fit_her
from training.run_writer import RunWriter

DESCRIPTION = {"height": 32, "width": 16, "backbone": {"osnet": {"width": 0.25}}, "head": {"bnneck": {"dim": 6}}}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run without any training."""
    torch.manual_seed(0)
    facts = {"recipe": {"name": "small", "changes": []}, "data": ["folder:a"], "seed": 0, "network": DESCRIPTION}
    writer = RunWriter(tmp_path / "run", facts, "# a recipe\n", resume=False)
    writer.save(3, Network(DESCRIPTION), nn.Module(), {})
    writer.close()
    return tmp_path / "run"


def people(*counts: int, dim: int = 7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(sum(counts), dim)), np.repeat(np.arange(len(counts)) * 10, counts)


def test_it_is_the_closed_form() -> None:
    """Unequal counts, one image of an identity, a row twice, all in any order."""
    features, labels = people(1, 4, 2, 5)
    features[1] = features[2]
    order = np.random.default_rng(1).permutation(12)
    codes = np.zeros((12, 4))
    for image, label in enumerate(labels):
        codes[image, label // 10] = 1 / np.sqrt(np.sum(labels == label))
    # Ridge regression is least squares with D rows more, √λ I → 0.
    rows = np.vstack([features, np.sqrt(0.3) * np.eye(7)])
    expected = np.linalg.lstsq(rows, np.vstack([codes, np.zeros((7, 4))]), rcond=None)[0]
    weight = fit_her(features[order].astype(np.float64), labels[order], 0.3)
    assert weight.dtype == np.float64
    np.testing.assert_allclose(weight, expected, atol=1e-12)


def test_fewer_images_than_dimensions() -> None:
    features, labels = people(1, 1, 1)
    weight = fit_her(features, labels, 1e-9)
    np.testing.assert_allclose(features @ weight, np.eye(3), atol=1e-6)  # every image on its identity's code


def test_a_rotation_of_the_features_changes_no_embedding() -> None:
    features, labels = people(3, 4, 5)
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(7, 7)))[0]
    turned = fit_her(features @ rotation, labels)
    np.testing.assert_allclose(features @ rotation @ turned, features @ fit_her(features, labels), atol=1e-12)


def test_it_finds_people_behind_what_differs_more() -> None:
    """Two directions tell people apart, five vary more with everything else."""
    rng = np.random.default_rng(3)
    labels = np.repeat(np.arange(40), 6)
    centres = rng.normal(size=(40, 2))[labels]
    features = np.hstack([centres + 0.05 * rng.normal(size=(240, 2)), 2 * rng.normal(size=(240, 5))])
    train = labels < 20
    weight = fit_her(features[train], labels[train])
    unseen, names = features[~train], labels[~train]
    assert rank1(unseen @ weight, names) > 3 * rank1(unseen, names)


def rank1(embeddings: np.ndarray, labels: np.ndarray) -> float:
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    cosines = unit @ unit.T - 3 * np.eye(len(unit))
    return float(np.mean(labels[cosines.argmax(1)] == labels))


@pytest.mark.parametrize("ridge", [0.0, -1.0, float("nan"), float("inf")])
def test_ridge_is_above_zero(ridge: float) -> None:
    with pytest.raises(UserError, match="a number above 0"):
        fit_her(*people(2, 2), ridge)


def test_one_identity_is_not_enough() -> None:
    with pytest.raises(UserError, match="several identities"):
        fit_her(*people(5))


@pytest.mark.slow
def test_a_run_with_w_behind_its_embedding(run: Path, crops: Path, tmp_path: Path) -> None:
    result = apply_her(run, f"market1501:{crops}", tmp_path / "her", ridge=0.1, quiet=True)
    assert (result.identities, result.images, result.dim) == (8, 48, 6)  # 8 identities, but only 6 dimensions

    train = load_dataset(f"market1501:{crops}").train
    before = load_network(run).embed_crops([read_image(r.path) for r in train])
    weight = fit_her(before, np.array([r.pid for r in train]), 0.1)
    query = [read_image(r.path) for r in load_dataset(f"market1501:{crops}").query]
    expected = load_network(run).embed_crops(query) @ weight
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    network = load_network(tmp_path / "her")
    embeddings = network.embed_crops(query)
    assert embeddings.shape == (len(query), network.dim) == (12, 6)
    np.testing.assert_allclose(embeddings @ embeddings.T, expected @ expected.T, atol=1e-4)

    facts = json.loads((tmp_path / "her" / "run.json").read_text())
    assert facts["her"] == {"run": "run", "data": [f"market1501:{crops}"], "ridge": 0.1}
    assert facts["data"] == ["folder:a", f"market1501:{crops}"]  # the card names both, and the ridge
    assert facts["recipe"]["changes"] == ["her.ridge=0.1"]
    with pytest.raises(UserError, match="was made by HER, which trains nothing; resume the run it was made from"):
        RunWriter(tmp_path / "her", facts, "# a recipe\n", resume=True)
    with pytest.raises(UserError, match="has been through HER already"):
        apply_her(tmp_path / "her", f"market1501:{crops}", tmp_path / "again", quiet=True)
    with pytest.raises(UserError, match="holds a training run already"):
        apply_her(run, f"market1501:{crops}", run, quiet=True)


def test_an_epoch_of_a_run(run: Path, crops: Path, tmp_path: Path) -> None:
    apply_her(last_epoch(run), f"market1501:{crops}", tmp_path / "her", quiet=True)  # type: ignore[arg-type]
    facts = json.loads((tmp_path / "her" / "run.json").read_text())
    assert facts["her"]["run"] == "run/epoch-003"
    assert (tmp_path / "her" / "recipe.yaml").read_text() == (run / "recipe.yaml").read_text()


def test_fewer_identities_than_dimensions_make_one_dimension_each(run: Path, crops: Path, tmp_path: Path) -> None:
    some = tmp_path / "some" / "bounding_box_train"
    some.mkdir(parents=True)
    for path in (crops / "bounding_box_train").glob("000[1-4]_*"):
        (some / path.name).write_bytes(path.read_bytes())
    (some / "0009_c1s1_000001_01.jpg").write_bytes(b"no picture")
    result = apply_her(run, f"market1501:{some.parent}", tmp_path / "her", quiet=True)
    assert (result.identities, result.images, result.dim) == (4, 24, 4)
    assert "1 image left out" in result.warnings[0]
    assert load_network(tmp_path / "her").dim == 4


def test_no_images(run: Path, crops: Path, tmp_path: Path) -> None:
    (tmp_path / "data" / "query").mkdir(parents=True)
    (tmp_path / "data" / "query" / "0001_c1s1_000001_01.jpg").write_bytes(
        next((crops / "query").iterdir()).read_bytes()
    )
    with pytest.raises(UserError, match="no training images with an identity"):
        apply_her(run, f"market1501:{tmp_path / 'data'}", tmp_path / "her", quiet=True)
    assert not (tmp_path / "her").exists()


def test_command(run: Path, crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        "her",
        str(run),
        "--data",
        f"market1501:{crops}",
        "--out",
        str(tmp_path / "her"),
        "--ridge",
        "0.5",
        "--json",
    ]
    app(command, standalone_mode=False)
    said = json.loads(capsys.readouterr().out)
    assert (said["run"], said["identities"], said["dim"]) == (str(tmp_path / "her"), 8, 6)


@pytest.mark.slow
def test_the_exported_model_is_the_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Network(DESCRIPTION | {"projection": 5})
    network.backbone = nn.Conv2d(3, network.backbone.channels, 8, stride=8)  # exported in a second
    card = ModelCard("her", "1", 32, 16, network.dim, training_data="noise")
    export_network(network.eval(), card, tmp_path / "her.onnx")
    crops = [np.random.default_rng(i).integers(0, 256, (32, 16, 3), dtype=np.uint8) for i in range(3)]
    embeddings = Embedder(tmp_path / "her.onnx").embed(crops)
    assert embeddings.shape == (3, 5)
    np.testing.assert_allclose(embeddings, network.embed_crops(crops), atol=1e-4)
