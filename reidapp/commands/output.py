"""What commands print: results on standard output, all else on standard error."""

import contextlib
import json as json_
import sys
from collections.abc import Callable, Iterator
from typing import Any

import typer

from reidapp.errors import UserError
from reidapp.files import one_line

_as_lines = False  # progress as JSON, for the program that started this one


def progress_as_lines(wanted: bool) -> None:
    """Progress is an object a line on standard error, from now on, or a bar."""
    global _as_lines
    _as_lines = wanted


def show(facts: dict[str, Any], text: str, json: bool) -> None:
    """A result, as one JSON object or as text."""
    print(json_.dumps(facts, ensure_ascii=False, default=str) if json else text, flush=True)


def done(told: list[str], json: bool) -> None:
    """What has been done, a line each."""
    show({"done": told}, "\n".join(told), json)


def note(text: str) -> None:
    """A line for whoever looks on."""
    print(one_line(text), file=sys.stderr, flush=True)


def confirm(what: str, yes: bool) -> None:
    """Go on only if the user agrees."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UserError(f"{what}? Nobody can be asked here: --yes does it, --dry-run only looks")
    if not typer.confirm(one_line(f"{what}?"), err=True):
        raise typer.Exit(1)


@contextlib.contextmanager
def progress(title: str, unit: str) -> "Iterator[Callable[..., None]]":
    """A bar with the rate and the time left, without a terminal lines; yields advance(done, total, label)."""
    from rich.console import Console

    console = Console(stderr=True)
    if _as_lines or not console.is_terminal:
        from training.progress import Lines, Log

        yield (Lines if _as_lines else Log)(title)
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %  {task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[label]}", markup=False),  # a file's name, which may have brackets
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(title, total=None, label="", rate="")

        def advance(done: float, total: float, label: str = "") -> None:
            speed = bar.tasks[0].speed or 0.0
            rate = f"{speed:.0f}" if speed >= 10 else f"{speed:.2g}"
            bar.update(
                task, completed=done, total=total, label=one_line(label), rate=f"{rate} {unit}/s" if speed else ""
            )

        yield advance


@contextlib.contextmanager
def interruptible(told: str) -> Iterator[None]:
    """A service that is stopped (SIGTERM) is interrupted as by Ctrl-C, and neither is mute."""
    import signal

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        note(told)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
