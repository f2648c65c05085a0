"""A program that asks a server goes on where it is told to wait, and says in a line what it cannot do."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HIT = {"tracklet": "t1", "camera": "gate", "start": "", "end": "", "score": 1.0, "p_match": None}
ANSWERS = {"queries": {"id": "p"}, "search": {"hits": [HIT | {"clip_url": "/clip"}]}, "clip": {}}


class _Busy(BaseHTTPRequestHandler):
    """Has too much to do whenever something is asked for the first time."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        what = self.path.partition("?")[0].rpartition("/")[2]
        asked: set[str] = self.server.__dict__.setdefault("asked", set())
        self.send_response(200 if what in asked else 503)
        asked.add(what)
        self.send_header("Retry-After", "0")
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(ANSWERS[what]).encode())

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Busy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def asked(address: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    (folder / "person.png").write_bytes(b"a picture")
    command = [sys.executable, str(ROOT / "examples/integrator.py"), address, "person.png", "--clips", "clips"]
    environment = os.environ | {"REIDAPP_KEY": "k"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.slow
def test_a_server_that_has_too_much_to_do_is_asked_again(address: str, tmp_path: Path) -> None:
    done = asked(address, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    (hit,) = map(json.loads, done.stdout.splitlines())
    assert (hit["tracklet"], Path(hit["clip"]).name) == ("t1", "t1.mp4")
    assert (tmp_path / hit["clip"]).read_bytes() == b"{}"


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with HTTPServer(("127.0.0.1", 0), _Busy) as server:
        address = f"http://127.0.0.1:{server.server_address[1]}"
    done = asked(address, tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{address}/api/v1/: ")
    assert len(done.stderr.splitlines()) == 1
