"""Several jobs at the same time, their results in order."""

import itertools
import os
import re
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from reidapp.errors import ReidappError

Job = TypeVar("Job")
Result = TypeVar("Result")

_LOOK_UP_S = 0.2


class StoppedError(Exception):
    """Work that nobody waits for any longer."""


class FaultError(ReidappError):
    """Work at which a decoder, a detector or a model failed."""


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_memory_mb() -> float:
    """The most that this process has had resident, in 10⁶ bytes."""
    status = Path("/proc/self/status")
    if status.exists() and (found := re.search(r"^VmHWM:\s+(\d+) kB$", status.read_text(), re.MULTILINE)):
        return int(found[1]) * 1024 / 1e6
    import resource

    # Not the first choice: on Linux it begins with the peak of the program that started this one.
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1e6 if sys.platform == "darwin" else most * 1024 / 1e6


def let_others_go_first() -> None:
    """Give this process, and the threads that it starts from now on, a low priority."""
    if os.name == "nt":
        import ctypes

        below_normal = 0x4000
        kernel = ctypes.windll.kernel32  # type: ignore[attr-defined, unused-ignore]
        kernel.SetPriorityClass(kernel.GetCurrentProcess(), below_normal)
    else:
        os.nice(10)


@contextmanager
def blamed_on(what: str) -> Iterator[None]:
    """Whatever a decoder, a detector or a model trips over is a fault of what was analysed; want of memory is none."""
    try:
        yield
    except (ReidappError, StoppedError):
        raise
    except Exception as error:
        scarce = isinstance(error, MemoryError) or "memory" in str(error).lower()
        told = f"{what} could not be analysed ({type(error).__name__}: {error})"
        raise (ReidappError if scarce else FaultError)(told) from error


def in_order(
    work: Callable[[Job, Callable[[], None]], Result],
    jobs: Iterable[Job],
    workers: int,
    take: Callable[[Job, Callable[[], Result]], None],
    tell: Callable[[], None] = lambda: None,
) -> None:
    """Do jobs several at a time, and take their results one after the other, in the order of the jobs.

    Threads, since the work is done in libraries that let go of Python's lock. Jobs are taken from ``jobs``, in the
    caller's thread, as there is room for them: no more than twice ``workers`` are begun and not yet taken, so memory
    does not grow with their number. When something is raised, no thread is left.

    Args:
        work: is given a job, and a function to be called now and then, which ends what nobody waits for any longer.
        take: is given a job, and a function that gives its result, or raises what its work raised; in the caller's
            thread.
        tell: called after each result and, while the next one is not there, a few times a second; in that thread, too.
    """
    stop = threading.Event()

    def check() -> None:
        if stop.is_set():
            raise StoppedError

    remaining = iter(jobs)
    begun: deque[tuple[Job, Future[Result]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="chunk") as pool:
        try:
            while True:
                for job in itertools.islice(remaining, 2 * workers - len(begun)):
                    begun.append((job, pool.submit(work, job, check)))
                if not begun:
                    return
                job, future = begun.popleft()
                while not future.done():
                    tell()
                    wait([future], _LOOK_UP_S)
                take(job, future.result)
                tell()
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
