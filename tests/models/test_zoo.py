"""What ships can be told apart: a name with a version is one model for ever."""

import shutil
from pathlib import Path

import pytest

from models import zoo
from reidapp.errors import UserError
from reidapp.model_card import model_identity, read_card


def check_version(version: str, identity: str, known: dict[str, str]) -> None:
    """Fails, and says what to do, unless the version is known as this very model."""
    if version not in known:
        pytest.fail(f'{version} is new: add the line "{version} {identity}" to {zoo.VERSIONS.name}')
    if known[version] != identity:
        pytest.fail(
            f"{version} was another model ({known[version][:8]}, now {identity[:8]}); users tell models apart by it: "
            f"raise VERSION in training/shipped.py, make the file anew, and add its line to {zoo.VERSIONS.name}"
        )


@pytest.mark.parametrize("name", zoo.names())
def test_a_shipped_model_is_the_one_that_its_version_names(name: str) -> None:
    path = zoo.path_of(name)
    card = read_card(path)
    assert card is not None
    assert card.name == name
    check_version(f"{name}/{card.version}", model_identity(path), zoo.versions())


def test_a_model_made_anew_needs_a_version_of_its_own() -> None:
    known = {"small/1": "a" * 64}
    check_version("small/1", "a" * 64, known)
    with pytest.raises(pytest.fail.Exception, match="raise VERSION in training/shipped"):
        check_version("small/1", "b" * 64, known)
    with pytest.raises(pytest.fail.Exception, match=f'add the line "small/2 {"b" * 64}"'):
        check_version("small/2", "b" * 64, known)


def test_no_two_versions_are_one_model() -> None:
    lines = zoo.VERSIONS.read_text().splitlines()
    assert len({line.split()[0] for line in lines}) == len({line.split()[1] for line in lines}) == len(lines)


def test_a_damaged_file_is_refused_by_its_name_and_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in zoo.names():
        shutil.copy(zoo.file_of(name), tmp_path)
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)
    assert zoo.path_of("small") == tmp_path / "small.onnx"
    data = bytearray((tmp_path / "small.onnx").read_bytes())
    data[len(data) // 2] ^= 1  # a weight: it would load, and find other people
    (tmp_path / "small.onnx").write_bytes(data)
    for asked in ("small", str(tmp_path / "small.onnx")):
        with pytest.raises(UserError, match=r"small\.onnx: damaged: its sha256 .*; install reidapp again"):
            zoo.path_of(asked)
    assert zoo.path_of("base") == tmp_path / "base.onnx"
    shutil.copy(tmp_path / "small.onnx", tmp_path / "mine.onnx")
    assert zoo.path_of(str(tmp_path / "mine.onnx")) == tmp_path / "mine.onnx"  # nothing is known of it
