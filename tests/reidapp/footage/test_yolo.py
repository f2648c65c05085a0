"""Models that always say the same, in every layout; the truth of each is known."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from reidapp.box import Box
from reidapp.errors import UserError
from reidapp.footage.detection import Detection, open_detector

SIZE = 96  # of the model's input
CELLS = 12 * 12 + 6 * 6 + 3 * 3
# x1 y1 x2 y2 in the input's pixels, score, class; the second overlaps the first, the third is no person.
SAID = [(8, 30, 24, 64, 0.9, 0), (9, 30, 25, 64, 0.8, 0), (30, 30, 50, 60, 0.95, 1), (60, 28, 80, 66, 0.6, 0)]
SAID += [(1, 30, 9, 50, 0.3, 0)]  # not sure enough


def raw(classes: int, objectness: bool = False) -> np.ndarray:
    """What is said, as ``[A, 4 + C]``."""
    first = 4 + objectness
    rows = np.zeros((CELLS, first + classes), np.float32)
    for cell, (x1, y1, x2, y2, score, kind) in enumerate(SAID):
        rows[7 * cell, :4] = (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
        if objectness:
            rows[7 * cell, 4] = 0.96
        rows[7 * cell, first + kind] = score / 0.96 if objectness else score
    return rows


def suppressed() -> np.ndarray:
    """What is said, as ``[N, 6]``, overlaps suppressed."""
    rows = np.zeros((30, 6), np.float32)
    rows[:4] = [SAID[i] for i in (2, 0, 3, 4)]
    return rows


def write(path: Path, said: np.ndarray, batch: int | str = 1, dtype: int = TensorProto.FLOAT) -> Path:
    """A model with this output for each image, whose size is in its file."""
    count = batch if isinstance(batch, int) else 1
    out = numpy_helper.from_array(np.repeat(said[None], count, 0), "out")
    shape = [batch, *said.shape]
    graph = helper.make_graph(
        [helper.make_node("Constant", [], ["out"], value=out)],
        "g",
        [helper.make_tensor_value_info("images", dtype, [batch, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, shape)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def check(found: list[Detection]) -> None:
    """A frame of 128×64 lies in the middle of the input, at 3/4 of its size, with 24 grey rows above and below."""
    assert [d.score for d in found] == pytest.approx([0.9, 0.6], abs=1e-6)
    for detection, (x1, y1, x2, y2, *_) in zip(found, (SAID[0], SAID[3]), strict=True):
        assert detection.box == pytest.approx(Box(x1 / 96, (y1 - 24) / 48, x2 / 96, (y2 - 24) / 48))


LAYOUTS = {
    "channels first": raw(80).T.copy(),
    "channels last": raw(80),
    "few classes": raw(3).T.copy(),
    "two classes": raw(2),
    "objectness": raw(80, objectness=True),
    "end to end": suppressed(),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("batch", [1, 2, "B"])
@pytest.mark.parametrize("dtype", [TensorProto.FLOAT, TensorProto.FLOAT16])
def test_every_layout_says_the_same(tmp_path: Path, layout: str, batch: int | str, dtype: int) -> None:
    detector = open_detector(f"yolo:{write(tmp_path / 'model.onnx', LAYOUTS[layout], batch, dtype)}", provider="cpu")
    assert detector.provider == "CPUExecutionProvider"
    found = detector.detect([np.zeros((64, 128, 3), np.uint8)] * 3)
    assert len(found) == 3
    for people in found:
        check(people)
    assert detector.detect([]) == []


def test_the_input_is_rgb_from_0_to_1(tmp_path: Path) -> None:
    """The score is the mean of the red channel."""
    ends = [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIZE, SIZE])]
    ends += [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 1, 6])]
    box = numpy_helper.from_array(np.array([[[8, 8, 24, 40]]], np.float32), "box")
    zero = numpy_helper.from_array(np.zeros((1, 1, 1), np.float32), "zero")
    red = numpy_helper.from_array(np.array([0]), "red")
    nodes = [
        helper.make_node("Gather", ["images", "red"], ["reds"], axis=1),
        helper.make_node("ReduceMean", ["reds"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "red"], ["score"]),
        helper.make_node("Concat", ["box", "score", "zero"], ["out"], axis=2),
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [box, zero, red])
    path = tmp_path / "red.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    detector = open_detector(f"yolo:{path}")
    square = np.zeros((50, 50, 3), np.uint8)
    red_frame, blue_frame = square.copy(), square.copy()
    red_frame[..., 0], blue_frame[..., 2] = 204, 204
    (seen,), nobody = detector.detect([red_frame, blue_frame])
    assert seen.score == pytest.approx(0.8, abs=1e-3)
    assert nobody == []


@pytest.mark.parametrize("shape", [(40, 20), (3000, 1), (1, 1), (360, 640)])
def test_frames_of_any_shape(tmp_path: Path, shape: tuple[int, int]) -> None:
    detector = open_detector(f"yolo:{write(tmp_path / 'model.onnx', raw(80))}")
    (found,) = detector.detect([np.zeros((*shape, 3), np.uint8)])
    assert all(0 <= value <= 1 for detection in found for value in detection.box)


@pytest.mark.parametrize("said", [np.zeros((4, 84), np.float32), np.zeros((84, 3), np.float32)])
def test_a_model_that_is_none(tmp_path: Path, said: np.ndarray) -> None:
    path = write(tmp_path / "other.onnx", said)
    with pytest.raises(UserError, match=r"other\.onnx: not a YOLO model \(its output"):
        open_detector(f"yolo:{path}")


def test_a_gpu_that_is_not_there_is_an_error_and_no_silent_fall_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "model.onnx", raw(80))
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(UserError, match="CUDA was asked for and does not run here"):
        open_detector(f"yolo:{path}", provider="cuda")
    with pytest.raises(UserError, match='unknown device "tpu"; known: auto, cpu, cuda'):
        open_detector(f"yolo:{path}", provider="tpu")
    assert open_detector(f"yolo:{path}").provider == "CPUExecutionProvider"
