"""A server that is there to be killed: `python -m tests.reidapp.server.killed FOLDER` serves the gallery there.

It prints its address once it listens.
"""

import sys
import time
from pathlib import Path

from fastapi import FastAPI

from models import zoo
from reidapp.embedding import Embedder
from reidapp.gallery.store import Gallery
from reidapp.server.access_folder import AccessFolder
from reidapp.server.app import build_app
from reidapp.server.audit import Audit
from reidapp.server.service import SearchService
from tests.reidapp.server.live import live
from tests.small_gallery import ShirtDetector


def app_of(folder: Path) -> FastAPI:
    """A server of the gallery in a folder, and of its log; everybody gets in."""
    gallery, embedder = Gallery.open(folder / "gallery"), Embedder(zoo.path_of(zoo.DEFAULT))
    audit = Audit(AccessFolder(folder / "gallery-access"))
    return build_app(SearchService(gallery, embedder, ShirtDetector()), audit=audit)


def main(folder: Path) -> None:
    with live(app_of(folder)) as url:
        print(url, flush=True)
        time.sleep(600)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
