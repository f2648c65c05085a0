"""What a benchmark ran on and by which command, and what a call costs: wall time, the processor's time, memory."""

import ctypes
import gc
import importlib.metadata
import os
import platform
import statistics
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_PACKAGES = ("numpy", "scipy", "torch", "torchvision", "onnxruntime", "faiss-cpu", "milvus-lite", "opencv-python", "av")


def machine() -> dict[str, Any]:
    """Processor, cores this process may use, load, and the versions that timings depend on."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "load_1min": round(os.getloadavg()[0], 2),
        "system": platform.system(),
        "versions": versions,
    }


def without_folder(word: str) -> str:
    """``yolox:/somewhere/nano.onnx`` → ``yolox:nano.onnx``; a word without a colon stays."""
    name, colon, path = word.partition(":")
    return name + colon + Path(path).name


@dataclass(frozen=True)
class Cost:
    """Medians over the repeats; the memory is the most that any of them took.

    Attributes:
        wall_s: seconds on the clock.
        processor_s: seconds of all threads of this process together.
        memory_mb: peak resident memory above what was held before the call, in 10⁶ bytes.
        runs_s: seconds on the clock of each repeat.
    """

    wall_s: float
    processor_s: float
    memory_mb: float
    runs_s: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def median_of(repeats: int, fn: Callable[[], object]) -> Cost:
    """Call ``fn`` some times and say what one call costs. Warm it up first if it has something to load."""
    return turns(repeats, {"": fn})[""]


def turns(repeats: int, fns: Mapping[str, Callable[[], object]]) -> dict[str, Cost]:
    """`median_of` of several that take turns, so that other work on the machine meets all alike."""
    walls: dict[str, list[float]] = {name: [] for name in fns}
    processors: dict[str, list[float]] = {name: [] for name in fns}
    memories: dict[str, list[float]] = {name: [] for name in fns}
    for _ in range(repeats):
        for name, fn in fns.items():
            with _PeakMemory() as memory:
                wall, processor = time.perf_counter(), time.process_time()
                fn()
                walls[name].append(time.perf_counter() - wall)
                processors[name].append(time.process_time() - processor)
            memories[name].append(memory.above_mb)
    return {
        name: Cost(
            wall_s=round(statistics.median(walls[name]), 4),
            processor_s=round(statistics.median(processors[name]), 4),
            memory_mb=round(max(memories[name]), 1),
            runs_s=tuple(round(wall, 4) for wall in walls[name]),
        )
        for name in fns
    }


def seconds_in_turns(
    repeats: int, fns: Mapping[str, Callable[[], object]], clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds of each call of several that take turns, after one turn to warm up: ``[repeats]`` each.

    Args:
        clock: `time.process_time` for those of the processor, which other work on the machine disturbs less.
    """
    seconds: dict[str, list[float]] = {name: [] for name in fns}
    for _ in range(repeats + 1):
        for name, fn in fns.items():
            began = clock()
            fn()
            seconds[name].append(clock() - began)
    return {name: taken[1:] for name, taken in seconds.items()}


class _PeakMemory:
    """Looks at the resident memory every few milliseconds; `above_mb` is the peak above that at the start."""

    above_mb = 0.0

    def __enter__(self) -> "_PeakMemory":
        gc.collect()
        with suppress(AttributeError, OSError):
            ctypes.CDLL(None).malloc_trim(0)  # else a call may live on what an earlier one freed, and look free itself
        self._before, self._done = resident_mb(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.003):
            self.above_mb = max(self.above_mb, resident_mb() - self._before)


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
