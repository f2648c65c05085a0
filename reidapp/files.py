"""Files that are whole or not there, a lock between processes, and what is wrong with a disk, in words."""

import errno
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from reidapp.errors import ReidappError, UserError

FULL = "the disk is full; make room there and run the same command again"
READ_ONLY = "can only be read; make it writable for this user, or work on a copy (`reidapp gallery backup` makes one)"
_DISK_FAULTS = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: "the quota is used up; make room there and run the same command again",
    errno.EFBIG: "no file may become larger there; raise that limit and run the same command again",
    errno.EROFS: "the disk can only be read; make it writable, or use another folder",
    errno.EIO: "the disk cannot be read or written; check it",
}
_NETWORK = re.compile(r"(nfs|cifs|smb|afpfs|ncpfs|fuse\.(sshfs|rclone|smbnetfs|glusterfs|s3fs))")
_FINGERPRINT_BYTES = 1 << 20


class BusyError(ReidappError):
    """Another process holds a lock."""


class DiskError(ReidappError):
    """A disk is full or broken."""


def one_line(text: str) -> str:
    """Without line breaks and what terminals obey, which files' names may hold."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


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


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, that a power cut does not take away; one that is there is left alone."""
    if not folder.is_dir():
        make_folder(folder.parent)
        if folder.exists():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
        folder.mkdir(exist_ok=True)
        flush_folder(folder.parent)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A new folder that is there with all that is in it, or not at all: till then what is made has another name.

    One that is there, and empty, is filled where it is, for it may be a disk's, or a link, or have rights of its own;
    it is emptied again if that fails.

    Raises:
        DiskError: as `disk_named`.
    """
    with disk_named(folder):
        if folder.exists():
            try:
                yield folder
            except BaseException:
                empty(folder)
                raise
            return
        make_folder(folder.absolute().parent)
        half_made = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
        half_made.mkdir()
        try:
            yield half_made
            os.sync()
            os.replace(half_made, folder)
        finally:
            shutil.rmtree(half_made, ignore_errors=True)
        flush_folder(folder.absolute().parent)


def empty(folder: Path, but: str = "") -> None:
    """Remove all that is in a folder, but for a file of that name."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != but:
            path.unlink()


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
        BusyError: another process holds it.
    """
    import fcntl

    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
        except BlockingIOError as error:
            raise BusyError(busy or "") from error
        yield


@contextmanager
def disk_named(folder: Path) -> Iterator[None]:
    """A fault of the disk is said with the folder that was to be written; the system names no file where it is full.

    Raises:
        UserError: the disk can only be read.
        DiskError: it is full or broken.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_FAULTS:
            raise
        kind = UserError if error.errno == errno.EROFS else DiskError
        known = error.filename if error.errno == errno.EIO else None  # another disk's, such as a share to read from
        raise kind(f"{known or folder}: {disk_fault(error)}") from error


def disk_fault(error: OSError) -> str:
    """What is wrong with a disk, and how to mend it; of other errors what the system says."""
    return _DISK_FAULTS.get(error.errno or 0, error.strerror or str(error))


def writable(path: Path) -> bool:
    """Whether this user may write to a file or folder, or make it where it is not there, as far as the system tells."""
    there = next(each for each in (path, *path.absolute().parents) if each.exists())
    return os.access(there, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def network_share(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str | None:
    """The kind of network share that a path lies on, such as ``nfs4``; None on a local disk, or where it isn't told."""
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    place, kind = path.resolve(), ""
    deepest = -1
    for line in lines:
        fields, _, rest = line.partition(" - ")
        mounted = Path(re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), fields.split()[4]))
        if place.is_relative_to(mounted) and len(mounted.parts) >= deepest:  # a later mount hides an earlier one
            deepest, kind = len(mounted.parts), rest.split()[0]
    return kind if _NETWORK.match(kind) else None


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder; nothing where there is none. What goes meanwhile does not count."""
    total, waiting = 0, [str(folder)]
    while waiting:
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif entry.is_file():
                        total += entry.stat().st_size
    return total


def fingerprint(path: Path, size: int) -> str:
    """16 hex digits for a file's content up to a size: that, first and last megabyte. A moved recording keeps it."""
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        length = min(size, _FINGERPRINT_BYTES)
        digest.update(file.read(length))
        file.seek(size - length)
        digest.update(file.read(length))
    return digest.hexdigest()[:16]
