"""Crops per second on the CPU: a model in ONNX Runtime, fp32 and int8, and the same network in torch.

    python -m benchmarks.embedding [--threads 1 2] [--repeats 15] > docs/results/embedding.json

The shipped model (OSNet x0.25, 128×64, D = 256), and a large one (OSNet x1.0, 256×128, D = 512) with random weights.
torch runs the same network, weights random (speed does not depend on them), in float32, `inference_mode` and
channels-last. Every run embeds 32 crops that are already resized. The candidates take turns; a ratio is the median of
the ratios within a turn, so that other work on the machine meets all alike. Reach, for the shipped model: fp32 at least
2 times as fast as torch, int8 at least 3 times.

`kernels` says why int8 leaves narrow convolutions in float32: microseconds of one convolution, on one thread.
"""

import argparse
import itertools
import json
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from benchmarks.machine import machine, seconds_in_turns
from models import precision
from models.export import to_onnx
from models.network import Network
from models.zoo import path_of
from reidapp.embedding import open_session

BATCH, SEED = 32, 0
SHIPPED = {"height": 128, "width": 64, "backbone": {"osnet": {"width": 0.25}}, "head": {"bnneck": {"dim": 256}}}
LARGE = {"height": 256, "width": 128, "backbone": {"osnet": {}}, "head": {"bnneck": {}}}
KERNELS = {"pointwise": 1, "depthwise 3×3": 3}
MAPS = ((16, 32, 16), (24, 16, 8), (32, 8, 4), (64, 32, 16), (96, 16, 8))  # channels, height, width
LAYERS = 8
Run = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)  # the quantiser's advice

    torch.manual_seed(SEED)
    small, large = Network(SHIPPED).eval(), Network(LARGE).eval()
    models = {"shipped": (small, onnx.load(path_of("small"))), "large": (large, to_onnx(large))}
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for name, threads in itertools.product(models, arguments.threads):
            runs = candidates(*models[name], threads, Path(folder))
            rows.append({"model": name, "threads": threads} | measure(runs, arguments.repeats))
        result = {
            "benchmark": "embedding",
            "command": "python -m benchmarks.embedding " + " ".join(sys.argv[1:]),
            "seed": SEED,
            "batch": BATCH,
            "reach": "shipped model: fp32 at least 2 times torch, int8 at least 3 times",
            "rows": rows,
            "kernels": [kernel(name, *shape, Path(folder)) for shape in MAPS for name in KERNELS],
            "machine": machine(),
        }
    print(json.dumps(result, indent=2, ensure_ascii=False))


def candidates(network: Network, model: onnx.ModelProto, threads: int, folder: Path) -> dict[str, Run]:
    """torch first: the others are compared with it."""
    shape = (BATCH, network.height, network.width, 3)
    images = np.random.default_rng(SEED).integers(0, 256, shape, dtype=np.uint8)
    torch.set_num_threads(threads)
    network = network.to(memory_format=torch.channels_last)

    def in_torch() -> None:
        with torch.inference_mode():
            network.embed(torch.from_numpy(images)).numpy()

    runs: dict[str, Run] = {"torch": in_torch}
    for name, graph in (("fp32", model), ("int8", precision.to_int8(model, images))):
        onnx.save(graph, folder / "model.onnx")
        session = open_session(folder / "model.onnx", threads, "cpu")
        runs[name] = lambda session=session: session.run(["embeddings"], {"images": images})  # type: ignore[misc]
    return runs


def measure(runs: dict[str, Run], repeats: int) -> dict[str, Any]:
    seconds = seconds_in_turns(repeats, runs)
    return {
        "crops_per_s": {name: round(BATCH / statistics.median(taken)) for name, taken in seconds.items()},
        "times_torch": {
            name: round(statistics.median(t / s for t, s in zip(seconds["torch"], taken, strict=True)), 2)
            for name, taken in seconds.items()
            if name != "torch"
        },
    }


def kernel(name: str, channels: int, height: int, width: int, folder: Path) -> dict[str, Any]:
    """One convolution, in a row of them, so that what stands at both ends of the graph does not count."""
    model = convolutions(KERNELS[name], channels, height, width)
    images = np.random.default_rng(SEED).random((BATCH, channels, height, width), dtype=np.float32)
    quantised = precision.to_int8(model, images, min_channels=1)
    microseconds = {}
    for kind, graph in (("fp32", model), ("int8", quantised)):
        onnx.save(graph, folder / "kernel.onnx")
        session = open_session(folder / "kernel.onnx", 1, "cpu")
        taken = []
        for _ in range(9):
            start = time.perf_counter()
            session.run(None, {"images": images})
            taken.append(time.perf_counter() - start)
        microseconds[kind] = round(1e6 * statistics.median(taken) / LAYERS)
    return {"kernel": name, "channels": channels, "height": height, "width": width, "microseconds": microseconds}


def convolutions(size: int, channels: int, height: int, width: int) -> onnx.ModelProto:
    groups = channels if size > 1 else 1
    weight = np.random.default_rng(SEED).normal(0, 0.1, (channels, channels // groups, size, size)).astype(np.float32)
    shape: list[str | int | None] = ["N", channels, height, width]
    names = ["images", *(f"x{layer}" for layer in range(1, LAYERS)), "embeddings"]
    nodes = [
        helper.make_node("Conv", [given, "w"], [result], name=result, group=groups, pads=4 * [size // 2])
        for given, result in itertools.pairwise(names)
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in (names[0], names[-1])]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [numpy_helper.from_array(weight, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


if __name__ == "__main__":
    main()
