"""Batch norm by camera in an exported model: tables of statistics, of which the run-time picks one row.

Everything else is shared by all cameras, and nothing is trained: what a camera does to its pictures (light, colour,
sharpness) moves the means and variances inside a network, and normalising by the camera's own takes it out again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from models.camera_batch_norm import statistics_of
from reidapp.embedding import CAMERA
from reidapp.errors import UserError

_BATCH = 256
_STATISTICS = ("running_mean", "running_var")


@dataclass(frozen=True)
class CameraStatistics:
    """Means and variances of every batch norm of a network.

    Attributes:
        cameras: names; row k of a table is of the k-th, counted from 1, and row 0 is for pictures of unknown cameras.
        tables: {name in the state dict: float32 ``[1 + cameras, channels]``}.
    """

    cameras: list[str]
    tables: dict[str, Tensor]

    def put_into(self, network: nn.Module, row: int) -> None:
        """Give a network the statistics of one row."""
        with torch.no_grad():
            for name, table in self.tables.items():
                network.get_buffer(name).copy_(table[row])


def has_batch_norm(network: nn.Module) -> bool:
    return any(isinstance(layer, _BatchNorm) for layer in network.modules())


def fit_statistics(network: nn.Module, common: np.ndarray, by_camera: Mapping[str, np.ndarray]) -> CameraStatistics:
    """The statistics of crops, for all cameras together and for each; the network's own are left as they are.

    Args:
        common: uint8 ``[N, H, W, 3]`` RGB, of all cameras, N ≥ 2.
        by_camera: {camera: images of it, N ≥ 2}.

    Raises:
        UserError: the network has no batch norm.
    """
    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, _BatchNorm)}
    if not layers:
        raise UserError("this network has no batch norm, whose statistics could be a camera's own; train it instead")
    rows = []
    for images in (common, *by_camera.values()):
        parts = -(-len(images) // _BATCH)
        with statistics_of(network, [images[part::parts] for part in range(parts)]):
            rows.append({f"{n}.{s}": getattr(layer, s).clone() for n, layer in layers.items() for s in _STATISTICS})
    return CameraStatistics(list(by_camera), {name: torch.stack([row[name] for row in rows]) for name in rows[0]})


def steadied(statistics: CameraStatistics, network: nn.Module, crops: Sequence[int], weight: float) -> CameraStatistics:
    """Statistics of few crops, drawn towards the network's own as if ``weight`` crops had those.

    (N·source + n·target) / (N + n), of means and of variances: Schneider et al. 2020 (arXiv 2006.16971), section 3.

    Args:
        network: with its own statistics in it.
        crops: n of each row of the tables.
        weight: N ≥ 0; with 0 nothing changes.
    """
    share = torch.tensor([weight / (weight + count) for count in crops])[:, None]
    own = {name: network.get_buffer(name) for name in statistics.tables}
    tables = {name: torch.lerp(table, own[name].expand_as(table), share) for name, table in statistics.tables.items()}
    return CameraStatistics(statistics.cameras, tables)


def put_into_graph(model: onnx.ModelProto, statistics: CameraStatistics) -> None:
    """Replace a graph's batch norm statistics by tables, whose row the scalar initializer `CAMERA` names.

    With the scalar a constant, ONNX Runtime folds tables and batch norms into the convolutions.

    Args:
        model: from `models.export.to_onnx`; its initializers have the state dict's names after ``network.``.
    """
    graph = model.graph
    tables = {f"network.{name}": table for name, table in statistics.tables.items()}
    used = [weight for weight in graph.initializer if weight.name in tables]
    for weight in used:
        weight.CopyFrom(numpy_helper.from_array(tables[weight.name].numpy(), weight.name))
    for node in graph.node:
        if node.op_type == "BatchNormalization":
            node.input[3:] = [f"{name}.of_camera" if name in tables else name for name in node.input[3:]]
    gathers = [helper.make_node("Gather", [w.name, CAMERA], [f"{w.name}.of_camera"], axis=0) for w in used]
    nodes = [*gathers, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.append(numpy_helper.from_array(np.array(0, np.int64), CAMERA))
