"""What an embedding model says about itself: the card that travels inside the ONNX file's metadata."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from reidapp.errors import UserError
from reidapp.imaging import RESIZE_RULE

METADATA_KEY = "reidapp.card"


@dataclass(frozen=True)
class ModelCard:
    """Facts about an embedding model.

    Attributes:
        name: what users call it, for example ``small``.
        version: of the weights under that name.
        height, width: of the input, in pixels; images are resized to it before the model sees them.
        dim: D, the length of an embedding.
        resize: the rule of that resize; this version knows ``area-linear`` only.
        precision: of the arithmetic, ``fp32``, ``fp16`` or ``int8``.
        training_data: what it was trained on, in words.
        recipe: the recipe that trained it, with its changes and seed.
        licence: of the weights.
        cameras: names of the cameras of which its batch norms have statistics of their own.
        scores: {protocol: {rank1, mAP, …}}, values 0..1; of fp16 and int8 also what they lose against fp32.
        notes: limits that a user must know.
    """

    name: str
    version: str
    height: int
    width: int
    dim: int
    resize: str = RESIZE_RULE
    precision: str = "fp32"
    training_data: str = ""
    recipe: str = ""
    licence: str = ""
    cameras: list[str] = field(default_factory=list)
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    notes: str = ""

    def score_lines(self) -> list[str]:
        """The scores in words, a line for each protocol; to two digits, since cards may have them to no more."""
        lines = []
        for title, values in self.scores.items():
            if {"mAP_loss", "cosine"} <= values.keys():
                lost, cosine = 100 * values["mAP_loss"], values["cosine"]
                on = f" on {values['queries']:.0f} queries" if "queries" in values else ""
                lines.append(f"{title}: {self.precision} loses {lost:z.1f} points of mAP{on}, mean cosine {cosine:.3f}")
            else:
                shares = "  ".join(f"{name.replace('rank', 'Rank-')} {value:.2%}" for name, value in values.items())
                lines.append(f"{shares}; {title}")
        return lines

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, where: str) -> "ModelCard":
        """Read a card; unknown keys of a newer version are left out.

        Raises:
            UserError: not a card, or one that asks for a resize rule that this version does not know.
        """
        known = {f.name for f in dataclasses.fields(cls)}
        try:
            raw: dict[str, Any] = json.loads(text)
            card = _checked().validate_python({key: value for key, value in raw.items() if key in known})
        except ValidationError as error:
            first = error.errors()[0]
            wrong = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            raise UserError(f"{where}: its model card cannot be read ({wrong})") from error
        except (TypeError, ValueError, AttributeError, RecursionError) as error:
            raise UserError(f"{where}: its model card cannot be read ({error})") from error
        if card.resize != RESIZE_RULE:
            raise UserError(f'{where}: resize rule "{card.resize}" is unknown to this version; update reidapp')
        return card


@functools.cache
def _checked() -> TypeAdapter[ModelCard]:
    return TypeAdapter(ModelCard)


def read_card(path: Path) -> ModelCard | None:
    """The card in an ONNX file, read without ONNX Runtime; None if it carries none.

    Raises:
        UserError: not an ONNX model, or a card that cannot be read.
    """
    text = _card_text(_model_fields(path), path)
    return None if text is None else ModelCard.from_json(text, str(path))


def model_identity(path: Path) -> str:
    """A model's identity: sha256 over its weights and preprocessing, as 64 hex digits.

    Everything in the ONNX file counts but the metadata: correcting a card does not make another model. The input size
    and the resize rule, which live in the card, are part of the graph's input shape and of the reidapp version. Of the
    card, only the cameras' names count: they say whose crops which statistics are for.
    """
    digest = hashlib.sha256()
    fields = _model_fields(path)
    for number, data in fields:
        if number != _METADATA_FIELD:
            digest.update(number.to_bytes(4, "little"))
            digest.update(data)
    try:
        cameras = json.loads(_card_text(fields, path) or "{}").get("cameras")
    except (ValueError, AttributeError):  # whoever needs the card will say so
        cameras = None
    if cameras:
        digest.update(_METADATA_FIELD.to_bytes(4, "little"))
        digest.update(json.dumps(cameras).encode())
    return digest.hexdigest()


def is_model(path: Path, identity: str) -> bool:
    """Whether a file is there and holds the model of this identity, whole."""
    try:
        return model_identity(path) == identity
    except (OSError, UserError):
        return False


_GRAPH_FIELD = 7  # of ModelProto
_METADATA_FIELD = 14  # metadata_props


def _model_fields(path: Path) -> list[tuple[int, memoryview]]:
    fields = list(_top_level_fields(path.read_bytes(), path))
    if _GRAPH_FIELD not in {number for number, _ in fields}:
        raise UserError(f"{path}: not an ONNX model")
    return fields


def _card_text(fields: list[tuple[int, memoryview]], path: Path) -> str | None:
    for number, data in fields:
        if number == _METADATA_FIELD:
            entry = {key: bytes(text) for key, text in _top_level_fields(data, path)}  # 1: the key, 2: the value
            if entry.get(1) == METADATA_KEY.encode():
                return entry.get(2, b"").decode(errors="replace")
    return None


def _top_level_fields(data: bytes | memoryview, path: Path) -> Iterator[tuple[int, memoryview]]:
    """The fields of a protobuf message: (field number, payload). Reading them needs no onnx package."""
    view, at = memoryview(data), 0
    try:
        while at < len(view):
            key, at = _varint(view, at)
            if key & 7 == 0:
                start = at
                _, at = _varint(view, at)
            elif key & 7 == 2:
                length, start = _varint(view, at)
                at = start + length
            else:
                raise IndexError
            if at > len(view) or not 1 <= key >> 3 < 1 << 29:
                raise IndexError
            yield key >> 3, view[start:at]
    except IndexError as error:
        raise UserError(f"{path}: not an ONNX model") from error


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise IndexError
