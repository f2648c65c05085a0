"""`reidapp serve` as a process of its own: what it answers, and what it must never load."""

import http.client
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import World
from tests.reidapp.commands import ROOT


@pytest.fixture(scope="module")
def server(world: World) -> Iterator[tuple[subprocess.Popen, str]]:
    """The process, and the link that it printed."""
    command = [sys.executable, "-u", "-m", "reidapp", "serve", "--gallery", str(world.gallery), "--port", "0"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout
    assert process.stdout.readline() == f"loading {world.gallery} …\n"
    line = process.stdout.readline()
    assert line.startswith("Open http://127.0.0.1:"), line
    yield process, line.split()[1]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc to see what a process has loaded")
def test_a_server_that_has_searched_has_no_torch_in_it(server: tuple, world: World, tmp_path: Path) -> None:
    process, link = server
    with httpx.Client(base_url=link.partition("?")[0], follow_redirects=True, timeout=60) as client:
        assert client.get(link).status_code == 200
        crop = next(world.gallery.rglob("*.webp")).read_bytes()
        answer = client.post("/api/v1/queries?name=q.webp", content=crop)
        assert answer.status_code == 200, answer.text
    maps = Path(f"/proc/{process.pid}/maps").read_text()
    assert "faiss" in maps  # the check sees what is loaded
    assert "libtorch" not in maps


def test_a_connection_that_was_unused_for_a_while_is_used_again(server: tuple) -> None:
    """Programs and proxies keep connections; one that ends as they use it is an error to them."""
    address = httpx.URL(server[1])
    connection = http.client.HTTPConnection(address.host, address.port, timeout=30)
    connection.request("GET", "/")
    connection.getresponse().read()
    kept = connection.sock
    time.sleep(6)
    connection.request("GET", "/")
    assert connection.getresponse().read()
    assert connection.sock is kept
    connection.close()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])  # Ctrl-C, and what a service is stopped by
def test_it_ends_at_once_and_cleanly(world: World, ending: signal.Signals) -> None:
    command = [sys.executable, "-u", "-m", "reidapp", "serve", "--gallery", str(world.gallery), "--port", "0"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=-1, stderr=-1, text=True)
    assert process.stdout
    process.stdout.readline()
    asked = time.monotonic()
    process.send_signal(ending)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert time.monotonic() - asked < 10
    assert "Traceback" not in err
    assert "its jobs with it" in err


def test_a_taken_port_is_said(server: tuple, world: World) -> None:
    port = server[1].partition("?")[0].rstrip("/").rpartition(":")[2]
    command = [sys.executable, "-m", "reidapp", "serve", "--gallery", str(world.gallery), "--port", port]
    wrong = ["--detector", "nobody"]  # which would be said, were it opened before the port is
    done = subprocess.run([*command, *wrong], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert f"port {port} of 127.0.0.1 cannot be used" in done.stderr
