"""kill -9 of `reidapp serve` in each state: the next server must start, nothing committed may be lost, nothing be half.

Each round is a gallery of its own, a server (without the web page, which takes most of a start), a kill and the next
server. The states:

    starting     at a drawn moment before it listens
    export       while a job writes a case's archive        erasure      while a job erases a tracklet
    back-up      while a job copies the gallery             retention    while a job deletes what is old
    clip         while it makes a part of a recording       stopping     while it ends after Ctrl-C, a job with it

The kill comes once something changes on the disk, and a drawn moment later. In every second round the job is killed
too; else it ends by itself. Then rows, files and log are looked at, and the next server does the same to its end.

python -m benchmarks.killed_server [--rounds 2] [--seed 0] > docs/results/killed_server.json
"""

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import httpx

from benchmarks.machine import machine
from reidapp.gallery.deletion import set_retention
from reidapp.gallery.identities import Identities
from reidapp.gallery.store import Gallery
from reidapp.gallery.verification import verify
from reidapp.server.access_folder import AccessFolder
from reidapp.server.audit import Audit
from reidapp.server.users import Users

ROOT = Path(__file__).resolve().parents[1]
STATES = ("starting", "export", "erasure", "retention", "back-up", "clip", "stopping")
API, CASE, PERSON = "/api/v1", "case 12", "seen before the kill"
_SERVE = """
import sys, types
sys.modules["ui.page"] = types.SimpleNamespace(mount=lambda app, served: app)
from reidapp import cli
cli.main()
"""
_PATIENCE_S = 600.0  # on a busy machine
_JOBS = {"export": f"cases/{CASE}/exports", "erasure": "erasures", "back-up": "jobs", "stopping": "jobs"}


@dataclass
class Tally:
    """What came of it.

    Attributes:
        kills: {state: how often}.
        at_work: kills that came before it was done with what it was at.
        wrong: what was not as it must be.
    """

    kills: dict[str, int] = field(default_factory=dict)
    at_work: int = 0
    wrong: list[str] = field(default_factory=list)


def kill(made: Path, folder: Path, state: str, draw: random.Random, tally: Tally, with_job: bool) -> None:
    """One round.

    Args:
        made: a gallery, of which this uses a copy.
        folder: for the copy, its log and its back-ups; it is not there yet.
        with_job: kill the job as well.
    """
    shutil.copytree(made, folder / "gallery")
    gallery = Gallery.open(folder / "gallery")
    if state == "retention":
        set_retention(gallery, 1)
    key = _let_in(folder)
    if state == "starting":
        moment = draw.uniform(0, _start_s(folder))
        server, _ = _begun(folder)
        time.sleep(moment)
        server.kill()
        server.wait()
        head = None
    else:
        with _served(folder, key) as (server, client):
            _write_before(client, with_hit=state != "retention")
            before = _files(folder)
            at_work = _begun_doing(client, state)
            _wait(lambda: _files(folder) != before or not at_work())
            head = Audit(AccessFolder.of(folder / "gallery", environment={})).head()
            if state == "stopping":
                server.send_signal(signal.SIGINT)
            time.sleep(draw.uniform(0, 0.3))
            tally.at_work += server.poll() is None if state == "stopping" else at_work()
            _kill(server, with_job)
    tally.kills[state] = tally.kills.get(state, 0) + 1
    _wait(lambda: not gallery.is_being_written())  # a job that was not killed has noticed that nobody follows it
    name = f"{state}, {'with' if with_job else 'without'} its job"
    tally.wrong += [f"{name}: {each}" for each in _faults(folder, state, head)]
    with _served(folder, key) as (_, client):
        tally.wrong += [f"{name}, the next server: {each}" for each in _done_again(client, state)]
    tally.wrong += [f"{name}, at the end: {each}" for each in _faults(folder, state, head)]


def _let_in(folder: Path) -> str:
    """A user, so that there is no link to open, and a key for this."""
    users = Users(AccessFolder.of(folder / "gallery", environment={}))
    users.add("ann", "seven green bottles")
    return users.add_key("program", role="admin")[1]


def _begun(folder: Path) -> tuple["subprocess.Popen[str]", float]:
    command = [sys.executable, "-c", _SERVE, "serve", f"--gallery={folder / 'gallery'}", "--port=0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    return server, time.monotonic()


@contextmanager
def _served(folder: Path, key: str) -> Iterator[tuple["subprocess.Popen[str]", httpx.Client]]:
    """A server that answers; it is killed at the latest when this ends."""
    server, _ = _begun(folder)
    try:
        url = _address(server)
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=_PATIENCE_S) as client:
            client.get("/readyz").raise_for_status()
            yield server, client
    finally:
        _kill(server, with_job=True)


def _address(server: "subprocess.Popen[str]") -> str:
    assert server.stdout
    for line in server.stdout:
        if found := re.search(r"http://127\.0\.0\.1:\d+", line):
            return found[0]
    raise RuntimeError(f"the server has ended with exit code {server.wait()}")


def _start_s(folder: Path) -> float:
    """How long another server of the same takes to listen."""
    server, began = _begun(folder)
    try:
        _address(server)
        return time.monotonic() - began
    finally:
        _kill(server, with_job=True)


def _write_before(client: httpx.Client, with_hit: bool) -> None:
    """What must be there afterwards: a name, and a case."""
    client.post(f"{API}/identities", json={"name": PERSON}).raise_for_status()
    client.post(f"{API}/cases", json={"name": CASE}).raise_for_status()
    if with_hit:
        hits = [{"tracklet": _tracklets(client)[-1]}]
        client.post(f"{API}/cases/{CASE}/hits", json={"hits": hits}).raise_for_status()


def _tracklets(client: httpx.Client) -> list[str]:
    return [entry["id"] for entry in client.get(f"{API}/tracklets").raise_for_status().json()["tracklets"]]


def _begun_doing(client: httpx.Client, state: str) -> Callable[[], bool]:
    """Begin what the server is to be killed in; whether it is at it still. Retention begins by itself."""
    if state == "clip":
        path = f"{API}/tracklets/{_tracklets(client)[0]}/clip"
        asking = httpx.Client(base_url=client.base_url, headers=client.headers, timeout=_PATIENCE_S)
        thread = threading.Thread(target=_asked, args=(asking, path), daemon=True)
        thread.start()
        return thread.is_alive
    if state in _JOBS:
        asked: dict[str, Any] = {"kind": "backup"} if _JOBS[state] == "jobs" else {}
        if state == "erasure":
            asked = {"tracklets": _tracklets(client)[:1]}
        client.post(f"{API}/{_JOBS[state]}", json=asked).raise_for_status()
    return lambda: _has_jobs(client)


def _asked(client: httpx.Client, path: str) -> None:
    with client, suppress(httpx.TransportError):  # it was killed
        client.get(path)


def _has_jobs(client: httpx.Client) -> bool:
    """Whether one is not over, or none has begun yet."""
    try:
        jobs = client.get(f"{API}/jobs").json()["jobs"]
    except httpx.TransportError:  # it is ending
        return False
    return not jobs or any(job["state"] in ("queued", "running") for job in jobs)


def _files(folder: Path) -> dict[str, int]:
    """{file: size} of the gallery and its back-ups; the log beside it changes with every question."""
    found = {}
    for path in folder.rglob("*"):
        if "gallery-access" not in path.parts and path.suffix not in (".lock", ".db-shm"):
            with suppress(FileNotFoundError):
                found[str(path)] = path.stat().st_size if path.is_file() else 0
    return found


def _kill(server: "subprocess.Popen[str]", with_job: bool) -> None:
    """The server first, so that it does nothing about the job's end."""
    jobs = _children(server.pid) if with_job else []
    server.kill()
    server.wait()
    for pid in jobs:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(each) for each in found.stdout.split()]


def _wait(true: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE_S
    while not true():
        if time.monotonic() > end:
            raise RuntimeError(f"not so within {_PATIENCE_S:.0f} s")
        time.sleep(0.005)


def _faults(folder: Path, state: str, head: str | None) -> list[str]:
    """What is not as it must be."""
    gallery = Gallery.open(folder / "gallery")
    wrong = [str(fault) for fault in verify(gallery).faults]
    if state != "starting" and all(each.name != PERSON for each in Identities(gallery, "me").all()):
        wrong.append("a name is lost that the server had kept")
    audit = Audit(AccessFolder.of(gallery.path, environment={}))
    if broken := audit.verify(head).broken or audit.verify().broken:
        wrong.append(f"log: {broken}")
    gallery.engine.dispose()
    wrong += [f"{file.name}: half of an archive" for file in gallery.path.glob("exports/*.zip") if not _is_whole(file)]
    wrong += [f"{file.name}: half of a clip" for file in gallery.path.glob("clips/*.mp4") if not _plays(file)]
    for copy in folder.glob("gallery-backups/*"):
        if copy.suffix != ".new":
            wrong += [f"{copy.name}: {fault}" for fault in verify(Gallery.open(copy)).faults]
    return wrong


def _is_whole(archive: Path) -> bool:
    """Whether each file of an archive has the digest that its manifest says."""
    try:
        with zipfile.ZipFile(archive) as opened:
            lines = opened.read("manifest.sha256").decode().splitlines()
            said = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
            return said.keys() | {"manifest.sha256"} == set(opened.namelist()) and all(
                hashlib.sha256(opened.read(name)).hexdigest() == digest for name, digest in said.items()
            )
    except (zipfile.BadZipFile, KeyError):
        return False


def _plays(clip: Path) -> bool:
    """Whether a clip plays as long as it says."""
    try:
        with av.open(str(clip)) as opened:
            stream = opened.streams.video[0]
            return sum(1 for _ in opened.decode(stream)) == stream.frames > 0
    except av.FFmpegError:
        return False


def _done_again(client: httpx.Client, state: str) -> list[str]:
    """The next server does what the killed one was at; what is wrong with that."""
    if state == "clip":
        answer = client.get(f"{API}/tracklets/{_tracklets(client)[0]}/clip")
        return [] if answer.status_code == 200 else [f"clip: {answer.text}"]
    if state == "retention":
        _wait(lambda: not _tracklets(client))
        return []
    if state not in _JOBS:
        return []
    at_work = _begun_doing(client, state)
    _wait(lambda: not at_work())
    jobs = client.get(f"{API}/jobs").json()["jobs"]
    return [f"{job['kind']}: {job['error']}" for job in jobs if job["state"] != "done"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2, help="of each state")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--states", nargs="+", choices=STATES, default=STATES)
    arguments = parser.parse_args()
    from training.data.synthetic.footage import write_footage

    draw, tally = random.Random(arguments.seed), Tally()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_footage(folder / "footage", cameras=2, people=5, seconds=16, seed=arguments.seed)
        index = [sys.executable, "-m", "reidapp", "index", str(folder / "footage"), "--zone=UTC"]
        quiet = subprocess.DEVNULL
        subprocess.run([*index, f"--gallery={folder / 'made'}"], cwd=ROOT, stdout=quiet, stderr=quiet, check=True)
        for number in range(arguments.rounds):
            for state in arguments.states:
                kill(folder / "made", folder / f"{number} {state}", state, draw, tally, with_job=bool(number % 2))
                print(f"{number} {state}: {tally}", file=sys.stderr)
        found = verify(Gallery.open(folder / "made"))
    result = {
        "command": f"python -m benchmarks.killed_server --rounds {arguments.rounds} --seed {arguments.seed}",
        "machine": machine(),
        "footage": {"videos": found.videos, "crops": found.crops},
        **vars(tally),
    }
    print(json.dumps(result, indent=1))
    sys.exit(1 if tally.wrong else 0)


if __name__ == "__main__":
    main()
