"""kill -9 of a server while users write, and while it runs a job: what it has answered is kept, nothing is half."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from reidapp.gallery.cases import Cases
from reidapp.gallery.identities import Identities
from reidapp.gallery.store import Gallery
from reidapp.gallery.verification import verify
from reidapp.server.access_folder import AccessFolder
from reidapp.server.audit import Audit
from tests.locking import kept
from tests.reidapp.commands import ROOT, as_json
from tests.reidapp.server.killed import app_of
from tests.small_gallery import FOOTAGE, FPS, frame_at, make_crowd, png, query_crop, write_video

API = "/api/v1"
VIDEO_S = 20


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """Its address, and the process, which is killed at the latest when this ends."""
    command = [sys.executable, "-m", "tests.reidapp.server.killed", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        try:
            yield server.stdout.readline().strip(), server
        finally:
            server.kill()


def again(folder: Path) -> TestClient:
    """The next server."""
    return TestClient(app_of(folder), base_url="http://127.0.0.1")


def wait_until(true: Callable[[], bool]) -> None:
    for _ in range(2400):
        if true():
            return
        time.sleep(0.05)
    pytest.fail("not so within minutes")


class User:
    """Writes through the API until nobody answers any more; remembers what was answered."""

    def __init__(self, url: str, number: int) -> None:
        self.url, self.number = url, number
        self.people: list[str] = []
        self.hits: list[str] = []
        self.searches: list[str] = []
        self.refused: list[str] = []
        self.thread = threading.Thread(target=self._work)
        self.thread.start()

    def _work(self) -> None:
        with httpx.Client(timeout=60, base_url=self.url) as client, suppress(httpx.TransportError):  # it was killed
            self._write(client)

    def _write(self, client: httpx.Client) -> None:
        def post(path: str, **asked: Any) -> dict[str, Any]:
            answer = client.post(f"{API}/{path}", json=asked)
            if answer.status_code not in (200, 201):
                self.refused.append(answer.text)
            return dict(answer.json())

        query = client.post(f"{API}/queries", content=png(query_crop("red"))).json()["id"]
        post("cases", name=f"case {self.number}")
        turn = 0
        while not self.refused:
            found = post("search", pictures=[{"id": query}])
            self.searches.append(found["search"])
            hits = [hit["tracklet"] for hit in found["hits"]]
            post(f"search/{found['search']}/feedback", yes=hits[:1], no=hits[-1:])
            post("identities", name=f"person {self.number} {turn}")
            self.people.append(f"person {self.number} {turn}")
            if turn < len(hits):
                post(f"cases/case {self.number}/hits", hits=[{"tracklet": hits[turn]}])
                self.hits.append(hits[turn])
            turn += 1


@pytest.mark.slow
def test_what_a_killed_server_has_answered_is_kept(tmp_path: Path) -> None:
    make_crowd(tmp_path).engine.dispose()
    with served(tmp_path) as (url, server):
        users = [User(url, number) for number in range(3)]
        while any(len(user.people) < 2 for user in users) and not any(user.refused for user in users):
            assert server.poll() is None
            time.sleep(0.01)
        server.kill()
        for user in users:
            user.thread.join()
    assert [user.refused for user in users] == [[], [], []]
    gallery = Gallery.open(tmp_path / "gallery")
    people, cases = {each.name for each in Identities(gallery, "me").all()}, Cases(gallery, "me")
    for user in users:
        assert set(user.people) <= people
        assert set(user.hits) <= {hit.info.id for hit in cases.hits(f"case {user.number}")}
    assert verify(gallery).faults == []
    audit = Audit(AccessFolder(tmp_path / "gallery-access"))
    assert audit.verify().broken is None
    told = {entry.about.get("search") for entry in audit.last(100_000)}
    assert {search for user in users for search in user.searches} <= told
    with again(tmp_path) as client:
        assert {each["name"] for each in client.get(f"{API}/identities").json()["identities"]} == people


@pytest.mark.slow
def test_the_job_of_a_killed_server_ends_and_the_next_run_goes_on_with_it(tmp_path: Path) -> None:
    make_crowd(tmp_path).engine.dispose()
    footage, gallery = tmp_path / "footage/yard", Gallery.open(tmp_path / "gallery")
    footage.mkdir(parents=True)
    frame = frame_at(FOOTAGE["Gate", "Europe/Berlin"], 5.2)
    write_video(footage / "2026-03-02T10-00-00Z.mp4", [frame] * VIDEO_S * FPS)
    wanted = {"kind": "index", "folder": str(footage.parent), "zone": "UTC", "sampling": "1fps"}
    with served(tmp_path) as (url, server), httpx.Client(base_url=url, timeout=60) as client:
        with kept(gallery.path / "gallery.db"):  # so that the job cannot be through before
            job = client.post(f"{API}/jobs", json=wanted).json()
            wait_until(gallery.is_being_written)
            assert client.get(f"{API}/jobs/{job['id']}").json()["state"] == "running"
            server.kill()
            server.wait()
        wait_until(lambda: not gallery.is_being_written())  # it has noticed that nobody follows it, or is through
    assert verify(gallery).faults == []
    with again(tmp_path) as client:
        assert client.get(f"{API}/jobs").json() == {"jobs": []}
        report = as_json("index", footage.parent, "--gallery", gallery.path, "--zone", "UTC", "--sampling", "1fps")
        assert (report["videos"] + report["unchanged"], report["skipped"]) == (1, [])
        (video,) = client.get(f"{API}/videos?camera=yard").json()["videos"]
        assert video["done"]
    assert verify(gallery).faults == []
