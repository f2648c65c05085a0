"""A server on this machine that sends one file, well or badly."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

DATA = np.random.default_rng(0).bytes(300_000)


class Server(ThreadingHTTPServer):
    """One file at every path, and what is wrong with the way in which it is sent.

    Attributes:
        tag, date: sent as ETag and Last-Modified; "" sends none.
        stop_after: bytes after which an answer stops, by breaking off, or silently if ``stalls``.
        length, ranges: whether Content-Length is sent, and ranges are understood.
        careless: answers a range whatever If-Range says.
        asked, users: the Range and Authorization headers of each request, "" without one.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.data, self.tag, self.date = DATA, '"one"', ""
        self.status, self.stop_after, self.stalls, self.length, self.ranges = 200, len(DATA) * 9, False, True, True
        self.careless, self.asked, self.users = False, list[str](), list[str]()
        self.awake = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/people.onnx"

    def handle_error(self, *_: object) -> None:
        pass  # a client that goes away is what is tested


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, start = self.server, 0
        asked = self.headers.get("Range", "")
        server.asked.append(asked)
        server.users.append(self.headers.get("Authorization", ""))
        if server.status != 200:
            self.send_error(server.status)
            return
        if asked and server.ranges and (server.careless or self.headers["If-Range"] in (server.tag, server.date)):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        body = server.data[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.data) - 1}/{len(server.data)}")
        if server.length:
            self.send_header("Content-Length", str(len(body)))
        for name, value in (("ETag", server.tag), ("Last-Modified", server.date)):
            if value:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: server.stop_after])
        if server.stalls and len(body) > server.stop_after:
            server.awake.wait(20)

    def log_message(self, *_: object) -> None:
        pass
