"""Recordings are taken up as they arrive: a folder is looked through again and again.

By scans alone, since the notices of operating systems do not cross a network.
"""

import math
import os
import threading
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from reidapp.errors import UnavailableError, UserError
from reidapp.files import BusyError
from reidapp.footage.indexing import Footage
from reidapp.footage.report import IndexReport
from reidapp.footage.sources import Skipped, Source, scan
from reidapp.gallery.writer import MovedError
from reidapp.settings import CameraSettings, IndexSettings

EVERY_S = 10.0  # between two looks
QUIET_S = 15.0  # a file that has not changed for so long is complete
_OLD_S = 60.0  # one whose date lies so far back was complete before it was seen
_SCAN_SHARE = 0.1  # of the time is spent on looking, at most
_RETENTION_S = 3600.0  # after so long a pass is made though nothing has come: it deletes what is too old

State = tuple[int, int]
"""Size and mtime_ns."""


class Watcher:
    """Says which files of a folder are complete, and new or changed since they were last taken.

    Whether a file grows is told from two looks at it, not from its date: a network share has a clock of its own.

    Args:
        quiet_s: 0 where files are complete when they appear.

    Raises:
        UserError: the folder is not there.
    """

    def __init__(
        self,
        folder: Path,
        settings: IndexSettings,
        cameras: Mapping[str, CameraSettings] | None = None,
        quiet_s: float = QUIET_S,
    ) -> None:
        if not os.path.exists(folder):
            raise UserError(f"{folder}: no such file or folder")
        self.folder = folder
        self.settings = settings
        self.cameras = cameras or {}
        self.quiet_s = quiet_s
        self._seen: dict[Path, tuple[State, float]] = {}  # since when, by the monotonic clock
        self._taken: dict[Path, State] = {}
        self._named: set[Skipped] = set()
        self._applied: set[str] = set()

    def ready(self) -> Footage:
        """What is to be indexed now. What cannot be is named the first time only.

        Raises:
            UserError: the folder is not there.
        """
        # What is no longer there is forgotten, and taken again should it come back: it may have gone while it was read.
        try:
            found, skipped = scan(self.folder, self.settings.template, self.settings.kind)
        except UserError:
            self._taken.clear()
            raise
        now = time.monotonic()
        self._seen = {source.path: self._last_change(source, now) for source in found}
        self._taken = {path: state for path, state in self._taken.items() if path in self._seen}
        complete = [
            source
            for source in found
            if self._taken.get(source.path) != _state(source) and now - self._seen[source.path][1] >= self.quiet_s
        ]
        news = [entry for entry in skipped if entry not in self._named]
        return Footage(self.folder, complete, news, self.cameras, more_to_come=True, applied=self._applied)

    def taken(self, footage: Footage, unread: Collection[Path] = ()) -> None:
        """Files that are not asked for again before they change, but for those whose disk or share failed: after a
        while these are."""
        now = time.monotonic()
        for source in footage.sources:
            if source.path in unread:
                self._seen[source.path] = _state(source), now
            else:
                self._taken[source.path] = _state(source)
        self._named.update(footage.skipped)

    def _last_change(self, source: Source, now: float) -> tuple[State, float]:
        state, before = _state(source), self._seen.get(source.path)
        if before is not None and before[0] == state:
            return before
        new = before is None and abs(time.time() - source.mtime_ns / 1e9) > _OLD_S
        return state, now - self.quiet_s if new else now


def watch(
    watcher: Watcher,
    index: Callable[[Footage], IndexReport],
    took: Callable[[IndexReport], None],
    say: Callable[[str], None],
    every_s: float = EVERY_S,
    stop: threading.Event | None = None,
) -> IndexReport:
    """Index what is there and what comes, until an interrupt (KeyboardInterrupt), or ``stop`` at the end of a pass.

    A gallery that another process writes to, or has just moved to another model, a database that lets nobody in, and a
    folder that went away are waited for.

    Args:
        took: called with the report of the first pass, and of every other that had something to do.
        say: called with one line when there is something to wait for.

    Returns:
        All passes together.

    Raises:
        UserError: what is said of cameras does not fit the gallery.
        ReidappError: the disk is full, or the gallery is damaged.
    """
    stop = stop or threading.Event()
    total, passes, waiting_for, due = IndexReport(), 0, "", -math.inf
    try:
        while not stop.is_set():
            wait_s, started = every_s, time.monotonic()
            try:
                footage = watcher.ready()
                wait_s = max(every_s, (time.monotonic() - started) / _SCAN_SHARE)
                if footage.sources or footage.skipped or time.monotonic() >= due:
                    report = index(footage)
                    due = time.monotonic() + _RETENTION_S
                    watcher.taken(footage, unread=report.unread)
                    for key in ("notes", "skipped", "unread"):  # each is told once
                        before = getattr(total, key)
                        setattr(report, key, [entry for entry in getattr(report, key) if entry not in before])
                    total.add(report)
                    if report != IndexReport() or not passes:
                        took(report)
                    if report.interrupted:
                        break
                passes, waiting_for = passes + 1, ""
            except (BusyError, MovedError, UnavailableError, UserError) as error:
                if isinstance(error, UserError) and not passes:
                    raise
                if str(error) != waiting_for:
                    waiting_for = str(error)
                    say(waiting_for)
            stop.wait(wait_s)
    except KeyboardInterrupt:
        pass
    return total


def _state(source: Source) -> State:
    return source.size, source.mtime_ns
