"""Crops to embeddings with ONNX Runtime."""

import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from reidapp.errors import ReidappError, UserError
from reidapp.imaging import resize
from reidapp.model_card import ModelCard, model_identity, read_card

CAMERA = "reidapp.camera"  # the scalar in a graph that says which row of its statistics counts
_NO_CUDA = "CUDA was asked for and does not run here; `reidapp doctor` says why, or use the CPU"
_SESSIONS = 4  # kept; recordings come camera by camera


class Embeds(Protocol):
    """What indexing and search need of an embedder."""

    card: ModelCard
    identity: str

    def embed(self, crops: Sequence[np.ndarray], camera: str | None = None) -> np.ndarray:
        """RGB uint8 crops of any sizes, of one camera or of unknown ones → float32 ``[N, D]``, rows of length one."""


class Embedder:
    """An embedding model in an ONNX file (input ``images`` uint8 ``[N, H, W, 3]`` RGB, output ``embeddings``).

    Every run has the same batch shape, padded if need be: a crop's embedding must not depend on its neighbours, and
    some kernels choose another summation order for another batch size.

    A model may have its batch norms' statistics of several cameras, which its card names: each camera in turn has a
    session of its own, whose statistics ONNX Runtime folds into the convolutions. In the graph, looked up for every
    image, they would make it 1.6 times as slow on a CPU (benchmarks/camera_statistics.py).

    Args:
        path: the ONNX file; its card is in the file's metadata.
        batch: crops per run; 1 for a query's picture.
        threads: of ONNX Runtime on the CPU; 0 takes all cores.
        provider: ``cpu``, ``cuda``, or ``auto`` (CUDA where it runs, else the CPU).

    Raises:
        UserError: no such file, no ONNX, no card, or CUDA asked for and not there.
    """

    def __init__(self, path: Path, batch: int = 16, threads: int = 0, provider: str = "auto") -> None:
        if not path.is_file():
            raise UserError(f"{path}: no such model file")
        self.path = path
        self.batch = batch
        self.identity = model_identity(path)
        self._session_of = functools.lru_cache(_SESSIONS)(lambda camera: open_session(path, threads, provider, camera))
        session = self._session_of(0)
        self.provider: str = session.get_providers()[0]
        card = read_card(path)  # not by the session, which trips over other texts that are none
        if card is None:
            raise UserError(
                f"{path}: an ONNX model without a reidapp model card; `reidapp export` makes one of a run, "
                "and `reidapp models adopt` of a model that was exported elsewhere"
            )
        self.card: ModelCard = card
        self._check_shapes(session)

    def embed(self, crops: Sequence[np.ndarray], camera: str | None = None) -> np.ndarray:
        """Embed crops.

        Args:
            crops: RGB uint8 ``[h, w, 3]``, any sizes.
            camera: which took them all; None, or one that the card does not name, takes the common statistics.

        Returns:
            float32 ``[N, D]``, rows of length one.
        """
        session = self._session_of(1 + self.card.cameras.index(camera) if camera in self.card.cameras else 0)
        height, width = self.card.height, self.card.width
        images = np.zeros((self.batch, height, width, 3), np.uint8)
        embeddings = np.empty((len(crops), self.card.dim), np.float32)
        for start in range(0, len(crops), self.batch):
            part = crops[start : start + self.batch]
            for slot, crop in enumerate(part):
                images[slot] = resize(crop, height, width)
            images[len(part) :] = 0
            try:
                (out,) = session.run(["embeddings"], {"images": images})
            except Exception as error:  # ONNX Runtime raises a class per fault, all directly below Exception
                raise ReidappError(f"{self.path}: the model cannot be run ({str(error).splitlines()[0]})") from error
            embeddings[start : start + len(part)] = out[: len(part)]
        return embeddings

    def _check_shapes(self, session: Any) -> None:
        inputs = {i.name: list(i.shape) for i in session.get_inputs()}
        outputs = {o.name: list(o.shape) for o in session.get_outputs()}
        wanted = [self.card.height, self.card.width, 3]
        if inputs.get("images", [])[1:] != wanted or outputs.get("embeddings", [])[1:] != [self.card.dim]:
            raise UserError(f"{self.path}: the graph ({inputs} → {outputs}) does not fit its card ({wanted})")


def open_session(path: Path, threads: int = 0, provider: str = "auto", camera: int = 0) -> Any:
    """An ONNX Runtime session on the provider asked for; never a silent fall-back from ``cuda`` to the CPU.

    Args:
        path: an ONNX file.
        threads: CPU threads; 0 takes as many as ``OMP_NUM_THREADS`` says, or all cores.
        provider: ``cpu``, ``cuda`` or ``auto``.
        camera: whose statistics a model with statistics of several cameras takes; 0: the common ones.

    Raises:
        UserError: the file is no ONNX model, or CUDA was asked for and does not run here.
    """
    import onnxruntime as ort

    wanted = {"cpu": ["CPUExecutionProvider"], "cuda": ["CUDAExecutionProvider"]}.get(provider)
    if wanted is None and provider != "auto":
        raise UserError(f'unknown device "{provider}"; known: auto, cpu, cuda')
    offered = ort.get_available_providers()
    if provider == "cuda" and "CUDAExecutionProvider" not in offered:
        raise UserError(_NO_CUDA)
    if wanted is None:
        wanted = [p for p in ("CUDAExecutionProvider", "CPUExecutionProvider") if p in offered]
    if "CUDAExecutionProvider" in wanted and hasattr(ort, "preload_dlls"):
        ort.preload_dlls()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or _usual_threads()
    options.log_severity_level = 3
    model = _with_camera(path, camera) if camera else str(path)
    try:
        # With its own fall-back, it would print to standard output and try the same providers again.
        session = ort.InferenceSession(model, options, providers=wanted, enable_fallback=0)
    except Exception as error:  # ONNX Runtime raises a class per fault, all directly below Exception
        raise UserError(f"{path}: not a usable ONNX model ({str(error).splitlines()[0]})") from error
    if provider == "cuda" and session.get_providers()[0] != "CUDAExecutionProvider":
        raise UserError(_NO_CUDA)
    return session


def _usual_threads() -> int:
    """What NumPy, torch and Faiss go by, too; 0: nothing is said. ONNX Runtime does not look there by itself."""
    said = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(said) if said.isdecimal() else 0


def _with_camera(path: Path, camera: int) -> bytes:
    """A model file whose `CAMERA` has another value. Found by its bytes, since the onnx package is not at hand here."""
    number = CAMERA.encode() + b"\x4a\x08"  # of a TensorProto the name, then eight bytes of raw data
    before, found, after = path.read_bytes().partition(number)
    if not found:
        raise UserError(f"{path}: its card names cameras, and the graph has no statistics of them; export it again")
    return before + found + camera.to_bytes(8, "little") + after[8:]
