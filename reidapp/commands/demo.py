"""`reidapp demo`."""

import importlib.util
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reidapp.commands import output
from reidapp.commands.options import JsonOption
from reidapp.commands.serve import serve_galleries
from reidapp.errors import UserError

if TYPE_CHECKING:
    from reidapp.server.run import Place


def demo(
    out: Annotated[Path, typer.Option(help="Folder for all that the demo makes.")] = Path("demo"),
    seed: Annotated[int, typer.Option(min=0, help="Another seed: other people, other cameras.")] = 0,
    again: Annotated[bool, typer.Option("--again", help="Make a demo anew that is there.")] = False,
    serve: Annotated[bool, typer.Option(help="Open the web page at the end.")] = True,
    json: JsonOption = False,
) -> None:
    """The whole line on generated people: footage, training, export, index, search, web page."""
    if importlib.util.find_spec("torch") is None:  # said now, not after a minute of filming
        raise ModuleNotFoundError(name="torch")
    from reidapp.demo import run_demo

    report = run_demo(out, seed=seed, again=again, say=output.note)
    output.show(report.to_dict(), str(report), json)
    if serve and not json:
        serve_galleries([report.gallery], _place(), None, open_browser=True)
    elif not json:
        command = shutil.which("reidapp") or Path(sys.executable).with_name("reidapp")
        output.note(f"look around in it: {command} serve --gallery {report.gallery}")


def _place() -> "Place":
    """At the usual port, or at any where that is taken: minutes of work do not end for it."""
    from reidapp.server.run import Place

    try:
        Place(7860).bind().close()
    except UserError:
        return Place(0)
    return Place(7860)
