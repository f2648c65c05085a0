"""Pictures of results, for the docs: docs/results/figures/.

    python -m benchmarks.figures                                    # what is drawn from docs/results/*.json
    python -m benchmarks.figures --market DIR [--runs DIR]          # cmc.svg: models are evaluated first

    speed.svg        how many times as long other projects take for the same work
    calibration.svg  how far P(match) can be believed, by what it was learnt from
    cmc.svg          share of queries whose right person is among the first k, on Market-500/251 (cmc.json)
    timeline.svg     the hits of a search against the truth: who was before which camera when (gallery_figures.json)
    embedding.svg    a map of a gallery's embeddings, before and after adapting (gallery_figures.json)

--market is the folder of Market-1501's training images, --runs one of run folders as the tables of methods
leave them. `python -m benchmarks.gallery_figures` makes the gallery of the last two, and draws ranked.webp of it;
`python -m benchmarks.scaling` draws scaling.svg.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.patches import Rectangle
from matplotlib.ticker import NullLocator, PercentFormatter

from benchmarks.drawing import COLOURS, INK, OURS, QUIET, RIGHT, THEIRS, WRONG, drawn, round_number, save
from benchmarks.machine import machine
from benchmarks.method_rows import DOCS, read_result
from models import zoo
from reidapp.wording import counted

Result = dict[str, Any]
RANKS = 20
MARKERS = "osD^v<>P"
# Row of calibration.json, and what a reader sees.
CALIBRATED = {
    "identities": "by named people",
    "of another world": "by named people of other cameras",
    "answers": "by answers",
    "label-free": "without labels",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--market", type=Path, help="folder of Market-1501's training images")
    parser.add_argument("--runs", type=Path, help="folder of run folders, evaluated beside the shipped models")
    arguments = parser.parse_args()
    for folder in (arguments.market, arguments.runs):
        if folder and not folder.is_dir():
            parser.error(f"{folder}: no such folder")
    if arguments.runs and not arguments.market:
        parser.error("--runs: needs --market, to evaluate them on")
    if arguments.market:
        (DOCS / "cmc.json").write_text(json.dumps(evaluated(arguments.market, arguments.runs), indent=1) + "\n")
    draw_speed()
    draw_calibration()
    if (DOCS / "cmc.json").exists():
        draw_cmc()
    if (DOCS / "gallery_figures.json").exists():
        draw_timeline()
        draw_map()


def draw_speed() -> None:
    """A bar for each peer that was measured: times as long as ours."""
    bars = [bar for name, times in PEERS.items() if (DOCS / f"{name}.json").exists() for bar in times(_read(name))]
    bars.sort(key=lambda bar: bar[2])
    figure, (axes,) = drawn(1, 1, (7.6, 0.8 + 0.31 * len(bars)))
    places = range(len(bars))
    colours = [OURS if times > 1 else COLOURS[1] for _, _, times in bars]
    axes.barh(places, [bar[2] - 1 for bar in bars], left=1, color=colours, height=0.62)
    for place, (_, _, times) in zip(places, bars, strict=True):
        label = f"{times:.1f} ×" if times < 20 else f"{times:.0f} ×"
        axes.text(max(times, 1) * 1.06, place, label, va="center", fontsize=8)
    axes.set_yticks(places, [f"{work}: {peer}" for work, peer, _ in bars])
    axes.set(
        xscale="log",
        xlim=(0.8 * min(1, *(bar[2] for bar in bars)), 2 * max(bar[2] for bar in bars)),
        ylim=(-0.6, len(bars) - 0.4),
        title="Times as long as reidapp takes",
    )
    axes.xaxis.set_major_formatter(round_number)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    save(figure, "speed.svg", bars)


Bar = tuple[str, str, float]
FAISS_THREADS = {1: "one_thread", 2: "two_threads"}


def _of_metrics(found: Result) -> list[Bar]:
    names = {"torchreid cython": "torchreid (Cython)", "fastreid cython": "fast-reid (Cython)", "roboflow reid": "reid"}
    names |= {"torchreid python": "torchreid (Python)", "fastreid python": "fast-reid (Python)"}
    return [("CMC, mAP, mINP", names[n], row["times_ours"]) for n, row in found["rows"].items() if n in names]


def _of_rows(work: str, peer: str, ratio: str) -> Callable[[Result], list[Bar]]:
    return lambda found: [(work, peer, found["rows"][peer][ratio])] if peer in found["rows"] else []


def _of_input(found: Result) -> list[Bar]:
    rates = next(row for row in found["rows"] if row["height"] == 256)["images_per_s"]
    return [("input pipeline", "PIL per image", rates["ours"] / rates["PIL per image"])]


def _of_training(found: Result) -> list[Bar]:
    best = max(found["rows"][-1]["times_torchreid"].values(), default=None)
    return [("training step", "torchreid", best)] if best else []


def _of_embedding(found: Result) -> list[Bar]:
    row = next(row for row in found["rows"] if row["model"] == "shipped" and row["threads"] == 1)
    return [("embedding, fp32", "PyTorch", row["times_torch"]["fp32"])]


def _of_decoding(found: Result) -> list[Bar]:
    rates = {name: cost["wall"] for name, cost in found["times_real_time"].items()}
    return [
        ("frames at 2 fps", peer, rates["ours 2 fps"] / rates[peer]) for peer in ("PyAV every 5th", "OpenCV every 5th")
    ]


def _of_indexing(found: Result) -> list[Bar]:
    every, same = found["ours_2fps_by_every_frame"], found["ours_2fps_by_plain_2fps"]
    return [("indexing at 2 fps", "a loop on every frame", every), ("indexing at 2 fps", "a loop at 2 fps", same)]


def _of_search(found: Result) -> list[Bar]:
    """At a million rows, and at the fewest that were measured, where Faiss is faster."""
    fewest, ours = min(row["rows"] for row in found["results"]), found["machine"]["cores"]
    like = {"people": "rows like people", "random": "random rows"}
    return [
        (
            f"search of {round_number(row['rows'])} {like[row['distribution']]}",
            f"Faiss, {counted(threads, 'thread')} to our {ours}",
            1 / row["milliseconds"]["unfiltered"][f"reidapp_of_{word}"],
        )
        for row in found["results"]
        if row["rows"] == 1_000_000 or (row["rows"] == fewest and row["distribution"] == "people")
        for threads, word in FAISS_THREADS.items()
    ]


PEERS: dict[str, Callable[[Result], list[Bar]]] = {
    "metrics": _of_metrics,
    "reranking": _of_rows("k-reciprocal re-ranking", "torchreid", "times_ours"),
    "clustering": _of_rows("Jaccard + DBSCAN", "cluster-contrast", "wall_s_times_ours"),
    "input_pipeline": _of_input,
    "training_step": _of_training,
    "embedding": _of_embedding,
    "decoding": _of_decoding,
    "indexing": _of_indexing,
    "search": _of_search,
}


def draw_calibration() -> None:
    """The error of each way, and, where the file has its bins, P(match) against the share that is right."""
    found = _read("calibration")
    rows = {name: found["rows"][name] for name in CALIBRATED if name in found["rows"]}
    bins = all("reliability" in row for row in rows.values())
    figure, axes = drawn(1, 2 if bins else 1, (7.6, 3.6) if bins else (7.6, 1.9))
    places = range(len(rows))[::-1]
    errors = [row["ece"] for row in rows.values()]
    axes[0].barh(places, errors, color=COLOURS[: len(rows)], height=0.6)
    axes[0].set_yticks(places, [CALIBRATED[name] for name in rows])
    axes[0].axvline(found["goals"]["ece"], color=INK, linewidth=1, linestyle="--")
    for place, error in zip(places, errors, strict=True):
        axes[0].text(error + 0.004, place, f"{error:.3f}", va="center", fontsize=8)
    axes[0].set(title="P(match): expected calibration error (goal: left of the line)", xlim=(0, 1.2 * max(errors)))
    axes[0].grid(False, axis="y")
    axes[0].tick_params(axis="y", length=0)
    if bins:
        axes[1].plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle="--")
        for (_, row), colour in zip(rows.items(), COLOURS, strict=False):
            axes[1].plot(*np.array(row["reliability"]).T, marker="o", color=colour, clip_on=False)
        axes[0].set_title("Expected calibration error")
        axes[1].set(title="P(match) and what was right", xlabel="P(match)", xlim=(0, 1), ylim=(0, 1))
        for axis in (axes[1].xaxis, axes[1].yaxis):
            axis.set_major_formatter(PercentFormatter(1, decimals=0))
    save(figure, "calibration.svg", [found["goals"]["ece"], rows])


def evaluated(market: Path, runs: Path | None) -> Result:
    """CMC of the shipped models on Market-500/251, and of the runs that the tables of methods have a result of."""
    from training.evaluation import evaluate

    models = {f"{name} (shipped)": zoo.path_of(name) for name in zoo.names()}
    for run in sorted(runs.iterdir()) if runs else []:
        tables = [found for table in ("supervised", "unsupervised") if (found := read_result(table, run.name))]
        models |= {found["method"]: run for found in tables}
    rows = {}
    for name, model in models.items():
        print(name, file=sys.stderr)
        scores = evaluate(model, f"market_500_251:{market}", quiet=True)
        rows[name] = {
            "rank1": round(100 * scores.rank1, 1),
            "mAP": round(100 * scores.mAP, 1),
            "cmc": [round(float(share), 4) for share in scores.cmc[:RANKS]],
        }
    command = "python -m benchmarks.figures --market MARKET" + (" --runs RUNS" if runs else "")
    return {"benchmark": "cmc", "command": command, "queries": scores.queries, "rows": rows, "machine": machine()}


def draw_cmc() -> None:
    found = _read("cmc")
    rows = sorted(found["rows"].items(), key=lambda row: -row[1]["rank1"])
    figure, (axes,) = drawn(1, 1, (7.6, 3.8))
    for (name, row), colour in zip(rows, COLOURS, strict=False):
        label = f"{name}: Rank-1 {row['rank1']:.1f}, mAP {row['mAP']:.1f}"
        axes.plot(range(1, len(row["cmc"]) + 1), row["cmc"], marker="o", markersize=3, color=colour, label=label)
    axes.set(title=f"CMC on Market-500/251, {found['queries']:,} queries", xlabel="rank k", xlim=(0.5, RANKS + 0.5))
    axes.set(ylabel="right person among the first k", ylim=(None, 1), xticks=[1, 5, 10, 15, 20])
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.legend(loc="lower right")
    save(figure, "cmc.svg", [found["queries"], found["rows"]])


def draw_timeline() -> None:
    """Hits as bars, one lane a camera, over where the person really was."""
    found = _read("gallery_figures")["timeline"]
    lanes = {camera: place for place, camera in enumerate(reversed(found["cameras"]))}
    figure, (axes,) = drawn(1, 1, (7.6, 0.9 + 0.5 * len(lanes)))

    def bar(span: tuple[str, float, float], height: float, colour: str, **style: Any) -> None:
        camera, start, end = span
        corner = (start, lanes[camera] - height / 2)
        axes.add_patch(Rectangle(corner, max(end - start, 0.4), height, facecolor=colour, **style))

    for span in found["there"]:
        bar(span, 0.8, "#d8efdd", edgecolor="none")
    for span in found["tracklets"]:
        bar(span, 0.12, THEIRS, edgecolor="none")
    for hit in found["hits"]:
        (camera, start, end), colour = hit["span"], RIGHT if hit["right"] else WRONG
        bar(hit["span"], 0.34, colour, edgecolor="white", linewidth=0.8)
        axes.text((start + end) / 2, lanes[camera] + 0.2, str(hit["rank"]), color=colour, fontsize=8, ha="center")
    names = [f"{camera} (query)" if camera == found["query"] else camera for camera in lanes]
    axes.set_yticks(list(lanes.values()), names)
    last = max(end for _, _, end in found["tracklets"])
    axes.set(xlim=(-1, last + 1), ylim=(-0.6, len(lanes) - 0.4), xlabel="seconds")
    axes.set_title("First hits of a search, by rank; light green: where the person was; grey: all tracklets")
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0)
    save(figure, "timeline.svg", found)


def draw_map() -> None:
    """All best shots before and after adapting: a colour for each person, a form for each camera."""
    found = _read("gallery_figures")["map"]
    people, cameras = np.array(found["people"]), np.array(found["cameras"])
    forms = dict(zip(sorted(set(found["cameras"])), MARKERS, strict=False))
    figure, axes = drawn(1, len(found["models"]), (7.6, 4.1))
    for place, (name, model) in zip(axes, found["models"].items(), strict=True):
        points = np.array(model["points"])
        for camera, form in forms.items():
            for k, person in enumerate(np.unique(people)):
                at = points[(cameras == camera) & (people == person)]
                place.scatter(at[:, 0], at[:, 1], s=26, color=colormaps["tab20"](k % 20), marker=form, linewidths=0)
        place.set_title(f"{name}: mAP {model['mAP']:.1f}, Rank-1 {model['rank1']:.1f}")
        place.set(xticks=[], yticks=[])
        place.grid(False)
        for spine in place.spines.values():
            spine.set_visible(True)
    legend = [axes[0].scatter([], [], color=QUIET, marker=form, s=26) for form in forms.values()]
    figure.legend(legend, list(forms), loc="outside lower center", ncols=len(forms), title="a colour for each person")
    save(figure, "embedding.svg", found)


def _read(name: str) -> Result:
    found: Result = json.loads((DOCS / f"{name}.json").read_text("utf-8"))
    return found


if __name__ == "__main__":
    main()
