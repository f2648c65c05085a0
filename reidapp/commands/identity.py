"""`reidapp identity`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reidapp.commands import journal, output
from reidapp.commands.options import GalleryOption, JsonOption, TrackletsArgument

if TYPE_CHECKING:
    from reidapp.gallery.identities import Identities

app = typer.Typer(help="Name people, and say which tracklets show them.", no_args_is_help=True)
IdentityArgument = Annotated[str, typer.Argument(metavar="NAME", help="The person's name.")]
CountArgument = Annotated[int, typer.Argument(min=1, help="So many.")]


@app.command("list")
def identity_list(gallery: GalleryOption, json: JsonOption = False) -> None:
    """All named people, and how many tracklets show them."""
    found = _identities(gallery).all()
    output.show(
        {"identities": [each.to_dict() for each in found]}, "\n".join(map(str, found)) or "nobody has a name", json
    )


@app.command("show")
def identity_show(name: IdentityArgument, gallery: GalleryOption, json: JsonOption = False) -> None:
    """A person's tracklets: camera, time, and who said so."""
    found = _identities(gallery).show(name)
    facts = found.to_dict() | {"tracklets": [each.to_dict() for each in found.judged]}
    output.show(facts, "\n".join(map(str, [found, *found.judged])), json)


@app.command("new")
def identity_new(
    name: IdentityArgument,
    gallery: GalleryOption,
    tracklets: TrackletsArgument = None,
    json: JsonOption = False,
) -> None:
    """Name a person."""
    output.done([_identities(gallery).new(name, tracklets or ())], json)


@app.command("add")
def identity_add(
    name: IdentityArgument,
    tracklets: TrackletsArgument,
    gallery: GalleryOption,
    no: Annotated[bool, typer.Option("--no", help="They do not show the person.")] = False,
    json: JsonOption = False,
) -> None:
    """Say that tracklets show a person, or with --no that they don't."""
    output.done([_identities(gallery).add(name, tracklets or (), "no" if no else "yes")], json)


@app.command("remove")
def identity_remove(
    name: IdentityArgument, tracklets: TrackletsArgument, gallery: GalleryOption, json: JsonOption = False
) -> None:
    """Take back what was said of tracklets."""
    output.done([_identities(gallery).remove(name, tracklets or ())], json)


@app.command("rename")
def identity_rename(
    name: IdentityArgument,
    to: Annotated[str, typer.Argument(help="The new name.")],
    gallery: GalleryOption,
    json: JsonOption = False,
) -> None:
    """Call a person by another name."""
    output.done([_identities(gallery).rename(name, to)], json)


@app.command("merge")
def identity_merge(
    name: IdentityArgument,
    into: Annotated[str, typer.Argument(help="Who it is the same person as; this name stays.")],
    gallery: GalleryOption,
    json: JsonOption = False,
) -> None:
    """Two names are one person's."""
    output.done([_identities(gallery).merge(name, into)], json)


@app.command("unmerge")
def identity_unmerge(name: IdentityArgument, gallery: GalleryOption, json: JsonOption = False) -> None:
    """Take the last merge into a person apart; what was said since then stays."""
    output.done([_identities(gallery).unmerge(name)], json)


@app.command("delete")
def identity_delete(name: IdentityArgument, gallery: GalleryOption, json: JsonOption = False) -> None:
    """Take a name away; the tracklets stay (`reidapp gallery delete --tracklet` deletes those)."""
    journal.noted(gallery, "delete", what="identity", name=name)
    output.done([_identities(gallery).delete(name)], json)


@app.command("undo")
def identity_undo(gallery: GalleryOption, count: CountArgument = 1, json: JsonOption = False) -> None:
    """Undo the last actions, whoever did them."""
    output.done(_identities(gallery).undo(count), json)


@app.command("redo")
def identity_redo(gallery: GalleryOption, count: CountArgument = 1, json: JsonOption = False) -> None:
    """Do again what was undone last."""
    output.done(_identities(gallery).redo(count), json)


@app.command("log")
def identity_log(gallery: GalleryOption, json: JsonOption = False) -> None:
    """All that was done to identities, when and by whom."""
    found = _identities(gallery).log()
    output.show({"log": [each.to_dict() for each in found]}, "\n".join(map(str, found)) or "nothing yet", json)


def _identities(gallery: Path) -> "Identities":
    from reidapp.gallery.identities import Identities
    from reidapp.gallery.store import Gallery

    return Identities(Gallery.open(gallery), journal.who())
