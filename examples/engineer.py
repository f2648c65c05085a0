"""Train several recipes with the same budget on the same data, and say which ranks best.

    python examples/engineer.py --data market1501:people --recipes identity triplet --images 16000 --out runs/

Runs that are there already are not trained again, so the table can grow. One seed each: differences of a point or two
may be chance.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True, metavar="KIND:DIR", help="with a query and a gallery set")
    parser.add_argument("--recipes", required=True, nargs="+", help="`reidapp train --list` names them")
    parser.add_argument("--images", type=int, default=16_000, help="training images, counted with repetition")
    parser.add_argument("--out", required=True, type=Path, help="folder of the runs")
    said = parser.parse_args()

    rows = [("small, as shipped", reidapp("evaluate", "small", "--data", said.data))]
    for recipe in said.recipes:
        run = said.out / f"{recipe}-{said.images}"
        if not (run / "run.json").exists():
            budget = ("--small", "--set", f"schedule.images={said.images}", "--seed", 0)
            reidapp("train", recipe, "--data", said.data, "--out", run, *budget)
        rows.append((recipe, reidapp("evaluate", run, "--data", said.data)))
    print("| Recipe | Rank-1 | mAP |\n|---|---|---|")
    for name, scores in sorted(rows, key=lambda row: -row[1]["mAP"]):
        print(f"| {name} | {100 * scores['rank1']:.1f} | {100 * scores['mAP']:.1f} |")


def reidapp(*words: object) -> dict[str, Any]:
    """What a command answers; if it fails, its one line says why, and this program ends as it did."""
    done = subprocess.run(["reidapp", *map(str, words), "--json"], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


if __name__ == "__main__":
    main()
