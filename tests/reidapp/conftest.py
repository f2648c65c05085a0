import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from reidapp.cli import main
from reidapp.demo import view_image
from reidapp.truth import Truth
from tests.conftest import World
from tests.reidapp.file_server import Server


@pytest.fixture
def refused_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """``refused_here(code, *arguments)``: the one line with which a command ends, without a process of its own.

    For commands that load torch: a process takes seconds for that.
    """

    def run(code: int, *arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["reidapp", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        assert end.value.code == code, said.err
        assert said.out == ""
        (line,) = [line for line in said.err.splitlines() if line.startswith("reidapp")]
        return line

    return run


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        yield running
        running.awake.set()
        running.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def query(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A crop of person 1 in the first camera."""
    truth = Truth.read(world.footage)
    path = tmp_path_factory.mktemp("query") / "person 1.png"
    Image.fromarray(view_image(world.footage, truth.best_view(1, truth.cameras[0]))).save(path)
    return path
