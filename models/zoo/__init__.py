"""The models that ship: ONNX files, each with its card inside."""

import hashlib
from pathlib import Path

from reidapp.errors import UserError
from reidapp.registry import suggestion

FOLDER = Path(__file__).parent
DEFAULT = "small"
VERSIONS = FOLDER / "versions.txt"  # NAME/VERSION and identity of every model that has shipped; lines are only added
PINS = FOLDER / "sha256.txt"  # renewed, where a model was made anew, by: cd models/zoo && sha256sum *.onnx > sha256.txt


def names() -> list[str]:
    """Names of the shipped models."""
    return sorted(p.stem for p in FOLDER.glob("*.onnx"))


def pinned(name: str) -> str | None:
    """The sha256 that a shipped model's file must have."""
    pins = (line.split() for line in PINS.read_text().splitlines())
    return {file: digest for digest, file in pins}.get(f"{name}.onnx")


def versions() -> dict[str, str]:
    """{NAME/VERSION: identity} of every model that has shipped."""
    return dict(line.split() for line in VERSIONS.read_text().splitlines())


def file_of(name: str) -> Path:
    """The file of a shipped model, be it sound or not."""
    return FOLDER / f"{name}.onnx"


def path_of(name_or_path: str) -> Path:
    """The file of a shipped model's name, or the path itself; one that ships has the sha256 that is pinned.

    Raises:
        UserError: neither a shipped model nor a file, or a shipped one that is damaged.
    """
    if name_or_path in names():
        return _sound(file_of(name_or_path))
    if Path(name_or_path).is_file():
        return _sound(Path(name_or_path))
    shipped = ", ".join(names())
    hint = suggestion(name_or_path, names())
    raise UserError(f'model "{name_or_path}": no such file or shipped model{hint}; shipped: {shipped}')


def _sound(path: Path) -> Path:
    expected = pinned(path.stem) if path.resolve().parent == FOLDER.resolve() else None
    if expected and hashlib.sha256(path.read_bytes()).hexdigest() != expected:
        raise UserError(f"{path}: damaged: its sha256 is not the pinned one; install reidapp again")
    return path
