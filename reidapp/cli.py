"""The `reidapp` command: what it can be asked to do, and how faults end."""

import sys
from typing import Annotated, Any

import typer

from reidapp import __version__
from reidapp.commands import (
    adapt,
    audit,
    bench,
    case,
    demo,
    doctor,
    gallery,
    identity,
    index,
    models,
    output,
    search,
    serve,
    synth,
    train,
    users,
)
from reidapp.commands.options import ProgressOption
from reidapp.errors import ReidappError
from reidapp.files import disk_fault, one_line

app = typer.Typer(
    help="Find one person across many cameras' recordings.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(demo.demo)
app.command()(index.index)
app.command()(search.search)
app.command()(serve.serve)
app.command()(train.train)
app.command()(train.evaluate)
app.command()(train.her)
app.command("export")(train.export_)
app.command()(adapt.adapt)
app.command()(adapt.reembed)
app.command()(doctor.doctor)
for group in (synth, models, bench, gallery, identity, case, users, audit):
    app.add_typer(group.app, name=group.__name__.rpartition(".")[2])

# By path: reidapp is on no package index, where anybody could take its name.
_INSTALL = "`pip install '.[{}]'` in a copy of the repository"
_TRAIN = f"this command needs {_INSTALL.format('train')}"
_SERVE = f"{_INSTALL.format('cpu')}, or '.[gpu]'"
_EXTRA_OF = dict.fromkeys(
    ("torch", "torchvision", "yaml", "safetensors", "onnx", "onnxscript", "sklearn", "matplotlib"), _TRAIN
)
_EXTRA_OF |= dict.fromkeys(("onnxruntime", "faiss"), _SERVE) | {
    "ray": _INSTALL.format("ray"),
    "psycopg": f"rows in PostgreSQL need {_INSTALL.format('postgres')}",
}
_UsageError: Any = typer.BadParameter.__mro__[1]  # click's, or in newer Typers that of a copy without a public name


def main() -> None:
    """Run a command; a known fault is one line on standard error and an exit code of its own (Ctrl-C: Typer's 130)."""
    try:
        sys.exit(app(prog_name="reidapp", standalone_mode=False))
    except _UsageError as error:
        if message := " ".join(error.format_message().split()):  # none if a bare command has shown its help
            print(f"{error.ctx.command_path if error.ctx else 'reidapp'}: {message}", file=sys.stderr)
        sys.exit(error.exit_code)
    except ReidappError as error:
        print(f"reidapp: {one_line(str(error))}", file=sys.stderr)
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXTRA_OF:
            raise
        print(f"reidapp: {missing} is not installed; {_EXTRA_OF[missing]}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:  # a folder that cannot be written, a full disk
        where = f"{error.filename}: " if error.filename else ""
        print(f"reidapp: {where}{disk_fault(error)}", file=sys.stderr)
        sys.exit(1)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    progress: ProgressOption = "bar",
) -> None:
    output.progress_as_lines(progress == "json")
