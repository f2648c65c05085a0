"""From a training run to one ONNX file that carries its own preprocessing and card."""

import contextlib
import io
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from models.network import Network
from models.run_folder import load_network, read_facts
from reidapp.embedding import open_session
from reidapp.errors import ReidappError, UserError
from reidapp.imaging import resize
from reidapp.model_card import METADATA_KEY, ModelCard

BATCHES = (1, 2, 7, 64)
MIN_COSINE = 0.9999
OPSET = 20


def export_run(
    run: Path,
    out: Path,
    *,
    name: str | None = None,
    version: str = "1",
    training_data: str | None = None,
    licence: str = "",
    scores: dict[str, dict[str, float]] | None = None,
    notes: str = "",
) -> ModelCard:
    """Export the network of a run.

    Args:
        run: the run folder.
        out: the ONNX file; there is none, or an old one, until the new one has passed its check.
        name: of the model; the file's stem by default.
        training_data: in words; the run's ``KIND:FOLDER-NAME`` by default.
        scores: {protocol: {rank1, mAP, …}}.

    Raises:
        UserError: not a run, or no epoch in it.
        ReidappError: the exported graph gives other embeddings than the network.
    """
    facts = read_facts(run)
    network = load_network(run)
    kind, _, folder = facts["data"].partition(":")
    card = ModelCard(
        name=name or out.stem,
        version=version,
        height=network.height,
        width=network.width,
        dim=network.dim,
        training_data=training_data if training_data is not None else f"{kind}:{Path(folder).name}",
        recipe=" ".join([facts["recipe"]["name"], *facts["recipe"]["changes"], f"(seed {facts['seed']})"]),
        licence=licence,
        scores=scores or {},
        notes=notes,
    )
    export_network(network, card, out)
    return card


def export_network(network: Network, card: ModelCard, out: Path) -> None:
    """Write a network in evaluation mode to ``out``; the file appears only once it has passed `check_parity`."""
    if not out.parent.is_dir():
        raise UserError(f"{out}: the folder {out.parent} does not exist")
    model = to_onnx(network)
    onnx.helper.set_model_props(model, {METADATA_KEY: card.to_json()})
    descriptor, partial = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.", suffix=".onnx")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(model.SerializeToString())
            file.flush()
            os.fsync(file.fileno())
        check_parity(network, Path(partial), out.name)
        os.chmod(partial, 0o644)
        os.replace(partial, out)
    finally:
        Path(partial).unlink(missing_ok=True)


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
