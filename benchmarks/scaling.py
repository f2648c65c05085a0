"""What it costs as it grows, and what a site, a city and more would need: docs/results/scaling.md.

    python -m benchmarks.scaling
    python -m benchmarks.scaling --cameras 200 --appearances 3000 --days 14

Curves are read from the JSON files that benchmarks wrote (docs/results/NAME.json), and an exponent is fitted to each:
the slope of the logarithms, by least squares. The plan is computed from these files and from `Assumptions`; with
options it is printed for others, and nothing is written. What has to be said of it: docs/results/scaling/notes.md.
"""

import argparse
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from benchmarks.clustering import FITTED_IMAGES
from benchmarks.drawing import COLOURS, drawn, logarithmic, save
from benchmarks.figures import FAISS_THREADS
from benchmarks.method_rows import DOCS, write_table

Result = dict[str, Any]
MEASURED, COMPUTED, ASSUMED = "measured", "computed", "assumed"
GB = 1e9
CHUNK_S = 60
FITTED_ROWS = 100_000


@dataclass(frozen=True)
class Curve:
    """A cost against a size.

    Attributes:
        work: what was done.
        size, cost: their units.
        points: (size, cost), the smallest first.
        fitted: sizes that the exponent is of begin here; below, it is what every call costs.
        file: the benchmark's.
    """

    work: str
    size: str
    cost: str
    points: Sequence[tuple[float, float]]
    fitted: float
    file: str

    @property
    def exponent(self) -> float | None:
        """None with fewer than two points."""
        used = [point for point in self.points if point[0] >= self.fitted]
        if len(used) < 2:
            return None
        sizes, costs = np.log(used).T
        return float(np.polyfit(sizes, costs, 1)[0])

    @property
    def growth(self) -> str:
        """The exponent in words: "N^1.20"; "" where it is not known."""
        return "" if self.exponent is None else f"N^{self.exponent:z.2f}"

    def line(self) -> str:
        (small, cheap), (large, dear) = self.points[0], self.points[-1]
        span, cost = f"{small:,.0f} to {large:,.0f}", f"{_short(cheap)} to {_short(dear)}"
        return f"| [{self.work}]({self.file}.json) | {span} {self.size} | {cost} {self.cost} | {self.growth} |"


@dataclass(frozen=True)
class Assumptions:
    """What a plan takes for granted."""

    cameras: int = 16
    appearances: int = 1_000
    days: int = 30
    cores: int = 32
    busy: float = 0.7
    rows: int = field(default_factory=lambda: max(row["rows"] for row in _people()))


MEANING = {
    "cameras": "cameras, each 1080p at 25 fps, a keyframe every two seconds, day and night",
    "appearances": "people who pass a camera in a day (one who comes twice counts twice)",
    "days": "days that a gallery keeps",
    "cores": "cores of a machine, worth as much each as those of the two that were measured",
    "busy": "share of its time that a machine is at work",
    "rows": "best shots in one gallery, the most that were measured",
}
PLANS = {"a site": 16, "a city": 10_000, "ten cities": 100_000}


@dataclass(frozen=True)
class Row:
    """A line of the plan: what it is of some assumptions, and how that is known."""

    what: str
    known: str
    value: Callable[["Plan"], str]


class Plan:
    """What so many cameras need, by what was measured."""

    def __init__(self, assumed: Assumptions) -> None:
        self.assumed = assumed
        indexing, self.storage = _read("indexing"), _read("storage")
        self.rates: dict[str, float] = indexing["times_real_time"]
        self.cores_measured: int = indexing["machine"]["cores"]
        self.tracklets_each: float = _read("bench_footage")["mean"]["tracklets"]["per_appearance"]
        self.crops_each: float = self.storage["crops"] / self.storage["tracklets"]
        self.largest = max(_people(), key=lambda row: row["rows"])

    def core_hours(self, sampling: str) -> float:
        """Of a camera's day: the cores are taken for as long as indexing takes."""
        return 24 / self.rates[f"ours {sampling}"] * self.cores_measured

    def machines(self, sampling: str) -> int:
        cores = self.assumed.cameras * self.core_hours(sampling) / 24
        return math.ceil(cores / self.assumed.busy / self.assumed.cores)

    @property
    def crops_a_day(self) -> float:
        """Of a camera."""
        return self.assumed.appearances * self.tracklets_each * self.crops_each

    @property
    def bytes_a_day(self) -> float:
        """Of a camera, on disk."""
        return self.crops_a_day * sum(self.storage["bytes_per_crop"].values())

    @property
    def rows(self) -> float:
        return self.assumed.cameras * self.crops_a_day * self.assumed.days

    @property
    def galleries(self) -> int:
        return math.ceil(self.rows / self.assumed.rows)

    @property
    def rows_each(self) -> float:
        return self.rows / self.galleries

    @property
    def memory_each(self) -> float:
        """Bytes of one gallery's server: its own, and the mapped files, so that no search waits for a disk."""
        per_row = (self.largest["opening"]["memory_mb"] + self.largest["derived"]["mb"]) * 1e6 / self.largest["rows"]
        return self.rows_each * (per_row + 2 * self.storage["dim"])

    def kept(self, what: str) -> float:
        """Bytes of all rows."""
        return self.rows * self.storage["bytes_per_crop"][what]


ROWS = [
    Row("cameras", ASSUMED, lambda p: f"{p.assumed.cameras:,}"),
    Row("**A camera's day**", "", lambda p: ""),
    Row("indexing at 2 fps, core-hours", MEASURED, lambda p: f"{p.core_hours('2fps'):.1f}"),
    Row("indexing keyframes alone, core-hours", MEASURED, lambda p: f"{p.core_hours('keyframes'):.2f}"),
    Row("people who pass", ASSUMED, lambda p: f"{p.assumed.appearances:,}"),
    Row("best shots that are stored", COMPUTED, lambda p: f"{p.crops_a_day:,.0f}"),
    Row("disk, GB", COMPUTED, lambda p: f"{p.bytes_a_day / GB:.3f}"),
    Row("**Indexing**", "", lambda p: ""),
    Row("machines at 2 fps", COMPUTED, lambda p: f"{p.machines('2fps'):,}"),
    Row("machines, keyframes alone", COMPUTED, lambda p: f"{p.machines('keyframes'):,}"),
    Row("chunks to store in a second", COMPUTED, lambda p: _short(p.assumed.cameras / CHUNK_S)),
    Row("**What is kept**", "", lambda p: ""),
    Row("days", ASSUMED, lambda p: f"{p.assumed.days:,}"),
    Row("best shots, millions", COMPUTED, lambda p: _short(p.rows / 1e6)),
    Row("pictures, GB", COMPUTED, lambda p: _short(p.kept("picture") / GB)),
    Row("vectors, GB", COMPUTED, lambda p: _short(p.kept("vector") / GB)),
    Row("rows of the database, GB", COMPUTED, lambda p: _short(p.kept("rows") / GB)),
    Row("**Searching, in galleries of their own**", "", lambda p: ""),
    Row("galleries", COMPUTED, lambda p: f"{p.galleries:,}"),
    Row("cameras in each", COMPUTED, lambda p: f"{p.assumed.cameras / p.galleries:,.0f}"),
    Row("chunks to store in a second, each", COMPUTED, lambda p: _short(p.assumed.cameras / p.galleries / CHUNK_S)),
    Row("memory of each one's server, GB", COMPUTED, lambda p: _short(p.memory_each / GB)),
    Row("search of all rows in one, on two cores, ms", COMPUTED, lambda p: _short(_search_ms(p.rows_each))),
    Row("**Searching, in one gallery by Milvus and PostgreSQL**", "", lambda p: ""),
    Row("memory of Milvus for the vectors (fp32), GB", COMPUTED, lambda p: _short(p.rows * 4 * p.storage["dim"] / GB)),
    Row("search, ms", "not measured", lambda p: ""),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in asdict(Assumptions()).items():
        parser.add_argument(f"--{name}", type=type(default), help=f"{MEANING[name]}: {default:,}")
    said = {name: value for name, value in vars(parser.parse_args()).items() if value is not None}
    if wrong := [name for name, value in said.items() if value <= 0]:
        parser.error(f"--{wrong[0]}: more than 0")
    if not said.get("busy", 1) <= 1:  # also what is no number
        parser.error("--busy: a share, more than 0 and at most 1")
    if said:
        print("\n".join(plan_table({"": replace(Assumptions(), **said)})))
        return
    draw_curves()
    write_table("scaling", page())


def page() -> list[str]:
    plans = {name: Assumptions(cameras=cameras) for name, cameras in PLANS.items()}
    one, busy, fewest = Plan(Assumptions()), _read("users"), min(_people(), key=lambda row: row["rows"])
    rows, small = fewest["rows"], fewest["milliseconds"]["unfiltered"]
    return [
        "# What it costs as it grows",
        "",
        "Written by `python -m benchmarks.scaling` from the JSON files beside it; do not edit. Two cores of a shared",
        "machine, without a GPU, as in [the benchmarks](benchmarks.md).",
        "",
        "## Curves",
        "",
        "Exponents are fitted to what was measured: N^1 is twice the cost for twice the size. Galleries are fitted",
        f"from {FITTED_ROWS:,} rows on, clustering from {FITTED_IMAGES:,} images on; below, an image has few",
        "look-alikes, and a search is mostly what every search costs: with",
        f"{rows:,} rows like people it takes {small['reidapp_of_two_threads']:.1f} times as long as Faiss's on two "
        f"threads, and {small['reidapp_of_one_thread']:.1f} times as long as on one.",
        "",
        "![Search, opening and clustering against their sizes](figures/scaling.svg)",
        "",
        "| Work | Sizes | Cost | Exponent |",
        "|---|---|---|---|",
        *(curve.line() for curve in curves().values()),
        "",
        f"**Users** of a gallery of {busy['rows']:,} rows; from the picture to its hits, a search each "
        f"{busy['pause_s']:.0f} seconds:",
        "",
        "| Users | p50 | p95 | |",
        "|---|---|---|---|",
        *users(),
        "",
        "**Footage.** The second hour of a recording costs what the first one does: each minute is a piece of work by",
        "itself. The curve is of a small video; what an hour of 1080p costs is in the plan.",
        "",
        "**Training.** A run takes as long as the images that it is shown; what one costs does not depend on how many",
        "the set has. Larger sets are the same images several times over, each time as other people. In the curve only",
        "the growth counts: it may be of another processor than the rates below.",
        "",
        "| Training | Images a second | Threads |",
        "|---|---|---|",
        *training(),
        "",
        "Methods without labels also cluster all images before each epoch, by the curve above.",
        "",
        "## A plan",
        "",
        "- *measured*: the figure of one run on generated footage, for a day in place of its minutes;",
        "- *computed*: from measured figures and assumptions; never tried;",
        "- *assumed*: put what you know in its place, and the plan is printed for it:",
        "  `python -m benchmarks.scaling --cameras 200 --appearances 3000 --days 14`.",
        "",
        *plan_table(plans),
        "",
        "Assumed besides:",
        "",
        *(f"- {MEANING[name]}: {getattr(Assumptions(), name):,};" for name in ("cores", "busy", "rows")),
        f"- {MEANING['cameras']};",
        f"- who passes gives {one.tracklets_each:.2f} tracklets ([measured](bench_footage.json)), and a tracklet",
        f"  {one.crops_each:.2f} best shots ([measured](storage.json), as are their bytes): of generated people.",
    ]


def plan_table(plans: dict[str, Assumptions]) -> list[str]:
    made = [Plan(assumed) for assumed in plans.values()]
    lines = [f"| {row.what} | {' | '.join(row.value(plan) for plan in made)} | {row.known} |" for row in ROWS]
    return [f"| | {' | '.join(plans)} | known |", f"|---|{'---|' * len(plans)}---|", *lines]


def curves() -> dict[str, Curve]:
    """All that were measured, in the order of the page."""
    found = _read("search_large")
    people, random = ([row for row in found["results"] if row["distribution"] == k] for k in ("people", "random"))
    threads = found["machine"]["cores"]  # as many as ours takes
    clustering = sorted(_read("clustering")["growth"]["rows"], key=lambda row: row["images"])
    memory, sets, asking = _read("indexing_memory"), _read("training_size")["rows"], _read("users")
    crowds = [*asking["growth"], asking["together"] | {"users": asking["users"]}]

    def gallery(work: str, cost: str, of: Callable[[Result], float], rows: list[Result] = people) -> Curve:
        return Curve(work, "rows", cost, [(row["rows"], of(row)) for row in rows], FITTED_ROWS, "search_large")

    def cluster(work: str, cost: str, name: str) -> Curve:
        points = [(row["images"], row[name]) for row in clustering]
        return Curve(work, "images", cost, points, FITTED_IMAGES, "clustering")

    def search(work: str, cost: str) -> Curve:
        size = f"users, a search each {asking['pause_s']:.0f} s"
        return Curve(work, size, "ms", sorted((row["users"], row[cost]) for row in crowds), 0, "users")

    def ours(row: Result) -> float:
        return float(row["milliseconds"]["unfiltered"]["reidapp_ms"])

    def faiss(threads: int) -> Callable[[Result], float]:
        return lambda row: float(row["milliseconds"]["unfiltered"][f"faiss_{FAISS_THREADS[threads]}_ms"])

    peaks = [(600, memory["peak_mb"]["after 10 min"]), (memory["video_s"], memory["peak_mb"]["at the end"])]
    return {
        "search": gallery(f"Exact search, rows like people, {threads} threads", "ms", ours),
        "faiss": gallery("the same by Faiss, 1 thread", "ms", faiss(1)),
        "faiss two": gallery("the same by Faiss, 2 threads", "ms", faiss(2)),
        "random": gallery(f"Exact search, random rows, {threads} threads", "ms", ours, random),
        "opening": gallery("Opening a gallery", "s", lambda row: row["opening"]["open_s"]),
        "opened": gallery("memory of an open one", "MB", lambda row: row["opening"]["memory_mb"]),
        "commit": gallery("From a commit to searchable", "s", lambda row: row["commit_s"]),
        "codes": gallery("Codes on disk beside the vectors", "MB", lambda row: row["derived"]["mb"]),
        "users": search(f"Query to hits through the API, {asking['rows']:,} rows, the median", "p50_ms"),
        "users, slowest": search("the same, one in twenty takes longer", "p95_ms"),
        "clustering": cluster("Jaccard + DBSCAN, D = 256", "s", "wall_s"),
        "clustered": cluster("of it, after the neighbours' search", "s", "after_search_wall_s"),
        "cluster memory": cluster("its memory", "MB", "memory_mb"),
        "hours": Curve(
            "Indexing one recording, 320×180, a frame a second",
            "s of video",
            "s of processor",
            [(row["video_s"], row["processor_s"]) for row in memory["taken"]],
            0,
            "indexing_memory",
        ),
        "indexing": Curve("Peak memory of indexing", "s of video", "MB", peaks, 0, "indexing_memory"),
        "training": Curve(
            "An image in a training step, one thread",
            "images in the set",
            "ms",
            [(row["images"], row["ms_per_image"]) for row in sets],
            0,
            "training_size",
        ),
    }


def users() -> list[str]:
    found = _read("users")
    lines = [("alone", 1, "one after the other"), ("together", found["users"], "")]
    lines.append(("at work", found["users"], "while footage is indexed and the gallery is embedded anew"))
    table = [f"| {n} | {found[k]['p50_ms']:.0f} ms | {found[k]['p95_ms']:.0f} ms | {note} |" for k, n, note in lines]
    if (DOCS / "load.json").exists():
        load = _read("load")
        row, note = load["together"], f"each {load['pause_s']:.0f} s ([load](load.json))"
        table.append(f"| {load['users']} | {row['p50_ms']:.0f} ms | {row['p95_ms']:.0f} ms | {note} |")
    return table


def training() -> list[str]:
    step, best = _read("training_step"), _read("supervised/best")
    small = f"[Steps alone](training_step.json), OSNet x0.25, {step['height']}×{step['width']}"
    table = [
        f"| {small}, {name.removeprefix('ours, ')} | {rate:.0f} | {row['threads']} |"
        for row in step["rows"]
        for name, rate in row["images_per_s"].items()
        if name.startswith("ours")
    ]
    whole = f"[A whole run](supervised/best.json), OSNet x0.5, {best['images']:,} images, beside other work"
    return [*table, f"| {whole} | {best['images'] / best['minutes'] / 60:.0f} | {best['machine']['threads']} |"]


PANELS = {
    "Search of one gallery, ms": {
        "search": "rows like people, {threads} threads",
        "random": "random rows, {threads} threads",
        "faiss": "people by Faiss, 1 thread",
        "faiss two": "people by Faiss, 2 threads",
    },
    "Opening a gallery, s": {"opening": "opening", "commit": "from a commit to searchable"},
    "Clustering, s": {"clustering": "all of it", "clustered": "after the neighbours' search"},
    "Memory, MB": {"opened": "an open gallery", "cluster memory": "clustering"},
}


def draw_curves() -> None:
    found, threads = curves(), _read("search_large")["machine"]["cores"]
    figure, axes = drawn(2, 2, (7.6, 5.2))
    for place, (title, lines) in zip(axes, PANELS.items(), strict=True):
        for (key, label), colour in zip(lines.items(), COLOURS, strict=False):
            curve = found[key]
            sizes, costs = zip(*curve.points, strict=True)
            label = f"{label.format(threads=threads)}: {curve.growth}"
            place.plot(sizes, costs, marker="o", color=colour, label=label)
        logarithmic(place)
        place.set(title=title, xlabel=", ".join(dict.fromkeys(found[key].size for key in lines)))
        every = sorted({size for key in lines for size, _ in found[key].points})
        if every[-1] < 100 * every[0]:  # powers of ten would be too few
            place.set_xticks(every)
        low, high = place.get_ylim()
        place.set_ylim(low, high * 30)  # room for the legend
        place.legend(loc="upper left")
    values = {key: [found[key].points, found[key].exponent] for lines in PANELS.values() for key in lines}
    save(figure, "scaling.svg", values)


def _search_ms(rows: float) -> float:
    """By the curve of rows like people: between what was measured, and beyond it by the exponent."""
    curve = curves()["search"]
    largest, dearest = curve.points[-1]
    if rows > largest:
        return float(dearest * (rows / largest) ** (curve.exponent or 1.0))
    sizes, costs = np.log(curve.points).T
    return float(np.exp(np.interp(math.log(rows), sizes, costs)))


def _people() -> list[Result]:
    return [row for row in _read("search_large")["results"] if row["distribution"] == "people"]


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _read(name: str) -> Result:
    found: Result = json.loads((DOCS / f"{name}.json").read_text("utf-8"))
    return found


if __name__ == "__main__":
    main()
