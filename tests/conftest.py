"""What tests may need beyond the repository, and what happens where it is missing.

A test that lacks something is skipped with its reason. With REQUIRE_ALL=1 in the environment every such skip is a
failure instead, however it came about (``needs``, ``pytest.skip``, ``importorskip``). One exception: a test marked
``gpu`` is skipped where no NVIDIA driver answers, since no installation step could change that.
"""

import importlib.util
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from reidapp.doctor import nvidia_driver
from reidapp.files import locked
from tests.postgres import Server, binaries

if "PYTEST_XDIST_WORKER" in os.environ:  # a process per core: more threads would only be in each other's way
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")
# A shell that runs tests in the background makes them, and all processes that they start, deaf to Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[1]
REQUIRE_ALL = os.environ.get("REQUIRE_ALL", "") not in ("", "0")
SLOW = {"chromium", "postgres", "world"}  # fixtures: each takes seconds, or makes its tests take them
NO_GPU = "needs an NVIDIA GPU, and no driver answers"


@pytest.fixture(scope="session")
def needs() -> Callable[[object, str], None]:
    """``needs(condition, reason)`` skips the test, with the reason, unless the condition holds."""

    def check(condition: object, reason: str) -> None:
        if not condition:
            pytest.skip(reason)

    return check


@pytest.fixture(scope="session")
def shared(needs: Callable[[object, str], None]) -> Path:
    """The folder of optional inputs (real video, a detector): REIDAPP_SHARED, else ``shared`` beside the repository."""
    folder = Path(os.environ.get("REIDAPP_SHARED") or ROOT.parent / "shared")
    needs(folder.is_dir(), f"no folder {folder}; REIDAPP_SHARED can name another")
    return folder


@pytest.fixture(scope="session")
def chromium(needs: Callable[[object, str], None]) -> Path:
    """The system's browser: REIDAPP_CHROMIUM, else the first one on PATH."""
    names = [os.environ.get("REIDAPP_CHROMIUM"), "chromium", "chromium-browser", "google-chrome"]
    found = [path for name in names if name and (path := shutil.which(name))]
    needs(found, "no chromium on PATH (Debian: apt-get install chromium); REIDAPP_CHROMIUM can name another browser")
    return Path(found[0])


@pytest.fixture(scope="session")
def postgres(needs: Callable[[object, str], None]) -> Iterator[Server]:
    """A PostgreSQL server of its own, with nothing in it: the system's, from PATH or where Debian has it."""
    needs(importlib.util.find_spec("psycopg"), "psycopg is not installed: pip install '.[postgres]'")
    found = binaries()
    needs(found, "no PostgreSQL server (Debian: apt-get install postgresql)")
    assert found
    with tempfile.TemporaryDirectory(prefix="reidapp-") as folder:
        server = Server(found, Path(folder))
        yield server
        server.stop()


@dataclass(frozen=True)
class World:
    """Generated footage with its truth, and a gallery made of it by the shipped model and the built-in detector."""

    footage: Path
    gallery: Path


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Made once for all processes of a run; who changes the gallery takes a copy."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "the-world"
    folder.mkdir(exist_ok=True)
    with locked(folder / "lock"):
        if not (folder / "made").exists():
            _make_world(folder)
            (folder / "made").touch()
    return World(folder / "footage", folder / "gallery")


def _make_world(folder: Path) -> None:
    from reidapp.cli import app
    from training.data.synthetic.footage import write_footage

    write_footage(folder / "footage", cameras=2, people=4, seconds=30, seed=5, workers=1)
    command = ["index", str(folder / "footage"), "--gallery", str(folder / "gallery"), "--zone", "UTC"]
    app(command, standalone_mode=False)


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses by marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not SLOW.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked and not nvidia_driver():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=NO_GPU))
    if importlib.util.find_spec("milvus_lite") is None:  # `make milvus` runs them where it is
        items[:] = [item for item in items if not item.get_closest_marker("milvus")]
    # Files with slow tests first: several processes take a file each, and none is to be left alone with a long one.
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_if_skipped(report)
    return report


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not REQUIRE_ALL or not report.skipped or hasattr(report, "wasxfail"):
        return
    where, line, reason = report.longrepr if isinstance(report.longrepr, tuple) else ("", 0, str(report.longrepr))
    if NO_GPU not in reason:
        report.outcome = "failed"
        report.longrepr = f"{where}:{line}: {reason} (REQUIRE_ALL is set: nothing may be skipped)"
