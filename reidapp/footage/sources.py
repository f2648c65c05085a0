"""Which recordings there are: the files below a folder, with what their paths say of them."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from reidapp.errors import UserError
from reidapp.footage.templates import PathReader
from reidapp.imaging import IMAGE_SUFFIXES
from reidapp.settings import Kind

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".avi", ".ts", ".m2ts", ".mts", ".mpg", ".mpeg", ".webm", ".wmv", ".flv", ".3gp"}
    | {".dav"}  # Dahua's
)
SUFFIXES: dict[Kind, frozenset[str]] = {"videos": VIDEO_SUFFIXES, "stills": IMAGE_SUFFIXES, "crops": IMAGE_SUFFIXES}
_THUMBNAILS = "@eaDir"  # Synology keeps small copies of every picture in these folders
_MP4 = frozenset({".mp4", ".m4v", ".mov", ".3gp"})
_HEADERS = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Source:
    """A video, or a picture, as its path describes it.

    Attributes:
        file: below the folder that was asked for, as reports call it.
        written: the start as the path has it; without a zone of its own it is on the camera's clock. None where the
            path does not say.
        start_source: ``template``, ``name``, or ``""`` where the path does not say.
        size: bytes.
    """

    path: Path
    file: str
    camera: str
    written: datetime | None
    start_source: str
    size: int
    mtime_ns: int

    def started(self, created: datetime | None, duration_s: float) -> tuple[datetime, str]:
        """The start and where it comes from: the path, else the container's date, else the file's (its end)."""
        if self.written is not None:
            return self.written, self.start_source
        if created is not None:
            return created, "container"
        return datetime.fromtimestamp(self.mtime_ns / 1e9, UTC) - timedelta(seconds=duration_s), "mtime"


@dataclass(frozen=True)
class Skipped:
    """A file that was left out, and why."""

    file: str
    reason: str


def scan(folder: Path, template: str | None = None, kind: Kind = "videos") -> tuple[list[Source], list[Skipped]]:
    """The videos or pictures below a folder (or the one that ``folder`` is), by list, stat and path alone.

    Args:
        template: of the path below the folder, or a recorder's name; None guesses. See `PathReader`.

    Raises:
        UserError: no such folder, or a template that makes no sense.
    """
    if not os.path.exists(folder):  # unlike pathlib's, False for a share that went away, too
        raise UserError(f"{folder}: no such file or folder")
    base = folder.resolve() if folder.is_dir() else folder.resolve().parent
    reader = PathReader(base, template, of_crops=kind == "crops")
    sources: list[Source] = []
    skipped: list[Skipped] = []
    found = _walk(base, SUFFIXES[kind], skipped) if folder.is_dir() else [_named(folder.resolve().name, folder.stat())]
    for relative, size, mtime_ns in sorted(found, key=lambda entry: entry[0].replace("/", "\0")):  # folder by folder
        if not _is_text(relative):
            skipped.append(Skipped(_shown(relative), "its name is not UTF-8 text; rename it"))
        elif (facts := reader.read(relative)) is None:
            skipped.append(Skipped(relative, f"its path does not fit the template {template}"))
        else:
            said = facts.camera, facts.written, facts.start_source
            sources.append(Source(base / relative, relative, *said, size, mtime_ns))
    return sources, skipped


def may_be_growing(path: Path) -> bool:
    """Whether a video of this form can be opened before it is complete: all but MP4 and its kin in one piece."""
    if path.suffix.lower() not in _MP4:
        return True
    try:
        with path.open("rb") as file:
            return b"mvex" in file.read(_HEADERS)  # the box that announces fragments
    except OSError:
        return False


def _named(relative: str, stat: os.stat_result) -> tuple[str, int, int]:
    return relative, stat.st_size, stat.st_mtime_ns


def _walk(base: Path, suffixes: frozenset[str], skipped: list[Skipped]) -> Iterator[tuple[str, int, int]]:
    """(path below ``base``, size, mtime_ns) of files; links are followed last, and no folder is entered twice."""
    waiting, linked, seen = [""], list[str](), set()
    while waiting or linked:
        below = waiting.pop() if waiting else linked.pop()
        try:
            stat = os.stat(base / below)
            if (stat.st_dev, stat.st_ino) in seen:
                continue
            seen.add((stat.st_dev, stat.st_ino))
            with os.scandir(base / below) as folder:
                entries = list(folder)
        except OSError as error:
            skipped.append(Skipped(_shown(below) or str(base), f"cannot be read ({error.strerror})"))
            continue
        for entry in entries:
            relative = f"{below}/{entry.name}" if below else entry.name
            try:
                if entry.is_dir():
                    if entry.name == _THUMBNAILS or entry.name.startswith("."):  # waste baskets, a program's own
                        continue
                    (linked if entry.is_symlink() else waiting).append(relative)
                elif os.path.splitext(entry.name)[1].lower() in suffixes:
                    if entry.is_file():
                        yield _named(relative, entry.stat())
                    else:
                        what = "a link to nothing" if entry.is_symlink() else "no file that can be read from its start"
                        skipped.append(Skipped(_shown(relative), what))
            except FileNotFoundError:
                continue  # deleted just now
            except OSError as error:  # a link to itself, a share within that went away
                skipped.append(Skipped(_shown(relative), f"cannot be read ({error.strerror})"))


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(name: str) -> str:
    return os.fsencode(name).decode(errors="replace")
