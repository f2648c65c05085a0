"""Death in the middle of work, as by kill -9: nothing is flushed, closed or told."""

import os
import signal
from typing import Any


def die_at(owner: Any, name: str, call: int, *, after: bool = False) -> None:
    """From now on this process dies when ``owner.name`` is called for the n-th time, or once that call is through."""
    step, calls = getattr(owner, name), 0

    def dying(*args: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        mine = calls  # several may be under way at once
        if mine == call and not after:
            _die()
        result = step(*args, **options)
        if mine == call:
            _die()
        return result

    setattr(owner, name, dying)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
