"""Searches take turns; who finds the line full is told when to come again, and nobody else notices."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from reidapp.server.app import build_app
from reidapp.server.service import SearchService
from reidapp.server.turns import Turns
from tests.reidapp.server.live import live
from tests.small_gallery import make_service, png, query_crop

API = "/api/v1"
ORIGIN = "http://127.0.0.1"


class Slow:
    """Takes the place of `SearchService.embedder`'s ``embed``: goes on when it may, and counts who is in it."""

    def __init__(self, service: SearchService, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go_on, self.inside, self.most, self.times = threading.Event(), 0, 0, 0
        self._real, self._lock = service.embedder.embed, threading.Lock()
        monkeypatch.setattr(service.embedder, "embed", self)

    def __call__(self, *arguments: Any) -> np.ndarray:
        with self._lock:
            self.inside += 1
            self.times += 1
            self.most = max(self.most, self.inside)
        assert self.go_on.wait(60)
        with self._lock:
            self.inside -= 1
        return self._real(*arguments)


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    return build_app(make_service(tmp_path), turns=Turns(at_once=2, in_line=3))


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, base_url=ORIGIN, headers={"Origin": ORIGIN}) as client:
        yield client


def wait_for(happens: Any) -> None:
    end = time.monotonic() + 60
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_who_finds_the_line_full_is_told_so_and_the_others_get_hits(
    app: FastAPI, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = png(query_crop("red"))
    wanted = {"pictures": [{"id": client.post(f"{API}/queries", content=picture).json()["id"]}]}
    (service,) = [service for _, service in app.state.galleries]
    slow = Slow(service, monkeypatch)
    with ThreadPoolExecutor() as pool:
        begun = [pool.submit(client.post, f"{API}/search", json=wanted) for _ in range(5)]
        wait_for(lambda: app.state.turns.waiting == 3)
        for answer in (
            client.post(f"{API}/search", json=wanted),
            client.post(f"{API}/queries", content=picture),
            client.post(f"{API}/search/images", files={"images": picture}),
        ):
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert answer.json()["error"].startswith("more searches are waiting than this server can do soon")
        assert client.get(f"{API}/cameras").status_code == 200
        slow.go_on.set()
        answers = [each.result() for each in begun]
    assert [answer.status_code for answer in answers] == [200] * 5
    assert all(answer.json()["hits"] for answer in answers)
    assert slow.most == 2
    assert client.post(f"{API}/search", json=wanted).status_code == 200


@pytest.mark.slow
def test_nobody_searches_for_who_has_gone(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    (service,) = [service for _, service in app.state.galleries]
    slow = Slow(service, monkeypatch)
    with live(app) as address, ThreadPoolExecutor() as pool, httpx.Client(base_url=f"{address}{API}") as client:
        wanted = {"pictures": [{"id": client.post("queries", content=png(query_crop("red"))).json()["id"]}]}
        begun = [pool.submit(client.post, "search", json=wanted, timeout=60) for _ in range(2)]
        wait_for(lambda: slow.inside == 2)
        for _ in range(3):
            with pytest.raises(httpx.ReadTimeout):
                client.post("search", json=wanted, timeout=0.5)
        assert app.state.turns.waiting == 3
        slow.go_on.set()
        assert [each.result().status_code for each in begun] == [200] * 2
        wait_for(lambda: app.state.turns.waiting == 0)
        assert client.post("search", json=wanted).status_code == 200
    assert slow.times == 3


def test_a_turn_in_which_something_fails_is_given_back(client: TestClient) -> None:
    for _ in range(6):
        assert client.post(f"{API}/queries", content=b"no picture").status_code == 422
    assert client.post(f"{API}/queries", content=png(query_crop("red"))).status_code == 200
