import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from reidapp.errors import UserError
from reidapp.model_card import METADATA_KEY, ModelCard, model_identity

CARD = ModelCard("tiny", "1", 8, 4, 3, licence="Apache-2.0", scores={"market": {"rank1": 0.5}}, notes="für Tests")


def write(path: Path, weight: float = 1.0, metadata: dict[str, str] | None = None, opset: int = 17) -> Path:
    graph = helper.make_graph(
        [helper.make_node("Mul", ["in", "w"], ["out"])],
        "g",
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, [1, 300])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 300])],
        [numpy_helper.from_array(np.full((1, 300), weight, np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    helper.set_model_props(model, metadata or {})
    onnx.save(model, path)
    return path


def test_identity_is_of_the_weights_not_of_the_card(tmp_path: Path) -> None:
    plain = model_identity(write(tmp_path / "a.onnx"))
    assert len(plain) == 64
    assert model_identity(write(tmp_path / "renamed.onnx")) == plain
    assert model_identity(write(tmp_path / "b.onnx", metadata={METADATA_KEY: CARD.to_json()})) == plain
    assert model_identity(write(tmp_path / "c.onnx", metadata={METADATA_KEY: "x" * 70_000, "author": "me"})) == plain
    assert model_identity(write(tmp_path / "d.onnx", weight=1.0000001)) != plain
    assert model_identity(write(tmp_path / "e.onnx", opset=18)) != plain


def test_the_names_of_the_cameras_are_part_of_the_identity(tmp_path: Path) -> None:
    """They say which statistics hold: the same graph with two names swapped embeds both cameras' crops otherwise."""

    def identity(*cameras: str, notes: str = "") -> str:
        card = dataclasses.replace(CARD, cameras=list(cameras), notes=notes)
        return model_identity(write(tmp_path / "a.onnx", metadata={METADATA_KEY: card.to_json()}))

    assert len({identity(), identity("gate", "hall"), identity("hall", "gate"), identity("gate,hall")}) == 4
    assert identity("gate", notes="corrected") == identity("gate")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello\n",
        b"hi",
        b"\xff" * 3_000_000,
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        bytes(64),
        b"\xf8\xff\xff\xff\xff\x7f\x01",
    ],
)
def test_no_model(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(data)
    with pytest.raises(UserError) as error:
        model_identity(path)
    assert str(error.value) == f"{path}: not an ONNX model"


def test_cut_off_model(tmp_path: Path) -> None:
    path = write(tmp_path / "a.onnx")
    data = path.read_bytes()
    for size in (10, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(UserError, match="not an ONNX model"):
            model_identity(path)


def test_card_there_and_back() -> None:
    text = CARD.to_json()
    assert ModelCard.from_json(text, "x.onnx") == CARD
    assert "für Tests" in text


def test_card_of_a_newer_version() -> None:
    newer = json.dumps(dataclasses.asdict(CARD) | {"invented": {"later": 1}})
    assert ModelCard.from_json(newer, "x.onnx") == CARD


def test_card_from_before_there_were_precisions() -> None:
    older = {key: value for key, value in dataclasses.asdict(CARD).items() if key != "precision"}
    assert ModelCard.from_json(json.dumps(older), "x.onnx").precision == "fp32"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ("7", "cannot be read"),
        ('{"name": "a"}', "cannot be read"),
        (json.dumps(dataclasses.asdict(CARD) | {"scores": None}), "scores: Input should be a valid dictionary"),
        (json.dumps(dataclasses.asdict(CARD) | {"scores": {"market": {"rank1": "much"}}}), "scores.market.rank1: "),
        (json.dumps(dataclasses.asdict(CARD) | {"cameras": 0.5}), "cameras: Input should be a valid list"),
        (json.dumps(dataclasses.asdict(CARD) | {"resize": "lanczos"}), 'resize rule "lanczos" is unknown'),
    ],
)
def test_bad_card(text: str, words: str) -> None:
    with pytest.raises(UserError) as error:
        ModelCard.from_json(text, "x.onnx")
    assert str(error.value).startswith("x.onnx: ")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_scores_are_not_rounded_twice() -> None:
    """Cards may have four digits: 0.59446 as 0.5945, which is no 59.5 %."""
    (line,) = ModelCard("base", "1", 128, 64, 512, scores={"cosine": {"rank1": 0.5945, "mAP": 0.3759}}).score_lines()
    assert line == "Rank-1 59.45%  mAP 37.59%; cosine"
