"""Disks that are full when a test wants it: small ones that are mounted for one process alone.

Where nothing can be mounted, the system refuses that files become larger instead.
"""

import contextlib
import functools
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from reidapp import cli

ROOT = Path(__file__).resolve().parents[1]
OWN_MOUNTS = ["unshare", "--user", "--map-root-user", "--mount"]
_LIMITS = resource.getrlimit(resource.RLIMIT_FSIZE)


class Tmpfs:
    """A disk of eight megabytes, and a file that takes the room away."""

    def __init__(self, folder: Path) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", folder], check=True)
        self.folder = folder

    def leave(self, size: int) -> None:
        disk = os.statvfs(self.folder)
        (self.folder / "ballast").write_bytes(bytes(disk.f_bavail * disk.f_frsize - size))

    def make_room(self) -> None:
        (self.folder / "ballast").unlink()


class Limit:
    """No file may be larger: for where nothing can be mounted."""

    def __init__(self, folder: Path) -> None:
        pass

    def leave(self, size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, _LIMITS[1]))

    def make_room(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, _LIMITS)


def disk(folder: Path, kind: str) -> Tmpfs | Limit:
    """In the process that `run` has started: a new folder on a small disk."""
    folder.mkdir()
    return {"Tmpfs": Tmpfs, "Limit": Limit}[kind](folder)


@functools.cache
def kind() -> str:
    """How disks are made small here."""
    with tempfile.TemporaryDirectory() as folder:
        mount = [*OWN_MOUNTS, "mount", "-t", "tmpfs", "none", folder]
        try:
            return "Tmpfs" if subprocess.run(mount, stderr=subprocess.DEVNULL).returncode == 0 else "Limit"
        except FileNotFoundError:
            return "Limit"


def run(module: str, *arguments: object) -> Any:
    """What ``python -m MODULE ARGUMENTS… Tmpfs|Limit`` prints as JSON, in a process that may mount disks."""
    command = [sys.executable, "-m", module, *map(str, arguments), kind()]
    own = OWN_MOUNTS if kind() == "Tmpfs" else []
    process = subprocess.run([*own, *command], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return json.loads(process.stdout)


def reidapp(*arguments: object) -> tuple[int, list[str]]:
    """The exit code of a command, in this process, and its lines on standard error."""
    said = io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["reidapp", *map(str, arguments)]),
        contextlib.redirect_stderr(said),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        try:
            cli.main()
        except SystemExit as end:
            return int(end.code or 0), said.getvalue().splitlines()
    raise AssertionError
