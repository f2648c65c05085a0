"""Versions of the model that were adapted to a gallery and lie in it, whether or not it was ever moved to them."""

from pathlib import Path

from reidapp.gallery.store import Gallery

FOLDER = "adapted"


def adapted_models(gallery: Gallery) -> dict[str, Path]:
    """{id of the job that made it: ONNX file}, in order of the ids."""
    folder = gallery.path / FOLDER
    quick = {file.stem: file for file in folder.glob("*.onnx")}
    trained = {file.parent.name: file for file in folder.glob("*/model.onnx")}
    return dict(sorted((quick | trained).items()))
