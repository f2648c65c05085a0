"""A `reidapp` for shell scripts whose commands are forked from one process that has loaded everything.

A command of its own takes seconds to load what it needs, and a page of the docs has dozens. ``python -m
tests.docs.preloaded SOCKET`` is that process; `programs` writes what a script calls: it hands over arguments,
environment, folder, input and output, and ends as the command does.
"""

import contextlib
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path

LOADED = (
    "reidapp.footage.indexing",
    "reidapp.gallery.search",
    "reidapp.server.app",
    "ui.page",
    "training.engine",
    "training.evaluation",
    "models.export",
)

# What both programs begin with: MORE_OPTIONS (JSON) has more options by the first words of a command.
WORDS = """#!{python} -IS
import json, os, signal, socket, sys
words = [os.path.basename(sys.argv[0]), *sys.argv[1:]]
for beginning, options in json.loads(os.environ["MORE_OPTIONS"]).items():
    if " ".join(words).startswith(beginning):
        words += options
"""
PYTHON = "os.execv({python!r}, [{python!r}, *words[1:]])\n"  # by its own name: there its packages are
REIDAPP = """
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    said = json.dumps([words, os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [len(said).to_bytes(4, "big")], [0, 1, 2])
    server.sendall(said)
    command = int.from_bytes(server.recv(4), "big")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: os.kill(command, number))
    sys.exit(int.from_bytes(server.recv(4), "big"))
"""


def programs(folder: Path, address: str) -> None:
    """Write what stands for `reidapp` and for `python`."""
    for name, does in (("reidapp", REIDAPP), ("python", PYTHON)):
        (folder / name).write_text((WORDS + does).format(python=sys.executable, address=address))
        (folder / name).chmod(0o755)


def serve(address: str) -> None:
    """Until its standard input ends, as it does with whoever started this, however that ends."""
    for name in LOADED:
        importlib.import_module(name)
    from reidapp.cli import main

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that ended commands leave nothing behind
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os._exit(_answer(connection, main))
            connection.close()


def _answer(connection: socket.socket, main: object) -> int:
    """One command, in a process forked for it."""
    assert callable(main)
    length, streams, _, _ = socket.recv_fds(connection, 4, 3)
    said = b""
    while len(said) < int.from_bytes(length, "big"):
        said += connection.recv(65536)
    words, folder, environment = json.loads(said)
    for stream, number in enumerate(streams):
        os.dup2(number, stream)
        os.close(number)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(folder)
    sys.argv = words
    connection.sendall(os.getpid().to_bytes(4, "big"))
    code: object = 1
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    status = code if isinstance(code, int) else 1
    connection.sendall(status.to_bytes(4, "big"))
    return status


if __name__ == "__main__":
    serve(sys.argv[1])
