"""Every line of docs/results/benchmarks.md measured anew, one benchmark after the other, each in its own process.

    make bench [PEERS=DIR] [MARKET=DIR] [DETECTOR=yolox:FILE] [ARGS="--only search,users"]
    make bench ARGS=--list

PEERS is a folder of other projects, each as cloned or unpacked: ``torchreid`` (KaiyangZhou/deep-person-reid),
``fast-reid`` (JDAI-CV/fast-reid), ``cluster-contrast`` (alibaba/cluster-contrast-reid), ``reid`` (Roboflow's package).
MARKET is the folder of Market-1501's training images. What lacks its peer or its data is said, and keeps its result.

A result replaces docs/results/NAME.json once its benchmark has ended well; then the pages and pictures are made anew.
It says by which `command` it was made, and in `run` with which commit. What has a result of this commit and of such a
machine is not run again: so a stopped run goes on. Nothing else should run meanwhile; the largest gallery needs 24 GB
of memory, and 20 GB of TMPDIR.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import machine, without_folder
from benchmarks.method_rows import DOCS
from benchmarks.summary import LINES
from reidapp.files import write_whole
from reidapp.wording import counted

ROOT = Path(__file__).parents[1]
PEERS = ("torchreid", "fast-reid", "cluster-contrast", "reid")
PAGES = ("summary", "scaling", "figures")
MEASURED = (".", ":!docs", ":!tests", ":!*.md")  # what changes a figure, as git names it


@dataclass(frozen=True)
class Benchmark:
    """What is run for a result.

    Attributes:
        minutes: about how long it takes on two cores with nothing beside.
        options: of its command; a name in braces stands for a folder or file that is given.
        module: of the package, if it is not called like the result.
    """

    minutes: float
    options: str = ""
    module: str = ""

    def missing(self, places: Mapping[str, str]) -> list[str]:
        return [name for name in (*PEERS, *ASKED) if f"{{{name}}}" in self.options and name not in places]

    def command(self, name: str, places: Mapping[str, str]) -> list[str]:
        filled = [word.format(**places) for word in shlex.split(self.options)]
        return [sys.executable, "-m", f"benchmarks.{self.module or name}", *filled]

    def said(self, name: str, places: Mapping[str, str]) -> str:
        """The command as anybody could type it: in capitals what stands for a folder; files without theirs."""
        folders = {place: place.upper().replace("-", "_") for place in (*PEERS, "market")}
        filled = self.options.format(**folders | {"detector": without_folder(places.get("detector", ""))})
        return f"python -m benchmarks.{self.module or name} {filled}".strip()


ASKED = {"market": "MARKET=DIR", "detector": "DETECTOR=yolox:FILE"}
BENCHMARKS = {
    "metrics": Benchmark(3, "--torchreid {torchreid} --fastreid {fast-reid} --reid {reid}"),
    "reranking": Benchmark(3, "--torchreid {torchreid}"),
    "clustering": Benchmark(8, "--cluster-contrast {cluster-contrast}"),
    "input_pipeline": Benchmark(1),
    "training_step": Benchmark(4, "--data market_500_251:{market} --torchreid {torchreid}"),
    "training_size": Benchmark(3, "--data market_500_251:{market}"),
    "embedding": Benchmark(2),
    "decoding": Benchmark(3),
    "indexing": Benchmark(8, "--detector {detector}"),
    "indexing_memory": Benchmark(2, "--detector {detector}"),
    "tracklets": Benchmark(6, "--detectors {detector} hog"),
    "storage": Benchmark(1),
    "scanning": Benchmark(1),
    "search": Benchmark(4),
    "search_large": Benchmark(17, "--rows 10000000 1000000", "search"),
    "inverted_file": Benchmark(2),
    "users": Benchmark(13),
    "load": Benchmark(25),
    "page": Benchmark(4),
    "calibration": Benchmark(5, "--detector {detector}"),
    "reranked_search": Benchmark(5, "--detector {detector}"),
    "adapting": Benchmark(25, "--worlds 0 1 2"),
    "blur": Benchmark(3, "--detectors hog {detector}"),
    "killed": Benchmark(3),
    "killed_server": Benchmark(2),
}


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="folder with other projects")
    parser.add_argument("--market", help="folder of Market-1501's training images")
    parser.add_argument("--detector", help="yolox:FILE")
    parser.add_argument("--only", help="these benchmarks, with commas between them")
    parser.add_argument("--again", action="store_true", help="also what has a result of this commit and machine")
    parser.add_argument("--list", action="store_true", help="say what would be run, and run nothing")
    arguments = parser.parse_args(words)
    known = list(dict.fromkeys(line.file for line in LINES))
    wanted = arguments.only.split(",") if arguments.only else known
    if unknown := [name for name in wanted if name not in known]:
        parser.error(f"--only {unknown[0]}: no such benchmark; there are {', '.join(known)}")
    places = given(arguments, parser)
    commit = None if arguments.again else measured_commit()
    left_out = {name: why for name in wanted if (why := reason(name, places, commit))}
    if arguments.list:
        print(listing(wanted, left_out))
        return 0
    for name, why in left_out.items():
        print(f"{name}: not rerun, {why}")
    return run([name for name in wanted if name not in left_out], places)


def given(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> dict[str, str]:
    """The folders and files that there are, by their names in `Benchmark.options`."""
    for folder in (arguments.peers, arguments.market):
        if folder and not Path(folder).is_dir():
            parser.error(f"{folder}: no such folder")
    places = {
        name: str(arguments.peers / name) for name in PEERS if arguments.peers and (arguments.peers / name).is_dir()
    }
    return places | {name: value for name in ASKED if (value := getattr(arguments, name))}


def reason(name: str, places: Mapping[str, str], commit: str | None) -> str | None:
    """Why a benchmark is not run; None if it is.

    Args:
        commit: whose results count as done; None: nobody's.
    """
    old = read(name)
    if missing := BENCHMARKS[name].missing(places):
        needs = ", ".join(ASKED.get(each, f"PEERS/{each}") for each in missing)
        return f"it needs {needs}; " + ("its old result stays" if old else "it has no result yet")
    if commit and old.get("run", {}).get("commit") == commit and _same_machine(old):
        return f"its result is of this commit, {commit} (--again runs it)"
    return None


def run(names: Sequence[str], places: Mapping[str, str]) -> int:
    """Run the benchmarks, then make the pages; 0, 1 if something failed, 130 if it was stopped."""
    if (load := os.getloadavg()[0]) > 0.5 and names:
        print(f"The machine is doing other work (load {load:.1f}): times will be too long.")
    failed = []
    try:
        for number, name in enumerate(names, start=1):
            print(f"[{number}/{len(names)}] {name}, about {minutes(name):.0f} min", flush=True)
            benchmark = BENCHMARKS[name]
            if wrong := measure(name, benchmark.command(name, places), benchmark.said(name, places)):
                failed.append(name)
                print(f"{name}: failed, {wrong}; " + ("its old result stays" if read(name) else "it has no result"))
        for page in PAGES:
            if subprocess.run([sys.executable, "-m", f"benchmarks.{page}"], cwd=ROOT, check=False).returncode:
                failed.append(page)
    except KeyboardInterrupt:
        print("Stopped; what has ended is kept, and the same command goes on from there.")
        return 130
    print(f"{counted(len(names) - len([n for n in failed if n in names]), 'benchmark')} measured, {len(failed)} failed")
    if failed:
        print(f"Failed: {', '.join(failed)}")
    return 1 if failed else 0


def measure(name: str, command: Sequence[str], said: str) -> str | None:
    """Run one and keep what it printed, if it ended well; else say what is wrong.

    Args:
        said: the command, as the result has it.
    """
    commit, began = measured_commit(), time.monotonic()
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        return f"exit code {done.returncode}"
    try:
        result = json.loads(done.stdout)
    except json.JSONDecodeError as error:
        return f"it printed no JSON ({error})"
    result |= {"command": said, "run": {"commit": commit, "seconds": round(time.monotonic() - began)}}
    write_whole(result_file(name), (json.dumps(result, indent=1, ensure_ascii=False) + "\n").encode())
    return None


def listing(names: Sequence[str], left_out: Mapping[str, str]) -> str:
    lines = [f"{name:16}{minutes(name):5.0f} min  {left_out.get(name, 'to run')}" for name in names]
    total = sum(minutes(name) for name in names if name not in left_out)
    return "\n".join([*lines, f"about {total / 60:.1f} hours"])


def minutes(name: str) -> float:
    """About how long it takes: as the last time, or as estimated."""
    seconds = read(name).get("run", {}).get("seconds")
    return seconds / 60 if seconds else BENCHMARKS[name].minutes


def read(name: str) -> dict[str, Any]:
    """The result of last time; empty if there is none."""
    file = result_file(name)
    found: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.exists() else {}
    return found


def result_file(name: str) -> Path:
    return DOCS / f"{name}.json"


def measured_commit() -> str | None:
    """The last commit that changed anything that is measured; None without git, or with changes that are in none."""
    try:
        changed = _git("status", "--porcelain", "--", *MEASURED)
        return None if changed else _git("log", "-1", "--format=%h", "--", *MEASURED)
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def _same_machine(result: Mapping[str, Any]) -> bool:
    old, new = result.get("machine", {}), machine()
    return all(old.get(fact) == new[fact] for fact in ("processor", "cores"))


if __name__ == "__main__":
    sys.exit(main())
