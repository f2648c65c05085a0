"""Several jobs at the same time, their results in order."""

import itertools
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")

_LOOK_UP_S = 0.2


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def let_others_go_first() -> None:
    """Give this process, and the threads that it starts from now on, a low priority."""
    if os.name == "nt":
        import ctypes

        below_normal = 0x4000
        kernel = ctypes.windll.kernel32  # type: ignore[attr-defined, unused-ignore]
        kernel.SetPriorityClass(kernel.GetCurrentProcess(), below_normal)
    else:
        os.nice(10)


def in_order(
    work: Callable[[Job], Result],
    jobs: Iterable[Job],
    workers: int,
    stop: threading.Event,
    waiting: Callable[[], None] = lambda: None,
) -> Generator[tuple[Job, Callable[[], Result]]]:
    """Each job with a function that gives its result, or raises what its work raised, in the order of the jobs.

    Threads, since the work is done in libraries that let go of Python's lock. Jobs are taken from ``jobs``, in the
    caller's thread, as there is room for them: no more than twice ``workers`` are begun and not yet given back, so
    memory does not grow with their number. Closed early, it sets ``stop``, which long work should heed, and waits until
    no thread is left.

    Args:
        waiting: called a few times a second, in the caller's thread, while the next result is not there.
    """
    remaining = iter(jobs)
    begun: deque[tuple[Job, Future[Result]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="chunk") as pool:
        try:
            while True:
                for job in itertools.islice(remaining, 2 * workers - len(begun)):
                    begun.append((job, pool.submit(work, job)))
                if not begun:
                    return
                job, future = begun.popleft()
                while not future.done():
                    waiting()
                    wait([future], _LOOK_UP_S)
                yield job, future.result
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
