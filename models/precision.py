"""Smaller forms of a network's ONNX graph: half precision (fp16) and 8-bit integers (int8)."""

import copy
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxscript import optimizer
from torch import Tensor, nn

from models.network import Network
from reidapp.errors import UserError

# Below 64 channels ONNX Runtime's float kernels win: a 3×3 depthwise convolution of 16 channels takes 2.4 times as long
# in int8, one of 64 channels about as long, and a pointwise one of 64 channels a third (benchmarks/embedding.py).
MIN_CHANNELS = 64
_BATCH = 32


def in_fp16(network: Network) -> Network:
    """A copy that computes in fp16; pixels are normalised, and embeddings scaled to length one, in float32."""
    half = copy.deepcopy(network)
    half.backbone = nn.Sequential(_ToHalf(), half.backbone.half())
    half.head = half.head.half()
    return half


def fused(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with its batch norms as part of the convolutions before them, which must be final to be rounded."""
    simpler: onnx.ModelProto = optimizer.optimize(model)
    return simpler


def to_int8(model: onnx.ModelProto, images: np.ndarray, min_channels: int = MIN_CHANNELS) -> onnx.ModelProto:
    """The graph with its wide convolutions in 8-bit integers; the rest stays float32.

    Weights have a scale per output channel and 7 bits: with 8, processors without VNNI add up to saturated sums, and
    embeddings would depend on the machine. Activations have 8 bits and the range that they take on ``images``.

    Args:
        model: from `models.export.to_onnx`.
        images: uint8 [n, H, W, 3], such as the model will see.
        min_channels: of a wide convolution, in and out.

    Raises:
        UserError: the graph has no convolution that wide.
    """
    model = fused(copy.deepcopy(model))
    nodes = _wide_convolutions(model, min_channels)
    if not nodes:
        raise UserError(f"int8: the network has no convolution of {min_channels} channels or more; choose fp32 or fp16")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        quantize_static(
            model,
            path,
            _Batches(images),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            calibrate_method=CalibrationMethod.MinMax,
            nodes_to_quantize=nodes,
        )
        return onnx.load(path)


def _wide_convolutions(model: onnx.ModelProto, min_channels: int) -> list[str]:
    """Names of the convolutions with enough channels both in and out."""
    shapes = {weight.name: list(weight.dims) for weight in model.graph.initializer}
    names = []
    for node in model.graph.node:
        if node.op_type == "Conv":
            channels_out, channels_in = shapes[node.input[1]][:2]
            channels_in *= next((a.i for a in node.attribute if a.name == "group"), 1)
            if min(channels_in, channels_out) >= min_channels:
                names.append(node.name)
    return names


class _Batches(CalibrationDataReader):
    def __init__(self, images: np.ndarray) -> None:
        self._batches: Iterator[np.ndarray] = (images[i : i + _BATCH] for i in range(0, len(images), _BATCH))

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"images": batch}


class _ToHalf(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.half()
