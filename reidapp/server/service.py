"""What the page and the API ask for: take in a query picture, find the people in it, search the gallery with one."""

import io
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from reidapp.box import Box
from reidapp.embedding import Embedder, Embeds
from reidapp.errors import UserError
from reidapp.footage.detection import Detection, Detector
from reidapp.gallery.search import Searcher, SearchResult
from reidapp.gallery.store import Gallery
from reidapp.imaging import cut, read_image
from reidapp.query import read_query

MAX_QUERY_BYTES = 30_000_000
WHOLE = Box(0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Query:
    """A picture somebody searches with.

    Attributes:
        id: unguessable; whoever knows it may see and use the picture.
        data: the file as it came, kept in memory only.
        width, height: in pixels, upright.
        people: found in the picture, from left to right; empty where the picture is one person's crop, or nobody was
            found.
        is_crop: the picture shows one person and little else, so it is used whole.
    """

    id: str
    data: bytes
    width: int
    height: int
    people: tuple[Detection, ...]
    is_crop: bool

    def image(self) -> np.ndarray:
        return read_image(io.BytesIO(self.data), "query")


class Queries:
    """The query pictures of the last minutes, in memory and nowhere else.

    Args:
        lifetime_s: a picture is forgotten this long after it came or was last used.
        max_bytes: of all pictures together; the oldest go first.
        clock: seconds, for tests.
    """

    def __init__(
        self, lifetime_s: float = 1800, max_bytes: int = 256_000_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.lifetime_s = lifetime_s
        self.max_bytes = max_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[float, Query]] = OrderedDict()

    def add(self, query: Query) -> None:
        with self._lock:
            self._kept[query.id] = (self._clock(), query)
            self._forget()

    def get(self, query_id: str) -> Query:
        """Raises UserError where the picture is gone or never was."""
        with self._lock:
            self._forget()
            if query_id not in self._kept:
                raise UserError("The query picture is no longer kept; give it again.")
            _, query = self._kept[query_id]
            self._kept[query_id] = (self._clock(), query)
            self._kept.move_to_end(query_id)
            return query

    def _forget(self) -> None:
        total = sum(len(query.data) for _, query in self._kept.values())
        for query_id, (used, query) in list(self._kept.items()):
            if total <= self.max_bytes and self._clock() - used <= self.lifetime_s:
                break  # ordered by last use: the rest is younger
            del self._kept[query_id]
            total -= len(query.data)


class SearchService:
    """One gallery with all it takes to search it by picture; safe to call from several threads.

    Args:
        gallery: what is searched.
        embedder: the model that made the gallery's embeddings.
        detector: finds the people in a query picture.
    """

    def __init__(self, gallery: Gallery, embedder: Embeds, detector: Detector) -> None:
        self.gallery = gallery
        self.queries = Queries()
        self._detector = detector
        self._detecting = threading.Lock()  # OpenCV's HOG keeps buffers of its own
        self._searcher = Searcher(gallery, embedder, derive=True)
        self._moving = threading.Lock()

    @property
    def embedder(self) -> Embeds:
        """Of the model that is searched with."""
        return self._searcher.embedder

    @property
    def provider(self) -> str:
        """What the model really runs on, for example ``CPUExecutionProvider``."""
        return str(getattr(self.embedder, "provider", type(self.embedder).__name__))

    def take_query(self, data: bytes, name: str) -> Query:
        """Read a query picture and find the people in it.

        Args:
            data: an image file.
            name: what errors call it.

        Raises:
            UserError: too large, or no image.
        """
        if len(data) > MAX_QUERY_BYTES:
            raise UserError(f"{name}: larger than {MAX_QUERY_BYTES // 1_000_000} MB; make it smaller first")
        image = read_image(io.BytesIO(data), name)
        with self._detecting:
            seen = read_query(image, self._detector)
        height, width = image.shape[:2]
        query = Query(secrets.token_urlsafe(16), data, width, height, tuple(seen.people), seen.is_crop)
        self.queries.add(query)
        return query

    def search(
        self,
        query_id: str,
        box: Box = WHOLE,
        *,
        cameras: Sequence[str] | None = None,
        after: datetime | None = None,
        before: datetime | None = None,
        top: int = 20,
    ) -> SearchResult:
        """Search with the part of a query picture inside ``box``.

        Args:
            query_id: of a picture that ``take_query`` took.
            cameras: only these; all where None or empty.
            after, before: UTC; only tracklets that were visible in between.
            top: at most so many hits.

        Raises:
            UserError: the picture is no longer kept, or an unknown camera.
        """
        crop = cut(self.queries.get(query_id).image(), box)
        searcher = self._current()
        embeddings = searcher.embedder.embed([crop])
        return searcher.search(embeddings, cameras=cameras or None, after=after, before=before, top=top)

    def _current(self) -> Searcher:
        """The searcher with the gallery's model, to which another process may have moved it."""
        with self._moving:
            if self.gallery.model_id != self.embedder.identity:
                self._searcher = Searcher(self.gallery, Embedder(self.gallery.model_file), derive=True)
            return self._searcher
