"""Tables of trained methods: a row is a run of a recipe, measured, and kept as one JSON file.

A row that has its file is not run again, so a table may be filled over days, and a run that was stopped goes on from
its last epoch. OMP_NUM_THREADS says how many cores a run takes.
"""

import argparse
import json
import shlex
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.machine import machine

DOCS = Path(__file__).parents[1] / "docs" / "results"
SEED = 0
SCORES = {"rank1": "Rank-1", "rank5": "Rank-5", "mAP": "mAP", "mINP": "mINP"}


@dataclass(frozen=True)
class Row:
    """A line of a table.

    Attributes:
        name: of its JSON file.
        method: what the reader sees.
        recipe, changes: what is run.
        common: changes that the table's rows share.
        small: off for a recipe that is for a CPU as it is.
        data: KIND:DIR to train on, with a placeholder for the folder; ``{market}`` or another of the command's options.
    """

    name: str
    method: str
    recipe: str
    changes: tuple[str, ...] = ()
    common: tuple[str, ...] = ()
    small: bool = True
    data: str = "market_500_251:{market}"

    def options(self, changes: Sequence[str]) -> list[str]:
        return [*(["--small"] if self.small else []), *(part for change in changes for part in ("--set", change))]

    def filled(self, places: Mapping[str, object]) -> tuple[list[str], str]:
        """Changes and data with folders for the placeholders; other braces are YAML's."""
        texts = [*self.common, *self.changes, self.data]
        for name, place in places.items():
            texts = [text.replace(f"{{{name}}}", str(place)) for text in texts]
        return texts[:-1], texts[-1]

    @property
    def command(self) -> str:
        """To be typed; folders in capitals."""
        changes, spec = self.filled({name: name.upper() for name in ("market", "start", "footage")})
        words = ["reidapp", "train", self.recipe, *self.options(changes), "--data", spec, "--out", "RUN"]
        return shlex.join([*words, "--seed", str(SEED)])

    @property
    def short(self) -> str:
        """Of the command, what is the row's own."""
        return shlex.join([self.recipe, *(part for change in self.changes for part in ("--set", change))])


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options that all tables have."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--market", type=Path, help="folder of Market-1501's training images")
    options.add_argument("--work", type=Path, help="folder for the runs")
    options.add_argument("--only", nargs="+", metavar="NAME", help="these rows; all that have no result by default")
    options.add_argument("--device", default="auto")
    options.add_argument("--render", action="store_true", help="only write the table")
    return options


def fill(
    rows: Sequence[Row],
    table: str,
    places: dict[str, Path | None],
    arguments: argparse.Namespace,
    measure: Callable[[Row, Path, str], dict[str, Any]],
    render: Callable[[], None],
    stop: Callable[[str], Any],
) -> None:
    """Run the rows that have no result yet, and write the table after each.

    Args:
        table: folder of the JSON files, in docs/results.
        places: {placeholder: folder}.
        measure: of a row and its run folder: what the JSON file says besides the run's facts.
        stop: called with what is wrong with the options.
    """
    if not arguments.render:
        known = {row.name: row for row in rows}
        for name in arguments.only or known:
            if name not in known:
                stop(f"no row {name}; there are {', '.join(known)}")
            if not result_file(table, name).exists():
                _run(known[name], table, places, arguments, measure, stop)
                render()
    render()


def result_file(table: str, name: str) -> Path:
    return DOCS / table / f"{name}.json"


def read_result(table: str, name: str) -> dict[str, Any] | None:
    """What was measured for a row; None: not run."""
    file = result_file(table, name)
    return json.loads(file.read_text("utf-8")) if file.exists() else None


def scores_of(model: Path, data: str, flip: bool = False) -> dict[str, float]:
    """Percent, by the names of `SCORES`; with ``_flip`` behind them if crops and mirror images are averaged."""
    from training.evaluation import evaluate

    measured, suffix = evaluate(model, data, flip=flip, quiet=True), "_flip" if flip else ""
    return {f"{name}{suffix}": round(100 * getattr(measured, name), 1) for name in SCORES}


def minutes(result: dict[str, Any]) -> str:
    """Of a run, with its threads."""
    resumed = ", stopped and resumed" if result.get("resumed") else ""
    return f"{result['minutes']:.0f} ({result['machine']['threads']}){resumed}"


def resumed_minutes(run: Path) -> float:
    """Of a run that was stopped and resumed: its epochs times their median, by the times of TensorBoard's files."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    spans, epochs = [], 0
    for file in (run / "tensorboard").iterdir():
        found = EventAccumulator(str(file)).Reload()
        if "loss" not in found.Tags()["scalars"]:  # stopped in its first epoch
            continue
        events = found.Scalars("loss")
        spans += [after.wall_time - before.wall_time for before, after in pairwise(events)]
        epochs += len(events)
    return epochs * statistics.median(spans) / 60


def write_table(table: str, lines: Sequence[str]) -> None:
    """The table, and behind it what docs/results/TABLE/notes.md says about it."""
    notes = DOCS / table / "notes.md"
    text = ["", notes.read_text("utf-8").rstrip()] if notes.exists() else []
    (DOCS / f"{table}.md").write_text("\n".join([*lines, *text, ""]), "utf-8")


def _run(
    row: Row,
    table: str,
    places: dict[str, Path | None],
    arguments: argparse.Namespace,
    measure: Callable[[Row, Path, str], dict[str, Any]],
    stop: Callable[[str], Any],
) -> None:
    from models.run_folder import last_epoch
    from training.engine import train
    from training.recipe import load_recipe

    needed = [name for name in places if f"{{{name}}}" in " ".join([row.data, *row.common, *row.changes])]
    if missing := [f"--{name}" for name in ("work", *needed) if {**places, "work": arguments.work}[name] is None]:
        stop(f"row {row.name} needs {', '.join(missing)}")
    out: Path = arguments.work / row.name
    resumed = last_epoch(out) is not None
    changes, spec = row.filled(places)
    recipe = load_recipe(row.recipe, changes, small=row.small)
    trained = train(recipe, spec, out, seed=SEED, device=arguments.device, resume=resumed)
    result: dict[str, Any] = {"method": row.method, "command": row.command, "seed": SEED, "images": trained.images}
    result |= measure(row, out, f"market_500_251:{places['market']}")
    result |= {"training_accuracy": trained.accuracy, "warnings": trained.warnings}
    spent = resumed_minutes(out) if resumed else trained.seconds / 60
    result |= {"minutes": round(spent, 1), "resumed": resumed, "machine": machine()}
    result_file(table, row.name).parent.mkdir(parents=True, exist_ok=True)
    result_file(table, row.name).write_text(json.dumps(result, indent=2) + "\n")
