"""Nothing is told to others: libraries that would are kept from it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OPEN = """
from pathlib import Path
import {first}
from reidapp.embedding import Embedder
import numpy as np
Embedder(Path("models/zoo/small.onnx"), batch=1, threads=1).embed([np.zeros((9, 5, 3), np.uint8)])
"""


@pytest.mark.slow
@pytest.mark.parametrize("first", ["reidapp.embedding", "models.precision"])
def test_onnx_runtime_keeps_no_events_to_send(tmp_path: Path, first: str) -> None:
    """It writes them into the home folder until they are sent."""
    told = {name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "CI")}
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / ".cache")}
    subprocess.run([sys.executable, "-c", OPEN.format(first=first)], cwd=ROOT, env=told | home, check=True)
    assert list(tmp_path.rglob("*onnxruntime*")) == []
