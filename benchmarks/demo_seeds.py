"""How often the demo finds the right person: the first hit from another camera, over several seeds.

Every seed has other people, other cameras and another training. The bar: 10 of 12 people on average over three seeds.

    python -m benchmarks.demo_seeds [--seeds 3] [--out FOLDER] > docs/results/demo_seeds.json
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.machine import machine
from reidapp.demo import run_demo


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="keep what the demos make; a temporary folder without")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        out = arguments.out or Path(temporary)
        reports = [run_demo(out / f"seed{seed}", seed=seed, again=True, say=_note) for seed in range(arguments.seeds)]
        runs = [
            {
                "seed": report.seed,
                "right": report.right,
                "right_by_shipped": report.right_by_shipped,
                "people": len(report.found),
                "wrong": [found.person for found in report.found if not found.right],
                "seconds": {step: round(seconds, 1) for step, seconds in report.seconds.items()},
            }
            for report in reports
        ]
    result = {
        "benchmark": "demo_seeds",
        "command": f"python -m benchmarks.demo_seeds --seeds {arguments.seeds}",
        "mean_right": round(statistics.mean(report.right for report in reports), 2),
        "mean_right_by_shipped": round(statistics.mean(report.right_by_shipped for report in reports), 2),
        "shipped": reports[0].shipped,
        "of": len(reports[0].found),
        "runs": runs,
        "machine": machine(),
    }
    print(json.dumps(result, indent=1))


def _note(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    main()
