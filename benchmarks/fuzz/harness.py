"""Draw inputs, let a process of its own read them, and judge what becomes of it.

Inputs are changed copies of valid ones. An input that reaches lines of the reader which none before did is itself
changed later on, as AFL does it. What counts as a finding: the process dies, takes too long or too much memory, raises
anything but the one line that users are told (`ReidappError`), in whichever thread, or touches a file outside the
reader's folder.
"""

import faulthandler
import hashlib
import importlib
import inspect
import multiprocessing
import os
import random
import resource
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any, ClassVar

from benchmarks.machine import resident_mb
from reidapp.errors import ReidappError

READERS = ("images", "parameters", "templates", "videos", "models", "galleries")
_ADDRESS_SPACE = 24 << 30  # bytes: what a reader may ask the system for, so that the machine survives it
_KEPT = 2000  # inputs that reached something new
_TRACED, _EACH = 400, 8  # first inputs whose lines are noted, then of each so many; noting them takes most of the time
_FOUND = 20  # findings, after which a reader is not asked any more
_LOADING_S = 300.0
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.truncate")
Line = tuple[str, int]


class Reader:
    """What is asked; a file of this folder has one class of this kind.

    Attributes:
        code: {module: functions under test, by the beginnings of their qualified names; none: all}.
        first_parser: what an input has to get past first, in words.
        most_s: on the clock, for one input.
        most_mb: of memory above what was held before, for one input.
    """

    code: ClassVar[Mapping[str, Sequence[str]]]
    first_parser: ClassVar[str]
    most_s: ClassVar[float] = 60.0
    most_mb: ClassVar[float] = 500.0

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def seeds(self) -> list[bytes]:
        """Valid inputs."""
        raise NotImplementedError

    def changed(self, data: bytes, other: bytes, draw: random.Random) -> bytes:
        """A valid input, changed; ``other`` is another one, of which parts may be taken."""
        raise NotImplementedError

    def read(self, data: bytes) -> bool:
        """Whether an input got past the first parser.

        Raises:
            Exception: a finding, unless it is a `ReidappError`, which is a refusal past the first parser.
        """
        raise NotImplementedError


class FirstParserError(ReidappError):
    """What a reader raises for an input that its first parser has refused."""


@dataclass(frozen=True)
class Finding:
    """Something that must not be.

    Attributes:
        kind: crash, hang, memory, traceback, or file (outside the reader's place).
        input: the beginning of the sha256 of the input, by which it is kept.
    """

    kind: str
    what: str
    number: int
    input: str


@dataclass
class Tally:
    """What came of it; ``coverage``: {module: [lines reached, lines of the functions under test]}."""

    inputs: int = 0
    past_first_parser: int = 0
    kept: int = 0
    findings: list[Finding] = field(default_factory=list)
    coverage: dict[str, tuple[int, int]] = field(default_factory=dict)
    not_reached: dict[str, list[int]] = field(default_factory=dict)
    slowest_s: float = 0.0
    most_mb: float = 0.0
    seconds: float = 0.0


def reader_of(name: str) -> type[Reader]:
    """The reader of a file of this folder, or of ``MODULE:CLASS``."""
    module, _, cls = name.partition(":")
    found = importlib.import_module(module if cls else f"benchmarks.fuzz.{module}")
    return next(
        kind
        for kind in vars(found).values()
        if inspect.isclass(kind) and issubclass(kind, Reader) and kind.__module__ == found.__name__
        if not cls or kind.__name__ == cls
    )


def fuzz(name: str, inputs: int, seed: int, keep: Path | None = None, most_s: float = float("inf")) -> Tally:
    """Ask a reader so many inputs.

    Args:
        name: see `reader_of`.
        keep: where inputs that found something are kept.
        most_s: on the clock, after which it is asked no more.
    """
    tally, reached = Tally(), set[Line]()
    kind, began = reader_of(name), time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        while tally.inputs < inputs and len(tally.findings) < _FOUND:
            _ask(name, kind, place, range(tally.inputs, inputs), seed, tally, reached, keep, began + most_s)
            if time.monotonic() > began + most_s:
                break
    for module, lines in _lines_under_test(kind.code).items():
        hit = {line for file, line in reached if (file, line) in lines}
        tally.coverage[module] = (len(hit), len(lines))
        tally.not_reached[module] = sorted({line for _, line in lines} - hit)
    tally.seconds = time.monotonic() - began
    return tally


def _ask(
    name: str,
    kind: type[Reader],
    place: Path,
    numbers: range,
    seed: int,
    tally: Tally,
    reached: set[Line],
    keep: Path | None,
    until: float,
) -> None:
    """Let one process read, until all are read or it ends otherwise."""
    mine, its = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_work, args=(name, place, numbers, seed, its))
    process.start()
    its.close()
    number = None

    def found(what_kind: str, what: str, data: bytes | None = None) -> None:
        data = (place / "current").read_bytes() if data is None else data
        digest = hashlib.sha256(data).hexdigest()[:16]
        if keep:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / f"{name}-{digest}").write_bytes(data)
        tally.findings.append(Finding(what_kind, what, tally.inputs - 1, digest))

    while True:
        if not mine.poll(_LOADING_S if number is None else kind.most_s):
            process.kill()
            process.join()
            if number is None and not (place / "current").exists():
                raise RuntimeError(f"{name}: has not begun after {_LOADING_S:g} s; let it run with less beside it")
            tally.inputs += 1
            found("hang", f"more than {kind.most_s:g} s")
            return
        try:
            number, past, new, seconds, megabytes, fault, data = mine.recv()
        except EOFError:
            process.join()
            if number is None and not (place / "current").exists():
                raise RuntimeError(f"{name}: cannot begin: {(place / 'stderr').read_text()}") from None
            if process.exitcode:
                tally.inputs += 1
                code = process.exitcode
                how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
                found("crash", f"{how}: {_last_lines(place / 'stderr')}")
            return
        tally.inputs += 1
        tally.past_first_parser += past
        tally.kept += bool(new)
        reached.update(new)
        tally.slowest_s, tally.most_mb = max(tally.slowest_s, seconds), max(tally.most_mb, megabytes)
        if fault:
            what_kind, what = fault
            found(what_kind, what, data)
        if len(tally.findings) >= _FOUND or time.monotonic() > until:
            process.kill()
            process.join()
            return


def _last_lines(file: Path) -> str:
    lines = file.read_text("utf-8", "replace").splitlines() if file.exists() else []
    return " | ".join(line.strip() for line in lines[:4])


def _work(name: str, place: Path, numbers: range, seed: int, pipe: Connection) -> None:
    """The process that reads."""
    own, elsewhere, corpus_at = place / "own", place / "elsewhere", place / "corpus"
    for folder in (own, elsewhere, corpus_at):
        folder.mkdir(exist_ok=True)
    os.environ |= {"HOME": str(elsewhere), "TMPDIR": str(own), "OMP_NUM_THREADS": "1"}
    tempfile.tempdir = str(own)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    told = os.open(place / "stderr", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(told, stream)  # decoders say much
    faulthandler.enable(os.fdopen(told, "w"))
    reader = reader_of(name)(own)
    seeds = reader.seeds()
    corpus = [*seeds, *(file.read_bytes() for file in sorted(corpus_at.iterdir()))]
    lines, writes = _Lines(reader.code), _Writes((place, Path("/dev")))
    died: list[BaseException] = []  # threads that an input ended; nobody asks those how they did
    threading.excepthook = lambda ended: died.append(ended.exc_value or SystemExit())
    os.chdir(elsewhere)
    there = set(elsewhere.rglob("*"))
    for number in numbers:
        draw = random.Random(f"{seed}/{number}")
        data = seeds[number] if number < len(seeds) else reader.changed(draw.choice(corpus), draw.choice(corpus), draw)
        (place / "current").write_bytes(data)
        before, began = resident_mb(), time.process_time()
        _forget_peak()
        lines.on = number < _TRACED or number % _EACH == 0
        with lines, writes:
            past, fault = _judged(reader, data)
        if died:
            fault = _raised(died.pop())
        seconds, megabytes = time.process_time() - began, max(0.0, _peak_mb() - before)
        if strange := [*writes.elsewhere, *map(str, set(elsewhere.rglob("*")) - there)]:
            fault = ("file", f"touched {strange[0]}")
            writes.elsewhere.clear()
        if megabytes > reader.most_mb:
            fault = ("memory", f"{megabytes:.0f} MB")
        if new := lines.new():
            corpus.append(data)
            if len(corpus) < _KEPT:
                (corpus_at / f"{number:08}").write_bytes(data)
        pipe.send((number, past, new, seconds, megabytes, fault, data if fault else None))
    os._exit(0)  # what a reader has left running has no say


def _judged(reader: Reader, data: bytes) -> tuple[bool, tuple[str, str] | None]:
    try:
        return reader.read(data), None
    except FirstParserError:
        return False, None
    except ReidappError as refusal:
        line = str(refusal)
        return True, ("traceback", f"several lines: {line!r}") if "Traceback" in line else None
    except Exception as error:
        return True, _raised(error)


def _raised(error: BaseException) -> tuple[str, str]:
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames[-4:]))
    return "traceback", f"{type(error).__name__}: {' '.join(str(error).split())[:200]} at {where}"


class _Writes:
    """Notes what Python code creates, changes or removes outside some folders."""

    def __init__(self, allowed: Sequence[Path]) -> None:
        self.elsewhere: list[str] = []
        self._allowed = [*allowed, *(path.resolve() for path in allowed)]
        self._on = False
        sys.addaudithook(self._look)

    def __enter__(self) -> None:
        self._on = True

    def __exit__(self, *_: object) -> None:
        self._on = False

    def _look(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._on:
            return
        if event == "open" and isinstance(arguments[2], int) and not arguments[2] & _WRITES:
            return
        paths = arguments[:1] if event == "open" else arguments[:2] if event in _CHANGES else ()
        for path in paths:
            if isinstance(path, str | bytes | os.PathLike):
                full = Path(os.path.abspath(os.fsdecode(path)))
                own = "__pycache__" in full.parts or any(full.is_relative_to(folder) for folder in self._allowed)
                if not own:
                    self.elsewhere.append(f"{event} {full}")


class _Lines:
    """Which lines of the functions under test run while it is ``on``, in any thread that began meanwhile."""

    def __init__(self, code: Mapping[str, Sequence[str]]) -> None:
        self._wanted = set().union(*_lines_under_test(code).values())
        self._files = {file for file, _ in self._wanted}
        self._reached, self._told = set[Line](), set[Line]()
        self.on = True

    def __enter__(self) -> None:
        if self.on:
            threading.settrace(self._call)
            sys.settrace(self._call)

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)
        threading.settrace(None)

    def new(self) -> list[Line]:
        """Those that were not reached when this was asked before."""
        new = (self._reached & self._wanted) - self._told
        self._told |= new
        return sorted(new)

    def _call(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not self.on or frame.f_code.co_filename not in self._files:
            return None
        self._line(frame, event, argument)
        return self._line

    def _line(self, frame: FrameType, event: str, argument: Any) -> Any:
        self._reached.add((frame.f_code.co_filename, frame.f_lineno))
        return self._line


def _lines_under_test(code: Mapping[str, Sequence[str]]) -> dict[str, set[Line]]:
    """{module: lines of functions}; what runs when a module is imported is none of a reader's doing."""
    found = {}
    for name, functions in code.items():
        module = importlib.import_module(name)
        compiled = compile(inspect.getsource(module), _file_of(module), "exec")
        found[name] = {
            (_file_of(module), line)
            for part in _functions(compiled)
            if not functions or any(_begins(part.co_qualname, wanted) for wanted in functions)
            for _, _, line in part.co_lines()
            if line is not None
        }
    return found


def _begins(qualified: str, wanted: str) -> bool:
    return qualified == wanted or qualified.startswith(f"{wanted}.")


def _functions(code: CodeType) -> Iterator[CodeType]:
    for part in code.co_consts:
        if isinstance(part, CodeType):
            if part.co_flags & inspect.CO_OPTIMIZED:  # a class's body is not
                yield part
            yield from _functions(part)


def _file_of(module: ModuleType) -> str:
    return str(module.__file__)


def _peak_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def _forget_peak() -> None:
    with suppress(OSError):  # then the peak is that of all inputs so far, which errs on the safe side
        Path("/proc/self/clear_refs").write_text("5")
