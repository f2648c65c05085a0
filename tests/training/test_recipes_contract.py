"""What every recipe must do; a new file in training/recipes is tested here by itself."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from models.export import export_network
from models.network import Network
from models.run_folder import last_epoch, load_network
from reidapp.embedding import Embedder
from reidapp.imaging import read_image
from reidapp.model_card import ModelCard
from training.data.datasets import load_datasets
from training.engine import train
from training.recipe import Recipe, list_recipes, load_recipe

STEPS = 20
KEPT = 16  # the step after which an epoch is kept, to go on from
SHRUNK = [
    "input={height: 64, width: 32}",
    "augmentation={flip: 0, shift: 0, zoom: 0, colour: 0, erase: 0}",
    "schedule={lr: 1e-2, final: 0.1}",
]


def with_different_heads() -> list[str]:
    """A recipe of each head; dropout does nothing in an exported one."""
    heads = {name: next(iter(load_recipe(name, SHRUNK, small=True).head.items())) for name in list_recipes()}
    return list({f"{kind} {dict(options) | {'dropout': 0}}": name for name, (kind, options) in heads.items()}.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", list_recipes())
def test_a_recipe_learns_one_batch_and_resumes(name: str, one_batch: list[Path], tmp_path: Path) -> None:
    recipe, data = shrunk(name, one_batch)
    result = train(recipe, data, tmp_path / "run", quiet=True)
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert result.images == STEPS * 8 * len(data)
    assert log[-1]["loss"] < log[1]["loss"]  # not of the first, in which a memory teaches nothing yet
    assert finds_the_other_image(tmp_path / "run", data)  # so did the untrained network: this one has not collapsed
    few = {"lr": 1e-12, "epochs": recipe.schedule.epochs * 2 // 5}  # in which a memory has learnt what it can
    frozen = recipe.model_copy(update={"schedule": recipe.schedule.model_copy(update=few)})
    unlearnt = train(frozen, data, tmp_path / "frozen", quiet=True)
    assert result.loss < 0.75 * unlearnt.loss or unlearnt.loss < 0.05  # OIM's and SpCL's memories need no network here
    assert result.accuracy in (None, 1)

    epochs = sorted((tmp_path / "run").glob("epoch-*"))
    assert len(epochs) == 2
    shutil.copytree(tmp_path / "run", tmp_path / "parts", ignore=shutil.ignore_patterns(epochs[-1].name))
    train(recipe, data, tmp_path / "parts", resume=True, quiet=True)
    for file in ("trunk.safetensors", "classifier.safetensors"):
        whole, parts = (last_epoch(tmp_path / run) / file for run in ("run", "parts"))  # type: ignore[operator]
        assert whole.read_bytes() == parts.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", with_different_heads())
def test_a_recipes_head_exports(name: str, one_batch: list[Path], tmp_path: Path) -> None:
    """The exported graph depends on the network alone, and making it takes seconds: once for all who share a head.

    What heads are put on is exported by the tests of backbones; here it is one layer that gives maps of the same shape.
    Weights and statistics are drawn: that training moves them is tested above.
    """
    recipe, data = shrunk(name, one_batch)
    torch.manual_seed(0)
    network = Network(recipe.model_copy(update={"backbone": {"resnet18": {}}}).network()).eval()
    channels = network.backbone.channels
    network.backbone = torch.nn.Sequential(torch.nn.Conv2d(3, channels, 16, 16), torch.nn.ReLU())
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    card = ModelCard(name, "1", network.height, network.width, network.dim)
    export_network(network, card, tmp_path / "model.onnx")
    crops = [read_image(record.path) for record in load_datasets(data).train]
    embeddings = Embedder(tmp_path / "model.onnx").embed(crops)
    np.testing.assert_allclose(embeddings, network.embed_crops(crops), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "own", "changes"),
    [
        ("jlml", ("backbone.branches.0", "backbone.branches.1.3"), []),
        ("agw", ("backbone.layer4", "non_local"), ["backbone.resnet50.pretrained=null"]),
    ],
)
def test_a_recipes_own_network_trains(
    name: str, own: tuple[str, ...], changes: list[str], one_batch: list[Path], tmp_path: Path
) -> None:
    """One step; above, all have the small one."""
    sampler = "sampler={batch: 8}" if name == "jlml" else "sampler={identities: 4, images: 2}"
    tiny = ["input={height: 64, width: 32}", sampler, "schedule={images: 8, lr: 1e-3}"]
    recipe = load_recipe(name, [*tiny, *changes])
    torch.manual_seed(0)
    start = Network(recipe.network()).state_dict()
    assert math.isfinite(train(recipe, f"market1501:{one_batch[0]}", tmp_path / "run", quiet=True).loss)
    moved = [key for key, value in load_network(tmp_path / "run").state_dict().items() if (value != start[key]).any()]
    for part in own:
        assert any(part in key and key.endswith("weight") for key in moved)


def shrunk(name: str, folders: list[Path]) -> tuple[Recipe, list[str]]:
    """The recipe with a small network and size, whose batches are all images; only some methods need two data sets.

    Clusters and neighbours are of two images, as many as there are of a person; only that is told to a method without
    labels. One that learns from frames is told which images are of one frame: the first ones of all people, or the
    second ones.
    """
    ((method, options),) = load_recipe(name).method.items()
    data = [f"market1501:{folder}" for folder in (folders if method == "dgd" else folders[:1])]
    if method == "cycas":
        data = [f"footage:{two_frames(folders[0])}"]
    sampler = load_recipe(name).sampler
    people = 4 * len(data)
    if "batch" in sampler:
        batches, size = 1, f"{{batch: {2 * people}}}"
    else:
        batches, size = 4, f"{{identities: {people}, images: 2, batches: 4}}"  # fewer epochs, which take time to save
    changes = [f"sampler={size}", f"schedule.epochs={STEPS // batches}", f"keep_every={KEPT // batches}"]
    if "clustering" in options:
        pairs = "{eps: 0.95, min_samples: 2, k1: 2, k2: 1}"
        changes += [f"method.{method}.clustering={{dbscan: {pairs}}}"]
    changes += {"softsim": ["method.softsim.k=1", "method.softsim.first=0"], "buc": ["method.buc.merge=0.2"]}.get(
        method, []
    )
    return load_recipe(name, [*SHRUNK, *changes], small=True), data


def two_frames(folder: Path) -> Path:
    """The images under names that say: the first and the second image of everybody is of the first and second frame."""
    crops = folder / "crops"
    crops.mkdir(exist_ok=True)
    for image in (folder / "bounding_box_train").iterdir():
        person, _, number, _ = image.name.split("_")
        shutil.copy(image, crops / f"{person}_c1_{number}.jpg")
    return folder


def finds_the_other_image(run: Path, data: list[str]) -> bool:
    """Whether every image's nearest neighbour is of the same person."""
    records = load_datasets(data).train
    embeddings = torch.from_numpy(load_network(run).embed_crops([read_image(r.path) for r in records]))
    nearest = (embeddings @ embeddings.T).fill_diagonal_(-2).argmax(1)
    return all(records[i].pid == records[j].pid for i, j in enumerate(nearest))
