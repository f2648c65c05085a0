"""What the benchmarks of scores and re-ranking have in common: made-up embeddings, and other projects' code."""

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

QUERIES, GALLERY, IDENTITIES, CAMERAS = 3_368, 15_913, 751, 6  # of Market-1501's test, without junk


@dataclass(frozen=True)
class Embeddings:
    """Unit rows float32 ``[N, D]``, and whose they are int64 ``[N]``."""

    rows: np.ndarray
    pids: np.ndarray
    camids: np.ndarray


def market_size(dim: int = 512, seed: int = 0) -> tuple[Embeddings, Embeddings]:
    """Query and gallery as large as Market-1501's: a random centre per identity, and much noise about it."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((IDENTITIES, dim), dtype=np.float32)

    def people(count: int) -> Embeddings:
        pids, camids = rng.integers(0, IDENTITIES, count), rng.integers(0, CAMERAS, count)
        rows = centres[pids] + 2.5 * rng.standard_normal((count, dim), dtype=np.float32)
        return Embeddings(rows / np.linalg.norm(rows, axis=1, keepdims=True), pids, camids)

    return people(QUERIES), people(GALLERY)


def load(root: Path, module: str) -> ModuleType:
    """A module of another project, without what its packages' own ``__init__`` would load."""
    parts = module.split(".")
    for depth in range(1, len(parts)):
        package = ModuleType(".".join(parts[:depth]))
        package.__path__ = [str(root.joinpath(*parts[:depth]))]
        sys.modules.setdefault(package.__name__, package)
    return importlib.import_module(module)
