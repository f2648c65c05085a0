"""The command line as a user meets it: exit code, output, the line that says what is wrong.

Commands run in this process, for one of their own takes seconds to load what it needs; `in_a_process` is for what only
that shows, `started` for what is to be interrupted.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from reidapp.cli import main

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {"TZ": "UTC", "COLUMNS": "200"}

Done = subprocess.CompletedProcess[str]


def reidapp(*arguments: object) -> Done:
    """What a command does and says; what is no known fault is raised here, as a process would show its traceback."""
    command, out, err = ["reidapp", *map(str, arguments)], io.StringIO(), io.StringIO()
    code: Any = None
    try:
        with (
            mock.patch.dict(os.environ, ENVIRONMENT),
            mock.patch.object(sys, "argv", command),
            contextlib.chdir(ROOT),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            time.tzset()
            main()
    except SystemExit as end:
        code = end.code
    finally:
        time.tzset()
    return Done(command, code or 0, out.getvalue(), err.getvalue())


def in_a_process(*arguments: object) -> Done:
    command = [sys.executable, "-m", "reidapp", *map(str, arguments)]
    environment = os.environ | ENVIRONMENT
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)


def as_json(*arguments: object) -> dict[str, Any]:
    done = reidapp(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def refused(code: int, *arguments: object) -> str:
    """The one line that says what is wrong."""
    return one_line(code, reidapp(*arguments))


def one_line(code: int, done: Done) -> str:
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("reidapp")]
    assert len(lines) == 1, done.stderr
    return lines[0]


def started(command: Sequence[object], stderr: int) -> "subprocess.Popen[str]":
    """A command at work, that can be interrupted."""
    return subprocess.Popen(
        [sys.executable, "-m", "reidapp", *map(str, command)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


def another_model(path: Path) -> Path:
    """The shipped model with one weight changed."""
    import onnx
    from onnx import numpy_helper

    from models import zoo

    model = onnx.load(zoo.path_of(zoo.DEFAULT))
    weight = next(w for w in model.graph.initializer if w.data_type == onnx.TensorProto.FLOAT and len(w.dims) == 4)
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * 1.01, weight.name))
    onnx.save(model, path)
    return path
