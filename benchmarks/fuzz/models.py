"""Model files: the card in them, their identity, and what ONNX Runtime does with the graph."""

import json
import random
from typing import ClassVar

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper

from benchmarks.fuzz.harness import FirstParserError, Reader
from benchmarks.fuzz.mutation import TEXTS, bytes_changed, json_changed
from reidapp.embedding import CAMERA, Embedder
from reidapp.errors import UserError
from reidapp.model_card import METADATA_KEY, ModelCard, is_model, model_identity, read_card

_HEIGHT, _WIDTH, _DIM = 16, 8, 4
_KNOWN = (_HEIGHT, _WIDTH, _DIM, "area-linear", "fp32", ["Gate"], {"Market-1501": {"rank1": 0.5, "mAP": 0.3}})
Field = tuple[int, int, bytes]  # number, wire type, payload


class Models(Reader):
    """An input is a file."""

    code: ClassVar = {"reidapp.model_card": (), "reidapp.embedding": ()}
    first_parser: ClassVar = "it is a message that has a graph"
    most_mb: ClassVar = 1000.0

    def seeds(self) -> list[bytes]:
        card = ModelCard("tiny", "1", _HEIGHT, _WIDTH, _DIM, scores={"Market-1501": {"rank1": 0.5, "mAP": 0.3}})
        lossy = ModelCard(
            "tiny", "2", _HEIGHT, _WIDTH, _DIM, precision="int8", scores={"x": {"mAP_loss": 0, "cosine": 1}}
        )
        cameras = ModelCard("tiny", "3", _HEIGHT, _WIDTH, _DIM, cameras=["Gate", "Hall"])
        return [_model(card.to_json(), 0), _model(lossy.to_json(), 0), _model(cameras.to_json(), 3), _model(None, 0)]

    def changed(self, data: bytes, other: bytes, draw: random.Random) -> bytes:
        way = draw.randrange(10)
        if way == 0:
            return bytes_changed(data, other, draw)
        if way < 4:
            return _card_changed(data, draw)
        for _ in range(draw.randint(1, 3)):
            data = _message_changed(data, other, draw)
        return data

    def read(self, data: bytes) -> bool:
        path = self.folder / "model.onnx"
        path.write_bytes(data)
        try:
            identity = model_identity(path)
        except UserError as refusal:
            raise FirstParserError(str(refusal)) from refusal
        assert is_model(path, identity)
        if card := read_card(path):
            json.loads(card.to_json())
            card.score_lines()
        embedder = Embedder(path, batch=2, threads=1, provider="cpu")
        crops = [np.full((20, 10, 3), value, np.uint8) for value in (0, 90, 250)]
        for camera in (None, "Gate"):
            embeddings = embedder.embed(crops, camera)
            assert embeddings.shape == (3, embedder.card.dim)
        return True


def _model(card: str | None, cameras: int) -> bytes:
    """A graph of a mean colour; with statistics of cameras, which are added to it."""
    weights = np.random.default_rng(0).normal(size=(3, _DIM)).astype(np.float32)
    shifts = np.arange(cameras * _DIM, dtype=np.float32).reshape(cameras, _DIM)
    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["means"], keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], ["moved" if cameras else "raw"]),
        helper.make_node("LpNormalization", ["raw"], ["embeddings"], axis=1),
    ]
    constants = [
        numpy_helper.from_array(np.array([1, 2], np.int64), "axes"),
        numpy_helper.from_array(weights, "weights"),
    ]
    if cameras:
        nodes.insert(3, helper.make_node("Gather", ["shifts", CAMERA], ["shift"]))
        nodes.insert(4, helper.make_node("Add", ["moved", "shift"], ["raw"]))
        constants += [numpy_helper.from_array(shifts, "shifts"), numpy_helper.from_array(np.array(0, np.int64), CAMERA)]
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", _HEIGHT, _WIDTH, 3])
    embeddings = helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["N", _DIM])
    graph = helper.make_graph(nodes, "tiny", [images], [embeddings], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    if card:
        helper.set_model_props(model, {METADATA_KEY: card})
    return bytes(model.SerializeToString())


def _card_changed(data: bytes, draw: random.Random) -> bytes:
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
        entry = next(entry for entry in model.metadata_props if entry.key == METADATA_KEY)
        if draw.random() < 0.2:
            entry.value = bytes_changed(entry.value.encode(), b"", draw).decode(errors="ignore")
        else:
            card = json.loads(entry.value)
            for _ in range(draw.randint(1, 2)):
                card = json_changed(card, draw, (*_KNOWN, *TEXTS[:4]))
            entry.value = json.dumps(card)
    except (StopIteration, TypeError, ValueError, DecodeError):  # no card in it any more
        return bytes_changed(data, b"", draw)
    return bytes(model.SerializeToString())


def _message_changed(data: bytes, other: bytes, draw: random.Random) -> bytes:
    """A protobuf message in which a field at any depth is changed, lost or doubled, and all lengths fit."""
    fields = _fields(data)
    if not fields:
        return bytes_changed(data, other, draw, most=2)
    place = draw.randrange(len(fields))
    number, wire, payload = fields[place]
    way = draw.randrange(10)
    if way == 0:
        del fields[place]
    elif way == 1:
        fields.insert(draw.randrange(len(fields) + 1), fields[place])
    elif wire == 2 and way < 9 and payload:
        fields[place] = number, wire, _message_changed(payload, other, draw)
    elif wire == 0:
        fields[place] = number, wire, _varint(draw.choice((0, 1, 2, 3, 7, 8, 13, 64, 255, 2**31, 2**63, 2**64 - 1)))
    else:
        fields[place] = number, wire, bytes_changed(payload, other, draw, most=2)
    return b"".join(
        _varint(number << 3 | wire) + (_varint(len(payload)) if wire == 2 else b"") + payload
        for number, wire, payload in fields
    )


def _fields(data: bytes) -> list[Field] | None:
    """The fields of what may be a message; None if it is none."""
    fields, at = [], 0
    while at < len(data):
        key, at = _read_varint(data, at)
        wire, number = key & 7, key >> 3
        if at < 0 or not 0 < number < 1000:
            return None
        if wire == 0:
            start, (_, end) = at, _read_varint(data, at)
        elif wire == 2:
            length, start = _read_varint(data, at)
            end = start + length
        elif wire in (1, 5):
            start, end = at, at + (8 if wire == 1 else 4)
        else:
            return None
        if min(start, end) < 0 or end > len(data):
            return None
        fields.append((number, wire, data[start:end]))
        at = end
    return fields


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """A number and where it ends; that is −1 if it does not."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            return 0, -1
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    return 0, -1


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
