"""Users who search through the REST API while the gallery grows and is embedded anew: seconds from query to hits.

    python -m benchmarks.users [--rows 1000000] [--users 20] [--seconds 120] [--folder DIR] > docs/results/users.json

The gallery and the searches are those of `benchmarks.served`; each search is of two calls, and of both the p95 is told,
too. Four situations:

    alone      one user, a search after the other
    growth     more and more users (`--growth`), each as together, half as long
    together   all users, each with a search every five seconds (`--pause`), begun evenly spread
    at work    the same, while `reidapp index` writes new footage into the gallery and `reidapp reembed` moves it to
               another model, both at the lowest priority (nice 19)

``refused`` are those whom the server has told to come again later. Goals: a p95 of 150 ms alone and of 500 ms at work;
no error.
"""

import argparse
import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine
from benchmarks.served import REIDAPP, TOP, Load, filled, note, served
from models import zoo
from training.data.synthetic.footage import write_footage

LEISURELY = ["nice", "-n", "19"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="made-up ones")
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--growth", type=int, nargs="*", default=[1, 5, 10, 40], help="users besides, without work")
    parser.add_argument("--pause", type=float, default=5.0, help="seconds from one search of a user to the next")
    parser.add_argument("--seconds", type=float, default=120.0, help="of each situation")
    parser.add_argument("--folder", type=Path, help="for the gallery, 3 GB; the system's temporary one by default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder, ignore_cleanup_errors=True) as folder:
        result = measured(Path(folder), arguments)
    facts = {"rows": arguments.rows, "users": arguments.users, "pause_s": arguments.pause, "top": TOP}
    print(json.dumps({"benchmark": "users"} | facts | result | {"machine": machine()}, indent=1))


def measured(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    users, pause, seconds = arguments.users, arguments.pause, arguments.seconds
    gallery, asked = filled(folder, arguments.rows)
    write_footage(folder / "more", cameras=6, people=24, seconds=120, seed=901)
    result: dict[str, Any] = {}
    with served(gallery.path) as client:
        note("alone")
        result["alone"] = Load(client, asked).of(1, 0.0, seconds / 4)
        result["growth"] = []
        for few in sorted({*arguments.growth} - {users}):
            note(f"{few} users")
            result["growth"].append({"users": few} | Load(client, asked).of(few, pause, seconds / 2))
        note("together")
        result["together"] = Load(client, asked).of(users, pause, seconds)
        note("at work")
        before = gallery.summary().crops
        anew = ["reembed", "--gallery", gallery.path, "--model", other_model(folder)]
        with (
            working(["index", folder / "more", "--gallery", gallery.path, "--zone", "UTC"]),
            working(anew) as embedding,
        ):
            result["at work"] = Load(client, asked).of(users, pause, seconds)
            result["at work"]["re-embedding ran all the time"] = embedding.poll() is None
        result["at work"]["crops_indexed"] = gallery.summary().crops - before
        result["at work"]["crops_embedded_anew"] = sum(model.crops for model in gallery.models() if not model.active)
    return result


@contextmanager
def working(arguments: Sequence[object]) -> Iterator[subprocess.Popen[bytes]]:
    """A command at the lowest priority, stopped in the end."""
    command = [*LEISURELY, *REIDAPP, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.terminate()


def other_model(folder: Path) -> Path:
    """The shipped model with one weight a little off: another model, as far as a gallery can tell."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(zoo.path_of(zoo.DEFAULT))
    weights = next(each for each in model.graph.initializer if numpy_helper.to_array(each).ndim == 4)
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * np.float32(1.001), weights.name))
    onnx.save(model, folder / "other.onnx")
    return folder / "other.onnx"


if __name__ == "__main__":
    main()
