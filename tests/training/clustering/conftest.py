"""Features of made-up people."""

from collections.abc import Callable

import numpy as np
import pytest

People = Callable[..., tuple[np.ndarray, np.ndarray]]


@pytest.fixture
def people() -> People:
    """``people(counts, dim, noise, seed)``: unit rows float32 about a centre per person, shuffled; and whose."""

    def make(counts: list[int], dim: int = 16, noise: float = 0.5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        pids = rng.permutation(np.repeat(np.arange(len(counts)), counts))
        x = rng.normal(size=(len(counts), dim))[pids] + noise * rng.normal(size=(len(pids), dim))
        return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), pids

    return make
