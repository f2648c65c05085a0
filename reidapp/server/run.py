"""Serve an application on this machine."""

import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from reidapp.errors import UserError

HOST = "127.0.0.1"


def run(app: FastAPI, port: int, ready: Callable[[int], None]) -> None:
    """Serve until interrupted, on 127.0.0.1 only.

    Args:
        port: 0 takes a free one.
        ready: called with the port once connections are accepted.

    Raises:
        UserError: the port is taken.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError as error:
            raise UserError(
                f"port {port} of {HOST} cannot be used ({error.strerror}); give another with --port"
            ) from error
        listener.listen(128)
        ready(listener.getsockname()[1])
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=2)
        uvicorn.Server(config).run([listener])
