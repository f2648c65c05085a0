"""Every supervised method on Market-500/251, with the same small network from scratch and the same budget.

    python -m benchmarks.supervised --data FOLDER_OF_MARKET_TRAINING_IMAGES --work FOLDER [--only NAME ...]
    python -m benchmarks.supervised --render

A row is a JSON file in docs/results/supervised/; a row that has one is not run again, so the table may be filled over
days, and a run that was stopped goes on from its last epoch. OMP_NUM_THREADS says how many cores a run takes. The table
docs/results/supervised.md is written from the JSON files after each run, and says "not run" where one is missing.
"""

import argparse
import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import machine

RESULTS = Path(__file__).parents[1] / "docs" / "results"
SEED = 0
BUDGET = 370_000
# bfloat16 halves the time on a processor that has it; see precision in `training.recipe`
CHANGES = [f"schedule.images={BUDGET}", "precision=bfloat16"]


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        name: of its JSON file.
        method: what the reader sees.
        recipe, changes: what is run, with ``--small`` and the budget.
        small: off for a recipe that is for a CPU as it is.
    """

    name: str
    method: str
    recipe: str
    changes: tuple[str, ...] = ()
    small: bool = True

    @property
    def options(self) -> list[str]:
        changes = [*CHANGES, *self.changes] if self.small else list(self.changes)
        return [*(["--small"] if self.small else []), *(part for change in changes for part in ("--set", change))]

    @property
    def command(self) -> str:
        words = ["reidapp", "train", self.recipe, *self.options, "--data", "market_500_251:DIR", "--out", "RUN"]
        return shlex.join([*words, "--seed", str(SEED)])


ROWS = [
    Row("identity", "Identity loss", "identity"),
    Row("verification_contrastive", "Verification, contrastive", "verification_contrastive"),
    Row("verification_ce", "Verification, cross-entropy", "verification_ce"),
    Row("identity_verification_contrastive", "Identity + contrastive", "identity_verification_contrastive"),
    Row("identity_verification_ce", "Identity + verification CE", "identity_verification_ce"),
    Row("triplet", "Triplet, batch-hard, soft margin", "triplet"),
    Row("triplet_margin", "Triplet, batch-hard, margin 0.3", "triplet", ("loss.triplet.margin=0.3",)),
    Row("triplet_all", "Triplet, batch-all", "triplet", ("loss={triplet_all: {}}",)),
    Row("triplet_semi_hard", "Triplet, semi-hard", "triplet", ("loss={triplet_semi_hard: {}}",)),
    Row("triplet_weighted", "Triplet, weighted (AGW)", "triplet", ("loss={triplet_weighted: {}}",)),
    Row("triplet_mcp", "Triplet, improved (MCP)", "triplet", ("loss={triplet_mcp: {}}",)),
    Row("oim", "OIM", "oim"),
    Row("jlml", "JLML, joint", "jlml"),
    Row("jlml_global", "JLML, global branch", "jlml_global"),
    Row("jlml_local", "JLML, local branch", "jlml_local"),
    Row("jlml_fused", "JLML, one fused loss", "jlml_fused"),
    Row("sphere_reid", "SphereReID, network D", "sphere_reid"),
    Row("sphere_reid_a", "SphereReID, network A", "sphere_reid", ("head.bn_dropout_fc_bn.variant=A",)),
    Row("sphere_reid_b", "SphereReID, network B", "sphere_reid", ("head.bn_dropout_fc_bn.variant=B",)),
    Row("sphere_reid_c", "SphereReID, network C", "sphere_reid", ("head.bn_dropout_fc_bn.variant=C",)),
    Row("l_softmax", "L-Softmax", "l_softmax"),
    Row("a_softmax", "A-Softmax", "a_softmax"),
    Row("cosface", "CosFace (AM-Softmax)", "cosface"),
    Row("arcface", "ArcFace", "arcface"),
    Row("circle", "Circle loss, with class weights", "circle"),
    Row("bot", "BoT", "bot"),
    Row("agw", "AGW (without non-local blocks)", "agw"),
]
BEST = Row("best", "our own recipe", "osnet_scratch", small=False)
SCORES = {"rank1": "Rank-1", "rank5": "Rank-5", "mAP": "mAP", "mINP": "mINP"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of Market-1501's training images")
    parser.add_argument("--work", type=Path, help="folder for the runs")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these rows; all that have no result by default")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--render", action="store_true", help="only write the table")
    arguments = parser.parse_args()

    rows = {row.name: row for row in [*ROWS, BEST]}
    if not arguments.render:
        if arguments.data is None or arguments.work is None:
            parser.error("--data and --work are needed, or --render")
        for name in arguments.only or rows:
            if name not in rows:
                parser.error(f"no row {name}; there are {', '.join(rows)}")
            if not result_file(name).exists():
                run(rows[name], arguments.data, arguments.work, arguments.device)
                render()
    render()


def run(row: Row, data: Path, work: Path, device: str) -> None:
    """Train and measure one row, and write its JSON."""
    from models.run_folder import last_epoch
    from training.engine import train
    from training.evaluation import evaluate
    from training.recipe import load_recipe

    out, spec = work / row.name, f"market_500_251:{data}"
    resumed = last_epoch(out) is not None
    changes = [change for change in row.options if change not in ("--set", "--small")]
    recipe = load_recipe(row.recipe, changes, small=row.small)
    trained = train(recipe, spec, out, seed=SEED, device=device, resume=resumed)
    scores = {suffix: evaluate(out, spec, flip=flip) for suffix, flip in (("", False), ("_flip", True))}
    result: dict[str, Any] = {"method": row.method, "command": row.command, "seed": SEED, "images": trained.images}
    for suffix, measured in scores.items():
        result |= {f"{name}{suffix}": round(100 * getattr(measured, name), 1) for name in SCORES}
    result |= {"protocol": scores[""].protocol, "training_accuracy": trained.accuracy, "warnings": trained.warnings}
    result |= {"minutes": None if resumed else round(trained.seconds / 60, 1), "machine": machine()}
    result_file(row.name).parent.mkdir(parents=True, exist_ok=True)
    result_file(row.name).write_text(json.dumps(result, indent=2) + "\n")


def result_file(name: str) -> Path:
    return RESULTS / "supervised" / f"{name}.json"


def render() -> None:
    """Write the table from the results that are there."""
    lines = [
        "# Supervised methods on Market-500/251",
        "",
        "Written by `python -m benchmarks.supervised` from one JSON file per run (supervised/); do not edit.",
        "",
        f"Every row: OSNet x0.25 at 128×64 from scratch, {BUDGET:,} training images, the last epoch, seed {SEED}, in",
        "bfloat16. Head, loss and sampler are the method's; network, size, augmentation, optimizer and schedule are",
        "those of `--small`. Trained on the first 500 of the 751 training identities, measured on the last 251: 1,122",
        "queries, 3,763 gallery images, cosine, same identity in the same camera left out. Not comparable with the",
        "official test.",
        "Minutes are of training, on the threads beside them, on a two-core machine that was doing other work as well:",
        "upper bounds.",
        "",
        "A row is repeated by `reidapp train` with what stands in its last column, where … is",
        f"`{shlex.join(Row('', '', '').options)} --seed {SEED} --data market_500_251:DIR --out RUN`.",
        "",
        "| Method | Rank-1 | Rank-5 | mAP | mINP | with flip: Rank-1 / mAP | Minutes (threads) | `reidapp train …` |",
        "|---|---|---|---|---|---|---|---|",
        *(table_line(row) for row in ROWS),
        "",
        "## The best so far",
        "",
        "| Recipe | Rank-1 | Rank-5 | mAP | mINP | with flip: Rank-1 / mAP | Minutes (threads) | `reidapp train …` |",
        "|---|---|---|---|---|---|---|---|",
        table_line(BEST),
        "",
    ]
    notes = RESULTS / "supervised" / "notes.md"
    if notes.exists():
        lines += [notes.read_text("utf-8").rstrip(), ""]
    (RESULTS / "supervised.md").write_text("\n".join(lines), "utf-8")


def table_line(row: Row) -> str:
    changes = (part for change in row.changes for part in ("--set", change))
    options = f"`{shlex.join([row.recipe, *changes])}`" + (" …" if row.small else "")
    if not result_file(row.name).exists():
        return f"| {row.method} | not run | | | | | | {options} |"
    result = json.loads(result_file(row.name).read_text("utf-8"))
    numbers = " | ".join(f"{result[name]:.1f}" for name in SCORES)
    flipped = f"{result['rank1_flip']:.1f} / {result['mAP_flip']:.1f}"
    minutes = "stopped and resumed" if result["minutes"] is None else f"{result['minutes']:.0f}"
    return f"| {row.method} | {numbers} | {flipped} | {minutes} ({result['machine']['threads']}) | {options} |"


if __name__ == "__main__":
    main()
