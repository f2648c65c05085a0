import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from reidapp.cli import main
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
