"""From a model file back to the network that it was exported from, so that any model can be trained on or adapted."""

import json
from pathlib import Path

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from models.network import Network
from reidapp.embedding import open_session
from reidapp.errors import UserError
from reidapp.model_card import METADATA_KEY, ModelCard

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
    try:
        model = onnx.load(path)
    except DecodeError as error:
        raise UserError(f"{path}: not an ONNX model") from error
    facts = {entry.key: entry.value for entry in model.metadata_props}
    if METADATA_KEY not in facts:
        raise UserError(f"{path}: not exported by reidapp; its network is not known. Give the --start RUN it is from")
    precision = ModelCard.from_json(facts[METADATA_KEY], str(path)).precision
    if precision != "fp32":
        raise UserError(
            f"{path}: {precision}, whose weights are rounded; start from the same model in fp32, or its run"
        )
    if DESCRIPTION_KEY not in facts:
        raise UserError(f"{path}: exported by an earlier version, without its network; export its run again")
    network = Network(json.loads(facts[DESCRIPTION_KEY])).eval()
    own = network.state_dict()
    for weight in model.graph.initializer:
        name = weight.name.removeprefix("network.")
        if name in own:
            values = torch.from_numpy(numpy_helper.to_array(weight).copy())
            own[name].copy_(values[0] if values.ndim > own[name].ndim else values)
    _check(network, path)
    return network


def _check(network: Network, path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, network.height, network.width, 3), dtype=np.uint8)
    (expected,) = open_session(path, provider="cpu").run(["embeddings"], {"images": images})
    with torch.inference_mode():
        found = network.embed(torch.from_numpy(images)).numpy()
    if not (found * expected).sum(1).min() >= MIN_COSINE:
        raise UserError(
            f"{path}: its weights, in the network it describes, give other embeddings; export its run again"
        )
