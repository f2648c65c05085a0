"""A reverse proxy that puts a server under a path, as users have it: real HTTP on both sides."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_OWN = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade"}  # of one connection, not of the message


class Proxy(ThreadingHTTPServer):
    """Passes on what is asked for below a path.

    Args:
        below: the path, such as ``/cams/reid``.
        takes_off: whether the server behind is asked without that path.

    Attributes:
        behind: port of that server on this machine; to be set before anything is asked for.
    """

    daemon_threads = True

    def __init__(self, below: str, takes_off: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.below, self.takes_off, self.behind = below, takes_off, 0

    @property
    def public(self) -> str:
        return f"http://127.0.0.1:{self.server_port}{self.below}"

    def handle_error(self, *args: Any) -> None:
        """A browser that hangs up is no error."""


@contextmanager
def proxied(below: str, takes_off: bool) -> Iterator[Proxy]:
    proxy = Proxy(below, takes_off)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    yield proxy
    proxy.shutdown()
    proxy.server_close()


class _Passing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def _pass_on(self) -> None:
        if not f"{self.path}/".startswith(f"{self.server.below}/"):
            self.send_error(404)  # another site of the same host
            return
        path = self.path.removeprefix(self.server.below) if self.server.takes_off else self.path
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {key: value for key, value in self.headers.items() if key.lower() not in _OWN}
        behind = HTTPConnection("127.0.0.1", self.server.behind, timeout=60)
        behind.request(self.command, path or "/", body or None, headers)
        answer = behind.getresponse()
        self.send_response_only(answer.status, answer.reason)
        for key, value in answer.getheaders():
            if key.lower() not in _OWN:
                self.send_header(key, value)
        chunked = answer.length is None  # its end is not known: a stream of events, for one
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while part := answer.read1(65536):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)
            self.wfile.flush()
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
        behind.close()

    do_GET = do_HEAD = do_POST = do_PATCH = do_DELETE = _pass_on  # noqa: N815

    def log_message(self, *args: Any) -> None:
        """Tests are silent."""
