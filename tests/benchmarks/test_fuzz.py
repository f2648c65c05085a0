"""Every reader is asked a few inputs; `python -m benchmarks.fuzz READER` asks ten thousand (docs/results/fuzz.json)."""

import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import ClassVar

import pytest

from benchmarks.fuzz.harness import READERS, FirstParserError, Reader, Tally, fuzz
from reidapp.errors import UserError

# Inputs, and lines of the functions under test that so many reach at least.
FEW = {
    "images": (70, 0.85), "parameters": (50, 0.6), "templates": (150, 0.85), "videos": (60, 0.7), "models": (100, 0.8),
    "galleries": (60, 0.4),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_a_reader_bears_whatever_it_is_given(name: str, tmp_path: Path) -> None:
    inputs, share = FEW[name]
    tally = fuzz(name, inputs, seed=1, keep=tmp_path)
    assert tally.findings == []
    assert tally.inputs == inputs
    assert 2 * tally.past_first_parser >= inputs
    reached, lines = (sum(each[i] for each in tally.coverage.values()) for i in (0, 1))
    assert reached >= share * lines, tally.not_reached


def read_number(data: bytes) -> int:
    """What the readers of this file are tested on."""
    if data == b"7":
        return 7
    return 0


class _Numbers(Reader):
    code: ClassVar = {__name__: ("read_number",)}
    first_parser: ClassVar = "a number"
    most_s: ClassVar = 5.0
    most_mb: ClassVar = 100.0

    count = 2

    def seeds(self) -> list[bytes]:
        return [b"1", b"2"]

    def changed(self, data: bytes, other: bytes, draw: random.Random) -> bytes:
        """3, 4, … 9, 3, 4, …"""
        self.count = self.count + 1 if self.count < 9 else 3
        return str(self.count).encode()

    def read(self, data: bytes) -> bool:
        if read_number(data):
            self.go_wrong()
        if data == b"8":
            raise FirstParserError("no number")
        if data == b"9":
            raise UserError("one line, as users are told it")
        return True

    def go_wrong(self) -> None:
        """On a seven."""


class Crashing(_Numbers):
    def go_wrong(self) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)


class Hanging(_Numbers):
    def go_wrong(self) -> None:
        time.sleep(3600)


class Raising(_Numbers):
    def go_wrong(self) -> None:
        raise KeyError("seven")


class RaisingElsewhere(_Numbers):
    def go_wrong(self) -> None:
        thread = threading.Thread(target=int, args=["seven"])
        thread.start()
        thread.join()


class Greedy(_Numbers):
    def go_wrong(self) -> None:
        bytearray(os.urandom(1) * 200_000_000)


class Straying(_Numbers):
    def go_wrong(self) -> None:
        Path("seven").write_text("in the working directory")


class Careful(_Numbers):
    def go_wrong(self) -> None:
        (self.folder / "seven").write_text("in its own place")


def asked(kind: type[Reader], inputs: int, keep: Path | None = None) -> Tally:
    """In a process that knows this file by its name."""
    return fuzz(f"tests.benchmarks.test_fuzz:{kind.__name__}", inputs, seed=0, keep=keep)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "said", "what"),
    [
        (Crashing, "crash", "SIGSEGV"),
        (Hanging, "hang", "more than 5 s"),
        (Raising, "traceback", "KeyError: 'seven'"),
        (RaisingElsewhere, "traceback", "ValueError: invalid literal"),
        (Greedy, "memory", "MB"),
        (Straying, "file", "seven"),
    ],
)
def test_what_goes_wrong_is_found_with_its_input(kind: type[Reader], said: str, what: str, tmp_path: Path) -> None:
    tally = asked(kind, 7, tmp_path)
    (finding,) = tally.findings
    assert (finding.kind, finding.number) == (said, 6)
    assert what in finding.what
    (kept,) = tmp_path.iterdir()
    assert kept.read_bytes() == b"7"


def test_what_goes_well_is_counted() -> None:
    tally = asked(Careful, 16)
    assert tally.findings == []
    assert (tally.inputs, tally.past_first_parser) == (16, 14)
    ((reached, lines),) = tally.coverage.values()
    assert reached == lines > 0


def test_a_reader_that_cannot_begin_is_no_finding() -> None:
    with pytest.raises(RuntimeError, match="cannot begin"):
        asked(Lacking, 1)


class Lacking(_Numbers):
    def seeds(self) -> list[bytes]:
        raise OSError("no seeds")
