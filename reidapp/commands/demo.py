"""`reidapp demo`."""

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from reidapp.commands import output
from reidapp.commands.options import JsonOption
from reidapp.commands.serve import serve_galleries


def demo(
    out: Annotated[Path, typer.Option(help="Folder for all that the demo makes.")] = Path("demo"),
    seed: Annotated[int, typer.Option(min=0, help="Another seed: other people, other cameras.")] = 0,
    serve: Annotated[bool, typer.Option(help="Open the web page at the end.")] = True,
    json: JsonOption = False,
) -> None:
    """The whole line on generated people: footage, training, export, index, search, web page."""
    if importlib.util.find_spec("torch") is None:  # said now, not after a minute of filming
        raise ModuleNotFoundError(name="torch")
    from reidapp.demo import run_demo

    report = run_demo(out, seed=seed, say=output.note)
    output.show(report.to_dict(), str(report), json)
    if serve and not json:
        from reidapp.server.run import Place

        serve_galleries([report.gallery], Place(7860), None, open_browser=True)
