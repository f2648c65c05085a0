"""Re-ID models that others exported to ONNX: put between reidapp's input and output once, and used like any other.

A card beside the file (JSON) says what its graph does not: what is to be done to a picture first.

    x = (pixel / divide_by − mean) / std        of each channel, in the order that `channels` names
"""

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper
from pydantic import Field

from models.onnx_weights import MIN_COSINE
from reidapp import registry
from reidapp.embedding import open_session
from reidapp.errors import UserError
from reidapp.files import flush_folder, write_flushed
from reidapp.model_card import METADATA_KEY, ModelCard, read_card
from reidapp.options import Count, Positive

_PREFIX = "foreign/"  # of every name in the graph, so that none is one of ours
_BATCHES = (1, 2, 7)
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)
_CHANNELS = {"rgb": [0, 1, 2], "bgr": [2, 1, 0]}
_EXAMPLE = '{"height": 256, "width": 128, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}'
_ThreeFloats = Annotated[list[float], Field(min_length=3, max_length=3)]
_ThreePositive = Annotated[list[Positive], Field(min_length=3, max_length=3)]


@dataclass(frozen=True)
class ForeignCard:
    """What a user knows of a model that was exported elsewhere.

    Attributes:
        mean, std: of each channel, in the order of `channels`, after division; ImageNet's are 0.485, 0.456, 0.406 and
            0.229, 0.224, 0.225.
        divide_by: what pixels 0..255 are divided by first.
        channels: ``rgb``, or ``bgr`` for what was trained on OpenCV's pictures.
        layout: of the input, ``nchw`` or ``nhwc``.
        height, width: of the input in pixels, where the graph leaves them open.
        output: the name of the embedding, where the graph has several outputs.
        name, version, training_data, recipe, licence, notes: as in `ModelCard`; the name is the file's without one.
    """

    mean: _ThreeFloats
    std: _ThreePositive
    divide_by: Positive = 255.0
    channels: Literal["rgb", "bgr"] = "rgb"
    layout: Literal["nchw", "nhwc"] = "nchw"
    height: Count | None = None
    width: Count | None = None
    output: str = ""
    name: str = ""
    version: str = "1"
    training_data: str = ""
    recipe: str = ""
    licence: str = ""
    notes: str = ""

    @classmethod
    def read(cls, path: Path) -> "ForeignCard":
        """The card in a JSON file.

        Raises:
            UserError: no such file, no JSON object, a key that is unknown or missing, or a value out of range.
        """
        if not path.is_file():
            raise UserError(f"{path}: no such file; describe the model's input there, for example {_EXAMPLE}")
        try:
            facts = json.loads(path.read_text("utf-8"))
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}: not JSON ({error})") from error
        if not isinstance(facts, dict):
            raise UserError(f"{path}: not a JSON object; for example {_EXAMPLE}")
        card: ForeignCard = registry.build(cls, facts, str(path))
        for key, known in (("channels", tuple(_CHANNELS)), ("layout", ("nchw", "nhwc"))):
            if getattr(card, key) not in known:
                raise UserError(f'{path}: {key} "{getattr(card, key)}" is unknown; known: {", ".join(known)}')
        return card


def adopt(file: Path, out: Path, card_file: Path | None = None) -> ModelCard:
    """Write a model of reidapp's form (``images`` uint8 → ``embeddings`` of length one) around a foreign one.

    Args:
        file: an ONNX model with one input, float ``[N, 3, H, W]`` or ``[N, H, W, 3]``.
        out: the ONNX file to write; there is none, or an old one, until the new one has passed its checks.
        card_file: a `ForeignCard`; by default beside the model, with the suffix ``.json``.

    Raises:
        UserError: not an ONNX model, one that reidapp exported, a card that does not fit it, or embeddings that are
            not finite or depend on the batch.
    """
    if out.suffix != ".onnx":
        raise UserError(f"{out}: the name of the file must end in .onnx")
    if not out.parent.is_dir():
        raise UserError(f"{out}: the folder {out.parent} does not exist")
    if not file.is_file():
        raise UserError(f"{file}: no such model file")
    if out.resolve() == file.resolve():
        raise UserError(f"{out}: the model itself; give the new file another name")
    if read_card(file) is not None:
        raise UserError(f"{file}: has a reidapp model card already; use it as it is")
    facts = ForeignCard.read(card_file or file.with_suffix(".json"))
    height, width, model = _wrapped(_read(file), facts, file)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        path = Path(folder) / "model.onnx"
        write_flushed(path, model.SerializeToString())
        card = ModelCard(
            name=facts.name or file.stem,
            version=facts.version,
            height=height,
            width=width,
            dim=_checked_dim(path, file, height, width),
            precision=_precision(model),
            training_data=facts.training_data,
            recipe=facts.recipe or f"exported elsewhere ({file.name})",
            licence=facts.licence,
            notes=facts.notes,
        )
        model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = card.dim
        helper.set_model_props(model, {METADATA_KEY: card.to_json()})
        write_flushed(path, model.SerializeToString())
        os.replace(path, out)
    flush_folder(out.parent)
    return card


def _read(file: Path) -> onnx.ModelProto:
    open_session(file, provider="cpu")  # says what is wrong with it
    model = onnx.load(file)  # with the weights that lie beside it, as some exporters have them
    own = {weight.name for weight in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in own]
    if len(inputs) != 1 or inputs[0].type.tensor_type.elem_type not in _FLOATS or len(_shape(inputs[0])) != 4:
        found = ", ".join(f"{value.name} {_shape(value)}" for value in inputs) or "none"
        raise UserError(f"{file}: a model with one input, of pictures as floats in four dimensions, is needed: {found}")
    prefixed: onnx.ModelProto = compose.add_prefix(model, _PREFIX)
    return prefixed


def _shape(value: onnx.ValueInfoProto) -> list[int | str]:
    return [size.dim_value or size.dim_param or "?" for size in value.type.tensor_type.shape.dim]


def _wrapped(model: onnx.ModelProto, card: ForeignCard, file: Path) -> tuple[int, int, onnx.ModelProto]:
    """Height, width, and the model with reidapp's input and output around the graph."""
    graph = model.graph
    own = {weight.name for weight in graph.initializer}
    (pictures,) = (value for value in graph.input if value.name not in own)
    output = _output(graph, card, file)
    height, width = _size(pictures, card, file)
    before = [
        helper.make_node("Gather", ["images", "images.channels"], ["images.ordered"], axis=3),
        helper.make_node("Cast", ["images.ordered"], ["images.float"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["images.float", "images.mean"], ["images.centred"]),
        helper.make_node("Div", ["images.centred", "images.std"], ["images.scaled"]),
        helper.make_node("Transpose", ["images.scaled"], ["images.laid"], perm=_order(card.layout)),
        helper.make_node("Cast", ["images.laid"], [pictures.name], to=pictures.type.tensor_type.elem_type),
    ]
    after = [
        helper.make_node("Cast", [output.name], ["embeddings.float"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["embeddings.float"], ["embeddings.flat"], axis=1),
        helper.make_node("LpNormalization", ["embeddings.flat"], ["embeddings"], axis=1, p=2),
    ]
    constants = {
        "images.channels": np.array(_CHANNELS[card.channels], np.int64),
        "images.mean": np.array(card.mean, np.float32) * np.float32(card.divide_by),
        "images.std": np.array(card.std, np.float32) * np.float32(card.divide_by),
    }
    nodes = [*before, *graph.node, *after]
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]  # shapes in them may name one batch size
    graph.node.extend(nodes)
    graph.initializer.extend(numpy_helper.from_array(values, name) for name, values in constants.items())
    graph.input.append(helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", height, width, 3]))
    graph.output.append(helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["N", None]))
    del model.metadata_props[:]
    return height, width, model


def _order(layout: str) -> list[int]:
    return [0, 3, 1, 2] if layout == "nchw" else [0, 1, 2, 3]


def _output(graph: onnx.GraphProto, card: ForeignCard, file: Path) -> onnx.ValueInfoProto:
    named = {value.name.removeprefix(_PREFIX): value for value in graph.output}
    if card.output in named:
        return named[card.output]
    if card.output or len(named) > 1:
        wrong = f'no output "{card.output}"' if card.output else 'several outputs; say which by "output" in the card'
        raise UserError(f"{file}: {wrong}; there are {', '.join(named)}")
    return next(iter(named.values()))


def _size(pictures: onnx.ValueInfoProto, card: ForeignCard, file: Path) -> tuple[int, int]:
    shape = _shape(pictures)
    channels, height, width = (shape[at] for at in ((1, 2, 3) if card.layout == "nchw" else (3, 1, 2)))
    if isinstance(channels, int) and channels != 3:
        raise UserError(f'{file}: its input {shape} is not {card.layout}; correct "layout" in the card')
    return (
        _side("height", height, card.height, f"{file}: its input {shape}"),
        _side("width", width, card.width, f"{file}: its input {shape}"),
    )


def _side(key: str, inside: int | str, said: int | None, where: str) -> int:
    """A height or width, of the graph where it has one."""
    if isinstance(inside, int):
        if said not in (None, inside):
            raise UserError(f"{where} has a {key} of {inside}, its card says {said}")
        return inside
    if said is None:
        raise UserError(f'{where} leaves the {key} open; say it by "{key}" in the card')
    return said


def _precision(model: onnx.ModelProto) -> str:
    return "fp16" if any(weight.data_type == TensorProto.FLOAT16 for weight in model.graph.initializer) else "fp32"


def _checked_dim(path: Path, file: Path, height: int, width: int) -> int:
    """D, of a model whose embeddings are of length one and the same in every batch."""
    try:
        session = open_session(path, provider="cpu")
    except UserError as error:  # which names a file that nobody knows
        raise UserError(str(error).replace(str(path), f"{file}, with reidapp's input and output")) from error
    images = np.random.default_rng(0).integers(0, 256, (max(_BATCHES), height, width, 3), dtype=np.uint8)
    alone = np.concatenate([_run(session, image[None], file) for image in images])
    if alone.ndim != 2 or not np.allclose(np.linalg.norm(alone, axis=1), 1, atol=1e-3):  # false for NaN too
        raise UserError(f"{file}: what it gives is no embedding that could be brought to length one {alone.shape}")
    for batch in _BATCHES:
        together = _run(session, images[:batch], file)
        if together.shape != alone[:batch].shape or not (together * alone[:batch]).sum(1).min() >= MIN_COSINE:
            raise UserError(f"{file}: embeddings change with the batch size {batch}; export it in evaluation mode")
    return int(alone.shape[1])


def _run(session: Any, images: np.ndarray, file: Path) -> np.ndarray:
    try:
        (embeddings,) = session.run(["embeddings"], {"images": images})
    except Exception as error:  # ONNX Runtime raises a class per fault, all directly below Exception
        fault = str(error).splitlines()[0]
        raise UserError(
            f"{file}: cannot be run with {len(images)} pictures ({fault}); export it with a free batch size"
        ) from error
    return np.asarray(embeddings)
