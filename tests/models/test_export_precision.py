"""fp16 and int8: what they must keep, and when they are refused."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from models import export
from models.export import export_network
from models.network import Network
from reidapp.embedding import Embedder
from reidapp.errors import ReidappError, UserError
from reidapp.metrics import RetrievalScores
from reidapp.model_card import ModelCard, model_identity

pytestmark = pytest.mark.slow

CARD = ModelCard("tiny", "1", 64, 32, 128, training_data="noise", licence="Apache-2.0", scores={"p": {"rank1": 0.5}})
WEIGHTS = {"fp16": onnx.TensorProto.FLOAT16, "int8": onnx.TensorProto.INT8}


@dataclasses.dataclass
class Given:
    """Examples on which the smaller file loses what a test says."""

    loss: float = 0.0

    def score(self, model: Path) -> RetrievalScores:
        lost = self.loss if Embedder(model).card.precision != "fp32" else 0.0
        return RetrievalScores((0.9,) * 10, 0.5 - lost, 0.3, queries=10, gallery=20, protocol="given")

    def crops(self) -> list[np.ndarray]:
        rng = np.random.default_rng(1)
        return [rng.integers(0, 256, (40 + i, 20, 3), dtype=np.uint8) for i in range(12)]


def card(precision: str) -> ModelCard:
    return dataclasses.replace(CARD, precision=precision)


def network(backbone: nn.Module) -> Network:
    net = Network({"height": 64, "width": 32, "backbone": {"osnet": {"width": 0.25}}, "head": {"bnneck": {}}})
    net.backbone = backbone
    return net.eval()


@pytest.fixture(scope="module")
def wide() -> Network:
    """Two convolutions, the second wide enough for int8."""
    torch.manual_seed(0)
    return network(nn.Sequential(nn.Conv2d(3, 64, 8, stride=8), nn.ReLU(), nn.Conv2d(64, 128, 3, padding=1)))


@pytest.fixture(scope="module", params=["fp16", "int8"])
def exported(request: pytest.FixtureRequest, wide: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / f"{request.param}.onnx"
    assert export_network(wide, card(request.param), path, Given(loss=0.002)) == Embedder(path).card
    return path


def test_contract(exported: Path) -> None:
    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    (given,), (result,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.type, given.shape[1:]) == ("images", "tensor(uint8)", [64, 32, 3])
    assert (result.name, result.type, result.shape[1:]) == ("embeddings", "tensor(float)", [128])
    assert isinstance(given.shape[0], str)
    model = onnx.load(exported)
    onnx.checker.check_model(model, full_check=True)
    widest = max(model.graph.initializer, key=lambda weight: np.prod(weight.dims))
    assert widest.data_type == WEIGHTS[exported.stem]


def test_embeddings_are_close_to_the_network(exported: Path, wide: Network) -> None:
    crops = Given().crops()
    embeddings = Embedder(exported, batch=5).embed(crops)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    cosines = (embeddings * wide.embed_crops(crops)).sum(1)
    assert cosines.min() > {"fp16": 0.99999, "int8": 0.999}[exported.stem]
    assert Embedder(exported).card.scores["against fp32"]["cosine"] == pytest.approx(cosines.mean(), abs=1e-4)


def test_the_card_says_what_was_measured(exported: Path) -> None:
    read = Embedder(exported).card
    assert read.precision == exported.stem
    assert read.scores["p"] == {"rank1": 0.5}
    assert read.scores["given"] == {"rank1": 0.9, "rank5": 0.9, "mAP": 0.498, "mINP": 0.3}
    assert read.scores["against fp32"]["mAP_loss"] == 0.002


def test_it_is_another_model_than_fp32_and_always_the_same(exported: Path, wide: Network, tmp_path: Path) -> None:
    export_network(wide, CARD, tmp_path / "full.onnx")
    export_network(wide, card(exported.stem), tmp_path / "again.onnx", Given())
    assert model_identity(tmp_path / "again.onnx") == model_identity(exported) != model_identity(tmp_path / "full.onnx")


@pytest.mark.parametrize(
    ("precision", "loss", "words"),
    [
        ("fp16", 0.0031, r"fp16 loses 0.31 points of mAP \(50.00% in fp32, 49.69% in fp16; at most 0.3 allowed\)"),
        ("int8", 0.0110, r"int8 loses 1.10 points of mAP \(50.00% in fp32, 48.90% in int8; at most 1.0 allowed\)"),
        ("int8", float("nan"), "int8 loses nan points"),
    ],
)
def test_one_that_loses_too_much_is_refused(
    wide: Network, tmp_path: Path, precision: str, loss: float, words: str
) -> None:
    (tmp_path / "old.onnx").write_text("the model of yesterday")
    with pytest.raises(ReidappError, match=f"old.onnx: not exported: {words}.*larger --data"):
        export_network(wide, card(precision), tmp_path / "old.onnx", Given(loss))
    assert [p.name for p in tmp_path.iterdir()] == ["old.onnx"]
    assert (tmp_path / "old.onnx").read_text() == "the model of yesterday"


class SeesItsNeighbours(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images + 5 * images.mean(0, keepdim=True)


def test_one_whose_embeddings_change_with_the_batch_is_refused(
    wide: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = network(nn.Sequential(SeesItsNeighbours(), wide.backbone))
    monkeypatch.setattr(export, "in_fp16", lambda _: wrong)
    with pytest.raises(ReidappError, match="embeddings change with the batch size 1"):
        export_network(wide, card("fp16"), tmp_path / "m.onnx", Given())
    assert not list(tmp_path.iterdir())


def test_fp32_needs_no_examples_and_takes_their_scores(wide: Network, tmp_path: Path) -> None:
    scores = export_network(wide, CARD, tmp_path / "m.onnx", Given()).scores
    assert scores.keys() == {"p", "given"}
    assert Embedder(tmp_path / "m.onnx").card.scores == scores


def test_bad_input(wide: Network, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="precision int8: its loss must be measured; add --data"):
        export_network(wide, card("int8"), tmp_path / "m.onnx")
    with pytest.raises(UserError, match='precision "int4": unknown; choose one of fp32, fp16, int8'):
        export_network(wide, card("int4"), tmp_path / "m.onnx", Given())
    with pytest.raises(UserError, match=r"z.txt: the name of the file must end in .onnx"):
        export_network(wide, CARD, tmp_path / "z.txt")
    narrow = network(nn.Conv2d(3, 128, 8, stride=8))
    with pytest.raises(UserError, match="int8: the network has no convolution of 64 channels or more"):
        export_network(narrow, card("int8"), tmp_path / "m.onnx", Given())
    assert not list(tmp_path.iterdir())
