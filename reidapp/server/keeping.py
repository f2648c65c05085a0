"""Retention by itself: a server deletes, each hour, what its galleries keep no longer."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from reidapp import files
from reidapp.gallery.deletion import outdated, planned, retention
from reidapp.gallery.store import Gallery
from reidapp.server.audit import Audit
from reidapp.server.galleries import Galleries
from reidapp.server.job_commands import retention_command
from reidapp.server.jobs import WRITING, Jobs, new_id

EVERY_S, AGAIN_S = 3600.0, 60.0
BY = "reidapp"

_log = logging.getLogger(__name__)


@dataclass
class _Round:
    """Of one gallery: when to look next, and how long to wait where that is too early."""

    due: float
    patience_s: float


class Keeper:
    """Begins a job wherever something is older than its gallery keeps it: when the server starts, and then each hour.

    While another process writes to the gallery it waits, a minute at first and then twice as long each time; so it does
    after a job that has failed. Nothing is remembered but what the gallery has, so a server that was away catches up.

    Args:
        audit: where it is written down, before it is done.
        every_s: between two looks.
        again_s: until the next one at first, where something is left to do.
        clock: seconds, for tests.
    """

    def __init__(
        self,
        galleries: Galleries,
        jobs: Jobs,
        audit: Audit | None = None,
        every_s: float = EVERY_S,
        again_s: float = AGAIN_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._jobs, self._audit = jobs, audit
        self._every_s, self._again_s = every_s, again_s
        self._clock = clock
        now = clock()
        self._rounds = [(service.gallery, _Round(now, again_s)) for _, service in galleries]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="retention", daemon=True)

    def start(self) -> None:
        """Look from now on, in a thread."""
        self._thread.start()

    def close(self) -> None:
        """Look no more, once it has ended the look that it is at."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> float:
        """Look at the galleries whose time has come. Returns the seconds until the next one's has."""
        for gallery, state in self._rounds:
            if self._clock() >= state.due:
                try:
                    done = self._is_kept(gallery)
                except Exception:  # it may be mended, and neither the others nor the next hour are to miss theirs
                    _log.exception("retention of %s", gallery.path.name)
                    done = False
                state.due = self._clock() + (self._every_s if done else state.patience_s)
                state.patience_s = self._again_s if done else min(2 * state.patience_s, self._every_s)
        return max(0.0, min(state.due for _, state in self._rounds) - self._clock())

    def _is_kept(self, gallery: Gallery) -> bool:
        """Whether nothing is left to delete; if there is, a job begins, unless somebody else writes."""
        older = outdated(gallery)
        if older is None or not files.writable(gallery.path) or not planned(gallery, older):
            return True
        if not self._is_busy(gallery):
            asked, id_ = {"days": retention(gallery)}, new_id()
            if self._audit:
                self._audit.add("delete", gallery=gallery.path.name, what="by retention", job=id_)
            self._jobs.begin("retention", gallery.path, BY, asked, retention_command(gallery), id_)
        return False

    def _is_busy(self, gallery: Gallery) -> bool:
        """Whether somebody writes to it, or is to, in this server or elsewhere."""
        mine = (job for job in self._jobs.all(gallery.path) if job.kind in WRITING)
        return any(not job.over for job in mine) or gallery.is_being_written()

    def _work(self) -> None:
        while not self._stop.is_set():
            self._stop.wait(self.look())
