"""The server's events as JSON: what happened, and nothing of whom it was about."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from reidapp.server.app import build_app
from reidapp.server.events import JsonLines
from reidapp.server.service import SearchService
from tests.reidapp.commands import ROOT
from tests.small_gallery import make_crowd

API = "/api/v1"


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What is written while a test runs, by the handler that `write_events` makes."""
    out, root, events = io.StringIO(), logging.getLogger(), logging.getLogger("reidapp.events")
    handler = logging.StreamHandler(out)
    handler.setFormatter(JsonLines())
    root.addHandler(handler)
    events.setLevel(logging.INFO)
    yield out
    events.setLevel(logging.NOTSET)
    root.removeHandler(handler)


def told(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_requests_are_told_by_their_routes_and_not_by_what_they_name(
    service: SearchService, written: io.StringIO
) -> None:
    client = TestClient(build_app(service), base_url="http://127.0.0.1", headers={"Origin": "http://127.0.0.1"})
    client.post(f"{API}/identities", json={"name": "Ann Example"})
    client.get(f"{API}/identities/Ann Example?after=2026-03-02T10:00:00Z")
    client.delete(f"{API}/identities/Ann Example")
    requests = [each for each in told(written) if each["event"] == "request"]
    assert [(each["method"], each["status"]) for each in requests] == [("POST", 201), ("GET", 200), ("DELETE", 200)]
    assert {"time", "level", "event", "route", "method", "status", "seconds"} == set(requests[0])
    assert len({each["route"] for each in requests}) == 3
    assert "Ann" not in written.getvalue()


@pytest.mark.slow
def test_who_looks_for_whom_is_not_told_even_where_the_log_of_access_is_wanted(
    service: SearchService, written: io.StringIO, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "reidapp.access")
    client = TestClient(build_app(service), base_url="http://127.0.0.1", headers={"Origin": "http://127.0.0.1"})
    assert client.post(f"{API}/identities", json={"name": "Ann Example"}).status_code == 201
    assert client.delete(f"{API}/identities/Ann Example").status_code == 200
    assert "Ann Example" in caplog.text
    assert [each["event"] for each in told(written) if each.get("by") == "reidapp.access"] == ["%s"]
    assert "Ann" not in written.getvalue()


def test_a_fault_is_told_by_its_kind_and_place(written: io.StringIO) -> None:
    name = "Ann Example"
    try:
        raise KeyError(name)
    except KeyError:
        logging.getLogger("reidapp.server.jobs").exception("job %s", name)
        logging.getLogger("some.library").warning(f"{name} is late")
    ours, theirs = told(written)
    assert (ours["level"], ours["event"], ours["fault"]) == ("error", "job %s", "KeyError")
    assert Path(__file__).name in ours["at"][0]
    assert theirs["level"] == "warning"
    assert theirs["event"].startswith("test_events:")
    assert "Ann" not in written.getvalue()


@pytest.mark.slow
def test_a_server_writes_them_where_it_is_asked_to(tmp_path: Path) -> None:
    gallery = make_crowd(tmp_path, people=2, shots=1)
    command = [sys.executable, "-u", "-m", "reidapp", "serve", "--gallery", str(gallery.path), "--port", "0"]
    command += ["--log", "json"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            link = process.stdout.readline().split()[1]
            with httpx.Client(base_url=link.partition("?")[0], follow_redirects=True, timeout=60) as client:
                client.get(link)
                assert client.get(f"{API}/cameras").status_code == 200
            process.terminate()
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    lines = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    assert (lines[0]["event"], lines[-1]["event"]) == ("serving", "ended")
    assert {"route": "cameras", "method": "GET", "status": 200}.items() <= next(
        each for each in lines if each["event"] == "request" and each["route"] == "cameras"
    ).items()
    assert "token" not in err
