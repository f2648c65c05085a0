"""torchvision's detectors as ONNX files, with random weights: nothing is fetched."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import WeightsEnum
from torchvision.ops import box_iou

from models import export_detector
from models.export_detector import PERSON, build, write_onnx
from reidapp.detector_files import releases
from reidapp.errors import ReidappError, UserError
from reidapp.footage.detection import open_detector

WEIGHTS = {name: release.weights for name, release in releases().items() if release.weights}


def lively(weights: str) -> Any:
    """A network with random weights whose scores differ from place to place: batch statistics and biases set so."""
    torch.manual_seed(0)
    network = build(weights)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
        norm.train()
    with torch.no_grad():
        network(list(torch.rand(2, 3, 240, 320)))
        if hasattr(network, "head"):
            for layers in network.head.classification_head.module_list:
                layers[-1].weight.mul_(10)
                layers[-1].bias.view(-1, 91)[:, PERSON] += 3
        else:
            network.rpn.head.cls_logits.weight.mul_(30)
            network.roi_heads.box_predictor.cls_score.weight.mul_(20)
            network.roi_heads.box_predictor.cls_score.bias[PERSON] += 4
    return network.eval()


@pytest.mark.parametrize("name", ["ssdlite", pytest.param("faster-rcnn-320", marks=pytest.mark.slow)])
def test_the_file_finds_the_people_that_the_whole_network_finds(name: str, tmp_path: Path) -> None:
    network = lively(WEIGHTS[name])
    rng = np.random.default_rng(1)
    pictures = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((120, 200), (300, 170))]
    network.detections_per_img = 10_000  # room for people beside the other ninety classes
    with torch.inference_mode():
        expected = [network([torch.from_numpy(p).permute(2, 0, 1).float() / 255])[0] for p in pictures]

    write_onnx(network, tmp_path / "people.onnx")
    detector = open_detector(f"torchvision:{tmp_path / 'people.onnx'}")
    detector.threshold = 0.0  # type: ignore[attr-defined]
    for picture, found, whole in zip(pictures, detector.detect(pictures), expected, strict=True):
        height, width = picture.shape[:2]
        people = whole["labels"] == PERSON
        boxes, scores = whole["boxes"][people], whole["scores"][people]
        assert len(scores) > 5
        assert scores.max() - scores.min() > 0.05
        assert [d.score for d in found] == sorted((d.score for d in found), reverse=True)
        got = torch.tensor([tuple(d.box) for d in found]) * torch.tensor([width, height, width, height])
        overlaps, at = box_iou(boxes[:5], got).max(1)
        assert overlaps.min() > 0.95
        assert torch.tensor([found[i].score for i in at]) == pytest.approx(scores[:5], abs=1e-3)


def test_every_named_release_of_torchvision_has_a_network() -> None:
    for weights in WEIGHTS.values():
        assert build(weights).eval() is not None


@pytest.mark.slow
def test_a_file_that_finds_others_is_not_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_detector, "MAX_SCORE_DIFFERENCE", -1.0)
    with pytest.raises(ReidappError, match="find different people"):
        write_onnx(lively(WEIGHTS["ssdlite"]), tmp_path / "people.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [OSError("no route"), RuntimeError('invalid hash value (expected "a", got "b")')])
def test_weights_that_do_not_come(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **options: object) -> None:
        assert options["check_hash"] is True
        raise error

    monkeypatch.setattr(WeightsEnum, "get_state_dict", fails)
    with pytest.raises(UserError) as caught:
        export_detector.export_detector(WEIGHTS["ssdlite"], tmp_path / "out.onnx")
    assert "\n" not in str(caught.value)
    assert str(error) in str(caught.value)
    assert list(tmp_path.iterdir()) == []
