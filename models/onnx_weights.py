"""From a model file back to the network that it was exported from, so that any model can be trained on or adapted."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from models.network import Network
from reidapp.embedding import open_session
from reidapp.errors import UserError
from reidapp.model_card import read_card

DESCRIPTION_KEY = "reidapp.network"  # metadata: the network's description, as JSON
MIN_COSINE = 0.9999


def load_onnx(path: Path) -> Network:
    """The network in a model file of fp32, in evaluation mode; of a model with cameras, with the common statistics.

    What the embedding does not depend on, and is therefore not in the file, is as in a new network.

    Raises:
        UserError: no such file, not exported by reidapp (or by a version that did not keep names), fp16 or int8, or
            the network found gives other embeddings than the file.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such model file")
    card = read_card(path)
    if card is None:
        raise UserError(f"{path}: not exported by reidapp, so its network is not known; start from the run it is from")
    if card.precision != "fp32":
        raise UserError(
            f"{path}: {card.precision}, whose weights are rounded; start from the same model in fp32, or its run"
        )
    session = open_session(path, provider="cpu")
    model = onnx.load(path)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    if DESCRIPTION_KEY not in facts:
        raise UserError(
            f"{path}: its network is not known, for it was exported elsewhere or by an earlier version; "
            "start from the run it is from"
        )
    network = Network(json.loads(facts[DESCRIPTION_KEY])).eval()
    own = network.state_dict()
    for weight in model.graph.initializer:
        name = weight.name.removeprefix("network.")
        if name in own:
            values = torch.from_numpy(numpy_helper.to_array(weight).copy())
            own[name].copy_(values[0] if values.ndim > own[name].ndim else values)
    _check(network, session, path)
    return network


def _check(network: Network, session: Any, path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, network.height, network.width, 3), dtype=np.uint8)
    (expected,) = session.run(["embeddings"], {"images": images})
    with torch.inference_mode():
        found = network.embed(torch.from_numpy(images)).numpy()
    if not (found * expected).sum(1).min() >= MIN_COSINE:
        raise UserError(
            f"{path}: its weights, in the network it describes, give other embeddings; export its run again"
        )
