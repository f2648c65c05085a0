"""What an image costs in training, by how many there are: docs/results/training_size.json.

    python -m benchmarks.training_size --data market_500_251:DIR > docs/results/training_size.json

Steps as in `benchmarks.training_step`, in float32 on one thread; times are the processor's. Smaller sets are the first
identities of the data, larger ones all of them several times over, each time as other people: more images to draw from,
and as many more classes. All sets take turns.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch

from benchmarks.machine import machine, seconds_in_turns
from benchmarks.training_step import BATCH, HEIGHT, SEED, WIDTH, ours, repeat
from training.data.datasets import Record, load_dataset

TIMES = (0.1, 0.3, 1, 3, 10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="KIND:DIR")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=15, help="of each repeat")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    records = load_dataset(arguments.data).train
    rows, runs = [], {}
    for times in TIMES:
        several = as_many(records, times)
        rows.append({"images": len(several), "identities": len({record.pid for record in several})})
        runs[str(times)] = partial(repeat, ours(several, "float32"), arguments.steps)
    seconds = seconds_in_turns(arguments.repeats, runs, time.process_time)
    for row, taken in zip(rows, seconds.values(), strict=True):
        row["ms_per_image"] = round(1000 * statistics.median(taken) / (arguments.steps * BATCH), 3)
    result = {
        "benchmark": "training_size",
        "command": "python -m benchmarks.training_size " + " ".join(sys.argv[1:]).replace(arguments.data, "KIND:DIR"),
        "seed": SEED,
        "batch": BATCH,
        "height": HEIGHT,
        "width": WIDTH,
        "threads": torch.get_num_threads(),
        "rows": rows,
        "machine": machine(),
    }
    print(json.dumps(result, indent=2))


def as_many(records: Sequence[Record], times: float) -> list[Record]:
    """The images of the first identities, or of all of them several times over, as other people each time."""
    people = sorted({record.pid for record in records})
    if times < 1:
        kept = set(people[: round(times * len(people))])
        return [record for record in records if record.pid in kept]
    apart = people[-1] + 1
    return [replace(record, pid=record.pid + copy * apart) for copy in range(int(times)) for record in records]


if __name__ == "__main__":
    main()
