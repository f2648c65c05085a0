"""A copy of a gallery's vectors in Milvus, where searches find what may be best; what it is, the shards say.

A row of the copy has four fields, and nothing that can change while its vector stays: cameras, clocks and tracklets are
asked of the gallery alone, so a corrected clock leaves the copy as it is.

    id        int64: the crop's 64 bits; the primary key
    block     int64: its chunk and the state of that, from which rows may have been deleted
    position  int64: within the block. A block's first row is written last, so where that is, all of them are
    vector    float32 [D], the stored fp16 row; FLAT index, inner product

The copy can be made anew from the shards at any time. Blocks that it lacks are searched here, blocks that the gallery
no longer has are not looked at, and all rows that it finds are scored from the shards: hits, scores and ties are those
of `ExactIndex`.
"""

import importlib.util
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from reidapp.errors import ReidappError, UserError
from reidapp.gallery.coarse import Coarse
from reidapp.gallery.nearest import ExactIndex, Found, decoded, float_error
from reidapp.gallery.seals import Seals

VECTORS, COLLECTION = "vectors", "collection"  # settings: the address, and what the names of the collections begin with
TOKEN = "REIDAPP_MILVUS_TOKEN"  # noqa: S105 - in the environment; never stored

_PORT = 19530
_TIMEOUT_S, _SLOW_S = 30, 600  # of questions; of what a server does with all that it has
_MOST = 16_384  # rows that one question may ask for
_READ = 10_000  # rows that are listed at once, or numbers in an expression
_WRITTEN = 8 << 20  # bytes of vectors that are sent at once; a server takes 64 MB
_FIELDS = {"id", "block", "position", "vector"}

Progress = Callable[[float, float, str], None]
"""Called with rows copied, rows to copy, and where to."""


def checked(address: str) -> str:
    """An address as it is kept: ``milvus:///folder/file.db`` (Milvus Lite), or ``milvus://host:port/database``;
    ``milvus+https://`` for TLS.

    Raises:
        UserError: it is none.
    """
    parts = urlsplit(address)
    if "@" in parts.netloc:
        host = parts.netloc.rpartition("@")[2]
        raise UserError(f"milvus://…@{host}: leave user and password out, they would be stored; set {TOKEN} instead")
    if _is_file(address) and parts.path.endswith(".db"):
        return f"milvus://{Path(parts.path).resolve()}"
    with suppress(ValueError):  # of a port
        if parts.scheme in ("milvus", "milvus+https") and parts.hostname and not parts.hostname.endswith(".db"):
            return f"{parts.scheme}://{parts.hostname}:{parts.port or _PORT}{parts.path.rstrip('/')}"
    raise UserError(
        f'"{address}": no address of vectors; give milvus:///folder/file.db (Milvus Lite, with three slashes), '
        "milvus://host:19530/database, or faiss"
    )


def collection_of(settings: Mapping[str, str], erasures: str, model_id: str, dim: int) -> "Collection | None":
    """Where a gallery's settings say that a model's vectors are copied to; None: nowhere."""
    if VECTORS not in settings:
        return None
    return Collection(settings[VECTORS], f"{settings[COLLECTION]}_{model_id[:16]}", erasures, dim)


def collections(address: str, prefix: str) -> list[str]:
    """The collections whose names begin so."""
    with _said(address):
        return [name for name in _client(address).list_collections() if name.startswith(prefix)]


def drop(address: str, name: str) -> None:
    """Take a collection away with all that is in it."""
    with _said(address):
        _client(address).drop_collection(name, timeout=_TIMEOUT_S)


@dataclass
class Collection:
    """The copy of one model's vectors.

    Attributes:
        base: what its name begins with.
        erasures: the gallery's count of them; what was known before one is asked for again.
    """

    address: str
    base: str
    erasures: str
    dim: int
    _known: frozenset[int] = field(default=frozenset(), init=False, compare=False)
    _changed: bool = field(default=False, init=False, compare=False)

    @property
    def renewed(self) -> bool:
        """Whether each erasure begins another: Milvus Lite keeps deleted vectors while their collection is there."""
        return _keeps_deleted(self.address)

    @property
    def name(self) -> str:
        """What Milvus calls it."""
        return f"{self.base}_{self.erasures or 0}" if self.renewed else self.base

    def make(self) -> bool:
        """Make it where it is not there, or see to it that it can be searched; those of before an erasure go. Returns
        whether it was made."""
        for name in collections(self.address, self.base):
            if name != self.name:
                drop(self.address, name)
        if self._is_there():
            with _said(self.address):
                _client(self.address).load_collection(self.name, timeout=_SLOW_S)
            return False

        from pymilvus import DataType, MilvusClient

        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("block", DataType.INT64)
        schema.add_field("position", DataType.INT64)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=self.dim)
        indexes = MilvusClient.prepare_index_params()
        indexes.add_index("vector", index_type="FLAT", metric_type="IP")
        indexes.add_index("block", index_type="INVERTED")
        options = {"consistency_level": "Strong", "timeout": _TIMEOUT_S}
        with _said(self.address):
            _client(self.address).create_collection(self.name, schema=schema, index_params=indexes, **options)
        return True

    def top(self, query: np.ndarray, k: int, wanted: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The k best rows that an expression keeps, best first: their blocks, positions and scores."""
        with _said(self.address):
            (hits,) = _client(self.address).search(
                self.name,
                [query],
                filter=wanted,
                limit=k,
                output_fields=["block", "position"],
                anns_field="vector",
                search_params={"metric_type": "IP"},
                timeout=_TIMEOUT_S,
            )
        rows = [(hit["entity"]["block"], hit["entity"]["position"]) for hit in hits]
        blocks, positions = np.array(rows, np.int64).reshape(-1, 2).T
        return blocks, positions, np.array([hit["distance"] for hit in hits], np.float64)

    def holds(self, blocks: np.ndarray) -> np.ndarray:
        """bool ``[blocks]``: which are there as a whole. Asked only for those that were not there when last asked."""
        if unknown := set(blocks.tolist()) - self._known:
            narrowed = f" and block in {sorted(unknown)}" if len(unknown) < _READ else ""
            self._known |= unknown & self.blocks(narrowed)
        return np.fromiter((block in self._known for block in blocks.tolist()), bool, len(blocks))

    def blocks(self, narrowed: str = "") -> set[int]:
        """All blocks that are there as a whole, or those of them that the rest of an expression keeps."""
        return {row["block"] for row in self._listed(f"position == 0{narrowed}")}

    def rows(self) -> dict[int, int]:
        """{block: how many rows of it are there}."""
        return Counter(row["block"] for row in self._listed(""))

    def counted(self) -> int:
        """How many rows are there."""
        if not self._is_there():
            return 0
        with _said(self.address):
            counted = _client(self.address).query(self.name, filter="", output_fields=["count(*)"], timeout=_TIMEOUT_S)
        return int(counted[0]["count(*)"])

    def write(self, ids: np.ndarray, blocks: np.ndarray, positions: np.ndarray, stored: np.ndarray) -> None:
        """Add the rows of whole blocks, int64 ``[N]`` and fp16 ``[N, D]``, or put them in the place of older ones."""
        columns = zip(ids.tolist(), blocks.tolist(), positions.tolist(), decoded(stored), strict=True)
        rows = [dict(zip(("id", "block", "position", "vector"), row, strict=True)) for row in columns]
        self._changed = True
        with _said(self.address):
            for some in ([row for row in rows if row["position"]], [row for row in rows if not row["position"]]):
                if some:
                    _client(self.address).upsert(self.name, some, timeout=_TIMEOUT_S)

    def remove(self, blocks: Iterable[int]) -> None:
        """Delete the rows of blocks."""
        ordered = sorted(blocks)
        self._known -= frozenset(ordered)
        self._changed = True
        with _said(self.address):
            for i in range(0, len(ordered), _READ):
                wanted = f"block in {ordered[i : i + _READ]}"
                _client(self.address).delete(self.name, filter=wanted, timeout=_TIMEOUT_S)

    def settle(self) -> None:
        """Let what was written be indexed, and what was deleted go from the disk, when Milvus gets to it."""
        if not self._changed:
            return
        self._changed = False
        with _said(self.address):
            _client(self.address).flush(self.name, timeout=_SLOW_S)
            _client(self.address).compact(self.name, timeout=_TIMEOUT_S)

    def _listed(self, wanted: str) -> Iterator[dict[str, Any]]:
        if not self._is_there():
            return
        with _said(self.address):
            rows = _client(self.address).query_iterator(
                self.name, batch_size=_READ, filter=wanted, output_fields=["block"], timeout=_TIMEOUT_S
            )
            while some := rows.next():
                yield from some
            rows.close()

    def _is_there(self) -> bool:
        """
        Raises:
            UserError: it is, but holds something else.
        """
        with _said(self.address):
            if not _client(self.address).has_collection(self.name, timeout=_TIMEOUT_S):
                return False
            fields = _client(self.address).describe_collection(self.name, timeout=_TIMEOUT_S)["fields"]
        dims = {each["name"]: each["params"].get("dim") for each in fields}
        if dims.keys() != _FIELDS or int(dims["vector"] or 0) != self.dim:
            raise UserError(
                f"{self.address}: its collection {self.name} is not one of this gallery's, with vectors of "
                f"{self.dim} numbers; `reidapp gallery vectors --to faiss`, and then to it again, makes another"
            )
        return True


class MilvusIndex(ExactIndex):
    """An exact index whose best rows Milvus finds, as far as it has them.

    Args:
        blocks: int64 ``[B]``, in the rows' order; none is empty.
        rows: int64 ``[B]``, of each.
    """

    def __init__(
        self,
        stretches: Sequence[np.ndarray],
        ids: np.ndarray,
        coded: Sequence[tuple[Coarse, np.ndarray]],
        collection: Collection,
        blocks: np.ndarray,
        rows: np.ndarray,
        seals: Seals | None = None,
    ) -> None:
        super().__init__(stretches, ids, coded, seals)
        self.collection = collection
        self.blocks = blocks
        self._rows = rows
        self._ends = np.cumsum(rows)

    @property
    def lacking(self) -> int:
        """Rows that Milvus does not have."""
        return int(self._rows[~self._held].sum())

    def catch_up(self, there: set[int], progress: Progress = lambda done, total, what: None) -> bool:
        """Make the collection have these blocks and no others. Returns whether there was something to do.

        Args:
            there: the blocks that it had before this index was read.
        """
        wanted = dict(zip(self.blocks.tolist(), self._rows.tolist(), strict=True))
        lacking = np.flatnonzero([block not in there for block in self.blocks.tolist()])
        if unwanted := there - wanted.keys():
            self.collection.remove(unwanted)
        at_once = max(1, _WRITTEN // (4 * self.collection.dim))
        groups = np.flatnonzero(np.diff(np.cumsum(self._rows[lacking]) // at_once)) + 1
        done, total = 0, int(self._rows[lacking].sum())
        for some in np.split(lacking, groups):
            if len(some):
                progress(done, total, self.collection.address)
                rows, positions = self._rows_of(some)
                done += len(rows)
                blocks = np.repeat(self.blocks[some], self._rows[some])
                self.collection.write(self._ids[rows].view(np.int64), blocks, positions, self.stored(rows))
        if unwanted or len(lacking):
            return True
        if self.collection.counted() == len(self._ids):
            return False
        rows_there = self.collection.rows()  # of writers that were killed, or lost with a disk
        self.collection.remove([block for block, rows in rows_there.items() if rows != wanted.get(block)])
        return True

    @property
    def _more(self) -> int:
        return 16  # its bounds are scores, but for rounding

    def _top(self, query: np.ndarray, wanted: int, kept: np.ndarray | None) -> list[Found]:
        found = [self._found(query, min(wanted, _MOST), kept)]
        if self.lacking:
            lacking = np.repeat(~self._held, self._rows)
            found += super()._top(query, wanted, lacking if kept is None else kept & lacking)
        return found

    def _reaching(
        self, query: np.ndarray, least: float, kept: np.ndarray | None, found: Sequence[Found]
    ) -> list[Found]:
        wanted = 8 * max(1, *(len(each.rows) for each in found))
        found = self._top(query, wanted, kept)
        if max(each.rest for each in found) < least:
            return list(found)
        # Milvus does not give as many rows as may be among the best.
        return super()._reaching(query, least, kept, super()._top(query, wanted, kept))

    def _found(self, query: np.ndarray, k: int, kept: np.ndarray | None) -> Found:
        """The best rows that Milvus has of those kept."""
        expression = self._expression(kept)
        if expression is None:
            return Found(np.empty(0, np.int64), np.empty(0))
        blocks, positions, scores = self.collection.top(query, k, expression)
        bounds = scores + float_error(query)
        place = np.searchsorted(self.blocks, blocks, sorter=self._order).clip(max=len(self._order) - 1)
        place = self._order[place]
        known = (self.blocks[place] == blocks) & self._held[place] & (positions < self._rows[place])
        rest = float(bounds[-1]) if len(bounds) == k else -np.inf
        return Found((self._ends[place] - self._rows[place] + positions)[known], bounds[known], rest)

    def _expression(self, kept: np.ndarray | None) -> str | None:
        """What Milvus is to look at, by blocks and, where these are kept in part, by ids; None for nothing."""
        if kept is None:
            return "" if self._held.any() else None
        counts = np.diff(np.cumsum(kept)[self._ends - 1], prepend=0) * self._held
        whole, none = counts == self._rows, counts == 0
        if none.all():
            return None
        partly, _ = self._rows_of(np.flatnonzero(~whole & ~none))
        ids = self._ids.view(np.int64)
        within = {"block": self.blocks[whole], "id": ids[partly[kept[partly]]]}
        without = {"block": self.blocks[none], "id": ids[partly[~kept[partly]]]}
        if sum(map(len, within.values())) <= sum(map(len, without.values())):
            return " or ".join(f"{name} in {each.tolist()}" for name, each in within.items() if len(each))
        return " and ".join(f"{name} not in {each.tolist()}" for name, each in without.items() if len(each))

    def _rows_of(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rows of blocks, and their positions."""
        rows = self._rows[places]
        positions = np.arange(rows.sum()) - np.repeat(np.cumsum(rows) - rows, rows)
        return np.repeat(self._ends[places] - rows, rows) + positions, positions

    @cached_property
    def _held(self) -> np.ndarray:
        return self.collection.holds(self.blocks)

    @cached_property
    def _order(self) -> np.ndarray:
        return np.argsort(self.blocks)


def _is_file(address: str) -> bool:
    """Whether it is Milvus Lite's."""
    return address.startswith("milvus:///")


_keeps_deleted = _is_file


@cache
def _client(address: str) -> Any:
    """
    Raises:
        UserError: the client's package is not there.
    """
    if importlib.util.find_spec("pymilvus") is None:
        raise UserError(f'{address}: pymilvus is not installed; pip install ".[milvus]" in a copy of the repository')
    if _is_file(address) and importlib.util.find_spec("milvus_lite") is None:
        raise UserError(
            f"{address}: milvus-lite is not installed; it needs faiss-cpu, which overwrites faiss-gpu, so in an "
            'environment for it: pip install ".[cpu,milvus-lite]" in a copy of the repository'
        )

    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what it logs, is raised as well
    from pymilvus import MilvusClient

    for name in ("pymilvus", "milvus_lite", "grpc"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    parts = urlsplit(address)
    if _is_file(address):
        return MilvusClient(parts.path)
    scheme = "https" if parts.scheme.endswith("https") else "http"
    given = {"token": os.environ.get(TOKEN, ""), "db_name": parts.path.strip("/"), "timeout": _TIMEOUT_S}
    return MilvusClient(f"{scheme}://{parts.netloc}", **given)


@contextmanager
def _said(address: str) -> Iterator[None]:
    """Faults of Milvus, in one line.

    Raises:
        UserError: the token is wrong.
        ReidappError: it cannot be reached, or does not do what it is asked for.
    """
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith(("pymilvus", "grpc", "milvus_lite")):
            raise
        told = " ".join(str(getattr(error, "message", "") or error).split())
        if re.search(r"\b(un)?auth(\b|entic|oriz)|permission|privilege", told, re.IGNORECASE):
            raise UserError(f"{address}: refused ({told}); set {TOKEN} to user:password or to a key") from error
        if "Open local milvus failed" in told:
            told = "cannot be opened; another process has it open, or its folder is not there, or it cannot be written"
        raise ReidappError(
            f"{address}: {told}. The gallery has all vectors; `reidapp gallery vectors --to faiss` searches without it"
        ) from error
