"""tools/bootstrap.py: what it says when something is missing, and that it does nothing when nothing is to be done."""

import importlib.util
import json
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "tools" / "bootstrap.py"


@pytest.fixture
def bootstrap(monkeypatch, tmp_path):
    """The module, with its root in an empty folder and every command recorded instead of run."""
    spec = importlib.util.spec_from_file_location("bootstrap", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text("x")
    (tmp_path / ".venv").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EXTRA", raising=False)
    monkeypatch.setattr(module, "ROOT", str(tmp_path))
    monkeypatch.setattr(module, "STAMP", str(tmp_path / ".venv" / "stamp.json"))
    monkeypatch.setattr(module, "require_space", lambda: None)
    monkeypatch.setattr(module, "nvidia_driver", lambda: False)
    monkeypatch.setattr(module, "runs", lambda python: True)
    module.commands = []
    module.present = set()  # distributions that `pip show` finds

    def call(command, **_):
        module.commands.append(" ".join(command[1:]))
        return int("show" in command and command[-1] not in module.present)

    monkeypatch.setattr(module.subprocess, "call", call)
    return module


def start(module, monkeypatch, *extras):
    module.commands.clear()
    monkeypatch.setattr(module.sys, "argv", ["bootstrap.py", *extras])
    module.main()
    return [c for c in module.commands if "uv pip install" in c]


def test_installs_once(bootstrap, monkeypatch):
    assert start(bootstrap, monkeypatch, "train")[0].endswith("-c constraints.txt -e .[cpu,train]")
    assert start(bootstrap, monkeypatch, "train") == []
    assert start(bootstrap, monkeypatch, "train", "dev")[0].endswith(".[cpu,dev,train]")
    assert start(bootstrap, monkeypatch, "train") == []
    assert bootstrap.commands == []


def test_installs_again_when_the_versions_change(bootstrap, monkeypatch, tmp_path):
    start(bootstrap, monkeypatch, "train")
    (tmp_path / "constraints.txt").write_text("y")
    assert start(bootstrap, monkeypatch, "train")


def test_a_new_driver_replaces_the_cpu_variants(bootstrap, monkeypatch):
    start(bootstrap, monkeypatch, "train")
    bootstrap.present = {"onnxruntime", "faiss-cpu"}
    monkeypatch.setattr(bootstrap, "nvidia_driver", lambda: True)
    (install,) = start(bootstrap, monkeypatch, "train")
    assert ".[gpu,train]" in install
    assert "--reinstall-package onnxruntime-gpu" in install
    assert any(c.endswith("onnxruntime faiss-cpu") and "uninstall" in c for c in bootstrap.commands)


def test_an_environment_that_was_moved_is_made_anew(bootstrap, monkeypatch, tmp_path):
    start(bootstrap, monkeypatch, "train")
    stamp = tmp_path / ".venv" / "stamp.json"
    stamp.write_text(json.dumps(json.loads(stamp.read_text()) | {"root": "/elsewhere"}))
    start(bootstrap, monkeypatch, "train")
    assert "-m venv --clear" in bootstrap.commands[0]


def test_an_interrupted_installation_is_not_taken_for_a_finished_one(bootstrap, monkeypatch):
    start(bootstrap, monkeypatch, "train")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(bootstrap, "install", interrupted)
    with pytest.raises(KeyboardInterrupt):
        start(bootstrap, monkeypatch, "train", "dev")
    assert bootstrap.read_stamp() == {}


@pytest.mark.parametrize(
    ("release", "line"),
    [
        ("ID=debian\n", "apt-get install -y libgl1 libglib2.0-0"),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', "apt-get install -y libgl1 libglib2.0-0"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', "dnf install -y mesa-libGL glib2"),
        ("ID=plan9\n", "on Debian: "),
        (None, "on Debian: "),
    ],
)
def test_a_missing_library_is_answered_first_with_one_line(bootstrap, monkeypatch, tmp_path, release, line):
    file = tmp_path / "os-release"
    if release is not None:
        file.write_text(release)
    monkeypatch.setattr(bootstrap.platform, "system", lambda: "Linux")
    monkeypatch.setattr(bootstrap, "loads", lambda name: name != "libGL.so.1")
    monkeypatch.setattr(bootstrap.system_line, "__defaults__", (str(file),))
    with pytest.raises(SystemExit) as stopped:
        start(bootstrap, monkeypatch, "train")
    first, second = str(stopped.value).splitlines()
    assert "missing system libraries: libGL.so.1;" in first
    assert line in second
    assert bootstrap.commands == []


def test_an_old_python_is_told_so(bootstrap, monkeypatch):
    monkeypatch.setattr(bootstrap.sys, "version_info", (3, 10, 4))
    with pytest.raises(SystemExit, match=r"needs 3\.11 or newer: run make with PYTHON=python3"):
        start(bootstrap, monkeypatch, "train")


def test_a_python_without_venv_is_told_so(bootstrap, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ensurepip" else real(name))
    with pytest.raises(SystemExit, match="cannot make virtual environments"):
        start(bootstrap, monkeypatch, "train")


def test_a_wrong_extra_is_named(bootstrap, monkeypatch):
    monkeypatch.setenv("EXTRA", "tpu")
    with pytest.raises(SystemExit, match='EXTRA is "tpu"; it can be cpu or gpu'):
        start(bootstrap, monkeypatch, "train")
