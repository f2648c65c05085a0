import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from reidapp.errors import ReidappError, UserError
from reidapp.footage.pipeline import FaultError, StoppedError, blamed_on, cores, in_order, peak_memory_mb


def chunk_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("chunk")]


Check = Callable[[], None]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_are_taken_in_the_order_of_the_jobs(workers: int) -> None:
    def work(job: int, check: Check) -> int:
        time.sleep(0.01 * (job % 3))
        return job * job

    taken: list[tuple[int, int]] = []
    in_order(work, range(20), workers, lambda job, result: taken.append((job, result())))
    assert taken == [(job, job * job) for job in range(20)]
    assert chunk_threads() == []


def test_jobs_are_begun_as_there_is_room() -> None:
    begun, taken = 0, 0

    def jobs() -> Iterator[int]:
        nonlocal begun
        for begun in range(1, 51):
            assert begun - taken <= 2 * 3
            yield begun

    def take(job: int, result: Callable[[], int]) -> None:
        nonlocal taken
        taken = result()

    in_order(lambda job, check: job, jobs(), 3, take)
    assert taken == 50
    assert chunk_threads() == []


def test_a_fault_is_raised_where_its_result_is_asked_for_and_the_rest_goes_on() -> None:
    results: list[Callable[[], float]] = []
    in_order(lambda job, check: 1 / (job - 2), range(4), 2, lambda job, result: results.append(result))
    with pytest.raises(ZeroDivisionError):
        results[2]()
    assert results[3]() == 1.0


def test_what_is_raised_ends_all_that_is_at_work() -> None:
    begun: list[int] = []
    ended: list[int] = []

    def work(job: int, check: Check) -> None:
        begun.append(job)
        try:
            while job:
                check()
                time.sleep(0.01)
        except StoppedError:
            ended.append(job)
            raise

    def take(job: int, result: Callable[[], None]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_order(work, itertools.count(), 2, take)
    assert len(begun) <= 5
    assert sorted(ended) == sorted(set(begun) - {0})
    assert chunk_threads() == []


def test_whoever_waits_is_told() -> None:
    told: list[str] = []
    release = threading.Event()

    def tell() -> None:
        told.append(threading.current_thread().name)
        release.set()

    in_order(lambda job, check: release.wait(60), [0], 1, lambda job, result: told.append(str(result())), tell)
    name = threading.current_thread().name
    assert told[:1] == [name]
    assert told[-2:] == ["True", name]


def test_faults_are_told_apart() -> None:
    with pytest.raises(FaultError, match=r"^a could not be analysed \(ValueError: bad shape\)$"), blamed_on("a"):
        raise ValueError("bad shape")
    for error in (UserError("gone"), StoppedError()):
        with pytest.raises(type(error)) as raised, blamed_on("a"):
            raise error
        assert raised.value is error
    for error in (MemoryError(), RuntimeError("CUDA out of memory")):
        with pytest.raises(ReidappError, match="could not be analysed") as raised, blamed_on("a"):
            raise error
        assert not isinstance(raised.value, FaultError)


def test_cores() -> None:
    assert cores() >= 1


@pytest.mark.slow
def test_the_peak_of_memory_is_this_process_own() -> None:
    held = np.ones(300_000_000, np.uint8)
    code = "from reidapp.footage.pipeline import peak_memory_mb; print(peak_memory_mb())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(other.stdout) < 300 < peak_memory_mb()
    assert held[-1]
