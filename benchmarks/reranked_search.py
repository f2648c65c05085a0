"""What `search --rerank` is worth: mAP and Rank-1 over cameras on generated worlds, without and with it.

    python -m benchmarks.reranked_search [--detector yolox:PATH] [--seeds 30 31 32] > docs/results/reranked_search.json

The worlds of `benchmarks.worlds`, everybody from each camera in all others. Settings were chosen on
other worlds. There is no goal: what re-ranking does is reported as it is.
"""

import json
import sys
from typing import Any

import numpy as np

from benchmarks.machine import machine
from benchmarks.worlds import World, opened, options, world_facts


def main() -> None:
    arguments = options(__doc__).parse_args()
    with opened(arguments) as worlds:
        rows = []
        for seed, world in zip(arguments.seeds, worlds, strict=True):
            rows.append({"world": seed} | measured(world))
            print(rows[-1], file=sys.stderr)
    mean = {key: round(float(np.mean([row[key] for row in rows])), 2) for key in rows[0] if key != "world"}
    facts = world_facts("reranked_search", arguments, worlds)
    print(json.dumps(facts | {"mean": mean, "rows": rows, "machine": machine()}, indent=1))


def measured(world: World) -> dict[str, Any]:
    scores: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    for person, camera in world.sought():
        for rerank, each in scores.items():
            each.append(world.searched(person, camera, rerank=rerank).precision_and_rank1)
    (mAP, rank1), (mAP_reranked, rank1_reranked) = (100 * np.mean(each, axis=0) for each in scores.values())  # noqa: N806
    better, worse = (sum(sign * (b[0] - a[0]) > 0 for a, b in zip(*scores.values(), strict=True)) for sign in (1, -1))
    numbers = {"mAP": mAP, "mAP_reranked": mAP_reranked, "rank1": rank1, "rank1_reranked": rank1_reranked}
    rounded = {key: round(float(value), 2) for key, value in numbers.items()}
    return rounded | {"queries": len(scores[True]), "queries_better": better, "queries_worse": worse}


if __name__ == "__main__":
    main()
