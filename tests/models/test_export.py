import dataclasses
import json
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
from reidapp.model_card import ModelCard, model_identity

pytestmark = pytest.mark.slow

CARD = ModelCard("tiny", "1", 64, 32, 128, training_data="noise", licence="Apache-2.0", scores={"p": {"rank1": 0.5}})


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    net = Network({"height": 64, "width": 32, "backbone": {"osnet": {"width": 0.25}}, "head": {"bnneck": {}}})
    net.train()
    for _ in range(3):  # batch norm with statistics of its own
        net(torch.randint(0, 256, (8, 64, 32, 3), dtype=torch.uint8))
    return net.eval()


@pytest.fixture(scope="module")
def simple() -> Network:
    """One convolution for a backbone: exported in a second, not in ten."""
    torch.manual_seed(0)
    net = Network({"height": 64, "width": 32, "backbone": {"osnet": {"width": 0.25}}, "head": {"bnneck": {}}})
    net.backbone = nn.Conv2d(3, 128, 8, stride=8)
    return net.eval()


@pytest.fixture(scope="module")
def exported(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "tiny.onnx"
    export_network(network, CARD, path)
    return path


def test_contract(exported: Path) -> None:
    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    (given,), (result,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.type, given.shape[1:]) == ("images", "tensor(uint8)", [64, 32, 3])
    assert (result.name, result.type, result.shape[1:]) == ("embeddings", "tensor(float)", [128])
    assert isinstance(given.shape[0], str)
    onnx.checker.check_model(onnx.load(exported), full_check=True)


def test_the_embedder_loads_it_and_agrees_with_torch(exported: Path, network: Network) -> None:
    rng = np.random.default_rng(0)
    crops = [rng.integers(0, 256, (50 + i, 30, 3), dtype=np.uint8) for i in range(9)]
    embedder = Embedder(exported, batch=4)
    assert embedder.card == CARD
    np.testing.assert_allclose(embedder.embed(crops), network.embed_crops(crops), atol=1e-4)


def test_a_card_does_not_change_the_identity(simple: Network, tmp_path: Path) -> None:
    for name in ("one", "other"):
        export_network(simple, dataclasses.replace(CARD, name=name), tmp_path / f"{name}.onnx")
    assert model_identity(tmp_path / "one.onnx") == model_identity(tmp_path / "other.onnx")


class Mirrored(nn.Module):
    """A wrong export: the picture is mirrored on its way into the graph."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network.embed(images.flip(2))


class NotNormalised(nn.Module):
    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)["features"]


@pytest.mark.parametrize("wrong", [Mirrored, NotNormalised])
def test_a_wrong_export_is_refused_and_leaves_no_file(
    simple: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: type[nn.Module]
) -> None:
    (tmp_path / "old.onnx").write_text("the model of yesterday")
    monkeypatch.setattr(export, "_Embedding", wrong)
    for name in ("new.onnx", "old.onnx"):
        with pytest.raises(ReidappError, match=rf"{name}: not exported: .* disagree at batch size 1"):
            export_network(simple, CARD, tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == ["old.onnx"]
    assert (tmp_path / "old.onnx").read_text() == "the model of yesterday"


def test_a_runs_card_names_no_folder_of_the_machine(simple: Network, tmp_path: Path) -> None:
    changes = ["start=/home/me/runs/first", "backbone.osnet.pretrained=/home/me/runs/second", "schedule.lr=1e-3"]
    facts = {"data": "market1501:/home/me/people", "recipe": {"name": "small", "changes": changes}, "seed": 3}
    (tmp_path / "run.json").write_text(json.dumps(facts))
    card = export.run_card(tmp_path, simple, "mine")
    assert card.recipe == "small start=first backbone.osnet.pretrained=second schedule.lr=1e-3 (seed 3)"
    assert card.training_data == "market1501:people"


def test_export_is_quiet(simple: Network, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    export_network(simple, CARD, tmp_path / "m.onnx")
    assert capfd.readouterr() == ("", "")


def test_no_such_folder(simple: Network, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        export_network(simple, CARD, tmp_path / "nowhere" / "m.onnx")
