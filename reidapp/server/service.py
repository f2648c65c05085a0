"""What the page and the API ask for: take in a query picture, find the people in it, search the gallery with one."""

import io
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

import numpy as np

from reidapp.asking import Question, ask, time_of
from reidapp.box import Box
from reidapp.embedding import Embedder, Embeds
from reidapp.errors import UnknownError, UserError
from reidapp.footage.detection import Detection, Detector
from reidapp.gallery.gpu import Copies, Gpu
from reidapp.gallery.search import Searcher, SearchResult
from reidapp.gallery.store import Gallery
from reidapp.imaging import MAX_PIXELS, as_stored, cut, read_image
from reidapp.query import QueryCrop, QueryImage, read_query
from reidapp.query_quality import QueryWarning, quality_warnings
from reidapp.server.clips import Clips

MAX_QUERY_BYTES = 30_000_000
MAX_QUERY_PIXELS = 4 * MAX_PIXELS  # of a request's pictures together, each once
WHOLE = Box(0.0, 0.0, 1.0, 1.0)
_LEAST_SEARCH_BYTES = 100_000  # that a search counts as, besides its crops: ids, mostly

Item = TypeVar("Item")


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
        owner: who gave it, and alone may use it; empty: anybody.
    """

    id: str
    data: bytes
    width: int
    height: int
    people: tuple[Detection, ...]
    is_crop: bool
    owner: str = ""

    def image(self) -> np.ndarray:
        """The picture, decoded: RGB uint8 ``[H, W, 3]``, upright."""
        return read_image(io.BytesIO(self.data), "query")


@dataclass(frozen=True)
class Part:
    """The person who is meant in a kept query picture.

    Attributes:
        query: the picture's id.
        box: around them.
        person: or their number, from 1, left to right; neither where there is no choice.
    """

    query: str
    box: Box | None = None
    person: int | None = None


class Kept(Generic[Item]):
    """Things of the last minutes by unguessable ids, in memory and nowhere else.

    Args:
        gone: the error's text where one is kept no longer.
        lifetime_s: it is forgotten this long after it came or was last used.
        max_size: of all together; the oldest go first.
        size_of: of one.
        clock: seconds, for tests.
    """

    def __init__(
        self,
        gone: str,
        lifetime_s: float = 1800,
        max_size: int = 1000,
        size_of: Callable[[Item], int] = lambda item: 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.gone = gone
        self.lifetime_s = lifetime_s
        self.max_size = max_size
        self._size_of = size_of
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[float, int, Item]] = OrderedDict()  # last use and size; the oldest first
        self._size = 0  # of all

    def keep(self, id_: str, item: Item) -> None:
        """Put one in, or another in its place; the oldest go where it is too much."""
        with self._lock:
            self._put(id_, item)
            self._forget()

    def get(self, id_: str) -> Item:
        """Raises UnknownError where it is gone or never was."""
        return self.change(id_, lambda item: item)

    def change(self, id_: str, changed: Callable[[Item], Item]) -> Item:
        """Put another in its place, made of it, and nobody comes in between.

        Raises:
            UnknownError: it is gone or never was.
        """
        with self._lock:
            self._forget()
            if id_ not in self._kept:
                raise UnknownError(self.gone)
            item = changed(self._kept[id_][2])
            self._put(id_, item)
            return item

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._kept.clear()
            self._size = 0

    def _put(self, id_: str, item: Item) -> None:
        size = self._size_of(item)
        if id_ in self._kept:
            self._drop(id_)
        self._kept[id_] = (self._clock(), size, item)
        self._size += size

    def _drop(self, id_: str) -> None:
        self._size -= self._kept.pop(id_)[1]

    def _forget(self) -> None:
        """What is too old or too much; what stays is not looked at, for that would be thousands at each call."""
        oldest = self._clock() - self.lifetime_s
        while self._kept:
            id_, (used, _, _) = next(iter(self._kept.items()))
            if used >= oldest and self._size <= self.max_size:
                return
            self._drop(id_)


class Queries(Kept[Query]):
    """The query pictures of the last minutes.

    Args:
        lifetime_s: a picture is forgotten this long after it came or was last used.
        max_bytes: of all pictures together; the oldest go first.
        clock: seconds, for tests.
    """

    def __init__(
        self, lifetime_s: float = 1800, max_bytes: int = 256_000_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        gone = "The query picture is no longer kept; give it again."
        super().__init__(gone, lifetime_s, max_bytes, lambda query: len(query.data), clock)

    def add(self, query: Query) -> None:
        """Keep a picture by its id."""
        self.keep(query.id, query)


@dataclass(frozen=True)
class Wanted:
    """A search: whom it is for, and among what.

    Attributes:
        question: whom; answers to hits are in it.
        cameras: names of cameras or groups; None: all, or those that the saved search has.
        after, before: aware.
        top: hits at most.
        rerank, travel_times: see `reidapp.gallery.search.Searcher.search`.
        owner: see `Query`.
    """

    question: Question
    cameras: tuple[str, ...] | None = None
    after: datetime | None = None
    before: datetime | None = None
    top: int = 20
    rerank: bool = False
    travel_times: bool = False
    owner: str = ""

    @property
    def size(self) -> int:
        """In memory, bytes."""
        return _LEAST_SEARCH_BYTES + sum(crop.image.nbytes for crop in self.question.crops)


@dataclass(frozen=True)
class Found:
    """What a search found, and what to tell who asked.

    Attributes:
        filtered: cameras or times were left out.
        refined: answers have changed the query.
        left_out: tracklets that are not shown: those asked with, and those judged.
    """

    result: SearchResult
    warnings: list[QueryWarning]
    filtered: bool
    refined: bool
    left_out: frozenset[str]


class SearchService:
    """One gallery with all it takes to search it by picture; safe to call from several threads.

    Args:
        gallery: what is searched.
        embedder: the model that made the gallery's embeddings; a query is one picture, so with batches of one it is
            many times as fast.
        detector: finds the people in a query picture.
        gpu: that vectors are copied to; None: the processor searches them all.
    """

    def __init__(self, gallery: Gallery, embedder: Embeds, detector: Detector, gpu: Gpu | None = None) -> None:
        self.gallery = gallery
        self.queries = Queries()
        gone = "This search is no longer kept; search again."
        self.searches: Kept[Wanted] = Kept(gone, max_size=256_000_000, size_of=lambda wanted: wanted.size)
        self.clips = Clips(gallery)
        self._detector = detector
        self._detecting = threading.Lock()  # OpenCV's HOG keeps buffers of its own
        self._copies = Copies(gpu) if gpu else None
        self._searcher = Searcher(gallery, embedder, derive=True, copies=self._copies)
        self._moving = threading.Lock()

    @property
    def embedder(self) -> Embeds:
        """Of the model that is searched with."""
        return self._searcher.embedder

    @property
    def provider(self) -> str:
        """What the model really runs on, for example ``CPUExecutionProvider``."""
        return str(getattr(self.embedder, "provider", type(self.embedder).__name__))

    def check(self) -> None:
        """Look whether the gallery can be read and searched.

        Raises:
            ReidappError: it cannot.
        """
        self.gallery.summary()
        self._current()

    def take_query(self, data: bytes, name: str, owner: str = "") -> Query:
        """Read a query picture and find the people in it.

        Args:
            data: an image file.
            name: what errors call it.
            owner: who gives it.

        Raises:
            UserError: too large, or no image.
        """
        if len(data) > MAX_QUERY_BYTES:
            raise UserError(f"{name}: larger than {MAX_QUERY_BYTES // 1_000_000} MB; make it smaller first")
        image = read_image(io.BytesIO(data), name)
        with self._detecting:
            seen = read_query(image, self._detector)
        height, width = image.shape[:2]
        query = Query(secrets.token_urlsafe(16), data, width, height, tuple(seen.people), seen.is_crop, owner)
        self.queries.add(query)
        return query

    def forget(self) -> None:
        """Forget the pictures and searches of the last minutes: they may be of somebody who is to be erased."""
        self.queries.clear()
        self.searches.clear()

    def crops(self, parts: Sequence[Part]) -> list[QueryCrop]:
        """The people who are meant in kept query pictures, each no higher than a gallery's best shots.

        Raises:
            UserError: a picture is no longer kept, or it is not clear who is meant, or they are too large together.
        """
        queries = {part.query: self.queries.get(part.query) for part in parts}
        check_pixels(queries.values())
        found: dict[Part, QueryCrop] = {}
        for id_, query in queries.items():  # one picture after another, each decoded once
            image = query.image()
            found |= {part: _crop(query, image, part) for part in parts if part.query == id_}
        return [found[part] for part in parts]

    def find(self, wanted: Wanted, by: str) -> Found:
        """Search, with all that a question can hold. Nothing is written.

        Args:
            by: who asks.

        Raises:
            UserError: nothing to ask with, or something unknown.
        """
        searcher = self._current()
        asked = ask(self.gallery, searcher.embedder, lambda: self._detector, wanted.question, by)
        kept = asked.filters
        cameras = kept.get("cameras") if wanted.cameras is None else wanted.cameras
        after = wanted.after or time_of(kept.get("after"), "after", self.gallery)
        before = wanted.before or time_of(kept.get("before"), "before", self.gallery)
        result = searcher.search(
            asked.asked.embeddings,
            cameras=cameras,
            after=after,
            before=before,
            top=wanted.top,
            combine=asked.asked.combine,
            without=asked.asked.without,
            partial=asked.asked.partial,
            rerank=wanted.rerank,
            travel_times=wanted.travel_times,
            seen=asked.asked.seen,
        )
        filtered = cameras is not None or bool(after or before)
        return Found(result, asked.warnings, filtered, asked.asked.refined, asked.asked.without)

    def _current(self) -> Searcher:
        """The searcher with the gallery's model, to which another process may have moved it."""
        with self._moving:
            if self.gallery.model_id != self.embedder.identity:
                embedder = Embedder(self.gallery.model_file, batch=1)
                self._searcher = Searcher(self.gallery, embedder, derive=True, copies=self._copies)
            return self._searcher


def check_pixels(queries: Iterable[Query]) -> None:
    """
    Raises:
        UserError: too large together.
    """
    if sum(query.width * query.height for query in queries) > MAX_QUERY_PIXELS:
        limit = MAX_QUERY_PIXELS // 1_000_000
        raise UserError(f"pictures: together more than {limit} megapixels; make them smaller, or give fewer")


def _crop(query: Query, image: np.ndarray, part: Part) -> QueryCrop:
    """A person of a decoded query picture; a copy, as the picture must not stay in memory with it."""
    box, nobody = part.box, False
    if box is None:
        seen = QueryImage(image, list(query.people), query.is_crop)
        crop, nobody = seen.crop(part.person), seen.nobody
        box = query.people[(part.person or 1) - 1].box if query.people else None
    else:
        crop = cut(image, box)
    return QueryCrop(np.array(as_stored(crop)), None, quality_warnings(crop, None if box == WHOLE else box, nobody))
