"""`reidapp models`."""

import contextlib
import json as json_
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from reidapp.commands import opening, output
from reidapp.commands.options import GalleryOption, JsonOption
from reidapp.commands.train import export_summary
from reidapp.errors import UserError

app = typer.Typer(help="Models and detectors: which there are, and whether they are sound.", no_args_is_help=True)


@app.command("list")
def models_list(json: JsonOption = False) -> None:
    """The models and detectors that ship, are pulled, or can be pulled."""
    from models.catalogue import entries

    found = entries()
    output.show({"models": [entry.to_dict() for entry in found]}, "\n".join(map(str, found)), json)


@app.command("info")
def models_info(
    model: Annotated[str, typer.Argument(help="A name, or an ONNX file.")],
    json: JsonOption = False,
) -> None:
    """All that is known of one: its card with every score, sha256, sizes, licence, inputs and outputs."""
    from models.catalogue import info

    facts = info(model)
    output.show(facts, "\n".join(_outline(facts)), json)


@app.command("verify")
def models_verify(
    model: Annotated[str | None, typer.Argument(help="A name, or an ONNX file; without, all that is here.")] = None,
    json: JsonOption = False,
) -> None:
    """Does the file have the sha256 that is pinned or recorded, and does it work?"""
    from models.catalogue import present, verify

    sound, wrong = [], []
    for name in [model] if model else present():
        try:
            sound.append(verify(name))
        except UserError as error:
            wrong.append(str(error))
        except OSError as error:  # a file that cannot be read
            wrong.append(f"{name}: {error.strerror or error}")
    if json or sound:
        output.show({"sound": sound, "wrong": wrong}, "\n".join(sound), json)
    if wrong:
        raise UserError("; ".join(wrong))


@app.command("compare")
def models_compare(
    names: Annotated[
        list[str], typer.Argument(metavar="MODEL…", help="As for reembed --model; the gallery's own is added.")
    ],
    gallery: GalleryOption,
    crops: Annotated[int, typer.Option(min=100, help="How many, about, besides those of named people.")] = 2_000,
    json: JsonOption = False,
) -> None:
    """Which model is better on your own footage? Tells by the people you have named, and without labels."""
    from reidapp.embedding import Embedder
    from reidapp.gallery.comparison import compare
    from reidapp.gallery.store import Gallery

    opened = Gallery.open(gallery)
    embedders = {own.identity: own for own in [opening.own_model(opened)]}
    embedders |= {other.identity: other for other in (Embedder(opening.model_for(opened, name)) for name in names)}
    with output.progress("comparing", "crops") as advance:
        comparison = compare(opened, list(embedders.values()), crops, advance)
    output.show(comparison.to_dict(), str(comparison), json)


@app.command("adopt")
def models_adopt(
    file: Annotated[Path, typer.Argument(help="An ONNX re-ID model that was exported elsewhere.")],
    out: Annotated[Path, typer.Option(help="The ONNX file to write.")],
    card: Annotated[
        Path | None,
        typer.Option(help="JSON: what its pictures need first; FILE.json beside it without.", show_default=False),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make a model of fast-reid, torchreid and others, exported to ONNX, one that reidapp can use."""
    from models.foreign import adopt

    made = adopt(file, out, card)
    output.show(json_.loads(made.to_json()), f"{out}: {export_summary(made)}", json)


@app.command("pull")
def models_pull(
    name: Annotated[str, typer.Argument(help="Of a detector, as `reidapp models list` names it.")],
    to: Annotated[
        Path | None, typer.Option(help="Folder; without it the user's data folder, where --detector NAME looks.")
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", help="Another address of the same file, such as a mirror.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for which the server may be silent.")] = 30,
    json: JsonOption = False,
) -> None:
    """Fetch a detector from its own project, check it, and keep it. Run it again to go on after an interruption."""
    from models.catalogue import pull, release_of
    from reidapp.detector_files import default_folder, model_file

    bar = output.progress(f"pulling {name}", "MB") if release_of(name).url else contextlib.nullcontext()
    with bar as advance:
        record, fetched = pull(name, to, from_, timeout, advance)
    path = model_file(to or default_folder(), name)
    use = f"{record.detector}:{path}" if to else name
    text = f"{path}: {record}, {'now' if fetched else 'there already'}\n  use it with --detector {use}"
    output.show({**vars(record), "path": str(path), "fetched": fetched}, text, json)


def _outline(facts: dict[str, Any], indent: str = "") -> Iterator[str]:
    """Nested facts as indented lines; empty ones are left out."""
    for key, value in facts.items():
        if isinstance(value, dict) and value:
            yield f"{indent}{key}:"
            yield from _outline(value, indent + "  ")
        elif value not in ("", None, [], {}):
            yield f"{indent}{key}: {', '.join(map(str, value)) if isinstance(value, list) else value}"
