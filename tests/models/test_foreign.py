"""Models that were exported elsewhere: as torch's exporters write them, with a card beside, used like any other."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from models.foreign import adopt
from models.onnx_weights import load_onnx
from reidapp.embedding import Embedder
from reidapp.errors import UserError
from reidapp.imaging import resize
from reidapp.model_card import model_identity
from tests.reidapp.commands import as_json, refused

HEIGHT, WIDTH = 64, 32
IMAGENET: dict[str, Any] = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
BGR_BYTES: dict[str, Any] = {"mean": [104, 117, 123], "std": [1, 1, 1], "divide_by": 1, "channels": "bgr"}


class Backbone(nn.Module):
    """A network of another project: no length of one, pictures as floats, channels first."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 24, 3, 2), nn.AdaptiveAvgPool2d(1)
        )

    def forward(self, images: Tensor) -> Tensor:
        return 3 * self.layers(images)


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return Backbone().eval()


@pytest.fixture(scope="module")
def files(backbone: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network as torch writes it by default, weights beside the graph: for any batch size, and for two pictures."""
    folder = tmp_path_factory.mktemp("theirs")
    for name, shapes in (("any", ({0: torch.export.Dim("batch")},)), ("two", None)):
        torch.onnx.export(
            backbone,
            (torch.zeros(2, 3, HEIGHT, WIDTH),),
            folder / f"{name}.onnx",
            input_names=["images"],
            dynamic_shapes=shapes,
            verbose=False,
        )
    return folder


@pytest.fixture
def exported(tmp_path: Path, files: Path) -> Callable[..., Path]:
    """One of the files with a card beside it."""

    def put(card: dict[str, Any] | str | None, name: str = "any") -> Path:
        for file in files.glob(f"{name}.onnx*"):
            shutil.copy(file, tmp_path)
        path = tmp_path / f"{name}.onnx"
        if card is not None:
            path.with_suffix(".json").write_text(card if isinstance(card, str) else json.dumps(card))
        return path

    return put


@pytest.fixture
def crops() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [resize(rng.integers(0, 256, (6, 3, 3), dtype=np.uint8), *size) for size in ((64, 32), (150, 60), (40, 30))]


def expected(backbone: Backbone, crops: list[np.ndarray], card: dict[str, Any]) -> np.ndarray:
    """What the other project's own code would make of the pictures."""
    images = torch.from_numpy(np.stack([resize(crop, HEIGHT, WIDTH) for crop in crops])).float()
    if card.get("channels") == "bgr":
        images = images.flip(3)
    images = (images / card.get("divide_by", 255) - torch.tensor(card["mean"])) / torch.tensor(card["std"])
    with torch.inference_mode():
        return nn.functional.normalize(backbone(images.permute(0, 3, 1, 2)).flatten(1)).numpy()


@pytest.mark.parametrize("card", [IMAGENET, BGR_BYTES])
def test_embeddings_are_those_of_its_own_code(
    exported: Callable[..., Path], backbone: Backbone, crops: list[np.ndarray], tmp_path: Path, card: dict[str, Any]
) -> None:
    theirs = exported(card | {"licence": "MIT", "name": "osnet"})
    made = adopt(theirs, tmp_path / "ours.onnx")
    assert (made.name, made.licence, made.dim, made.height, made.width) == ("osnet", "MIT", 24, HEIGHT, WIDTH)
    for file in tmp_path.glob("any.onnx*"):
        file.unlink()  # the weights are in the new file

    embedder = Embedder(tmp_path / "ours.onnx", provider="cpu")
    assert embedder.card == made
    np.testing.assert_allclose(embedder.embed(crops), expected(backbone, crops, card), atol=2e-5)


def test_another_preprocessing_is_another_model(exported: Callable[..., Path], tmp_path: Path) -> None:
    """For its embeddings cannot be compared, while a corrected licence changes nothing."""
    theirs = exported(IMAGENET)
    cards = [IMAGENET, IMAGENET | {"licence": "MIT"}, IMAGENET | {"channels": "bgr"}]
    identities = []
    for number, card in enumerate(cards):
        (described := tmp_path / "described.json").write_text(json.dumps(card))
        adopt(theirs, out := tmp_path / f"{number}.onnx", described)
        identities.append(model_identity(out))
    assert identities[0] == identities[1] != identities[2]


def test_the_command_and_what_follows(exported: Callable[..., Path], tmp_path: Path) -> None:
    theirs, out = exported(IMAGENET), tmp_path / "ours.onnx"
    with pytest.raises(UserError, match="`reidapp models adopt` of a model that was exported elsewhere"):
        Embedder(theirs, provider="cpu")
    assert as_json("models", "adopt", theirs, "--out", out)["dim"] == 24
    assert as_json("models", "verify", out)["wrong"] == []
    with pytest.raises(UserError, match="give the new file another name"):
        adopt(theirs, theirs)
    assert "use it as it is" in refused(2, "models", "adopt", out, "--out", tmp_path / "again.onnx")
    with pytest.raises(UserError, match="its network is not known"):
        load_onnx(out)  # nothing to adapt: only its embeddings are known


@pytest.mark.parametrize(
    ("card", "why"),
    [
        (None, r"any\.json: no such file; describe the model's input there, for example \{"),
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ({"mean": [0, 0, 0]}, "missing std"),
        (IMAGENET | {"chanels": "bgr"}, 'unknown key "chanels"; did you mean "channels"'),
        (IMAGENET | {"channels": "bgra"}, 'channels "bgra" is unknown; known: rgb, bgr'),
        (IMAGENET | {"layout": "nhwc"}, 'is not nhwc; correct "layout"'),
        (IMAGENET | {"std": [1, 0, 1]}, "std: "),
        (IMAGENET | {"mean": [0.5]}, "mean: "),
        (IMAGENET | {"height": 256}, "has a height of 64, its card says 256"),
        (IMAGENET | {"output": "features"}, 'no output "features"; there are '),
    ],
)
def test_a_card_that_does_not_fit(
    exported: Callable[..., Path], tmp_path: Path, card: dict[str, Any] | str | None, why: str
) -> None:
    with pytest.raises(UserError, match=why):
        adopt(exported(card), tmp_path / "ours.onnx")
    assert not (tmp_path / "ours.onnx").exists()


def test_a_batch_size_that_is_fixed(exported: Callable[..., Path], tmp_path: Path) -> None:
    """A graph that reshapes to one batch size cannot be freed; one that only names it can."""
    theirs = exported(IMAGENET, "two")
    assert adopt(theirs, tmp_path / "ours.onnx").dim == 24
    model = onnx.load(theirs)
    output = model.graph.output[0].name
    model.graph.initializer.append(numpy_helper.from_array(np.array([2, 24]), "two"))
    model.graph.node.append(helper.make_node("Reshape", [output, "two"], ["fixed"]))
    model.graph.output[0].name = "fixed"
    del model.graph.output[0].type.tensor_type.shape.dim[2:]
    onnx.save(model, theirs)
    with pytest.raises(UserError, match="export it with a free batch size"):
        adopt(theirs, tmp_path / "fixed.onnx")
    assert not (tmp_path / "fixed.onnx").exists()


def graph(*outputs: str, shape: tuple[Any, ...] = ("N", 3, "h", "w")) -> onnx.ModelProto:
    """Means over the picture, under one name or several."""
    images = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    nodes = [helper.make_node("GlobalAveragePool", ["x"], [name]) for name in outputs]
    found = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    return helper.make_model(
        helper.make_graph(nodes, "means", [images], found), opset_imports=[helper.make_opsetid("", 11)], ir_version=8
    )


def test_what_the_graph_leaves_open_is_said_by_the_card(tmp_path: Path, crops: list[np.ndarray]) -> None:
    theirs, out = tmp_path / "theirs.onnx", tmp_path / "ours.onnx"
    onnx.save(graph("feature", "logits"), theirs)

    def says(card: dict[str, Any]) -> None:
        theirs.with_suffix(".json").write_text(json.dumps(card))
        adopt(theirs, out)

    with pytest.raises(UserError, match='several outputs; say which by "output" in the card; there are feature, log'):
        says(IMAGENET)
    with pytest.raises(UserError, match='leaves the width open; say it by "width" in the card'):
        says(IMAGENET | {"output": "feature", "height": 8})
    says(IMAGENET | {"output": "feature", "height": 8, "width": 4})
    assert Embedder(out, provider="cpu").embed(crops).shape == (3, 3)


def test_what_is_no_model_of_pictures(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs.onnx"
    theirs.with_suffix(".json").write_text(json.dumps(IMAGENET))
    onnx.save(graph("feature", shape=("N", 3, "t")), theirs)
    with pytest.raises(UserError, match="a model with one input, of pictures as floats in four dimensions"):
        adopt(theirs, tmp_path / "ours.onnx")
    theirs.write_text("a text")
    with pytest.raises(UserError, match="not an ONNX model"):
        adopt(theirs, tmp_path / "ours.onnx")
