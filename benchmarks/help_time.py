"""Wall time of `reidapp --help`, start of the interpreter included. Goal: a median under 0.5 s.

python benchmarks/help_time.py > help_time.json
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time

RUNS = 9
LIMIT_S = 0.5


def main() -> None:
    command = [sys.executable, "-m", "reidapp", "--help"]
    subprocess.run(command, check=True, capture_output=True)  # compiles the modules and warms the disk cache
    runs = []
    for _ in range(RUNS):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        runs.append(time.perf_counter() - start)
    median = statistics.median(runs)
    result = {
        "benchmark": "help_time",
        "median_s": round(median, 3),
        "runs_s": [round(run, 3) for run in runs],
        "limit_s": LIMIT_S,
        "within_limit": median < LIMIT_S,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
