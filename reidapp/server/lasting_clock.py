"""A clock by which what has expired stays so, also when the machine's clock is set back."""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from reidapp.errors import ReidappError

EVERY_S = 60.0  # the latest time is kept, so that few requests wait for a disk
TABLE = "CREATE TABLE latest_time (row INTEGER PRIMARY KEY CHECK (row = 1), at REAL NOT NULL)"


class LastingClock:
    """Seconds since 1970 that never become less, also from one process to the next, to `EVERY_S`.

    After the machine's clock was set back it goes on by the time that passes, so that sessions still end. Safe from
    several threads.

    Args:
        rows: a transaction on an SQLite file that has `TABLE`, to write to.
        clock: seconds since 1970.
        passing: seconds that nobody sets.
    """

    def __init__(
        self,
        rows: Callable[[], AbstractContextManager[sqlite3.Connection]],
        clock: Callable[[], float] = time.time,
        passing: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rows = rows
        self._clock = clock
        self._passing = passing
        self._lock = threading.Lock()
        self._latest, self._at = 0.0, passing()
        self._due = 0.0
        self._known = False  # what was kept

    def now(self) -> float:
        """The latest time that is known, at least.

        A full disk or a busy file later keeps nobody out: the time in memory goes on.

        Raises:
            ReidappError: the file cannot be read or written the first time, so that what was kept is not known.
        """
        with self._lock:
            at = self._passing()
            self._latest, self._at = max(self._clock(), self._latest + at - self._at), at
            if self._latest >= self._due:
                self._keep()
            return self._latest

    def _keep(self) -> None:
        try:
            self._latest = self._kept(self._latest)
            self._known = True
        except ReidappError as error:
            if not self._known:
                raise
            logging.getLogger(__name__).warning("the latest time was not kept: %s", error)
        self._due = self._latest + EVERY_S

    def _kept(self, latest: float) -> float:
        """The time, or what was kept where that is later."""
        with self._rows() as rows:
            kept = rows.execute("SELECT at FROM latest_time").fetchone()
            latest = max(latest, kept["at"] if kept else latest)
            rows.execute("INSERT OR REPLACE INTO latest_time VALUES (1, ?)", [latest])
        return latest
