"""Batch norm by camera on the CPU: statistics looked up for every image, against one session per camera.

    python -m benchmarks.camera_statistics [--threads 1] [--repeats 15] > docs/results/camera_statistics.json

The shipped model with statistics of four cameras. ``per_image`` takes a camera per image as a second input and looks
its batch norms' scale and shift up; ``per_camera`` is what reidapp does: a session per camera, into whose convolutions
ONNX Runtime folds them. Both are given as a multiple of the time without cameras, in crops of one batch of 16; the
candidates take turns, and a ratio is the median of the ratios within a turn. ``load_s`` is what a session costs.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.machine import machine
from models.camera_statistics import CameraStatistics, put_into_graph
from models.onnx_weights import load_onnx
from models.zoo import path_of
from reidapp.embedding import open_session

BATCH, CAMERAS = 16, 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    shipped = path_of("small")
    network = load_onnx(shipped)
    stats = ("running_mean", "running_var")
    tables = {n: v.expand(1 + CAMERAS, -1).clone() for n, v in network.named_buffers() if n.endswith(stats)}
    by_camera = onnx.load(shipped)
    put_into_graph(by_camera, CameraStatistics([str(camera) for camera in range(CAMERAS)], tables))
    with tempfile.TemporaryDirectory() as folder:
        files = {"plain": shipped, "per_camera": Path(folder) / "camera.onnx", "per_image": Path(folder) / "image.onnx"}
        onnx.save(by_camera, files["per_camera"])
        onnx.save(per_image(onnx.load(shipped)), files["per_image"])
        found = measure(files, arguments.threads, arguments.repeats)
    print(json.dumps({"benchmark": "camera_statistics", "machine": machine(), "threads": arguments.threads} | found))


def per_image(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with ``cameras`` int64 [N]: x · scale[camera] + shift[camera] instead of every batch norm."""
    graph, nodes = model.graph, []
    values = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
    for node in graph.node:
        if node.op_type != "BatchNormalization":
            nodes.append(node)
            continue
        weight, bias, mean, variance = (values[name] for name in node.input[1:])
        scale = weight / np.sqrt(variance + 1e-5)
        shape = (1 + CAMERAS, len(scale)) + ((1, 1) if "backbone" in node.input[1] else ())
        for kind, row in (("scale", scale), ("shift", bias - mean * scale)):
            table = np.tile(row, (1 + CAMERAS, 1)).reshape(shape).astype(np.float32)
            graph.initializer.append(numpy_helper.from_array(table, f"{node.name}.{kind}s"))
            nodes.append(helper.make_node("Gather", [f"{node.name}.{kind}s", "cameras"], [f"{node.name}.{kind}"]))
        nodes.append(helper.make_node("Mul", [node.input[0], f"{node.name}.scale"], [f"{node.name}.scaled"]))
        nodes.append(helper.make_node("Add", [f"{node.name}.scaled", f"{node.name}.shift"], [node.output[0]]))
    del graph.node[:]
    graph.node.extend(nodes)
    graph.input.append(helper.make_tensor_value_info("cameras", TensorProto.INT64, ["N"]))
    return model


def measure(files: dict[str, Path], threads: int, repeats: int) -> dict[str, Any]:
    sessions, load_s = {}, {}
    for name, file in files.items():
        began = time.process_time()
        sessions[name] = open_session(file, threads, "cpu", camera=2 if name == "per_camera" else 0)
        load_s[name] = round(time.process_time() - began, 3)
    images = np.random.default_rng(0).integers(0, 256, (BATCH, 128, 64, 3), dtype=np.uint8)
    turns = []
    for _ in range(repeats + 1):  # the first warms up
        turn, embeddings = {}, {}
        for name, session in sessions.items():
            given = {"images": images} | ({"cameras": np.arange(BATCH) % CAMERAS} if name == "per_image" else {})
            began = time.process_time()
            embeddings[name] = session.run(None, given)[0]
            turn[name] = time.process_time() - began
        assert all(np.allclose(found, embeddings["plain"], atol=1e-3) for found in embeddings.values())
        turns.append(turn)
    rates = {name: round(BATCH / statistics.median(t[name] for t in turns[1:])) for name in files}
    ratios = {name: round(statistics.median(t[name] / t["plain"] for t in turns[1:]), 2) for name in files}
    return {"crops_per_cpu_second": rates, "time_against_plain": ratios, "load_s": load_s}


if __name__ == "__main__":
    main()
