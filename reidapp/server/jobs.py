"""What takes long: commands that run as child processes of the server, one after another, with progress and an end.

A job is `python -m reidapp …`, so that what the page starts and what a terminal starts is the same work, and a crash of
one does not end the server. Its arguments: `job_commands`.
"""

import atexit
import contextlib
import json
import logging
import math
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter, OrderedDict, deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Literal

from reidapp.errors import UnknownError, UserError
from reidapp.gallery import adapted
from reidapp.server.access_folder import NOTED
from reidapp.server.events import tell

Kind = Literal["index", "adapt", "reembed", "prune", "calibrate", "backup", "export", "retention", "erase"]
State = Literal["queued", "running", "done", "failed", "cancelled"]
# One of these at a time; others need not wait for them.
WRITING = frozenset({"index", "adapt", "reembed", "prune", "retention", "erase"})

_log = logging.getLogger(__name__)

_KEPT = 200  # jobs that are over
_LINES = 50
_PATIENCE_S = 20.0  # from a friendly request to end until there is no choice
_WINDOW_S = 60.0  # of progress, by which a rate is told


@dataclass(frozen=True)
class Job:
    """A command and how far it has got; a job that changes is another object.

    Attributes:
        asked: what it was begun with, for people.
        done, total: in the unit of its step; for indexing seconds of video.
        rate: of `done` a second, over the last minute of the step; None where too little has been seen of it.
        log: its last lines.
        result: what the command has printed.
        error: why it failed, in a line.
        retry_of: the first job that it does again.
        began_s, took_s: by a clock that nobody sets.
        version: grows with every change.
    """

    id: str
    kind: Kind
    gallery: Path
    by: str
    asked: dict[str, Any]
    command: tuple[str, ...] = field(repr=False)
    created: datetime
    state: State = "queued"
    started: datetime | None = None
    ended: datetime | None = None
    step: str = ""
    done: float = 0.0
    total: float = 0.0
    rate: float | None = None
    text: str = ""
    log: tuple[str, ...] = ()
    result: dict[str, Any] | None = None
    error: str | None = None
    retry_of: str | None = None
    version: int = 0
    began_s: float | None = None
    took_s: float | None = None

    @property
    def over(self) -> bool:
        """It is done, has failed or was cancelled."""
        return self.state in ("done", "failed", "cancelled")

    @property
    def seconds(self) -> float:
        """For which it has run."""
        if self.took_s is not None or self.began_s is None:
            return self.took_s or 0.0
        return time.monotonic() - self.began_s


class Jobs:
    """The jobs of a server. Those that are not over end with it.

    Args:
        footage: folders below which footage may be indexed; none: anywhere.
        shipped: {name: file} of models that come with the program.
        command: what runs a command's arguments, for tests.
    """

    def __init__(
        self,
        footage: Sequence[Path] = (),
        shipped: Mapping[str, Path] | None = None,
        command: Sequence[str] = (sys.executable, "-m", "reidapp"),
    ) -> None:
        self.footage = list(footage)
        self.shipped = dict(shipped or {})
        self._command = tuple(command)
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._cancelled: set[str] = set()
        self._ended: Counter[State] = Counter()
        self._closing = False
        self._changed = threading.Condition()
        self._threads: dict[bool, threading.Thread] = {}
        atexit.register(self.close)

    def all(self, gallery: Path) -> list[Job]:
        """A gallery's, the newest first."""
        with self._changed:
            return [job for job in reversed(self._jobs.values()) if job.gallery == gallery]

    def get(self, id_: str) -> Job:
        """
        Raises:
            UnknownError: no such job.
        """
        with self._changed:
            if id_ not in self._jobs:
                raise UnknownError(f"job {id_}: not known; jobs are forgotten when the server ends")
            return self._jobs[id_]

    def begin(
        self, kind: Kind, gallery: Path, by: str, asked: dict[str, Any], command: Sequence[str], id_: str | None = None
    ) -> Job:
        """Put a command into the queue.

        Raises:
            UserError: the server is ending.
        """
        job = Job(id_ or new_id(), kind, gallery, by, asked, tuple(command), datetime.now(UTC))
        return self._add(job)

    def retry(self, id_: str) -> Job:
        """Do a job again that failed or was cancelled; what it has done already is not done twice.

        Raises:
            UserError: no such job, or it is not over, or was done, or the server is ending.
        """
        job = self.get(id_)
        _check_came_to_nothing(job, "done again")
        first = job.retry_of or id_
        command = _going_on(job, first)
        again = Job(new_id(), job.kind, job.gallery, job.by, job.asked, command, datetime.now(UTC), retry_of=first)
        return self._add(again)

    def cancel(self, id_: str) -> Job:
        """End a job; what it has committed is kept.

        Raises:
            UserError: no such job, or it is over.
        """
        job = self.get(id_)
        with self._changed:
            job = self._jobs[id_]
            if job.over:
                raise UserError(f"job {id_}: is {job.state} already")
            self._cancelled.add(id_)
            if job.state == "queued":
                self._over(id_, "cancelled")
            process = self._processes.get(id_)
        if process:
            threading.Thread(target=_end, args=(process,), daemon=True).start()
        return self.get(id_)

    def dismiss(self, id_: str) -> None:
        """Forget a job that failed or was cancelled; what it has committed stays.

        Raises:
            UserError: no such job, or it is not over, or was done.
        """
        with self._changed:
            _check_came_to_nothing(self.get(id_), "dismissed")
            del self._jobs[id_]
            self._changed.notify_all()

    def forget(self, gallery: Path, kinds: Collection[Kind]) -> None:
        """Remember no longer those of some kinds that are over: what they were about is gone."""
        with self._changed:
            for job in [
                job for job in self._jobs.values() if job.gallery == gallery and job.kind in kinds and job.over
            ]:
                del self._jobs[job.id]
            self._changed.notify_all()

    def wait(self, id_: str, version: int, timeout_s: float) -> Job:
        """A job as soon as it has changed since a version of it, or after some time."""
        with self._changed:
            self._changed.wait_for(lambda: id_ not in self._jobs or self._jobs[id_].version > version, timeout_s)
        return self.get(id_)

    def counts(self) -> dict[State, int]:
        """How many wait and run, and how many have ended in each state since the server began, forgotten ones too."""
        with self._changed:
            states = [job.state for job in self._jobs.values()]
            ahead: dict[State, int] = {state: states.count(state) for state in ("queued", "running")}
            return ahead | {state: self._ended[state] for state in ("done", "failed", "cancelled")}

    def close(self) -> None:
        """End all that are not over, and take no more."""
        with self._changed:
            self._closing = True
            for job in list(self._jobs.values()):
                if job.state == "queued":
                    self._over(job.id, "cancelled")
                elif job.state == "running":
                    self._cancelled.add(job.id)
            processes, workers = list(self._processes.values()), list(self._threads.values())
        for process in processes:
            _end(process)
        for worker in workers:
            worker.join(_PATIENCE_S)
        atexit.unregister(self.close)

    def _add(self, job: Job) -> Job:
        writes = job.kind in WRITING
        with self._changed:
            if self._closing:
                raise UserError("the server is ending; begin the job again when it is back")
            self._jobs[job.id] = job
            for old in [each.id for each in self._jobs.values() if each.over][:-_KEPT]:
                del self._jobs[old]
            if writes not in self._threads or not self._threads[writes].is_alive():
                self._threads[writes] = threading.Thread(target=self._work, args=(writes,), daemon=True)
                self._threads[writes].start()
            self._changed.notify_all()
        return job

    def _work(self, writes: bool) -> None:
        while True:
            with self._changed:
                waiting = (j.id for j in self._jobs.values() if j.state == "queued" and (j.kind in WRITING) == writes)
                id_ = next(waiting, None)
                if id_ is None:
                    del self._threads[writes]
                    return
                self._change(id_, state="running", started=datetime.now(UTC), began_s=time.monotonic())
            try:
                self._run(id_)
            except Exception as error:  # those behind it must not wait for ever
                _log.exception("job %s", id_)
                self._over(id_, "failed", error=f"it could not be followed ({type(error).__name__})")

    def _run(self, id_: str) -> None:
        arguments = [*self._command, "--progress", "json", *self.get(id_).command]
        try:
            process = subprocess.Popen(  # noqa: S603 - no shell; words from checked settings, one by one
                arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                start_new_session=True, env=os.environ | {NOTED: "1"},
            )  # fmt: skip
        except OSError as error:
            self._over(id_, "failed", error=f"cannot be started ({error.strerror})")
            return
        assert process.stdout  # noqa: S101 - pipes, see above; for mypy
        assert process.stderr  # noqa: S101
        with self._changed:
            self._processes[id_] = process
            cancelled = id_ in self._cancelled
        try:
            if cancelled:
                _end(process)
            printed: list[bytes] = []
            reader = threading.Thread(
                target=lambda out: printed.append(out.read()), args=(process.stdout,), daemon=True
            )
            reader.start()
            lines = self._follow(id_, process.stderr)
            code = process.wait()
            reader.join()
        finally:
            if process.poll() is None:
                _end(process)
            with self._changed:
                del self._processes[id_]
                cancelled = id_ in self._cancelled
                self._cancelled.discard(id_)
        result = _result(b"".join(printed))
        state: State = "cancelled" if cancelled and code else "done" if code == 0 else "failed"
        last = next((line for line in reversed(lines) if line.strip()), f"ended with exit code {code}")
        why = last.removeprefix("reidapp: ") if state == "failed" else None
        self._over(id_, state, result=result, error=why)

    def _follow(self, id_: str, told: IO[bytes]) -> deque[str]:
        lines: deque[str] = deque(maxlen=_LINES)
        pace = _Pace()
        for raw in told:
            line = raw.decode(errors="replace").rstrip()
            said = _object(line)
            if progress := _progress(said):
                self._change(id_, **progress, rate=pace.at(progress["step"], progress["done"]))
            elif line:
                lines.append(str(said.get("note") or said.get("warning") or line))
                self._change(id_, log=tuple(lines))
        return lines

    def _over(self, id_: str, state: State, **values: Any) -> None:
        with self._changed:
            self._ended[state] += 1
            job = self._change(id_, state=state, ended=datetime.now(UTC), took_s=self.get(id_).seconds, **values)
        tell("job", id=id_, kind=job.kind, state=state, seconds=round(job.seconds, 1))

    def _change(self, id_: str, **values: Any) -> Job:
        with self._changed:
            job = self._jobs[id_]
            job = self._jobs[id_] = replace(job, **values, version=job.version + 1)
            self._changed.notify_all()
        return job


class _Pace:
    """How fast a step gets on: by its last minute, since a run that goes on passes over what is done at one go."""

    def __init__(self) -> None:
        self._step, self._marks = "", deque[tuple[float, float]]()

    def at(self, step: str, done: float) -> float | None:
        """The rate, once so much is done."""
        now = time.monotonic()
        if step != self._step:
            self._step = step
            self._marks.clear()
        self._marks.append((now, done))
        while len(self._marks) > 2 and now - self._marks[0][0] > _WINDOW_S:
            self._marks.popleft()
        begun, before = self._marks[0]
        return (done - before) / (now - begun) if now > begun and done > before else None


def new_id() -> str:
    """Of a job: 32 hex digits that nobody has had."""
    return uuid.uuid4().hex


def _check_came_to_nothing(job: Job, wanted: str) -> None:
    """
    Raises:
        UserError: it may still come to something, or has.
    """
    if job.state not in ("failed", "cancelled"):
        raise UserError(f"job {job.id}: is {job.state}; only what failed or was cancelled can be {wanted}")


def _going_on(job: Job, first: str) -> tuple[str, ...]:
    """The arguments that do a job again: a training run that had been begun, in the first job's folder, goes on."""
    begun = job.kind == "adapt" and (job.gallery / adapted.FOLDER / first / "run.json").is_file()
    return (*job.command, "--resume") if begun and "--resume" not in job.command else job.command


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ask it to end as by Ctrl-C, and make it end where it does not."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _object(line: str) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _progress(said: dict[str, Any]) -> dict[str, Any]:
    """What a line says of how far the job is; nothing where it says something else."""
    try:
        done, total = float(said["done"]), float(said["total"] or 0)
    except (KeyError, TypeError, ValueError, OverflowError):
        return {}
    if not (math.isfinite(done) and math.isfinite(total)):
        return {}
    return {"step": str(said.get("step", "")), "done": done, "total": total, "text": str(said.get("text", ""))}


def _result(printed: bytes) -> dict[str, Any] | None:
    """The last object that a command has printed."""
    lines = printed.decode(errors="replace").splitlines()
    return next((said for line in reversed(lines) if (said := _object(line))), None)
