"""Opening a recording on trial, in a process of its own.

An assertion in FFmpeg ends the process that opens certain damaged transport streams (`libavformat/demux.c`: H.264
announced for a stream that has begun as something else). Such a file is to be named, and nothing else lost.

A process that has opened a file is asked about the next: starting one takes ten times as long as opening a file.
"""

import atexit
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from reidapp.errors import ReidappError

_TRIALS = 2  # a process may have been ended from outside; one that was just begun, by the file
_REMEMBERED = 100_000  # files


def survivable(path: Path, options: Mapping[str, str]) -> bool:
    """Whether a process that opens a file by `av.open` lives on. Whether it is a recording, is not said.

    Raises:
        OSError: the file is not there.
        ReidappError: no process can be started.
    """
    stat = path.stat()
    return _survivable(json.dumps([str(path.absolute()), dict(options)]), stat.st_size, stat.st_mtime_ns)


@lru_cache(_REMEMBERED)
def _survivable(asked: str, size: int, mtime_ns: int) -> bool:
    for _ in range(_TRIALS):
        trial = _idle_one() or _Trial()
        if trial.survives(asked):
            _idle.append(trial)
            return True
    return False


def _idle_one() -> "_Trial | None":
    try:
        return _idle.pop()
    except IndexError:  # or another thread took the last one just now
        return None


class _Trial:
    """A process that opens files; it ends with this one, however this one ends."""

    def __init__(self) -> None:
        try:
            self._process = subprocess.Popen(  # noqa: S603 - no shell; this program itself
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        except OSError as error:
            raise ReidappError(f"no process can be started to open recordings in ({error.strerror})") from error
        if not self._answered():  # what it lacks is no fault of a recording
            raise ReidappError("the process that opens recordings on trial ends at once; `reidapp doctor` may say why")

    def survives(self, asked: str) -> bool:
        """Whether it lives on; otherwise it is no longer of use."""
        assert self._process.stdin  # noqa: S101 - a pipe, see above; for mypy
        with suppress(BrokenPipeError):  # it was ended from outside; then it does not answer
            self._process.stdin.write(asked.encode() + b"\n")
            self._process.stdin.flush()
        return self._answered()

    def end(self) -> None:
        self._process.communicate()

    def _answered(self) -> bool:
        assert self._process.stdout  # noqa: S101 - a pipe, see above; for mypy
        answered = bool(self._process.stdout.readline())
        if not answered:
            self.end()
        return answered


_idle: list[_Trial] = []


def _end_all() -> None:
    while _idle:
        _idle.pop().end()


atexit.register(_end_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)  # two processes cannot talk to one


def _main() -> None:
    """Open the files that are asked for, until nobody asks any more."""
    import signal

    import av

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who asks
    if os.name == "posix":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # an end that is expected leaves nothing behind
    print(flush=True)  # it can begin
    for line in sys.stdin:
        path, options = json.loads(line)
        with suppress(Exception):  # who asks opens it next, and says what is wrong
            av.open(path, options=options, metadata_errors="ignore").close()
        print(flush=True)


if __name__ == "__main__":
    _main()
