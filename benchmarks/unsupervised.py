"""Every method without labels on Market-500/251, from a model that has seen generated people only, in one budget.

    python -m benchmarks.unsupervised --market FOLDER_OF_MARKET_TRAINING_IMAGES --start START --footage FOLDER
        --work FOLDER [--only NAME ...]
    python -m benchmarks.unsupervised --render

START is models/zoo/small.onnx, or the run folder it came from (training/shipped.py), FOLDER of generated footage that
of `reidapp synth footage FOLDER --cameras 4 --people 60 --seconds 240 --crowd 3 --seed 0`. Writes
docs/results/unsupervised.md from docs/results/unsupervised/; see `benchmarks.method_rows`. Identities of the training
images are used for the adjusted Rand index (ARI) alone.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.method_rows import SEED, Row, fill, minutes, parser, read_result, scores_of, write_table

TABLE = "unsupervised"
BUDGET = 370_000
_row = partial(Row, common=("start={start}", f"schedule.images={BUDGET}", "precision=bfloat16", "keep_every=5"))
_ISE = "method.ise"
_CLUSTERS = "method.{}.clustering.dbscan.eps={}"
_EPS = _CLUSTERS.format("{}", 0.4)  # as for ISE; how it was chosen stands in the table's text
_CAMERA = "method.cluster_contrast.camera_norm=true"
_TUNED = (_CLUSTERS.format("cluster_contrast", 0.5), _CAMERA, "schedule.lr=1e-3")

ROWS = [
    _row("mmcl", "MMCL", "mmcl"),
    _row("buc", "BUC", "buc"),
    _row("softsim", "SoftSim", "softsim"),
    _row("spcl", "SpCL", "spcl", (_EPS.format("spcl"),)),
    _row("cluster_contrast", "Cluster-Contrast", "cluster_contrast", (_EPS.format("cluster_contrast"),)),
    _row(
        "cluster_contrast_camera",
        "Cluster-Contrast, camera-wise features",
        "cluster_contrast",
        (_EPS.format("cluster_contrast"), _CAMERA),
    ),
    _row("cluster_contrast_tuned", "the same, tuned", "cluster_contrast", _TUNED),
    _row(
        "cluster_contrast_longer",
        "the same, tuned, half as many images more",
        "cluster_contrast",
        (*_TUNED, f"schedule.images={3 * BUDGET // 2}"),
    ),
    _row("ise_baseline", "ISE without its parts", "ise", (f"{_ISE}.expansion=false", f"{_ISE}.beta=0")),
    _row("ise_pli", "ISE, interpolation only", "ise", (f"{_ISE}.beta=0",)),
    _row("ise_lp", "ISE, label-preserving loss only", "ise", (f"{_ISE}.expansion=false",)),
    _row("ise", "ISE", "ise"),
    _row("cycas", "CycAs, on generated footage", "cycas", data="footage:{footage}"),
]
LABELS = _row("labels", "with labels: sphere and triplet", "small", ("sampler.identities=16", "schedule.lr=3e-3"))


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--start", type=Path, help="exported file or run folder to start from")
    options.add_argument("--footage", type=Path, help="folder of generated footage")
    arguments = options.parse_args()
    places = {name: getattr(arguments, name) for name in ("market", "start", "footage")}
    fill([*ROWS, LABELS], TABLE, places, arguments, partial(measure, places), render, options.error)


def measure(places: dict[str, Path | None], row: Row, run: Path, data: str) -> dict[str, Any]:
    """The last epoch, the best of those that were kept, and what its clusters were."""
    from models.run_folder import epoch_number, epochs

    every = {epoch_number(epoch): scores_of(epoch, data) for epoch in epochs(run)}
    last = max(every)
    best = max(every, key=lambda epoch: every[epoch]["mAP"])
    log = [json.loads(line) for line in (run / "log.jsonl").read_text("utf-8").splitlines()]
    found = {name: log[-1][name] for name in ("clusters", "outliers", "largest", "ari") if name in log[-1]}
    begin = scores_of(_start(places), data) | scores_of(_start(places), data, flip=True)
    return {
        **every[last],
        **scores_of(run, data, flip=True),
        "epochs": last,
        "best": {"epoch": best, **every[best]},
        "start": begin,
        **found,
    }


def render() -> None:
    """Write the table from the results that are there."""
    head = [
        "| Method | Rank-1 | mAP | mINP | with flip: Rank-1 / mAP | best epoch: Rank-1 / mAP | clusters (outliers) "
        "| ARI | Minutes (threads) | `reidapp train …` |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines = [
        "# Methods without labels on Market-500/251",
        "",
        "Written by `python -m benchmarks.unsupervised` from one JSON file per run (unsupervised/); do not edit.",
        "",
        "Every row starts from a model that was trained on generated people only (OSNet x0.25 at 128×64), and sees",
        f"{BUDGET:,} images of the first 500 of Market-1501's 751 training identities, without labels (seed {SEED},",
        "bfloat16). Measured on the last 251: 1,122 queries, 3,763 gallery images, cosine, same identity in the same",
        "camera left out. The last epoch counts; the best one, of every fifth, was chosen on the test images",
        "and says how much the choice is worth. Clusters, outliers and their agreement with the identities (adjusted",
        "Rand index) are the last epoch's. DBSCAN's eps is 0.4 where nothing else is said, as ISE's authors have it.",
        "In a pilot on Market-400/100 clusters reached an index of 0.39 with it after three epochs, and 0.18 with 0.6",
        "(the log of `reidapp train cluster_contrast` with schedule.images=60000). *Tuned* is what was best in such",
        "pilots; they stand below the table.",
        "",
        "A row is repeated by `reidapp train` with what stands in its last column, where … is",
        f"`{' '.join(ROWS[0].options([change.format(start='START') for change in ROWS[0].common]))} --seed {SEED} "
        "--data market_500_251:MARKET --out RUN`.",
        "",
        *head,
        _start_line(),
        *(table_line(row) for row in [*ROWS, LABELS]),
    ]
    write_table(TABLE, lines)


def table_line(row: Row) -> str:
    result = read_result(TABLE, row.name)
    if result is None:
        return f"| {row.method} | not run | | | | | | | | `{row.short}` … |"
    best = result["best"]
    clusters = f"{result['clusters']:.0f} ({result['outliers']:.0f})" if "clusters" in result else ""
    cells = [
        row.method,
        *(f"{result[name]:.1f}" for name in ("rank1", "mAP", "mINP")),
        f"{result['rank1_flip']:.1f} / {result['mAP_flip']:.1f}",
        f"{best['rank1']:.1f} / {best['mAP']:.1f} ({best['epoch']} of {result['epochs']})",
        clusters,
        f"{result['ari']:.2f}" if "ari" in result else "",
        minutes(result),
        f"`{row.short}` …",
    ]
    return f"| {' | '.join(cells)} |"


def _start_line() -> str:
    found = [result for row in [*ROWS, LABELS] if (result := read_result(TABLE, row.name))]
    if not found:
        return "| The model they start from | not run | | | | | | | | |"
    start = found[0]["start"]
    numbers = " | ".join(f"{start[name]:.1f}" for name in ("rank1", "mAP", "mINP"))
    return f"| The model they start from | {numbers} | {start['rank1_flip']:.1f} / {start['mAP_flip']:.1f} | | | | | |"


def _start(places: dict[str, Path | None]) -> Path:
    start = places["start"]
    assert start is not None  # every row names it
    return start


if __name__ == "__main__":
    main()
