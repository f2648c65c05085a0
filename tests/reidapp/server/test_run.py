import gc
import re
import signal
import socket
import threading
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from queue import Queue

import pytest
from fastapi import FastAPI

from reidapp.errors import UserError
from reidapp.server.app import build_app
from reidapp.server.run import HOST, run
from reidapp.server.security import OneTimeLink
from reidapp.server.service import SearchService


def test_a_port_that_is_taken_is_said() -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} .* --port"):
            run(FastAPI(), port)


def test_tells_a_link_that_works_and_the_next(service: SearchService) -> None:
    said: Queue[str] = Queue()
    link = OneTimeLink()
    app = build_app(service, link)

    @app.get("/")
    def page() -> str:
        return "page"

    threading.Thread(target=run, args=(app, 0), kwargs={"link": link, "say": said.put}, daemon=True).start()
    for _ in range(2):
        address = re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", said.get(timeout=20))
        assert address
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        assert opener.open(address[0], timeout=20).read() == b'"page"'


@pytest.fixture
def interruptible() -> Iterator[None]:
    """As the command has it: SIGTERM, too, interrupts."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("interruptible")
def test_the_second_ctrl_c_does_not_wait() -> None:
    said = []

    def say(text: str) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        said.append(text)

    with pytest.raises(KeyboardInterrupt):
        run(FastAPI(), 0, say=say)
    assert not said


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_ends_it_as_soon_as_the_address_is_known_ends_it_cleanly(number: signal.Signals) -> None:
    went = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        went.append("began")
        yield
        went.append("ended")

    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        run(FastAPI(lifespan=lifespan), 0, say=lambda _: signal.raise_signal(number))
    assert went == ["began", "ended"]
    assert signal.getsignal(number) is before


@pytest.mark.slow
def test_answers_are_sent_at_once() -> None:
    said: Queue[str] = Queue()
    app = FastAPI()

    @app.get("/")
    def page() -> str:
        return "page"

    threading.Thread(target=run, args=(app, 0), kwargs={"say": said.put}, daemon=True).start()
    found = re.search(r"http://127\.0\.0\.1:(\d+)/", said.get(timeout=20))
    assert found
    with socket.create_connection((HOST, int(found[1])), timeout=20) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200")
        served = [
            each for each in gc.get_objects() if isinstance(each, socket.socket) and _peer(each) == client.getsockname()
        ]
        assert [each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0 for each in served] == [True]


def _peer(of: socket.socket) -> object:
    try:
        return of.getpeername()
    except OSError:
        return None
