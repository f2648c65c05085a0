"""Chunks analysed on many machines, as tasks of a Ray cluster. Whoever asks collects them; no worker writes a gallery.

Recordings are read by the workers themselves, by the same paths as here. Model and detector travel with the tasks.
"""

import atexit
import functools
import logging
import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import reidapp
from reidapp.embedding import Embedder, Embeds
from reidapp.errors import ReidappError, UserError
from reidapp.footage import detection
from reidapp.footage.analysis import ChunkTask, analyse
from reidapp.footage.detection import Detector
from reidapp.gallery.writer import NewChunk

_LOOK_UP_S = 0.5
_RETRIES = 3  # of a chunk whose worker or machine was lost
_GPU_SHARE = 0.25  # of a worker: decoding takes a core, detection and embedding a part of a GPU
_DEVICES = ("auto", "cpu", "cuda")


class Tools(Protocol):
    """What a worker needs, in a form that can be sent to it."""

    def open(self) -> tuple[Detector, Embeds]:
        """Called once in each worker process."""


@dataclass(frozen=True)
class ModelFiles:
    """A detector and an embedding model, with their files' bytes.

    Attributes:
        detector: its kind.
        detector_file: None for one without a file.
    """

    model: bytes
    detector: str
    detector_file: bytes | None
    provider: str

    @classmethod
    def read(cls, model: Path, detector: str, provider: str) -> "ModelFiles":
        """Of a model's file, and of a detector as `open_detector` has it."""
        name, path = detection.located(detector)
        return cls(model.read_bytes(), name, path.read_bytes() if path else None, provider)

    def open(self) -> tuple[Detector, Embeds]:
        folder = Path(tempfile.mkdtemp(prefix="reidapp-"))  # not only for now: sessions of single cameras come later
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        (folder / "model.onnx").write_bytes(self.model)
        spec = self.detector
        if self.detector_file is not None:
            (folder / "detector.onnx").write_bytes(self.detector_file)
            spec = f"{self.detector}:{folder / 'detector.onnx'}"
        embedder = Embedder(folder / "model.onnx", threads=1, provider=self.provider)
        return detection.open_detector(spec, threads=1, provider=self.provider), embedder


class Cluster:
    """A Ray cluster as a context. Several threads ask it at the same time, each for one chunk.

    A chunk whose worker or machine is lost is analysed again on another. Nothing is reported to Ray's makers.

    Args:
        address: ``auto``, the cluster that this machine belongs to; ``local``, a new one of this machine alone;
            or HOST:PORT of its head.
        device: ``cpu``; ``cuda``, a quarter of a GPU for each chunk; ``auto``, GPUs if the cluster has some.
        cores: of a local one.

    Raises:
        UserError: no such cluster, or one without the GPUs that were asked for.
    """

    def __init__(self, address: str, device: str = "auto", cores: int | None = None) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # before the import, which reads it
        import ray

        if device not in _DEVICES:
            raise UserError(f'unknown device "{device}"; known: {", ".join(_DEVICES)}')
        alone: dict[str, Any] = {"num_cpus": cores, "include_dashboard": False} if address == "local" else {}
        try:
            ray.init(address, logging_level=logging.ERROR, log_to_driver=False, **alone)
        except Exception as error:  # Ray raises that bare, too
            what = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise UserError(
                f"--ray {address}: no cluster that can be used ({what}); `ray status` looks for it"
            ) from error
        there = ray.cluster_resources()
        self.machines = sum(node["Alive"] for node in ray.nodes())
        self.cores, self.gpus = int(there.get("CPU", 0)), int(there.get("GPU", 0))
        if device == "cuda" and not self.gpus:
            ray.shutdown()
            raise UserError(f"--ray {address}: CUDA was asked for, and the cluster has no GPU")
        self.provider = "cuda" if self.gpus and device != "cpu" else "cpu"
        at_once = min(self.cores, int(self.gpus / _GPU_SHARE)) if self.provider == "cuda" else self.cores
        self.workers = 2 * max(1, at_once)  # as many again wait there, so that no machine does, nor one that is new
        share = _GPU_SHARE if self.provider == "cuda" else 0
        self._analyse: Any = ray.remote(num_cpus=1, num_gpus=share, max_retries=_RETRIES)(_analyse)
        self._tools: Any = None

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *raised: object) -> None:
        import ray

        ray.shutdown()

    def __str__(self) -> str:
        gpus = f", {self.gpus} GPUs" if self.provider == "cuda" else ""
        return f"{self.machines} machines, {self.cores} cores{gpus}"

    def send(self, tools: Tools) -> None:
        """Give the workers what they detect and embed with."""
        import ray

        self._tools = ray.put(tools)

    def analyse(self, task: ChunkTask, at: Callable[[float], None]) -> NewChunk:
        """As `analysis.analyse`, on some machine; ``at`` is called with the chunk's start, now and then.

        Raises:
            UserError: the recording cannot be read, or every worker that tried it crashed.
            ReidappError: a machine is not set up for it, or too many were lost.
        """
        import ray

        path = task.path
        coming = self._analyse.remote([self._tools], reidapp.__version__, task)
        try:
            while not ray.wait([coming], timeout=_LOOK_UP_S)[0]:
                at(task.start_s)
            chunk: NewChunk = ray.get(coming)
            return chunk
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, _UnseenError) and not os.access(path, os.R_OK):
                raise UserError(f"{path.name}: went away while it was read") from None
            raise error.cause from None
        except ray.exceptions.WorkerCrashedError:
            raise UserError(f"{path.name}: {_RETRIES + 1} workers crashed while they read it") from None
        except ray.exceptions.RayError as error:
            what = str(error).strip().splitlines()[0]
            raise ReidappError(
                f"{path}: second {task.start_s:.0f} on could not be analysed on the cluster ({what})"
            ) from None
        except BaseException:  # nobody waits for it any longer
            ray.cancel(coming, force=True)
            raise


class _UnseenError(ReidappError):
    """A recording that a worker cannot read where its machine has it."""


def _analyse(tools: list[Any], version: str, task: ChunkTask) -> NewChunk:
    """In a worker process. ``tools`` is a list, for Ray would fetch what it is given bare for every task anew."""
    machine = platform.node()
    if version != reidapp.__version__:
        raise ReidappError(
            f"{machine} has reidapp {reidapp.__version__}, and not {version}; install the same everywhere"
        )
    if not os.access(task.path, os.R_OK):
        raise _UnseenError(f"{task.path}: {machine} cannot read it; its folder must be there by the same path")
    detector, embedder = _opened(tools[0])
    return analyse(task, detector, embedder)


@functools.lru_cache(maxsize=1)
def _opened(tools: Any) -> tuple[Detector, Embeds]:
    import ray

    opened: tuple[Detector, Embeds] = ray.get(tools).open()
    return opened
