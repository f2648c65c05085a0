"""A model file is its network: weights and description come back."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from models.export import export_network
from models.network import Network
from models.onnx_weights import DESCRIPTION_KEY, load_onnx
from models.zoo import path_of
from reidapp.errors import UserError
from reidapp.model_card import METADATA_KEY, ModelCard

pytestmark = pytest.mark.slow

CARD = ModelCard("tiny", "1", 64, 32, 16)


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    head = {"bnneck": {"pool": "gem"}}
    net = Network({"height": 64, "width": 32, "backbone": "resnet18", "head": head, "projection": 16})
    net.train()
    net(torch.randint(0, 256, (8, 64, 32, 3), dtype=torch.uint8))
    return net.eval()


@pytest.fixture(scope="module")
def exported(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.onnx"
    export_network(network, CARD, path)
    return path


def test_every_weight_comes_back(exported: Path, network: Network) -> None:
    again = load_onnx(exported)
    assert again.description == network.description
    assert not again.training
    found = again.state_dict()
    for name, weight in network.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(found[name], weight, atol=0, rtol=0)


def test_the_shipped_model_comes_back() -> None:
    assert load_onnx(path_of("small")).dim == 256


def test_no_path_of_this_machine_travels(exported: Path) -> None:
    assert str(Path(__file__).parents[2]).encode() not in exported.read_bytes()


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({}, "not exported by reidapp"),
        ({METADATA_KEY: replace(CARD, precision="int8").to_json()}, "int8, whose weights are rounded"),
        ({METADATA_KEY: CARD.to_json()}, "exported elsewhere or by an earlier version"),
    ],
)
def test_what_cannot_be_read_back(exported: Path, tmp_path: Path, facts: dict[str, str], why: str) -> None:
    model = onnx.load(exported)
    onnx.helper.set_model_props(model, facts)
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(UserError, match=why):
        load_onnx(tmp_path / "m.onnx")


def test_a_file_that_is_damaged_or_gone(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such model file"):
        load_onnx(tmp_path / "m.onnx")
    (tmp_path / "m.onnx").write_bytes(b"a text, not a model")
    with pytest.raises(UserError, match="not an ONNX model"):
        load_onnx(tmp_path / "m.onnx")


def test_a_network_that_gives_other_embeddings_is_refused(exported: Path, network: Network, tmp_path: Path) -> None:
    model = onnx.load(exported)
    other = network.description | {"head": {"bnneck": {"pool": "average"}}}
    facts = {METADATA_KEY: CARD.to_json(), DESCRIPTION_KEY: json.dumps(other)}
    onnx.helper.set_model_props(model, facts)
    for weight in model.graph.initializer:
        if weight.name.endswith("head.neck.running_mean"):
            weight.CopyFrom(onnx.numpy_helper.from_array(np.full(list(weight.dims), 9, np.float32), weight.name + "_"))
    for node in model.graph.node:
        node.input[:] = [name + "_" if name.endswith("head.neck.running_mean") else name for name in node.input]
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(UserError, match="give other embeddings"):
        load_onnx(tmp_path / "m.onnx")
