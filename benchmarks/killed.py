"""kill -9 at random moments: the gallery must end as one whose indexing was never stopped, row for row, bit for bit.

`reidapp index` is started, killed and started again, until it comes to its end; then again with a new gallery, until it
was killed so many times. Every second kill waits for a commit to begin, since those are short. Chunks are two seconds
long, so that a run has many.

python -m benchmarks.killed [--kills 50] [--seed 0] > docs/results/killed.json
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from reidapp.errors import ReidappError
from reidapp.gallery.store import Gallery
from reidapp.gallery.verification import verify

ROOT = Path(__file__).resolve().parents[1]
# The command, but for the length of chunks, which no user needs to choose.
_INDEX = """
from reidapp import cli, settings
settings.IndexSettings.model_fields["chunk_s"].default = 2.0
settings.IndexSettings.model_rebuild(force=True)
cli.main()
"""
_TABLES = ("camera", "video", "chunk", "tracklet", "crop", "block", "model")


@dataclass
class Tally:
    """What came of it.

    Attributes:
        before, between, within: kills before the gallery was there, between two commits, within one (or within the
            creation): something was left behind that no row names.
        galleries: that were indexed to their end.
        wrong: what was not as it must be.
    """

    before: int = 0
    between: int = 0
    within: int = 0
    galleries: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        return self.before + self.between + self.within


def contents(gallery: Path) -> dict[str, Any]:
    """Every row but the count of commits, and the bytes of every crop and vector."""
    with Gallery.open(gallery).engine.connect() as connection:
        rows = {t: [tuple(r) for r in connection.exec_driver_sql(f"SELECT * FROM {t} ORDER BY 1, 2")] for t in _TABLES}
    for kind in ("crops", "vectors", "models"):
        files = sorted(file for file in (gallery / kind).rglob("*") if file.is_file())
        rows[kind] = [(str(file.relative_to(gallery)), file.read_bytes()) for file in files]
    return rows


def kill_often(footage: Path, folder: Path, kills: int, seed: int) -> Tally:
    """Index footage into galleries below a folder, and kill the process so many times."""
    draw, tally = random.Random(seed), Tally()
    began = time.monotonic()
    _start(footage, folder / "whole").wait()
    longest_s = time.monotonic() - began
    expected = contents(folder / "whole")
    while tally.kills < kills:
        gallery = folder / f"killed{tally.galleries}"
        while True:
            process = _start(footage, gallery)
            if tally.kills < kills:
                _kill(process, gallery, draw, longest_s, in_commit=bool(tally.kills % 2))
            if process.wait() == 0:
                break
            if process.returncode != -signal.SIGKILL:
                tally.wrong.append(f"{gallery.name}: ended with exit code {process.returncode}")
                return tally
            _judge(gallery, tally)
        tally.galleries += 1
        found = verify(Gallery.open(gallery))
        tally.wrong += [f"{gallery.name}: {fault}" for fault in found.faults]
        tally.wrong += [f"{gallery.name}: {leftover.path} is left over" for leftover in found.leftovers]
        there = contents(gallery)
        tally.wrong += [f"{gallery.name}: {part} differ" for part in expected if there[part] != expected[part]]
    return tally


def _start(footage: Path, gallery: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", _INDEX, "index", str(footage), "--gallery", str(gallery), "--zone", "UTC"]
    environment, quiet = os.environ | {"OMP_NUM_THREADS": "1"}, subprocess.DEVNULL
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=quiet, stderr=quiet)


def _kill(
    process: "subprocess.Popen[bytes]", gallery: Path, draw: random.Random, longest_s: float, in_commit: bool
) -> None:
    """After a drawn share of a whole run's time, or at a commit, however long that takes to begin.

    Three of four clocks start when the gallery is there: how long a busy machine loads the libraries is anyone's guess.
    """
    at_work, pause = draw.random() < 0.75, draw.uniform(0, 0.03)
    after = draw.uniform(0.2, 0.8) * longest_s
    end = None if at_work else time.monotonic() + after
    while process.poll() is None and (end is None or time.monotonic() < end):
        time.sleep(0.001)
        if in_commit and any(gallery.glob("crops/*/*.new")):
            time.sleep(pause)
            break
        if end is None and not in_commit and (gallery / "gallery.db").is_file():
            end = time.monotonic() + after
    process.kill()


def _judge(gallery: Path, tally: Tally) -> None:
    """What a kill has left: it must be whole, but for what no row names."""
    if not (gallery / "gallery.db").is_file():
        tally.before += 1
        return
    try:
        found = verify(Gallery.open(gallery))
    except ReidappError as error:
        tally.wrong.append(f"{gallery.name}, after a kill: {error}")
        return
    tally.wrong += [f"{gallery.name}, after a kill: {fault}" for fault in found.faults]
    if found.leftovers:
        tally.within += 1
    else:
        tally.between += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    from training.data.synthetic.footage import write_footage

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_footage(folder / "footage", cameras=2, people=5, seconds=16, seed=arguments.seed)
        tally = kill_often(folder / "footage", folder, arguments.kills, arguments.seed)
        found = verify(Gallery.open(folder / "whole"))
    result = {
        "command": f"python -m benchmarks.killed --kills {arguments.kills} --seed {arguments.seed}",
        "machine": machine(),
        "footage": {"videos": found.videos, "crops": found.crops, "chunk_s": 2.0},
        "kills": tally.kills,
        **vars(tally),
    }
    print(json.dumps(result, indent=1))
    sys.exit(1 if tally.wrong else 0)


if __name__ == "__main__":
    main()
