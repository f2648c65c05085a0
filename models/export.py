"""From a training run to one ONNX file that carries its own preprocessing and card."""

import contextlib
import io
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from models.network import Network
from models.precision import in_fp16, to_int8
from models.run_folder import load_network, read_facts
from reidapp.embedding import Embedder, open_session
from reidapp.errors import ReidappError, UserError
from reidapp.files import flush_folder, write_flushed
from reidapp.imaging import resize
from reidapp.metrics import RetrievalScores
from reidapp.model_card import METADATA_KEY, ModelCard

BATCHES = (1, 2, 7, 64)
MIN_COSINE = 0.9999
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
    facts = read_facts(run)
    network = load_network(run)
    card = ModelCard(
        name=name or out.stem,
        version=version,
        height=network.height,
        width=network.width,
        dim=network.dim,
        precision=precision,
        training_data=training_data if training_data is not None else _named(facts["data"]),
        recipe=" ".join([facts["recipe"]["name"], *facts["recipe"]["changes"], f"(seed {facts['seed']})"]),
        licence=licence,
        scores=scores or {},
        notes=notes,
    )
    return export_network(network, card, out, examples)


def _named(data: str | list[str]) -> str:
    """The data sets of a run, without the folders they lay in."""
    pairs = [spec.partition(":") for spec in ([data] if isinstance(data, str) else data)]
    return ", ".join(f"{kind}:{Path(folder).name}" for kind, _, folder in pairs)


def export_network(network: Network, card: ModelCard, out: Path, examples: Examples | None = None) -> ModelCard:
    """Write a network in evaluation mode to ``out``, in its card's precision; see `export_run`.

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
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        full = path = Path(folder) / "fp32.onnx"
        model = to_onnx(network)
        _write(full, model, replace(card, precision="fp32"))
        check_parity(network, full, out.name)
        if card.precision in MAX_LOSS:
            assert examples is not None
            path = full.with_name("reduced.onnx")
            model = _reduced(network, model, card.precision, examples)
            _write(path, model, card)
            check_batches(path, network, out.name)
        if examples is not None:
            card = replace(card, scores=card.scores | _measure(path, full, card.precision, examples, out.name))
            _write(path, model, card)
        os.replace(path, out)
    flush_folder(out.parent)
    return card


def to_onnx(network: Network) -> onnx.ModelProto:
    """The graph from ``images`` uint8 [N, H, W, 3] to ``embeddings`` float32 [N, D], N free."""
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
        )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    return model


def check_parity(network: Network, path: Path, name: str) -> None:
    """Compare the file with the network, at several batch sizes, on noise and on images that look like pictures.

    Raises:
        ReidappError: some cosine is below 0.9999; with the batch size and the value.
    """
    session = open_session(path, provider="cpu")
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
        return to_onnx(in_fp16(network))
    images = np.stack([resize(crop, network.height, network.width) for crop in examples.crops()])
    with _silence():
        return to_int8(model, images)


def _measure(path: Path, full: Path, precision: str, examples: Examples, name: str) -> dict[str, dict[str, float]]:
    """Scores of the file, and of fp16 and int8 how far they are from the file in fp32.

    Raises:
        ReidappError: they lose more mAP than allowed.
    """
    scores = examples.score(path)
    found = {scores.protocol: {key: round(getattr(scores, key), 4) for key in ("rank1", "rank5", "mAP", "mINP")}}
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
        "mAP_loss": round(before - scores.mAP, 4),
        "cosine": round(float(cosines.mean()), 5),
        "least_cosine": round(float(cosines.min()), 5),
    }
    return found


def _write(path: Path, model: onnx.ModelProto, card: ModelCard) -> None:
    onnx.helper.set_model_props(model, {METADATA_KEY: card.to_json()})
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
