"""Versions of the model that were adapted to a gallery and lie in it, whether or not it was ever moved to them."""

from pathlib import Path

from reidapp.errors import UserError
from reidapp.gallery.store import Gallery
from reidapp.model_card import ModelCard, read_card

FOLDER = "adapted"


def adapted_models(gallery: Gallery) -> dict[str, tuple[Path, ModelCard]]:
    """{id of the job that made it: (ONNX file, its card)}, in order of the ids; without files that cannot be read."""
    folder = gallery.path / FOLDER
    files = {file.stem: file for file in folder.glob("*.onnx")}  # by adapt --quick
    files |= {file.parent.name: file for file in folder.glob("*/model.onnx")}
    cards = {id_: _card(file) for id_, file in sorted(files.items())}
    return {id_: (files[id_], card) for id_, card in cards.items() if card}


def _card(file: Path) -> ModelCard | None:
    try:
        return read_card(file)
    except (UserError, OSError):
        return None
