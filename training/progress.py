"""What a long run tells its user, on standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
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


@contextmanager
def bar(
    title: str, total: int, console: Console, quiet: bool, completed: int = 0
) -> Iterator[Callable[[int, str], None]]:
    """A progress bar with rate and time left; gives a function to call with (images done, what to show beside it)."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[summary]}"),
    )
    with Progress(*columns, console=console, disable=quiet) as progress:
        task = progress.add_task(title, total=total, completed=completed, summary="")
        yield lambda count, summary: progress.update(task, advance=count, summary=summary)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.0f} img/s" if task.speed else "")
