"""Wall time of `reidapp --help`, start of the interpreter included. Goal: a median under 0.5 s.

The processor's time stands beside it: where it is far less, other work on the machine was measured too.

    python -m benchmarks.help_time > docs/results/help_time.json
"""

import json
import os
import statistics
import subprocess
import sys
import time

from benchmarks.machine import machine

RUNS = 9
LIMIT_S = 0.5


def processor_s() -> float:
    """What the children that have ended used."""
    times = os.times()
    return times.children_user + times.children_system


def main() -> None:
    command = [sys.executable, "-m", "reidapp", "--help"]
    subprocess.run(command, check=True, capture_output=True)  # compiles the modules and warms the disk cache
    runs, processor = [], []
    for _ in range(RUNS):
        start, before = time.perf_counter(), processor_s()
        subprocess.run(command, check=True, capture_output=True)
        runs.append(time.perf_counter() - start)
        processor.append(processor_s() - before)
    median = statistics.median(runs)
    result = {
        "benchmark": "help_time",
        "median_s": round(median, 3),
        "median_processor_s": round(statistics.median(processor), 3),
        "runs_s": [round(run, 3) for run in runs],
        "limit_s": LIMIT_S,
        "within_limit": median < LIMIT_S,
        "machine": machine(),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
