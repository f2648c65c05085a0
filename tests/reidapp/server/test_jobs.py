import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from reidapp.errors import UnknownError, UserError
from reidapp.server import jobs as module
from reidapp.server.jobs import Job, Jobs, _Pace

G = Path("/galleries/one")
SCRIPT = """
import json, sys, time
kind = sys.argv[3]
if kind == "fail":
    print("reidapp: g: the disk is full", file=sys.stderr)
    sys.exit(1)
print("note: begun", file=sys.stderr, flush=True)
for done in range(3):
    print(json.dumps({"step": "indexing", "done": done, "total": 2, "text": "a.mp4"}), file=sys.stderr, flush=True)
if kind == "odd":
    for odd in ('{"done": "x", "total": 1}', '{"done": NaN, "total": 1}', '{"done": [], "total": {}}', "[" * 9999):
        print(odd, file=sys.stderr, flush=True)
if kind == "sleep":
    try:
        time.sleep(600)
    except KeyboardInterrupt:
        sys.exit(130)
if kind == "deaf":
    import signal
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print(json.dumps({"step": "deaf", "done": 1, "total": 2}), file=sys.stderr, flush=True)
    time.sleep(600)
print(json.dumps({"given": sys.argv[1:]}))
"""


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    jobs = Jobs(command=(sys.executable, "-c", SCRIPT))
    yield jobs
    jobs.close()


def until(jobs: Jobs, id_: str, *states: str) -> Job:
    job = jobs.get(id_)
    ends = time.monotonic() + 60
    while job.state not in states and time.monotonic() < ends:
        job = jobs.wait(id_, job.version, 1)
    return job


def test_a_job_tells_its_progress_and_result(jobs: Jobs) -> None:
    job = until(jobs, jobs.begin("backup", G, "me", {"x": 1}, ["work"]).id, "done", "failed")
    assert job.state == "done"
    assert (job.step, job.done, job.total, job.text) == ("indexing", 2, 2, "a.mp4")
    assert job.log == ("note: begun",)
    assert job.result == {"given": ["--progress", "json", "work"]}
    assert job.error is None
    assert job.seconds > 0
    assert [each.id for each in jobs.all(G)] == [job.id]
    assert jobs.all(Path("/galleries/other")) == []


def test_a_clock_that_is_set_back_does_not_make_jobs_shorter_than_nothing(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = until(jobs, jobs.begin("index", G, "me", {}, ["sleep"]).id, "running")
    monkeypatch.setattr(module, "datetime", Mock(now=lambda zone: datetime(2000, 1, 1, tzinfo=zone)))
    assert job.seconds > 0
    jobs.cancel(job.id)
    over = until(jobs, job.id, "cancelled")
    assert over.ended
    assert over.ended.year == 2000
    assert over.seconds > 0


def test_what_failed_says_why_and_can_be_done_again(jobs: Jobs) -> None:
    job = until(jobs, jobs.begin("index", G, "me", {}, ["fail"]).id, "done", "failed")
    assert (job.state, job.error) == ("failed", "g: the disk is full")
    again = jobs.retry(job.id)
    assert (again.retry_of, again.command) == (job.id, job.command)
    assert jobs.retry(until(jobs, again.id, "failed").id).retry_of == job.id
    with pytest.raises(UnknownError):
        jobs.retry("none")


def test_what_failed_can_be_dismissed_and_what_was_done_cannot(jobs: Jobs) -> None:
    failed, done = (jobs.begin("index", G, "me", {}, [what]).id for what in ("fail", "work"))
    until(jobs, failed, "failed")
    until(jobs, done, "done")
    jobs.dismiss(failed)
    assert [job.id for job in jobs.all(G)] == [done]
    assert jobs.counts() == {"queued": 0, "running": 0, "done": 1, "failed": 1, "cancelled": 0}  # ever since it began
    with pytest.raises(UnknownError):
        jobs.dismiss(failed)
    with pytest.raises(UserError, match="is done; only what failed"):
        jobs.dismiss(done)
    assert [job.id for job in jobs.all(G)] == [done]


def test_writers_wait_for_one_another_and_are_cancelled(jobs: Jobs) -> None:
    first, second = (jobs.begin("index", G, "me", {}, ["sleep"]).id for _ in range(2))
    until(jobs, first, "running")
    other = jobs.begin("backup", G, "me", {}, ["work"]).id
    assert until(jobs, other, "done").state == "done"  # reads, and need not wait
    assert jobs.get(second).state == "queued"
    assert jobs.cancel(second).state == "cancelled"
    while jobs.get(first).step != "indexing":  # now it can be interrupted
        time.sleep(0.01)
    with pytest.raises(UserError, match="is running; only what failed"):
        jobs.dismiss(first)
    jobs.cancel(first)
    assert until(jobs, first, "cancelled", "failed", "done").state == "cancelled"
    with pytest.raises(UserError, match="already"):
        jobs.cancel(first)
    with pytest.raises(UserError, match="is done"):
        jobs.retry(other)
    assert jobs.counts()["cancelled"] == 2


def test_what_does_not_hear_is_ended_all_the_same(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reidapp.server.jobs._PATIENCE_S", 0.2)
    job = jobs.begin("adapt", G, "me", {}, ["deaf"]).id
    while jobs.get(job).step != "deaf":
        time.sleep(0.01)
    jobs.close()
    assert until(jobs, job, "cancelled").state == "cancelled"


def test_what_waits_ends_with_the_server(jobs: Jobs) -> None:
    first, second = (jobs.begin("index", G, "me", {}, ["sleep"]).id for _ in range(2))
    while jobs.get(first).step != "indexing":
        time.sleep(0.01)
    jobs.close()
    assert [jobs.get(id_).state for id_ in (first, second)] == ["cancelled", "cancelled"]
    assert jobs.get(second).started is None
    with pytest.raises(UserError, match="is ending"):
        jobs.begin("backup", G, "me", {}, ["work"])


def test_odd_lines_and_faults_do_not_stop_the_others(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    assert until(jobs, jobs.begin("index", G, "me", {}, ["odd"]).id, "done", "failed").state == "done"
    follow = Jobs._follow

    def fails(self: Jobs, id_: str, told: Any) -> Any:
        if self.get(id_).by == "nobody":
            raise RuntimeError("odd")
        return follow(self, id_, told)

    monkeypatch.setattr(Jobs, "_follow", fails)
    first, second = (jobs.begin("index", G, by, {}, ["work"]).id for by in ("nobody", "me"))
    assert until(jobs, first, "failed").error == "it could not be followed (RuntimeError)"
    assert until(jobs, second, "done").state == "done"
    assert jobs._processes == {}


def test_a_program_that_is_not_there_is_said() -> None:
    jobs = Jobs(command=("/no/such/program",))
    job = until(jobs, jobs.begin("index", G, "me", {}, []).id, "failed")
    assert job.error == "cannot be started (No such file or directory)"
    jobs.close()


def test_the_rate_is_that_of_the_last_minute_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    pace, now = _Pace(), [0.0]
    monkeypatch.setattr("reidapp.server.jobs.time.monotonic", lambda: now[0])

    def at(second: float, done: float, step: str = "indexing") -> float | None:
        now[0] = second
        return pace.at(step, done)

    assert at(0, 0) is None
    assert at(2, 540) == 270  # what was done before is passed over at one go
    for second in range(10, 80, 10):
        rate = at(second, 540 + 8 * second)
    assert rate == pytest.approx(8)
    assert at(90, 0, "embedding") is None


def test_training_goes_on_when_it_is_tried_again(tmp_path: Path, jobs: Jobs) -> None:
    job = until(jobs, jobs.begin("adapt", tmp_path, "me", {}, ["fail"]).id, "failed")
    again = jobs.retry(job.id)
    assert again.command == ("fail",)  # it had not begun to train
    until(jobs, again.id, "failed")
    (tmp_path / "adapted" / job.id).mkdir(parents=True)
    (tmp_path / "adapted" / job.id / "run.json").write_text("{}")
    third = jobs.retry(until(jobs, again.id, "failed").id)
    assert third.command == ("fail", "--resume")
    assert jobs.retry(until(jobs, third.id, "failed").id).command == ("fail", "--resume")
