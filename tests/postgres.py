"""A PostgreSQL server for tests: the system's own, with its data in a temporary folder, on a socket there."""

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any

USER = "reidapp"
GUARDED = "guarded"  # this user needs the password "secret"


def binaries() -> Path | None:
    """The folder of ``postgres`` and ``initdb``; Debian has several versions, none of them on PATH."""
    if found := shutil.which("postgres"):
        return Path(found).resolve().parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name), default=None)


class Server:
    """Texts are ordered as in an English dictionary, where this server can: a gallery must not rely on that."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self.binaries = binaries
        self.folder = folder
        self._numbers = itertools.count()
        # The server refuses to be run by root.
        group = pwd.getpwnam("nobody").pw_gid
        self._as: dict[str, Any] = {"user": "nobody", "group": group, "extra_groups": []} if os.getuid() == 0 else {}
        if self._as:
            shutil.chown(folder, "nobody")
        new = [binaries / "initdb", "-D", folder / "data", "-U", USER, "-E", "UTF8", "--auth=trust", "--no-sync"]
        english = ["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en"]
        if self._run([*new, *english]):
            shutil.rmtree(folder / "data", ignore_errors=True)
            assert self._run([*new, "--locale=C"]) == 0
        rules = folder / "data/pg_hba.conf"
        rules.write_text(f"local all {GUARDED} scram-sha-256\n{rules.read_text()}")
        self.start()
        self.execute("postgres", f"CREATE USER {GUARDED} PASSWORD 'secret'")

    def start(self) -> None:
        quick = ["-c", "fsync=off", "-c", "listen_addresses=", "-c", "max_connections=300"]
        self._process = subprocess.Popen(
            [self.binaries / "postgres", "-D", self.folder / "data", "-k", self.folder, *quick],
            cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **self._as,
        )  # fmt: skip
        end = time.monotonic() + 60
        while True:
            try:
                return self.execute("postgres", "SELECT 1")
            except Exception:
                if self._process.poll() is not None or time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def stop(self) -> None:
        """At once: who is connected loses the connection."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(60)

    def url(self, database: str, user: str = USER) -> str:
        return f"postgresql://{user}@/{database}?host={self.folder}"

    def new_database(self, options: str = "") -> str:
        """The name of one with nothing in it, unless a template is given."""
        name = f"test{next(self._numbers)}"
        self.execute("postgres", f"CREATE DATABASE {name} {options}")
        return name

    def drop(self, name: str) -> None:
        """With all connections to it."""
        self.execute("postgres", f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def execute(self, database: str, statement: str) -> None:
        import psycopg

        with closing(psycopg.connect(self.url(database), autocommit=True)) as connection:
            connection.execute(statement.encode())

    def _run(self, command: list[Any]) -> int:
        return subprocess.run(
            command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **self._as
        ).returncode
