"""Options and arguments that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

from reidapp.errors import UserError


def named(folder: Path | None) -> Path | None:
    """A folder by its name where it was given as ``.`` or ``..``, which read badly in a message."""
    return folder.resolve() if folder and folder.name in ("", "..") else folder


def _known_progress(form: str) -> str:
    if form not in ("bar", "json"):
        raise UserError(f'--progress: "{form}" is unknown; bar or json')
    return form


GalleryOption = Annotated[Path, typer.Option("--gallery", "-g", callback=named, help="Folder of the gallery.")]
OfGalleryOption = Annotated[
    Path | None,
    typer.Option("--gallery", "-g", callback=named, help="Folder of the gallery; users and the log are beside it."),
]
AccessOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Users and the log, if not GALLERY-access; or set REIDAPP_ACCESS.",
    ),
]
DatabaseOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Of a new gallery: its rows on a server, postgresql://USER@HOST/DATABASE; the password by PGPASSWORD.",
    ),
]
DetectorOption = Annotated[
    str | None,
    typer.Option(help="A detector that `reidapp models list` has, or KIND:PATH of a file.", show_default=False),
]
ProgressOption = Annotated[
    str, typer.Option(callback=_known_progress, help="bar, or json: an object a line, on standard error.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
CrowdOption = Annotated[int, typer.Option(min=1, help="Groups of people before a camera at once, who cross.")]
TrackletsArgument = Annotated[list[str] | None, typer.Argument(help="Ids of hits, or their beginnings.")]
