"""Generated footage and galleries of it by the shipped model, as several benchmarks need them."""

from pathlib import Path
from typing import Any

from models import zoo
from reidapp.embedding import Embedder
from reidapp.footage.detection import Detector, open_detector
from reidapp.footage.indexing import find_footage, index_footage
from reidapp.gallery.store import Gallery
from reidapp.settings import IndexSettings
from training.data.synthetic.footage import write_footage

SMALL_WORLD: dict[str, Any] = {"cameras": 4, "people": 12, "seconds": 60, "seed": 5}


def footage_in(folder: Path, **size: Any) -> Path:
    """Generated footage; what is there is used again, and a run that is stopped leaves none.

    Args:
        size: options of `write_footage`.
    """
    if not folder.is_dir():
        write_footage(folder, **size)
    return folder


def new_gallery(folder: Path, threads: int = 0) -> tuple[Gallery, Embedder]:
    """An empty one for the shipped model.

    Args:
        threads: of the model; 0: as many as there are cores.
    """
    embedder = Embedder(zoo.path_of(zoo.DEFAULT), threads=threads)
    return Gallery.create(folder, embedder.path, embedder.card, embedder.identity), embedder


def index_into(gallery: Gallery, embedder: Embedder, footage: Path, detector: Detector, sampling: str = "2fps") -> None:
    """As `reidapp index` does it by default."""
    settings = IndexSettings(zone="UTC", sampling=sampling)
    index_footage(find_footage(footage, settings), gallery, embedder, detector, settings)


def index_with_shipped(footage: Path, folder: Path, detector: str) -> tuple[Gallery, Embedder]:
    """A gallery of some footage, by the shipped model; one that is there goes on."""
    finder = open_detector(detector)  # before there is a folder
    gallery, embedder = new_gallery(folder)
    index_into(gallery, embedder, footage, finder)
    return gallery, embedder
