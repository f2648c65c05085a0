"""What every command does alike: help, exit code, the line that says what is wrong."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.reidapp.commands import ROOT, in_a_process, one_line, refused


def test_help_names_every_command() -> None:
    text = in_a_process("--help").stdout
    commands = "demo synth train evaluate her export index search serve adapt reembed models doctor gallery"
    for command in commands.split():
        assert f" {command} " in text


def test_version() -> None:
    assert in_a_process("--version").stdout.strip() == "0.1.0"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("missing", "command", "extra"),
    [
        ("torch", ["train", "small", "--data", "folder:people", "--out", "run"], "'.[train]'`"),
        ("torch", ["demo", "--out", "new"], "'.[train]'`"),
        ("faiss", ["search", "--gallery", "gallery", "--image", "query.png"], "'.[cpu]'`"),
    ],
)
def test_a_package_that_is_not_installed_is_named(tmp_path: Path, missing: str, command: list[str], extra: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; from reidapp.cli import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, *command], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"reidapp: {missing} is not installed; ")
    assert extra in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    line = one_line(1, in_a_process("synth", "people", tmp_path / "file" / "people", "--identities", 2))
    assert line.startswith(f"reidapp: {tmp_path / 'file'}")
    assert line.endswith(": Not a directory")


def test_a_negative_seed_is_bad_usage(tmp_path: Path) -> None:
    for command in (["synth", "people", tmp_path / "out"], ["demo", "--out", tmp_path / "out"], ["train", "small"]):
        assert "'--seed'" in refused(2, *command, "--seed", -1)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_bad_usage_is_one_line() -> None:
    bare = in_a_process()
    assert bare.returncode == 2
    assert "Usage: reidapp" in bare.stdout + bare.stderr
    assert one_line(2, in_a_process("evalate")) == "reidapp: No such command 'evalate'. Did you mean 'evaluate'?"
    assert refused(2, "evaluate", "run") == "reidapp evaluate: Missing option '--data'."
    assert refused(2, "train", "small", "--data", "folder:people").startswith("reidapp: train: missing --out RUN (")
    assert refused(2, "train").startswith("reidapp: train: missing RECIPE, --data KIND:DIR, --out RUN (")


@pytest.mark.parametrize("command", [["gallery", "info"], ["serve"], ["gallery", "verify"]])
def test_this_folder_is_called_by_its_name(command: list[str]) -> None:
    assert refused(2, *command, "--gallery", ".").startswith(f"reidapp: {ROOT}: no gallery here")


def test_one_data_set_at_a_time_is_scored() -> None:
    twice = ("--data", "folder:a", "--data", "folder:b")
    assert "--data: 2 data sets given; a model is scored on one" in refused(2, "evaluate", "small", *twice)
    assert "--data: 2 data sets given" in refused(2, "export", "run", "--out", "model.onnx", *twice)
