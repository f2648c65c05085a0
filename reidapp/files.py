"""Files that are whole or not there, and a lock between processes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reidapp.errors import ReidappError


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that a reader, or a power cut, sees either nothing or all of it."""
    half_made = path.with_name(f"{path.name}.new")
    write_flushed(half_made, data)
    os.replace(half_made, path)
    flush_folder(path.parent)


def write_flushed(path: Path, data: bytes) -> None:
    """Write a file and wait until the disk has it."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Wait until the disk has a folder's entries (a renamed file is not safe before that)."""
    if os.name != "posix":
        return  # other systems cannot open a folder to flush it
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def locked(path: Path, busy: str | None = None) -> Iterator[None]:
    """Hold a lock file; it is free again when the process ends, however it ends.

    Args:
        busy: the error's text when another process holds it; without one, wait for it.

    Raises:
        ReidappError: another process holds it.
    """
    import fcntl

    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
        except BlockingIOError as error:
            raise ReidappError(busy or "") from error
        yield
