"""What a long run tells its user, or the program that started it, on standard error."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from reidapp.files import one_line

FIRST_LINE_S, LONGEST_PAUSE_S = 30.0, 600.0  # of a log


class Notes:
    """Warnings: shown once, and kept for the result.

    Args:
        silent: keep, but don't show.
        lines: all that is shown is JSON, an object a line: ``{"note": …}``, ``{"warning": …}``, and bars as `Lines`.
    """

    def __init__(self, silent: bool = False, lines: bool = False) -> None:
        self.console = Console(stderr=True, quiet=silent)
        self.warnings: list[str] = []
        self._silent, self._lines = silent, lines

    def say(self, text: str) -> None:
        self._show("note", text, text)

    def warn(self, text: str, prefix: str = "") -> None:
        if text not in self.warnings:
            self.warnings.append(text)
            self._show("warning", f"{prefix}{text}", f"warning: {prefix}{text}", style="yellow")

    def warn_left_out(self, skipped: Sequence[tuple[Path, str]], listed: Path | None = None) -> None:
        """Of images that were not used: how many, and the first few with the reason.

        Args:
            listed: the file that has them all.
        """
        if skipped:
            images = "1 image" if len(skipped) == 1 else f"{len(skipped)} images"
            more = f"; all are in {listed}" if listed and len(skipped) > 5 else ""
            self.warn(f"{images} left out: " + "; ".join(f"{path}: {why}" for path, why in skipped[:5]) + more)

    def bar(self, title: str, total: int, quiet: bool, completed: int = 0) -> AbstractContextManager["Advance"]:
        quiet = quiet or self._silent
        if self._lines:
            return _counted(Lines(title), total, quiet, completed)
        if not self.console.is_terminal:
            return _counted(Log(title), total, quiet, completed)
        return bar(title, total, self.console, quiet, completed)

    def _show(self, kind: str, text: str, for_people: str, style: str | None = None) -> None:
        if not self._lines:
            # Not wrapped at 80 columns, where that is no terminal: a path would be broken.
            self.console.print(for_people, style=style, markup=False, highlight=False, soft_wrap=True)
        elif not self._silent:
            _write({kind: text})


class Lines:
    """Progress as JSON: ``{"step": …, "done": …, "total": …, "text": …}``, a line a second at most.

    A total of None: nobody knows it.
    """

    def __init__(self, step: str) -> None:
        self.step, self._next = step, 0.0

    def __call__(self, done: float, total: float | None, text: str = "") -> None:
        if (total is not None and done >= total) or time.monotonic() >= self._next:
            self._next = time.monotonic() + 1
            _write({"step": self.step, "done": done, "total": total, "text": text})


class Log:
    """Progress where no terminal is, as in a log: a line after half a minute, the next after a minute, then two, …"""

    def __init__(self, step: str) -> None:
        self.step, self._pause = step, FIRST_LINE_S
        self._next = time.monotonic() + self._pause

    def __call__(self, done: float, total: float | None, text: str = "") -> None:
        if time.monotonic() < self._next:
            return
        self._pause = min(2 * self._pause, LONGEST_PAUSE_S)
        self._next = time.monotonic() + self._pause
        reached = f"{done / total:.0%}" if total else f"{done:,.0f}"
        print(one_line(f"{self.step}: {reached}  {text}".rstrip()), file=sys.stderr, flush=True)


class Advance(Protocol):
    def __call__(self, count: int, summary: str | None = None) -> None:
        """So many more images are done; the summary stands beside the bar until there is another."""


@contextmanager
def bar(title: str, total: int, console: Console, quiet: bool, completed: int = 0) -> Iterator[Advance]:
    """A progress bar with rate and time left, on one line of 80 columns: the bar itself gives way."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None, table_column=Column(max_width=40)),
        TaskProgressColumn(),
        _Rate(table_column=Column(no_wrap=True)),
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[summary]}"),
    )
    with Progress(*columns, console=console, disable=quiet) as progress:
        task = progress.add_task(title, total=total, completed=completed, summary="")

        def advance(count: int, summary: str | None = None) -> None:
            progress.update(task, advance=count)
            if summary is not None:
                progress.update(task, summary=summary)

        yield advance


@contextmanager
def _counted(lines: Lines | Log, total: int, quiet: bool, completed: int) -> Iterator[Advance]:
    done, text = completed, ""

    def advance(count: int, summary: str | None = None) -> None:
        nonlocal done, text
        done, text = done + count, text if summary is None else summary
        if not quiet:
            lines(done, total, text)

    yield advance


def _write(facts: dict[str, Any]) -> None:
    print(json.dumps(facts, ensure_ascii=False), file=sys.stderr, flush=True)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.0f} img/s" if task.speed else "")
