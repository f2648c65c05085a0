"""What a long run tells its user, on standard error."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text


class Notes:
    """Warnings: shown once, and kept for the result.

    Args:
        silent: keep, but don't show.
    """

    def __init__(self, silent: bool = False) -> None:
        self.console = Console(stderr=True, quiet=silent)
        self.warnings: list[str] = []

    def say(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False)

    def warn(self, text: str, prefix: str = "") -> None:
        if text not in self.warnings:
            self.warnings.append(text)
            self.console.print(f"warning: {prefix}{text}", style="yellow", markup=False, highlight=False)

    def warn_left_out(self, skipped: Sequence[tuple[Path, str]]) -> None:
        """Of images that were not used: how many, and the first few with the reason."""
        if skipped:
            images = "1 image" if len(skipped) == 1 else f"{len(skipped)} images"
            self.warn(f"{images} left out: " + "; ".join(f"{path}: {why}" for path, why in skipped[:5]))


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


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.0f} img/s" if task.speed else "")
