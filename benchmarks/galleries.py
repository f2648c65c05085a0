"""Galleries of generated footage by the shipped model, as several benchmarks need them."""

from pathlib import Path
from typing import Any

from models import zoo
from reidapp.embedding import Embedder
from reidapp.footage.detection import Detector, open_detector
from reidapp.footage.indexing import find_footage, index_footage
from reidapp.gallery.store import Gallery
from reidapp.settings import IndexSettings

SMALL_WORLD: dict[str, Any] = {"cameras": 4, "people": 12, "seconds": 60, "seed": 5}


def new_gallery(folder: Path) -> tuple[Gallery, Embedder]:
    """An empty one for the shipped model."""
    embedder = Embedder(zoo.path_of(zoo.DEFAULT))
    return Gallery.create(folder, embedder.path, embedder.card, embedder.identity), embedder


def index_into(gallery: Gallery, embedder: Embedder, footage: Path, detector: Detector) -> None:
    """As `reidapp index` does it by default."""
    settings = IndexSettings(zone="UTC")
    index_footage(find_footage(footage, settings), gallery, embedder, detector, settings)


def index_with_shipped(footage: Path, folder: Path, detector: str) -> tuple[Gallery, Embedder]:
    """A new gallery of some footage, by the shipped model."""
    finder = open_detector(detector)  # before there is a folder
    gallery, embedder = new_gallery(folder)
    index_into(gallery, embedder, footage, finder)
    return gallery, embedder
