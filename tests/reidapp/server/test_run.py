import socket

import pytest
from fastapi import FastAPI

from reidapp.errors import UserError
from reidapp.server.run import HOST, run


def test_a_port_that_is_taken_is_said() -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} .* --port"):
            run(FastAPI(), port, lambda _: None)
