import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from reidapp.box import Box
from reidapp.errors import UserError
from reidapp.footage.decoding import frames
from reidapp.footage.detection import Detector, built_in, open_detector, without_overlaps
from reidapp.truth import Truth
from training.data.synthetic.footage import write_footage


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("footage")
    write_footage(folder, cameras=1, people=3, seconds=12, seed=1, workers=1)
    return folder


@pytest.fixture(scope="module")
def yolox_file(shared: Path, needs: Callable[[object, str], None]) -> Path:
    path = shared / "detectors" / "yolox_nano_416x416.onnx"
    needs(path.is_file(), f"no {path}")
    return path


def found_and_true(footage: Path, detector: Detector) -> tuple[float, float]:
    """Share of the people in full view who were found, and of the detections that are of a person."""
    truth = Truth.read(footage)
    found = seen = right = made = 0
    for frame in frames(footage / truth.sightings[0].video, 0, 100, 2.0):
        there = [s for s in truth.sightings if abs(s.time_s - frame.time_s) < 0.001]
        (detections,) = detector.detect([frame.image])
        clear = [s for s in there if s.visible > 0.95 and s.box.height > 0.3 and 0.02 < s.box.x1 < s.box.x2 < 0.98]
        seen += len(clear)
        found += sum(max((s.box.iou(d.box) for d in detections), default=0) > 0.5 for s in clear)
        made += len(detections)
        right += sum(max((s.box.iou(d.box) for s in there), default=0) > 0.4 for d in detections)
    assert seen >= 10
    return found / seen, right / max(made, 1)


@pytest.mark.slow
def test_hog_finds_people(footage: Path) -> None:
    found, right = found_and_true(footage, open_detector("hog"))
    assert found > 0.5
    assert right > 0.7


@pytest.mark.slow
def test_yolox_finds_people(footage: Path, yolox_file: Path) -> None:
    found, right = found_and_true(footage, open_detector(f"yolox:{yolox_file}"))
    assert found > 0.8
    assert right > 0.8


@pytest.fixture(params=[*built_in(), "yolox"])
def detector(request: pytest.FixtureRequest) -> Detector:
    """Each one without a model file, so also one that is added; and the one of which there may be a file."""
    if request.param == "yolox":
        return open_detector(f"yolox:{request.getfixturevalue('yolox_file')}")
    return open_detector(request.param)


@pytest.mark.parametrize("size", [(1, 1), (3000, 1), (1, 3000), (40, 20), (135, 2400), (360, 640)])
def test_nobody_in_an_empty_picture_of_any_shape(detector: Detector, size: tuple[int, int]) -> None:
    grey = np.full((*size, 3), 128, np.uint8)
    assert detector.detect([grey, grey]) == [[], []]
    assert detector.detect([]) == []


@pytest.mark.slow
def test_detections_are_in_order_within_the_frame_and_the_same_from_several_threads(
    detector: Detector, footage: Path
) -> None:
    images = [frame.image for frame in frames(footage / Truth.read(footage).sightings[0].video, 0, 100, 2.0)]
    calls = [images[start : start + 8] for start in range(0, len(images), 8)]
    found = [detector.detect(call) for call in calls]
    assert [len(each) for each in found] == [len(call) for call in calls]
    assert any(itertools.chain(*found))
    for people in itertools.chain(*found):
        scores = [each.score for each in people]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= value <= 1 for each in people for value in (*each.box, each.score))
        assert all(each.box.x1 < each.box.x2 and each.box.y1 < each.box.y2 for each in people)
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(detector.detect, calls)) == found


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("yolr", 'unknown detector "yolr"; did you mean "yolo"?; known: '),
        ("", 'unknown detector ""; known: '),
        ("yolo", "needs its model file: yolo:PATH"),
        ("yolo:gone.onnx", "gone.onnx: no such file"),
        ("yolox", "needs its model file: yolox:PATH"),
        ("yolox:", "needs its model file: yolox:PATH"),
        ("yolox:gone.onnx", "gone.onnx: no such file"),
        ("torchvision:gone.onnx", "gone.onnx: no such file"),
        ("hog:some.onnx", "has no model file; give only hog"),
    ],
)
def test_what_makes_no_detector(spec: str, words: str) -> None:
    with pytest.raises(UserError) as error:
        open_detector(spec)
    assert str(error.value).startswith("--detector")
    assert words in str(error.value)


def test_what_there_is_to_take_is_said_with_a_wrong_name() -> None:
    with pytest.raises(UserError) as error:
        open_detector("yolr")
    known = str(error.value).partition("known: ")[2].split(", ")
    assert {"hog", "torchvision", "yolo", "yolox", "yolox-nano", *built_in()} <= set(known)


def model(path: Path, inputs: list[int], outputs: list[int]) -> Path:
    """An ONNX file with one float input and a constant output."""
    output = helper.make_tensor("out", TensorProto.FLOAT, outputs, [0.0] * int(np.prod(outputs)))
    graph = helper.make_graph(
        [helper.make_node("Constant", [], ["out"], value=output)],
        "g",
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, inputs)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, outputs)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ([1, 3, 256, 128], [1, 10, 85]),
        ([1, 64, 64, 3], [1, 84, 85]),
        ([1, 3, 64, 64], [1, 100, 85]),
        ([1, 3, 64, 64], [1, 84, 5]),
        ([1, 3, 64, 64], [1, 512]),
    ],
)
def test_model_that_is_no_yolox(tmp_path: Path, inputs: list[int], outputs: list[int]) -> None:
    path = model(tmp_path / "other.onnx", inputs, outputs)
    with pytest.raises(UserError, match=r"other\.onnx: not a YOLOX model"):
        open_detector(f"yolox:{path}")


def brightness_model(path: Path, batch: int) -> Path:
    """A YOLOX of 64 pixels that is the surer of people everywhere, the brighter a frame is."""
    steps = [
        helper.make_node("ReduceMean", ["in"], ["mean"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Squeeze", ["mean", "last"], ["bright"]),
        helper.make_node("Div", ["bright", "white"], ["share"]),
        helper.make_node("Expand", ["share", "shape"], ["out"]),
    ]
    graph = helper.make_graph(
        steps,
        "g",
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, [batch, 3, 64, 64])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [batch, 84, 6])],
        [
            helper.make_tensor("last", TensorProto.INT64, [1], [3]),
            helper.make_tensor("white", TensorProto.FLOAT, [], [255.0]),
            helper.make_tensor("shape", TensorProto.INT64, [3], [batch, 84, 6]),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_yolox_finds_the_same_in_batches(tmp_path: Path) -> None:
    one, four = (open_detector(f"yolox:{brightness_model(tmp_path / f'{batch}.onnx', batch)}") for batch in (1, 4))
    shades = [np.full((48, 64, 3), shade, np.uint8) for shade in (255, 0, 220, 240, 30, 200)]
    alone = [one.detect([frame])[0] for frame in shades]
    assert [bool(found) for found in alone] == [True, False, True, True, False, True]
    assert len({found[0].score for found in alone if found}) == 4
    assert four.detect(shades) == one.detect(shades) == alone


def test_file_that_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "notes.onnx"
    path.write_text("no model at all\n")
    with pytest.raises(UserError) as error:
        open_detector(f"yolox:{path}")
    assert "notes.onnx" in str(error.value)
    assert "\n" not in str(error.value)


def slow_suppression(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if all(Box(*boxes[i]).iou(Box(*boxes[k])) <= threshold for k in kept):
            kept.append(i)
    return kept


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("threshold", [0.3, 0.5])
def test_suppression_is_the_slow_one(seed: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    corner, size = rng.uniform(0, 60, (80, 2)), rng.uniform(5, 50, (80, 2))
    boxes = np.concatenate([corner, corner + size], 1).astype(np.float32)
    scores = rng.permutation(np.linspace(0.1, 0.99, 80)).astype(np.float32)
    kept = without_overlaps(boxes, scores, threshold).tolist()
    assert kept == slow_suppression(boxes, scores, threshold)
    assert 0 < len(kept) < 80


def test_suppression_of_nothing() -> None:
    assert without_overlaps(np.empty((0, 4)), np.empty(0), 0.5).shape == (0,)
