"""What was measured against what was to be reached, one line each: docs/results/benchmarks.md.

    python -m benchmarks.summary

Every figure is read from the JSON file that a benchmark wrote (docs/results/NAME.json); one that is not there is not
run. What has to be said of a line, above all why it falls short, stands in docs/results/benchmarks/notes.md.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.method_rows import DOCS, write_table

Result = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """One thing that was measured.

    Attributes:
        work: what was done.
        file: the benchmark's, without its suffix.
        goal: in words.
        measured: of the file's content: what we need, what the others need, and whether the goal is reached; None:
            not known, for the others were not run.
    """

    work: str
    file: str
    goal: str
    measured: Callable[[Result], tuple[str, str, bool | None]]


def main() -> None:
    head = [
        "# Benchmarks",
        "",
        "Written by `python -m benchmarks.summary` from the JSON files beside it; do not edit. Ours and theirs ran",
        "on the same machine: two cores of a shared one (AMD EPYC or Intel Xeon), without a GPU. Most took turns in",
        "one process, and numbers are medians of several runs. But clustering ran in a fresh process each, and the",
        "others' re-ranking, clustering and slow ways to compute CMC and mAP ran once. How often the rest ran is",
        "what the script says that is named as the file is; few files repeat it. Versions are in each file, and the",
        "command in each that was made since `make bench` writes it. That makes all of them anew, one after the",
        "other (`ARGS=--list`: how long each takes; `PEERS=`, `MARKET=`, `DETECTOR=`: what it is given).",
        "",
        "| Work | reidapp | Others | Goal | Reached |",
        "|---|---|---|---|---|",
    ]
    picture = [
        "",
        "![How many times as long other projects take](figures/speed.svg)",
        "",
        "Drawn from the same files by `python -m benchmarks.figures`, as are other pictures of results. The axis is",
        "logarithmic. Bars to the left of 1 are work for which reidapp takes longer.",
    ]
    write_table("benchmarks", [*head, *map(table_line, LINES), *picture])


def table_line(line: Line) -> str:
    file = DOCS / f"{line.file}.json"
    if not file.exists():
        return f"| {line.work} | not run | | {line.goal} | |"
    ours, theirs, reached = line.measured(json.loads(file.read_text("utf-8")))
    answer = {True: "yes", False: "**no**", None: ""}[reached]
    return f"| [{line.work}]({line.file}.json) | {ours} | {theirs} | {line.goal} | {answer} |"


def _metrics(found: Result) -> tuple[str, str, bool]:
    ours, *others = found["rows"].items()
    theirs = "; ".join(f"{name} {row['wall_s']:.1f} s" for name, row in others)
    cost = ours[1]
    reached = cost["processor_s"] <= 0.5 and cost["memory_mb"] < 100
    return f"{cost['processor_s']:.2f} s of processor, {cost['memory_mb']:.0f} MB", theirs, reached


def _reranking(found: Result) -> tuple[str, str, bool | None]:
    ours, theirs = found["rows"]["reidapp"], found["rows"].get("torchreid")
    if theirs is None:
        return _cost(ours), "torchreid not run", None
    same = found["agreement"]["reidapp and torchreid"]["places_out_of_order_by_more_than_a_tie"] == 0
    reached = theirs["times_ours"] >= 12 and ours["memory_mb"] <= 1000 and same
    return _cost(ours), f"torchreid {_cost(theirs)} ({theirs['times_ours']:.0f} ×)", reached


def _clustering(found: Result) -> tuple[str, str, bool]:
    ours, theirs = found["rows"]["reidapp"], found["rows"]["cluster-contrast"]
    times = theirs["wall_s_times_ours"]
    reached = times >= 12 and ours["memory_mb"] <= 800 and found["same_labels"]
    return _cost(ours), f"cluster-contrast {_cost(theirs)} ({times:.1f} ×)", reached


def _large_clustering(found: Result) -> tuple[str, str, bool]:
    row = next(row for row in found["growth"]["rows"] if row["images"] == 100_000)
    return _cost(row), "not possible: at least 80 GB", row["wall_s"] <= 75 and row["memory_mb"] <= 1500


def _growth(found: Result) -> tuple[str, str, bool]:
    exponent = found["growth"]["exponent_of_after_search_wall_s"]
    return f"N^{exponent:.2f}", "", exponent <= 1.1


def _input_pipeline(found: Result) -> tuple[str, str, bool]:
    row = next(row for row in found["rows"] if row["height"] == 256)
    rates = row["images_per_s"]
    return f"{rates['ours']:,} images/s", f"PIL {rates['PIL per image']:,} images/s", rates["ours"] >= 6000


def _training_step(found: Result) -> tuple[str, str, bool | None]:
    row = found["rows"][-1]
    rates, best = row["images_per_s"], max(row["times_torchreid"].values(), default=None)
    ours = max(rate for name, rate in rates.items() if name.startswith("ours"))
    if best is None:
        return f"{ours:.0f} images/s", "torchreid not run", None
    theirs = max(rate for name, rate in rates.items() if name.startswith("torchreid"))
    return f"{ours:.0f} images/s", f"torchreid {theirs:.0f} images/s ({best:.2f} ×)", best >= 2.5


def _training_size(found: Result) -> tuple[str, str, None]:
    first, last = found["rows"][0], found["rows"][-1]
    times = last["ms_per_image"] / first["ms_per_image"]
    return f"{times:.2f} × with {last['images']:,} images instead of {first['images']:,}", "", None


def _embedding(found: Result) -> tuple[str, str, bool]:
    row = next(row for row in found["rows"] if row["model"] == "shipped" and row["threads"] == 1)
    rates, times = row["crops_per_s"], row["times_torch"]
    ours = f"fp32 {rates['fp32']:,}, int8 {rates['int8']:,} crops/s"
    theirs = f"torch {rates['torch']:,} crops/s ({times['fp32']:.1f} ×, {times['int8']:.1f} ×)"
    return ours, theirs, times["fp32"] >= 2 and times["int8"] >= 3


def _million(found: Result) -> dict[str, Result]:
    return {row["distribution"]: row for row in found["results"] if row["rows"] == 1_000_000}


def _search(found: Result) -> tuple[str, str, bool]:
    plain = {name: row["milliseconds"]["unfiltered"] for name, row in _million(found).items()}
    return *_searches(plain, found), all(row["reidapp_of_one_thread"] <= 0.5 for row in plain.values())


def _small_search(found: Result) -> tuple[str, str, None]:
    rows = {row["distribution"]: row["milliseconds"]["unfiltered"] for row in found["results"] if row["rows"] == 10_000}
    return *_searches(rows, found), None


def _searches(rows: dict[str, Result], found: Result) -> tuple[str, str]:
    """Ours and Faiss's, with the threads of each."""
    ours = "; ".join(f"{name} {_ms(row['reidapp_ms'])}" for name, row in rows.items())
    faiss = [
        f"on {word}: "
        + "; ".join(
            f"{name} {_ms(row[f'faiss_{key}_ms'])} ({row[f'reidapp_of_{key}']:.2f} of it)" for name, row in rows.items()
        )
        for word, key in (("one thread", "one_thread"), ("two", "two_threads"))
    ]
    return f"{found['machine']['cores']} threads: {ours}", f"Faiss {'; '.join(faiss)}"


def _search_filters(found: Result) -> tuple[str, str, bool]:
    worst = {
        name: max((row["reidapp_of_unfiltered"], which) for which, row in result["milliseconds"].items())
        for name, result in _million(found).items()
    }
    ours = "; ".join(f"{name} {times:.1f} × ({which})" for name, (times, which) in worst.items())
    return ours, "", all(times <= 1.2 for times, _ in worst.values())


def _search_opening(found: Result) -> tuple[str, str, bool]:
    rows = list(_million(found).values())
    seconds = max(row["opening"]["open_s"] + row["opening"]["first_search_s"] for row in rows)
    memory, commit = max(row["opening"]["memory_mb"] for row in rows), max(row["commit_s"] for row in rows)
    reached = seconds <= 1 and memory <= 300 and commit <= 2
    return f"{seconds:.1f} s, {memory:.0f} MB; {commit:.2f} s", "", reached


def _search_growth(found: Result) -> tuple[str, str, None]:
    """From the smallest gallery that takes threads to the largest."""
    ours, faiss = [], []
    for kind in ("people", "random"):
        rows = [row for row in found["results"] if row["distribution"] == kind and row["rows"] >= 100_000]
        first, last = rows[0], rows[-1]
        times = [row["milliseconds"]["unfiltered"] for row in (first, last)]
        exponent = math.log(times[1]["reidapp_ms"] / times[0]["reidapp_ms"]) / math.log(last["rows"] / first["rows"])
        ours.append(f"{kind}, {last['rows']:,}: {times[1]['reidapp_ms']:.0f} ms, N^{exponent:.2f}")
        faiss.append(f"{kind} {times[1]['faiss_one_thread_ms']:.0f} ms ({times[1]['reidapp_of_one_thread']:.2f} of it)")
    return f"{found['machine']['cores']} threads: {'; '.join(ours)}", f"Faiss on one thread: {'; '.join(faiss)}", None


def _inverted_file(found: Result) -> tuple[str, str, None]:
    """The most that an inverted file finds in less time than an exact search."""
    faster = [row for row in found["results"] if row["threads_ms"] < row["exact_ms"]]
    best = max(faster, key=lambda row: min(row["recall"].values()))
    shares = " and ".join(f"{100 * share:.0f} %" for share in sorted(best["recall"].values()))
    looked = f"{best['cells_looked_into']} of {found['cells']} cells"
    theirs = f"inverted file: {_ms(best['threads_ms'])} for {shares} of what is nearest, in {looked}"
    return f"exact {_ms(best['exact_ms'])}", theirs, None


def _users(found: Result) -> tuple[str, str, bool]:
    alone, together, work = (found[name] for name in ("alone", "together", "at work"))
    errors = alone["errors"] + together["errors"] + work["errors"]
    ours = (
        f"alone p95 {alone['p95_ms']:.0f} ms; {found['users']} users {together['p95_ms']:.0f} ms, "
        f"while indexing and re-embedding {work['p95_ms']:.0f} ms; {errors} errors"
    )
    return ours, "", alone["p95_ms"] <= 150 and work["p95_ms"] <= 500 and not errors


def _load(found: Result) -> tuple[str, str, bool]:
    together, crowd, memory = found["together"], found["crowd"], found["memory"]
    times = memory["last_mb"] / memory["first_mb"]
    ours = (
        f"p95 {together['p95_ms']:.0f} ms, memory {times:.2f} × that of the first minutes; "
        f"{found['crowd_users']} without a pause: {crowd['searches']:,} searches, {crowd['refused']:,} refused; "
        f"{together['errors'] + crowd['errors']} errors; then alone p95 {found['after']['p95_ms']:.0f} ms"
    )
    return ours, "", not together["errors"] + crowd["errors"] + together["refused"] and times <= 1.1


def _page(found: Result) -> tuple[str, str, bool]:
    times = found["milliseconds"]
    rates = ", ".join(f"{name} {row['frames_per_second']:.0f}" for name, row in found["scrolling"].items())
    ours = (
        f"hits {times['hits']:.0f} ms; timeline {times['timeline']:.0f} ms, {found['pictures']} pictures at most; "
        f"frames per second while scrolling: {rates}"
    )
    return ours, "", times["hits"] <= 1000 and times["timeline"] <= 1000 and found["pictures"] <= 200


def _decoding(found: Result) -> tuple[str, str, bool]:
    times = {name: cost["wall"] for name, cost in found["times_real_time"].items()}
    plain = times.pop("PyAV every frame")
    keyframes, two = times.pop("ours keyframes"), times.pop("ours 2 fps")
    ours = f"keyframes {keyframes:.0f} × real time, 2 fps {two:.0f} ×"
    others = "; ".join(f"{name} {rate:.0f} ×" for name, rate in {"PyAV every frame": plain, **times}.items())
    # Times real time depend on the machine: where the goals were set, PyAV decoded every frame at 2.7 times.
    return ours, others, keyframes >= max(12, 12 / 2.7 * plain) and two >= max(4, 4 / 2.7 * plain)


def _indexing(found: Result) -> tuple[str, str, bool]:
    times = found["times_real_time"]
    ours, keyframes = times["ours 2fps"], times["ours keyframes"]
    every, same = found["ours_2fps_by_every_frame"], found["ours_2fps_by_plain_2fps"]
    theirs = (
        f"plain loop on every frame {times['plain every frame']:.1f} × ({every:.1f} × slower), "
        f"at 2 fps {times['plain 2 fps']:.1f} × ({same:.1f} × slower)"
    )
    reached = every >= 3 and same >= 1.5 and ours >= 3 and keyframes >= 10
    return f"2 fps {ours:.0f} × real time, keyframes {keyframes:.0f} ×", theirs, reached


def _indexing_memory(found: Result) -> tuple[str, str, bool]:
    early, late = found["peak_mb"]["after 10 min"], found["peak_mb"]["at the end"]
    return f"{late:.0f} MB, after ten minutes {early:.0f} MB", "", found["times"] <= 1.1


def _scanning(found: Result) -> tuple[str, str, bool]:
    costs = found["costs"]
    ours = f"{costs['scan']['wall_s']:.1f} s; a second run {costs['nothing_new']['wall_s']:.1f} s"
    return ours, "", found["within_limits"]


def _killed(found: Result) -> tuple[str, str, bool]:
    ours = f"{found['kills']} kills, {found['within']} of them within a commit: {len(found['wrong'])} differences"
    return ours, "", not found["wrong"]


def _killed_server(found: Result) -> tuple[str, str, bool]:
    kills, wrong = found["kills"], len(found["wrong"])
    return f"{sum(kills.values())} kills in {len(kills)} states: {wrong} faults", "", not wrong


def _tracklets(found: Result) -> tuple[str, str, bool]:
    def of(way: str) -> tuple[float, str]:
        rows = [row for row in found["rows"] if row["sampling"] == way]
        purity, pieces = min(row["purity"] for row in rows), [row["fragmentation"] for row in rows]
        return purity, f"{100 * purity:.1f} % ({min(pieces):.1f} to {max(pieces):.1f} tracklets an appearance)"

    (two, steady), (few, sparse) = of("2fps"), of("keyframes")
    return f"at 2 fps {steady}, with keyframes {sparse}", "", two >= 0.98 and few >= 0.95


def _storage(found: Result) -> tuple[str, str, None]:
    of = found["bytes_per_crop"]
    ours = f"{sum(of.values()):,} bytes: picture {of['picture']:,}, vector {of['vector']:,}, rows {of['rows']:,}"
    return ours, "", None


def _calibration(found: Result) -> tuple[str, str, bool]:
    errors = {way: found["rows"][way]["ece"] for way in ("identities", "answers")}
    ours = f"{errors['identities']:.3f} by named people, {errors['answers']:.3f} by answers"
    return f"{ours}; label-free {found['rows']['label-free']['ece']:.2f}", "", all(e <= 0.05 for e in errors.values())


def _absent(found: Result) -> tuple[str, str, bool]:
    rows = {way: found["rows"][way] for way in ("identities", "answers")}
    told = {way: f"{100 * row['told']:.0f} % at {100 * row['false_alarms']:.0f} %" for way, row in rows.items()}
    ours = f"by named people {told['identities']} false alarms, by answers {told['answers']}"
    return ours, "", all(row["told_at_10_percent"] >= 0.8 for row in rows.values())


def _reranked_search(found: Result) -> tuple[str, str, None]:
    mean = found["mean"]
    mAP, rank1 = ([mean[name], mean[f"{name}_reranked"]] for name in ("mAP", "rank1"))  # noqa: N806
    return f"mAP {mAP[0]:.1f} → {mAP[1]:.1f}, Rank-1 {rank1[0]:.1f} → {rank1[1]:.1f}", "", None


def _blur(found: Result) -> tuple[str, str, bool]:
    def of(name: str, each: Result) -> str:
        blurred, boxes, picture = (100 * each[key] for key in ("blurred", "by_boxes", "picture"))
        return f"{name} {blurred:.1f} % with {picture:.0f} % of the picture, by boxes alone {boxes:.1f} %"

    ours = "; ".join(of(name, each["all"]) for name, each in found["detectors"].items())
    return ours, "", all(each["all"]["blurred"] >= found["goal"] for each in found["detectors"].values())


def _adapting(unseen: bool) -> Callable[[Result], tuple[str, str, bool]]:
    def measured(found: Result) -> tuple[str, str, bool]:
        rows = [row for row in found["worlds"] if row["unseen_looks"] == unseen]
        trained = ", ".join(f"{100 * row['before']['mAP']:.1f} → {100 * row['ise']['mAP']:.1f}" for row in rows)
        quick = ", ".join(f"{100 * row['quick']['mAP']:.1f}" for row in rows)
        return f"{trained}; quick {quick}", "", all(row["ise"]["mAP"] > row["before"]["mAP"] for row in rows)

    return measured


def _ms(value: float) -> str:
    return f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"


def _cost(row: Result) -> str:
    return f"{row['wall_s']:.1f} s, {row['memory_mb']:,.0f} MB"


LINES = [
    Line("CMC, mAP, mINP, 3,368 × 15,913", "metrics", "≤ 0.5 s of processor, < 0.1 GB", _metrics),
    Line("k-reciprocal re-ranking, 3,368 × 15,913 × 512", "reranking", "≥ 12 ×, ≤ 1 GB, same ranking", _reranking),
    Line("Jaccard + DBSCAN, 12,936 × 2048", "clustering", "≥ 12 ×, ≤ 0.8 GB, same labels", _clustering),
    Line("Jaccard + DBSCAN, 100,000 × 256", "clustering", "≤ 75 s, ≤ 1.5 GB", _large_clustering),
    Line("its growth up to 200,000, without the neighbours' search", "clustering", "≤ N^1.1", _growth),
    Line("Input pipeline with augmentation, 256×128, one core", "input_pipeline", "≥ 6,000 images/s", _input_pipeline),
    Line("Training step, OSNet x0.25, 128×64, two cores", "training_step", "≥ 2.5 ×", _training_step),
    Line("What an image costs in training, by the size of the set, one thread", "training_size", "", _training_size),
    Line("Embedding, the shipped model, one core", "embedding", "≥ 2 × in fp32, ≥ 3 × in int8", _embedding),
    Line("Decoding of 1080p25, GOP 50", "decoding", "keyframes ≥ 12 × real time, 2 fps ≥ 4 ×", _decoding),
    Line(
        "Footage to gallery, 1080p25, GOP 50, YOLOX-nano",
        "indexing",
        "2 fps ≥ 3 × real time, ≥ 3 × the loop on every frame, ≥ 1.5 × the loop at 2 fps; keyframes ≥ 10 × real time",
        _indexing,
    ),
    Line("Peak memory over two hours of video", "indexing_memory", "≤ 1.1 × that of ten minutes", _indexing_memory),
    Line(
        "Purity of tracklets, the worst of two detectors, people crossing in groups",
        "tracklets",
        "≥ 98 %; with keyframes ≥ 95 %",
        _tracklets,
    ),
    Line("Disk for a best shot of generated people, D = 256", "storage", "as it is", _storage),
    Line("Scan of 100,000 files", "scanning", "< 20 s; nothing new < 5 s", _scanning),
    Line("Exact search, 1 M × 512, top 80", "search", "≤ 0.5 of Faiss fp16 on one thread", _search),
    Line("the same with 10,000 rows", "search", "", _small_search),
    Line("its growth from 100,000 rows to the largest gallery", "search_large", "", _search_growth),
    Line("its slowest filter, of the time without", "search", "≤ 1.2 ×", _search_filters),
    Line("an approximate search instead, by Faiss, 1 M × 512, people", "inverted_file", "", _inverted_file),
    Line(
        "opening a gallery of 1 M rows with a first search; from a commit to searchable",
        "search",
        "≤ 1 s, ≤ 300 MB; ≤ 2 s",
        _search_opening,
    ),
    Line(
        "Query to hits through the REST API, 1 M rows",
        "users",
        "p95 ≤ 150 ms alone; ≤ 500 ms with 20 users while the gallery is worked on; no error",
        _users,
    ),
    Line(
        "50 users for ten minutes, 1 M rows; then far too many",
        "load",
        "no error, flat memory; too many are refused, and it recovers",
        _load,
    ),
    Line(
        "The page with 200,000 tracklets, in Chromium",
        "page",
        "first hits and timeline ≤ 1 s, ≤ 200 pictures at once",
        _page,
    ),
    Line(
        "P(match), expected calibration error of the first 20 hits across cameras",
        "calibration",
        "≤ 0.05",
        _calibration,
    ),
    Line(
        '"Probably not in this gallery", of people who are not in it',
        "calibration",
        "≥ 80 % at 10 % false alarms",
        _absent,
    ),
    Line("k-reciprocal re-ranking of a search", "reranked_search", "as it is", _reranked_search),
    Line("Adapting to cameras with unseen looks, mAP", "adapting", "more in each world", _adapting(True)),
    Line("the same with looks like those of the training", "adapting", "more in each world", _adapting(False)),
    Line("Pixels of true heads that are blurred, before still cameras", "blur", "≥ 98 %", _blur),
    Line("Indexing killed at random", "killed", "no difference", _killed),
    Line("The server killed in each state", "killed_server", "nothing lost, nothing half", _killed_server),
]

if __name__ == "__main__":
    main()
