"""The same work in this process or in several, with the same results in the same order."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import cv2

Task = TypeVar("Task")
Result = TypeVar("Result")


def _one_thread() -> None:
    cv2.setNumThreads(1)


def spread(function: Callable[[Task], Result], tasks: Sequence[Task], workers: int | None) -> Iterator[Result]:
    """``function`` of each task, in the tasks' order; in this process when one worker is enough."""
    count = min(workers or os.cpu_count() or 1, len(tasks))
    if count <= 1:
        before = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            yield from map(function, tasks)
        finally:
            cv2.setNumThreads(before)
        return
    # Never forked: OpenCV and PyTorch have threads that Python does not see, and a child may wait for their locks.
    with multiprocessing.get_context("spawn").Pool(count, initializer=_one_thread) as pool:
        yield from pool.imap(function, tasks)
