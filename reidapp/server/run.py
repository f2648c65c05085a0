"""Serve an application on this machine."""

import socket
import webbrowser
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from reidapp.errors import UserError
from reidapp.server.security import OneTimeLink

HOST = "127.0.0.1"


def run(
    app: FastAPI,
    port: int,
    *,
    link: OneTimeLink | None = None,
    public: str | None = None,
    open_browser: bool = False,
    say: Callable[[str], None] = print,
) -> None:
    """Serve until interrupted, on 127.0.0.1 only.

    Args:
        port: 0 takes a free one.
        link: the one the application was built with.
        public: the address that users know a proxy before this server by, as the application was built with.
        open_browser: open the page as well.
        say: tells the user the link, and the next one whenever one was used.

    Raises:
        UserError: the port is taken.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError as error:
            raise UserError(f"port {port} of {HOST} cannot be used ({error.strerror}); try another --port") from error
        listener.listen(128)
        own = f"http://{HOST}:{listener.getsockname()[1]}"
        address = f"{(public or own).rstrip('/')}/"
        if public:
            say(f"Serving at {own}, for a proxy")
        if link is not None:
            link.announce = lambda token: say(f"The link was used. For another browser: {address}?token={token}")
            address_now = f"{address}?token={link.token}"
        else:
            address_now = address
        say(f"Open {address_now}" + (" (works once; Ctrl-C ends the server)" if link else " (Ctrl-C ends the server)"))
        if open_browser:
            webbrowser.open(address_now)  # a request that comes before the server runs waits in the listener's queue
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=2)
        uvicorn.Server(config).run([listener])
