"""Every supervised method on Market-500/251, with the same small network from scratch and the same budget.

    python -m benchmarks.supervised --market FOLDER_OF_MARKET_TRAINING_IMAGES --work FOLDER [--only NAME ...]
    python -m benchmarks.supervised --render

Writes docs/results/supervised.md from docs/results/supervised/; see `benchmarks.method_rows`.
"""

from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.method_rows import SCORES, SEED, Row, fill, minutes, parser, read_result, scores_of, write_table

TABLE = "supervised"
BUDGET = 370_000
# bfloat16: 12 % more images per second on one core, as many on two (docs/results/training_step.json)
_row = partial(Row, common=(f"schedule.images={BUDGET}", "precision=bfloat16"))

ROWS = [
    _row("identity", "Identity loss", "identity"),
    _row("verification_contrastive", "Verification, contrastive", "verification_contrastive"),
    _row("verification_ce", "Verification, cross-entropy", "verification_ce"),
    _row("identity_verification_contrastive", "Identity + contrastive", "identity_verification_contrastive"),
    _row("identity_verification_ce", "Identity + verification CE", "identity_verification_ce"),
    _row("triplet", "Triplet, batch-hard, soft margin", "triplet"),
    _row("triplet_margin", "Triplet, batch-hard, margin 0.3", "triplet", ("loss.triplet.margin=0.3",)),
    _row("triplet_all", "Triplet, batch-all", "triplet", ("loss={triplet_all: {}}",)),
    _row("triplet_semi_hard", "Triplet, semi-hard", "triplet", ("loss={triplet_semi_hard: {}}",)),
    _row("triplet_weighted", "Triplet, weighted (AGW)", "triplet", ("loss={triplet_weighted: {}}",)),
    _row("triplet_mcp", "Triplet, improved (MCP)", "triplet", ("loss={triplet_mcp: {}}",)),
    _row("oim", "OIM", "oim"),
    _row("jlml", "JLML, joint", "jlml"),
    _row("jlml_global", "JLML, global branch", "jlml_global"),
    _row("jlml_local", "JLML, local branch", "jlml_local"),
    _row("jlml_fused", "JLML, one fused loss", "jlml_fused"),
    _row("sphere_reid", "SphereReID, network D", "sphere_reid"),
    _row("sphere_reid_a", "SphereReID, network A", "sphere_reid", ("head.bn_dropout_fc_bn.variant=A",)),
    _row("sphere_reid_b", "SphereReID, network B", "sphere_reid", ("head.bn_dropout_fc_bn.variant=B",)),
    _row("sphere_reid_c", "SphereReID, network C", "sphere_reid", ("head.bn_dropout_fc_bn.variant=C",)),
    _row("l_softmax", "L-Softmax", "l_softmax"),
    _row("a_softmax", "A-Softmax", "a_softmax"),
    _row("cosface", "CosFace (AM-Softmax)", "cosface"),
    _row("arcface", "ArcFace", "arcface"),
    _row("circle", "Circle loss, with class weights", "circle"),
    _row("bot", "BoT", "bot"),
    _row("agw", "AGW (without non-local blocks)", "agw"),
]
BEST = Row("best", "our own recipe", "osnet_scratch", small=False)


def main() -> None:
    options = parser(__doc__)
    arguments = options.parse_args()
    fill([*ROWS, BEST], TABLE, {"market": arguments.market}, arguments, measure, render, options.error)


def measure(row: Row, run: Path, data: str) -> dict[str, Any]:
    return scores_of(run, data) | scores_of(run, data, flip=True)


def render() -> None:
    """Write the table from the results that are there."""
    head = [
        "| Method | D | Rank-1 | Rank-5 | mAP | mINP | flip: Rank-1 / mAP | Minutes (threads) | `reidapp train …` |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    common = " ".join(ROWS[0].options(ROWS[0].common))
    lines = [
        "# Supervised methods on Market-500/251",
        "",
        "Written by `python -m benchmarks.supervised` from one JSON file per run (supervised/); do not edit.",
        "",
        f"Every row: OSNet x0.25 at 128×64 from scratch, {BUDGET:,} training images, the last epoch, seed {SEED}, in",
        "bfloat16. Head, loss and sampler are the method's; network, size, augmentation, optimizer and schedule are",
        "those of `--small`. Trained on the first 500 of the 751 training identities, measured on the last 251: 1,122",
        "queries, 3,763 gallery images, cosine, same identity in the same camera left out. Not comparable with the",
        "official test. D is the size of the embedding, which is the head's.",
        "Minutes are of training, on the threads beside them, on a two-core machine that was doing other work as well:",
        "upper bounds.",
        "",
        "A row is repeated by `reidapp train` with what stands in its last column, where … is",
        f"`{common} --seed {SEED} --data market_500_251:MARKET --out RUN`.",
        "",
        *head,
        *(table_line(row) for row in ROWS),
        "",
        "## The best so far",
        "",
        *head,
        table_line(BEST),
    ]
    write_table(TABLE, lines)


def table_line(row: Row) -> str:
    result = read_result(TABLE, row.name)
    command = f"`{row.short}` …" if row.small else f"`{row.command.removeprefix('reidapp train ')}`"
    if result is None:
        return f"| {row.method} | {dim(row)} | not run | | | | | | {command} |"
    numbers = " | ".join(f"{result[name]:.1f}" for name in SCORES)
    flipped = f"{result['rank1_flip']:.1f} / {result['mAP_flip']:.1f}"
    return f"| {row.method} | {dim(row)} | {numbers} | {flipped} | {minutes(result)} | {command} |"


def dim(row: Row) -> int:
    """Of a row's embedding."""
    from models.network import Network
    from training.recipe import load_recipe

    return Network(load_recipe(row.recipe, [*row.common, *row.changes], small=row.small).network()).dim


if __name__ == "__main__":
    main()
