"""Clips of hits, made when they are asked for, and kept for a while."""

import os
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakValueDictionary

from reidapp import files
from reidapp.errors import UserError
from reidapp.footage.clips import write_clip
from reidapp.gallery.blurring import Blurring
from reidapp.gallery.facts import TrackletInfo, VideoInfo
from reidapp.gallery.schema import identifier
from reidapp.gallery.store import Gallery

FOLDER = "clips"  # of a gallery; it goes whenever something is deleted from that
AROUND_S, LONGEST_S = 3.0, 120.0


@dataclass(frozen=True)
class Window:
    """A part of a recording, seconds since it begins."""

    start_s: float
    end_s: float

    @classmethod
    def of(cls, tracklet: TrackletInfo, around_s: float = AROUND_S) -> "Window":
        """A tracklet with some seconds before and after it; of one that is too long the part around its best shot."""
        start_s, end_s = max(0.0, tracklet.start_s - around_s), tracklet.end_s + around_s
        if end_s - start_s > LONGEST_S:
            middle_s = tracklet.best_shot.time_s if tracklet.best_shot else tracklet.start_s
            start_s = min(max(start_s, middle_s - LONGEST_S / 2), end_s - LONGEST_S)
            end_s = start_s + LONGEST_S
        return cls(round(start_s, 3), round(end_s, 3))


@dataclass
class Clips:
    """Makes clips into a folder of the gallery, each once, and keeps those used last.

    Of a gallery that can only be read they are in a temporary folder, which goes with this.

    Args:
        max_bytes: of all clips; the ones not asked for the longest go first.
    """

    gallery: Gallery
    max_bytes: int = 2_000_000_000
    _making: WeakValueDictionary[str, threading.Lock] = field(default_factory=WeakValueDictionary)
    _choosing: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.folder = self.gallery.path / FOLDER
        if not files.writable(self.gallery.path):
            self._temporary = tempfile.TemporaryDirectory(prefix="reidapp-clips-")
            self.folder = Path(self._temporary.name)

    def file(self, video: VideoInfo, window: Window, blurring: Blurring | None) -> Path:
        """The clip's file. One with heads and one without are different files, also when more people are found later.

        Args:
            blurring: of the window's pictures; None leaves them as they are.

        Raises:
            UserError: too long, empty, or the recording cannot be read.
        """
        if not 0 < window.end_s - window.start_s <= LONGEST_S:
            raise UserError(f"clip: longer than 0 and at most {LONGEST_S:.0f} seconds, please")
        name = identifier(video.id, window.start_s, window.end_s, *([blurring.key] if blurring else []))
        path = self.folder / f"{name}.mp4"
        if _used(path):
            return path
        with self._choosing:
            turn = self._making.setdefault(name, threading.Lock())
        with turn:
            if not _used(path):
                path.parent.mkdir(exist_ok=True)
                _write(video.path, path, window, blurring)
                self._make_room(path)
        return path

    def _make_room(self, newest: Path) -> None:
        found = []
        for path in newest.parent.glob("*.mp4"):
            with suppress(FileNotFoundError):
                found.append((path.stat().st_mtime, path.stat().st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= self.max_bytes or path == newest:
                break
            path.unlink(missing_ok=True)
            total -= size


def _write(source: Path, target: Path, window: Window, blurring: Blurring | None) -> None:
    with files.disk_named(Path(target.parent.name)):  # where it is, is nobody's business but the server's
        if blurring is None:
            write_clip(source, target, window.start_s, window.end_s)
        else:
            write_clip(source, target, window.start_s, window.end_s, lambda frame: blurring(frame.image, frame.time_s))


def _used(path: Path) -> bool:
    """Whether a clip is there; if so, it was used now."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True
