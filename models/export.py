"""From a training run to one ONNX file that carries its own preprocessing and card."""

import contextlib
import copy
import io
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
import torch
from onnxscript import optimizer
from torch import Tensor, nn

from models.camera_statistics import CameraStatistics, put_into_graph
from models.network import Description, Network
from models.onnx_weights import DESCRIPTION_KEY, MIN_COSINE
from models.precision import fused, in_fp16, to_int8
from models.run_folder import load_network, read_facts
from reidapp.embedding import Embedder, open_session
from reidapp.errors import ReidappError, UserError
from reidapp.files import disk_named, flush_folder, write_flushed
from reidapp.imaging import resize
from reidapp.metrics import RetrievalScores
from reidapp.model_card import METADATA_KEY, ModelCard

BATCHES = (1, 2, 7, 64)
MAX_LOSS = {"fp16": 0.003, "int8": 0.010}  # of mAP, against fp32
PRECISIONS = ("fp32", *MAX_LOSS)
OPSET = 20


class Examples(Protocol):
    """Labelled crops on which an export is measured; `training.labelled_crops` makes them of a data set."""

    def score(self, model: Path) -> RetrievalScores:
        """How well an ONNX file ranks them."""

    def crops(self) -> list[np.ndarray]:
        """Some of them, RGB uint8 of any sizes, to set the ranges of int8 by."""


def export_run(
    run: Path,
    out: Path,
    *,
    name: str | None = None,
    version: str = "1",
    precision: str = "fp32",
    examples: Examples | None = None,
    training_data: str | None = None,
    licence: str = "",
    scores: dict[str, dict[str, float]] | None = None,
    notes: str = "",
) -> ModelCard:
    """Export the network of a run.

    Args:
        run: the run folder.
        out: the ONNX file; there is none, or an old one, until the new one has passed its checks.
        name: of the model; the file's stem by default.
        precision: ``fp32``; or ``fp16`` or ``int8``, which may lose 0.3 and 1.0 points of mAP on ``examples``.
        examples: what the file is measured on; its scores are added to the card.
        training_data: in words; the run's ``KIND:FOLDER-NAME`` by default.
        scores: {protocol: {rank1, mAP, …}}.

    Raises:
        UserError: not a run, no epoch in it, ``out`` is no ``.onnx``, or a precision that is unknown or lacks examples.
        ReidappError: the exported graph gives other embeddings than the network, or loses too much.
    """
    network = load_network(run)
    card = run_card(run, network, name or out.stem)
    card = replace(
        card,
        version=version,
        precision=precision,
        training_data=card.training_data if training_data is None else training_data,
        licence=licence,
        scores=scores or {},
        notes=notes,
    )
    return export_network(network, card, out, examples)


def run_card(run: Path, network: Network, name: str) -> ModelCard:
    """What a run says of its network."""
    facts = read_facts(run)
    recipe = facts["recipe"]
    return ModelCard(
        name=name,
        version="1",
        height=network.height,
        width=network.width,
        dim=network.dim,
        training_data=_named(facts["data"]),
        recipe=" ".join([recipe["name"], *map(_change, recipe["changes"]), f"(seed {facts['seed']})"]),
    )


def _named(data: str | list[str]) -> str:
    """The data sets of a run, without the folders they lay in."""
    pairs = [spec.partition(":") for spec in ([data] if isinstance(data, str) else data)]
    return ", ".join(f"{kind}:{Path(folder).name}" for kind, _, folder in pairs)


def _change(change: str) -> str:
    """A change to a recipe; of the run or file that it starts from the name, not the folder it lay in."""
    key, equals, value = change.partition("=")
    return f"{key}={Path(value).name}" if key == "start" or key.endswith(".pretrained") else key + equals + value


def export_network(
    network: Network,
    card: ModelCard,
    out: Path,
    examples: Examples | None = None,
    statistics: CameraStatistics | None = None,
) -> ModelCard:
    """Write a network in evaluation mode to ``out``, in its card's precision; see `export_run`.

    Args:
        statistics: of the cameras that the card names; in fp32 alone.

    Returns:
        the card in the file: the one given, with the scores on ``examples``.
    """
    if card.precision not in PRECISIONS:
        raise UserError(f'precision "{card.precision}": unknown; choose one of {", ".join(PRECISIONS)}')
    if card.precision in MAX_LOSS and examples is None:
        raise UserError(f"precision {card.precision}: its loss must be measured; add --data KIND:DIR of labelled crops")
    if out.suffix != ".onnx":
        raise UserError(f"{out}: the name of the file must end in .onnx")
    if not out.parent.is_dir():
        raise UserError(f"{out}: the folder {out.parent} does not exist")
    with disk_named(out.parent), tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        full = path = Path(folder) / "fp32.onnx"
        model = to_onnx(network)
        if statistics is not None:
            put_into_graph(model, statistics)
        _write(full, model, replace(card, precision="fp32"), network.description)
        check_parity(network, full, out.name, statistics)
        if card.precision in MAX_LOSS:
            assert examples is not None  # noqa: S101 - refused above, which mypy does not see
            path = full.with_name("reduced.onnx")
            model = _reduced(network, model, card.precision, examples)
            _write(path, model, card, None)
            check_batches(path, network, out.name)
        if examples is not None:
            card = replace(card, scores=card.scores | _measure(path, full, card.precision, examples, out.name))
            _write(path, model, card, network.description if path == full else None)
        os.replace(path, out)
    flush_folder(out.parent)
    return card


def to_onnx(network: Network) -> onnx.ModelProto:
    """The graph from ``images`` uint8 [N, H, W, 3] to ``embeddings`` float32 [N, D], N free.

    Weights keep their names, and batch norms stay by themselves, so that `models.onnx_weights` finds a network in its
    file; ONNX Runtime folds them when it loads one.
    """
    example = torch.zeros(2, network.height, network.width, 3, dtype=torch.uint8)
    with _silence():
        program = torch.onnx.export(
            _Embedding(network).eval(),
            (example,),
            input_names=["images"],
            output_names=["embeddings"],
            dynamic_shapes={"images": {0: torch.export.Dim("N", min=1, max=4096)}},
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
            optimize=False,
        )
        assert program is not None  # noqa: S101 - None is for the older exporter; for mypy
        optimizer.fold_constants(program.model, should_fold=_not_of_weights)
        optimizer.remove_unused_nodes(program.model)
    model: onnx.ModelProto = program.model_proto
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]  # stack traces, with the paths of this machine
    return model


def check_parity(network: Network, path: Path, name: str, statistics: CameraStatistics | None = None) -> None:
    """Compare the file with the network, at several batch sizes, on noise and on images that look like pictures.

    Args:
        statistics: of cameras, if the file has them; each is compared.

    Raises:
        ReidappError: some cosine is below 0.9999; with the batch size and the value.
    """
    if statistics is None:
        _check_parity(network, open_session(path, provider="cpu"), name)
        return
    network = copy.deepcopy(network)
    for row, camera in enumerate(["unknown", *statistics.cameras]):
        statistics.put_into(network, row)
        _check_parity(network, open_session(path, provider="cpu", camera=row), f"{name}, camera {camera}")


def _check_parity(network: Network, session: Any, name: str) -> None:
    rng = np.random.default_rng(0)
    for size in BATCHES:
        for kind, images in (("noise", _noise(rng, size, network)), ("smooth images", _smooth(rng, size, network))):
            with torch.inference_mode():
                expected = network.embed(torch.from_numpy(images)).numpy()
            got = session.run(["embeddings"], {"images": images})[0]
            cosine = float((expected * got).sum(1).min()) if got.shape == expected.shape else float("nan")
            lengths_off = float(np.abs(np.linalg.norm(got, axis=1) - 1).max())
            if not (cosine >= MIN_COSINE and lengths_off < 1e-3):
                raise ReidappError(
                    f"{name}: not exported: ONNX Runtime and torch disagree at batch size {size} on {kind} "
                    f"(cosine {cosine:.6f}, at least {MIN_COSINE} needed)"
                )


def check_batches(path: Path, network: Network, name: str) -> None:
    """An image has the same embedding, of length one, in batches of any size.

    Raises:
        ReidappError: some cosine is below 0.9999; with the batch size and the value.
    """
    session = open_session(path, provider="cpu")
    images = _smooth(np.random.default_rng(0), 2 * max(BATCHES), network)
    expected = session.run(["embeddings"], {"images": images})[0]
    for size in BATCHES:
        got = session.run(["embeddings"], {"images": images[:size]})[0]
        cosine = float((expected[:size] * got).sum(1).min())
        if not (cosine >= MIN_COSINE and np.abs(np.linalg.norm(got, axis=1) - 1).max() < 1e-3):
            raise ReidappError(f"{name}: not exported: embeddings change with the batch size {size} ({cosine:.6f})")


def _reduced(network: Network, model: onnx.ModelProto, precision: str, examples: Examples) -> onnx.ModelProto:
    if precision == "fp16":
        return fused(to_onnx(in_fp16(network)))
    images = np.stack([resize(crop, network.height, network.width) for crop in examples.crops()])
    with _silence():
        return to_int8(model, images)


def _not_of_weights(node: Any) -> bool | None:
    """For the exporter: a transposed weight would be one without its name."""
    return False if any(value is not None and value.is_initializer() for value in node.inputs) else None


def _measure(path: Path, full: Path, precision: str, examples: Examples, name: str) -> dict[str, dict[str, float]]:
    """Scores of the file, and of fp16 and int8 how far they are from the file in fp32.

    Raises:
        ReidappError: they lose more mAP than allowed.
    """
    scores = examples.score(path)
    found = {scores.protocol: {key: round(getattr(scores, key), 6) for key in ("rank1", "rank5", "mAP", "mINP")}}
    if precision not in MAX_LOSS:
        return found
    before = examples.score(full).mAP
    if not before - scores.mAP <= MAX_LOSS[precision]:
        raise ReidappError(
            f"{name}: not exported: {precision} loses {100 * (before - scores.mAP):.2f} points of mAP "
            f"({before:.2%} in fp32, {scores.mAP:.2%} in {precision}; at most {100 * MAX_LOSS[precision]:.1f} allowed)"
            "; try another --precision, or a larger --data, whose mAP depends less on single images"
        )
    crops = examples.crops()
    cosines = (Embedder(full).embed(crops) * Embedder(path).embed(crops)).sum(1)
    found["against fp32"] = {
        "mAP_loss": round(before - scores.mAP, 6),
        "cosine": round(float(cosines.mean()), 5),
        "least_cosine": round(float(cosines.min()), 5),
        "queries": scores.queries,
    }
    return found


def _write(path: Path, model: onnx.ModelProto, card: ModelCard, description: Description | None) -> None:
    facts = {} if description is None else {DESCRIPTION_KEY: json.dumps(description)}
    onnx.helper.set_model_props(model, {METADATA_KEY: card.to_json()} | facts)
    write_flushed(path, model.SerializeToString())


class _Embedding(nn.Module):
    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network.embed(images)


def _noise(rng: np.random.Generator, size: int, network: Network) -> np.ndarray:
    return rng.integers(0, 256, (size, network.height, network.width, 3), dtype=np.uint8)


def _smooth(rng: np.random.Generator, size: int, network: Network) -> np.ndarray:
    """Blobs of colour, enlarged: neighbouring pixels resemble each other, as in pictures."""
    small = rng.integers(0, 256, (size, 8, 4, 3), dtype=np.uint8)
    return np.stack([resize(image, network.height, network.width) for image in small])


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """torch's exporter prints its progress and warns about its own parts."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
