"""Ask a reader many inputs, and say what came of it.

python -m benchmarks.fuzz READER [--inputs 10000] [--minutes M] [--seed 0] [--keep FOLDER] [--into FILE.json]
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.fuzz.harness import READERS, Tally, fuzz, reader_of
from benchmarks.machine import machine


def result_of(reader: str, tally: Tally, seed: int) -> dict[str, Any]:
    """What is kept of a run."""
    reached, lines = (sum(each[i] for each in tally.coverage.values()) for i in (0, 1))
    facts = asdict(tally) | {"seconds": round(tally.seconds), "slowest_s": round(tally.slowest_s, 2)}
    facts["most_mb"] = round(tally.most_mb)
    facts["coverage"] = {
        "share": round(reached / lines, 3),
        **{module: {"reached": hit, "of": of} for module, (hit, of) in tally.coverage.items()},
    }
    return {
        "command": f"python -m benchmarks.fuzz {reader} --inputs {tally.inputs} --seed {seed}",
        "first_parser": reader_of(reader).first_parser,
        **facts,
        "seed": seed,
        "machine": machine(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reader", choices=READERS)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="after which it ends, whatever is left")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="where inputs that found something are kept")
    parser.add_argument("--into", type=Path, help="a file of results, of which this reader's is replaced")
    arguments = parser.parse_args()
    tally = fuzz(arguments.reader, arguments.inputs, arguments.seed, arguments.keep, 60 * arguments.minutes)
    result = result_of(arguments.reader, tally, arguments.seed)
    print(json.dumps(result, indent=1))
    if arguments.into:
        all_of_them = json.loads(arguments.into.read_text("utf-8")) if arguments.into.exists() else {}
        all_of_them |= {arguments.reader: result}
        arguments.into.write_text(json.dumps(dict(sorted(all_of_them.items())), indent=1) + "\n", "utf-8")
    sys.exit(1 if tally.findings else 0)


if __name__ == "__main__":
    main()
