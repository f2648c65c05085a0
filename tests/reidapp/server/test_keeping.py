"""Retention by itself: what is too old goes unasked, one job at a time, and never beside another writer."""

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from reidapp.gallery import database, deletion, schema
from reidapp.gallery.store import Gallery
from reidapp.server.galleries import Galleries
from reidapp.server.jobs import Job, Jobs
from reidapp.server.keeping import Keeper
from reidapp.server.service import SearchService
from tests.reidapp.commands import ROOT
from tests.small_gallery import ColourEmbedder, ShirtDetector, make_crowd, make_gallery

HOUR, MINUTE = 3600.0, 60.0


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    """Jobs whose command does nothing but fail where a file says so, as one on a full disk does."""
    said = tmp_path / "fail"
    script = f"import sys, pathlib; sys.exit(pathlib.Path({str(said)!r}).exists())"
    jobs = Jobs(command=(sys.executable, "-c", script))
    yield jobs
    jobs.close()


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    return make_gallery(tmp_path)


def ended(jobs: Jobs, job: Job) -> Job:
    while not job.over:
        job = jobs.wait(job.id, job.version, 1)
    return job


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def keeper_of(gallery: Gallery, jobs: Jobs, clock: Clock) -> Keeper:
    served = Galleries([SearchService(gallery, ColourEmbedder(), ShirtDetector())])
    return Keeper(served, jobs, None, HOUR, MINUTE, clock)


def made_old(gallery: Gallery, days: float) -> None:
    """The first recording is so old."""
    with database.changing(gallery.engine) as session:
        video = session.query(schema.Video).order_by(schema.Video.start_ms).first()
        assert video
        video.start_ms = int((datetime.now(UTC) - timedelta(days=days)).timestamp() * 1000)


def test_nothing_is_done_without_retention_or_anything_too_old(gallery: Gallery, jobs: Jobs) -> None:
    clock = Clock()
    keeper = keeper_of(gallery, jobs, clock)
    assert keeper.look() == HOUR
    deletion.set_retention(gallery, 36_500)
    clock.now = HOUR
    assert keeper.look() == HOUR
    assert jobs.all(gallery.path) == []


def test_a_job_begins_and_is_tried_again_after_ever_longer_times(gallery: Gallery, jobs: Jobs, tmp_path: Path) -> None:
    clock = Clock()
    keeper = keeper_of(gallery, jobs, clock)
    deletion.set_retention(gallery, 1)
    (tmp_path / "fail").touch()
    waits = []
    for number in range(1, 9):
        waits.append(keeper.look())
        (job, *_) = jobs.all(gallery.path)
        assert len(jobs.all(gallery.path)) == number
        assert ended(jobs, job).state == "failed"
        clock.now += waits[-1]
    assert waits == [MINUTE, 2 * MINUTE, 4 * MINUTE, 8 * MINUTE, 16 * MINUTE, 32 * MINUTE, HOUR, HOUR]
    assert (job.kind, job.by, job.asked, "--apply" in job.command) == ("retention", "reidapp", {"days": 1}, True)
    deletion.set_retention(gallery, None)  # as if it was done
    assert keeper.look() == HOUR
    deletion.set_retention(gallery, 1)
    clock.now += HOUR
    assert keeper.look() == MINUTE


def test_who_writes_is_waited_for(gallery: Gallery, jobs: Jobs) -> None:
    clock = Clock()
    keeper = keeper_of(gallery, jobs, clock)
    deletion.set_retention(gallery, 1)
    with gallery.writing():
        assert keeper.look() == MINUTE
        assert jobs.all(gallery.path) == []
        clock.now = MINUTE - 1
        assert keeper.look() == 1
        clock.now = MINUTE
        assert keeper.look() == 2 * MINUTE
        assert jobs.all(gallery.path) == []
    clock.now = 3 * MINUTE
    keeper.look()
    assert [job.kind for job in jobs.all(gallery.path)] == ["retention"]


def test_a_job_that_waits_or_runs_is_not_joined_by_another(gallery: Gallery, tmp_path: Path) -> None:
    slow = Jobs(command=(sys.executable, "-c", "import time; time.sleep(600)"))
    try:
        clock = Clock()
        keeper = keeper_of(gallery, slow, clock)
        deletion.set_retention(gallery, 1)
        for _ in range(3):
            clock.now += keeper.look()
        assert len(slow.all(gallery.path)) == 1
    finally:
        slow.close()


def test_a_gallery_in_trouble_does_not_keep_others_from_it(tmp_path: Path, jobs: Jobs) -> None:
    galleries = []
    for name in ("broken", "sound"):
        (tmp_path / name).mkdir()
        galleries.append(make_gallery(tmp_path / name))
        deletion.set_retention(galleries[-1], 1)
    services = [SearchService(each, ColourEmbedder(), ShirtDetector()) for each in galleries]
    keeper = Keeper(Galleries(services), jobs, None, HOUR, MINUTE, Clock())
    with sqlite3.connect(galleries[0].path / "gallery.db") as rows:
        rows.execute("ALTER TABLE setting RENAME TO lost")
    rows.close()
    keeper.start()
    ends = time.monotonic() + 30
    while not jobs.all(galleries[1].path) and time.monotonic() < ends:
        time.sleep(0.02)
    keeper.close()
    assert len(jobs.all(galleries[1].path)) == 1
    assert jobs.all(galleries[0].path) == []


@pytest.mark.slow
def test_a_server_deletes_what_is_too_old_shows_it_and_does_so_again_after_a_restart(tmp_path: Path) -> None:
    gallery = make_crowd(tmp_path, people=4, shots=1)
    far = 36_000
    made_old(gallery, far + 2)
    deletion.set_retention(gallery, far)
    command = [sys.executable, "-u", "-m", "reidapp", "serve", "--port", "0", "--gallery", str(gallery.path)]
    for round_ in range(2):
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout
            link = server.stdout.readline().split()[1]
            try:
                with httpx.Client(base_url=link.partition("?")[0], follow_redirects=True, timeout=60) as client:
                    assert client.get(link).status_code == 200
                    found, ends = [], time.monotonic() + 60
                    while not (found and found[0]["state"] in ("done", "failed")) and time.monotonic() < ends:
                        found = client.get("/api/v1/jobs").json()["jobs"]
                        time.sleep(0.1)
                    (job,) = found
                    assert (job["kind"], job["state"], job["by"]) == ("retention", "done", "reidapp"), job
                    assert job["result"]["outdated"]["tracklets"] == 4
                    log = client.get("/api/v1/audit").json()["entries"]
                    noted = {"what": "by retention", "job": job["id"]}
                    assert ("delete", noted) in [(each["action"], each["about"]) for each in log]
            finally:
                server.send_signal(signal.SIGINT)
        assert [camera.name for camera in gallery.cameras()] == ["Gate", "Hall"][round_ + 1 :]
        if round_ == 0:
            made_old(gallery, far + 2)
