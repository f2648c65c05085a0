"""Files that make searches fast and can be made again at any time: codes of vectors, and columns of what rows are.

A segment is one file of many blocks (`schema.Block`). It names them with their digests and begins with a digest of
itself, so one that is stale, cut short or damaged is not used; rows that are in no segment are read from the shards and
the database.

    16 bytes   "reidapp-derived2"
    32 bytes   sha256 of all that follows
     8 bytes   length of the header
    header     JSON: name, dtype, shape and place of each array
    arrays     each at a multiple of 64 bytes; the codes are the last
"""

import hashlib
import json
import math
import mmap
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
from sqlalchemy.orm import Session

from reidapp import files
from reidapp.gallery import schema
from reidapp.gallery.coarse import Coarse

SUFFIX = ".derived"
ERASURES = "erasures"  # the setting that `outdate` counts up
_MAGIC = b"reidapp-derived2"
_PLAIN = len(_MAGIC) + 32 + 8


@dataclass(frozen=True)
class Columns:
    """What rows are: uint64 ids of crops and of tracklets (pieces), whose seconds are float64; 0 without a crop."""

    crop: np.ndarray
    piece: np.ndarray
    start_s: np.ndarray
    end_s: np.ndarray

    @classmethod
    def empty(cls, rows: int) -> "Columns":
        """Of rows without a crop."""
        return cls(*(np.zeros(rows, dtype) for dtype in (np.uint64, np.uint64, np.float64, np.float64)))

    def of(self, rows: np.ndarray) -> "Columns":
        """Of some rows, by their places: int ``[N]``."""
        return Columns(*(array[rows] for array in vars(self).values()))

    @classmethod
    def joined(cls, parts: Iterable["Columns"]) -> "Columns":
        """One after the other."""
        each = [vars(cls.empty(0)), *map(vars, parts)]
        return cls(**{name: np.concatenate([part[name] for part in each]) for name in each[0]})


@dataclass(frozen=True)
class Segment:
    """A derived file, open.

    Attributes:
        chunk, digest: uint64 ``[blocks]``, in the rows' order: the chunks' ids, and the first digits of the sha256 of
            their blocks.
        codes: uint8 ``[rows, width]``, memory-mapped, as ``coarse`` made them.
    """

    path: Path
    chunk: np.ndarray
    digest: np.ndarray
    columns: Columns
    coarse: Coarse
    codes: np.ndarray

    @cached_property
    def chunks(self) -> list[str]:
        """The chunks' ids as the database has them."""
        return [f"{chunk:016x}" for chunk in self.chunk.tolist()]

    @classmethod
    def open(cls, path: Path) -> "Segment | None":
        """None for a file that is not whole, or was written by nobody who knows the form.

        Raises:
            OSError: it cannot be read.
        """
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size < _PLAIN:
                return None
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        digest = data[len(_MAGIC) : len(_MAGIC) + 32]
        if data[: len(_MAGIC)] != _MAGIC or hashlib.sha256(data[len(_MAGIC) + 32 :]).digest() != digest:
            return None
        try:
            arrays = _arrays(data)
        except (LookupError, ValueError, TypeError, ArithmeticError, RecursionError):  # anybody can make a digest
            return None
        columns = Columns(*(arrays[name] for name in vars(Columns.empty(0))))
        coarse = Coarse(arrays["basis"], arrays["steps"], float(arrays["longest"]))
        return cls(path, arrays["chunk"], arrays["digest"], columns, coarse, arrays["codes"])

    @classmethod
    def write(
        cls,
        folder: Path,
        chunk: np.ndarray,
        digest: np.ndarray,
        columns: Columns,
        coarse: Coarse,
        codes: Iterable[np.ndarray],
    ) -> Path:
        """Write a segment, whole and flushed, under a name of its own.

        Args:
            codes: of all rows, in pieces, which need not be in memory together.
        """
        arrays = {"chunk": chunk, "digest": digest, **vars(columns)}
        arrays |= {"basis": coarse.basis, "steps": coarse.steps, "longest": np.array(coarse.longest)}
        shapes = {name: (array.dtype.str, array.shape) for name, array in arrays.items()}
        shapes["codes"] = ("|u1", (len(columns.crop), coarse.width))
        places, at = [], 0
        for name, (dtype, shape) in shapes.items():
            places.append((name, dtype, shape, at))
            at += -(-math.prod(shape) * np.dtype(dtype).itemsize // 64) * 64
        header = json.dumps(places).encode()
        header += b" " * (-(_PLAIN + len(header)) % 64)
        pieces = chain(
            [len(header).to_bytes(8, "little"), header],
            (array.tobytes() + bytes(-array.nbytes % 64) for array in arrays.values()),
            (piece.tobytes() for piece in codes),
        )
        path = folder / f"{hashlib.sha256(chunk.tobytes() + digest.tobytes()).hexdigest()[:16]}{SUFFIX}"
        half_made = path.with_name(f"{path.name}.new")
        with half_made.open("wb") as file:
            file.write(_MAGIC + bytes(32))
            told = hashlib.sha256()
            for piece in pieces:
                told.update(piece)
                file.write(piece)
            file.seek(len(_MAGIC))
            file.write(told.digest())
            file.flush()
            os.fsync(file.fileno())
        os.replace(half_made, path)
        files.flush_folder(folder)
        return path


def _arrays(data: memoryview) -> dict[str, np.ndarray]:
    """The arrays of a segment, of the types and shapes that they must have.

    Raises:
        ValueError: they have not, or one of the many errors of a header that says something else.
    """
    start = _PLAIN + int.from_bytes(data[_PLAIN - 8 : _PLAIN], "little")
    arrays = {
        name: np.frombuffer(data, dtype, math.prod(shape), start + at).reshape(shape)
        for name, dtype, shape, at in json.loads(bytes(data[_PLAIN:start]))
    }
    rows, width = arrays["codes"].shape
    blocks, (dim, used) = arrays["chunk"].shape, arrays["basis"].shape
    wanted = {"chunk": ("<u8", blocks), "digest": ("<u8", blocks), "codes": ("|u1", (rows, used + 2))}
    wanted |= {"basis": ("<f8", (dim, width - 2)), "steps": ("<f8", (3,)), "longest": ("<f8", ())}
    wanted |= {name: (array.dtype.str, (rows,)) for name, array in vars(Columns.empty(0)).items()}
    if {name: (array.dtype.str, array.shape) for name, array in arrays.items()} != wanted or len(blocks) != 1:
        raise ValueError(f"not the arrays of a segment: {sorted(arrays)}")
    return arrays


def outdate(session: Session) -> None:
    """Say that committed rows have changed or are gone, so that nobody goes on with what was read of them before."""
    setting = session.get(schema.Setting, ERASURES)
    session.merge(schema.Setting(key=ERASURES, value=str(int(setting.value if setting else 0) + 1)))
