import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from reidapp.footage.pipeline import cores, in_order


def chunk_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("chunk")]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_come_in_the_order_of_the_jobs(workers: int) -> None:
    def work(job: int) -> int:
        time.sleep(0.01 * (job % 3))
        return job * job

    given = [(job, result()) for job, result in in_order(work, range(20), workers, threading.Event())]
    assert given == [(job, job * job) for job in range(20)]
    assert chunk_threads() == []


def test_jobs_are_taken_as_there_is_room() -> None:
    taken, given = 0, 0

    def jobs() -> Iterator[int]:
        nonlocal taken
        for taken in itertools.count(1):
            assert taken - given <= 2 * 3
            yield taken

    with closing(in_order(lambda job: job, jobs(), 3, threading.Event())) as results:
        for given, _ in itertools.islice(results, 50):  # noqa: B007
            pass
    assert given == 50
    assert chunk_threads() == []


def test_a_fault_is_raised_where_its_result_is_asked_for_and_the_rest_goes_on() -> None:
    def work(job: int) -> float:
        return 1 / (job - 2)

    results = [result for _, result in in_order(work, range(4), 2, threading.Event())]
    with pytest.raises(ZeroDivisionError):
        results[2]()
    assert results[3]() == 1.0


def test_closed_early_it_stops_what_is_at_work() -> None:
    stop = threading.Event()
    begun: list[int] = []

    def work(job: int) -> int:
        begun.append(job)
        if job:
            stop.wait(60)
        return job

    started = time.monotonic()
    with closing(in_order(work, itertools.count(), 2, stop)) as results:
        next(results)
    assert time.monotonic() - started < 30
    assert len(begun) <= 5
    assert chunk_threads() == []


def test_whoever_waits_is_called() -> None:
    told: list[str] = []
    release = threading.Event()

    def waiting() -> None:
        told.append(threading.current_thread().name)
        release.set()

    assert [result() for _, result in in_order(lambda _: release.wait(60), [0], 1, threading.Event(), waiting)] == [
        True
    ]
    assert set(told) == {threading.current_thread().name}


def test_cores() -> None:
    assert cores() >= 1
