"""Another process, such as a database browser, that keeps an SQLite file to itself."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

_KEEPS = """
import sqlite3, sys
rows = sqlite3.connect(sys.argv[1], isolation_level=None)
rows.execute(f"BEGIN {sys.argv[2]}")
print("kept", flush=True)
sys.stdin.read()
"""


@contextmanager
def kept(file: Path, how: Literal["IMMEDIATE", "EXCLUSIVE"] = "IMMEDIATE") -> Iterator[None]:
    """Nobody else writes meanwhile; where the file has no write-ahead log, by EXCLUSIVE nobody reads it either."""
    command = [sys.executable, "-c", _KEEPS, str(file), how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin
        assert other.stdout
        try:
            assert other.stdout.readline() == "kept\n"
            yield
        finally:
            other.stdin.close()
