"""`reidapp case`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from reidapp.commands import journal, opening, output
from reidapp.commands.options import GalleryOption, JsonOption, TrackletsArgument
from reidapp.errors import UserError
from reidapp.wording import counted

if TYPE_CHECKING:
    from reidapp.gallery.cases import Cases

app = typer.Typer(help="Keep hits together with notes and verdicts, and export them.", no_args_is_help=True)
CaseArgument = Annotated[str, typer.Argument(metavar="NAME", help="The case's name.")]


@app.command("list")
def case_list(gallery: GalleryOption, json: JsonOption = False) -> None:
    """All cases, and how many hits they have."""
    found = _cases(gallery).all()
    output.show({"cases": [each.to_dict() for each in found]}, "\n".join(map(str, found)) or "no cases", json)


@app.command("show")
def case_show(name: CaseArgument, gallery: GalleryOption, json: JsonOption = False) -> None:
    """A case's hits in order of time, with verdicts and notes."""
    cases = _cases(gallery)
    info, hits = cases.get(name), cases.hits(name)
    output.show(info.to_dict() | {"hits": [each.to_dict() for each in hits]}, "\n".join(map(str, [info, *hits])), json)


@app.command("new")
def case_new(
    name: CaseArgument,
    gallery: GalleryOption,
    note: Annotated[str, typer.Option(help="What it is about.")] = "",
    json: JsonOption = False,
) -> None:
    """Open a case."""
    _cases(gallery).new(name, note)
    output.done([f'case "{name}" is open'], json)


@app.command("add")
def case_add(
    name: CaseArgument,
    tracklets: TrackletsArgument,
    gallery: GalleryOption,
    verdict: Annotated[
        str | None, typer.Option(help="yes, no or unsure: they show the person, do not, or nobody can tell.")
    ] = None,
    note: Annotated[str, typer.Option(help="What there is to say of them.")] = "",
    json: JsonOption = False,
) -> None:
    """Put hits into a case; those that are in it are said anew."""
    from reidapp.gallery.cases import NewCaseHit, Verdict

    if verdict not in (None, *get_args(Verdict)):
        raise UserError(f'--verdict: "{verdict}" is unknown; yes, no or unsure')
    hits = [NewCaseHit(tracklet, verdict=verdict, note=note) for tracklet in tracklets or ()]  # type: ignore[arg-type]
    _cases(gallery).add(name, hits)
    output.done([f'{counted(len(hits), "hit")} in "{name}"'], json)


@app.command("remove")
def case_remove(
    name: CaseArgument, tracklets: TrackletsArgument, gallery: GalleryOption, json: JsonOption = False
) -> None:
    """Take hits out of a case."""
    _cases(gallery).remove(name, tracklets or ())
    output.done([f'{counted(len(tracklets or ()), "hit")} taken from "{name}"'], json)


@app.command("note")
def case_note(
    name: CaseArgument,
    note: Annotated[str, typer.Argument(help="What it is about.")],
    gallery: GalleryOption,
    json: JsonOption = False,
) -> None:
    """Write down what a case is about."""
    _cases(gallery).change(name, note=note)
    output.done([f'"{name}": {note}'], json)


@app.command("rename")
def case_rename(
    name: CaseArgument,
    to: Annotated[str, typer.Argument(help="The new name.")],
    gallery: GalleryOption,
    json: JsonOption = False,
) -> None:
    """Call a case by another name."""
    _cases(gallery).change(name, to)
    output.done([f'"{name}" is called "{to}"'], json)


@app.command("close")
def case_close(name: CaseArgument, gallery: GalleryOption, json: JsonOption = False) -> None:
    """Close a case: it is read and exported, and changes no more."""
    _cases(gallery).change(name, closed=True)
    output.done([f'"{name}" is closed'], json)


@app.command("reopen")
def case_reopen(name: CaseArgument, gallery: GalleryOption, json: JsonOption = False) -> None:
    """Open a closed case again."""
    _cases(gallery).change(name, closed=False)
    output.done([f'"{name}" is open'], json)


@app.command("delete")
def case_delete(name: CaseArgument, gallery: GalleryOption, json: JsonOption = False) -> None:
    """Forget a case; its tracklets stay in the gallery."""
    journal.noted(gallery, "delete", what="case", name=name)
    _cases(gallery).delete(name)
    output.done([f'case "{name}" is forgotten'], json)


@app.command("export")
def case_export(
    name: CaseArgument,
    gallery: GalleryOption,
    out: Annotated[Path, typer.Option(help="The ZIP file to write.")],
    show_heads: Annotated[bool, typer.Option("--show-heads", help="Do not blur the heads.")] = False,
    by: Annotated[str | None, typer.Option(help="Who exports; this account without.")] = None,
    camera: Annotated[
        list[str] | None, typer.Option(help="Only hits of this camera; may be given several times.")
    ] = None,
    after: Annotated[str | None, typer.Option(help="Only what was seen at this time or later.")] = None,
    before: Annotated[str | None, typer.Option(help="Only what was seen at this time or earlier.")] = None,
    json: JsonOption = False,
) -> None:
    """Write a case as one archive: CSV, JSON, clips, contact sheet, and a manifest with SHA-256."""
    from reidapp.gallery.case_export import Part, export_case
    from reidapp.gallery.store import Gallery

    opened = Gallery.open(gallery)
    part = Part(camera, opening.time(after, "--after", opened), opening.time(before, "--before", opened))
    journal.noted(gallery, "export", what="case", heads="shown" if show_heads else "blurred", name=name)
    with output.progress("exporting", "hits") as advance:
        found = export_case(opened, name, out, by or journal.who(), show_heads=show_heads, part=part, progress=advance)
    output.show(found.to_dict(), str(found), json)


def _cases(gallery: Path) -> "Cases":
    from reidapp.gallery.cases import Cases
    from reidapp.gallery.store import Gallery

    return Cases(Gallery.open(gallery), journal.who())
