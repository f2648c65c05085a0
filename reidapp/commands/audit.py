"""`reidapp audit`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reidapp.commands import output
from reidapp.commands.options import AccessOption, JsonOption, OfGalleryOption
from reidapp.commands.users import users_of
from reidapp.errors import UserError

if TYPE_CHECKING:
    from reidapp.server.audit import Audit

app = typer.Typer(help="What was done, by whom and when: a log that only grows.", no_args_is_help=True)


@app.command("list")
def audit_list(
    gallery: OfGalleryOption = None,
    access: AccessOption = None,
    count: Annotated[int, typer.Option(min=1, max=1_000_000, help="Rows at most, the last ones.")] = 100,
    json: JsonOption = False,
) -> None:
    """What was done, by whom and when; the newest first."""
    log, store = _audit(gallery, access), users_of(gallery, access)
    found, names = log.last(count), store.names()
    facts = {"entries": [each.to_dict() | {"name": names.get(each.by)} for each in found]}
    output.show(facts, "\n".join(each.told(names) for each in found) or "nothing yet", json)


@app.command("head")
def audit_head(gallery: OfGalleryOption = None, access: AccessOption = None, json: JsonOption = False) -> None:
    """The last row's number and mac. Keep it elsewhere: it proves later that no row was cut off at the end."""
    head = _audit(gallery, access).head()
    output.show({"head": head}, head, json)


@app.command("verify")
def audit_verify(
    gallery: OfGalleryOption = None,
    access: AccessOption = None,
    head: Annotated[str | None, typer.Option(help="As `audit head` printed it; the kept one without.")] = None,
    json: JsonOption = False,
) -> None:
    """Is every row as it was written, and none changed, put in, taken out or cut off?"""
    found = _audit(gallery, access).verify(head)
    output.show(found.to_dict(), str(found), json)
    if found.broken:
        raise typer.Exit(1)


def _audit(gallery: Path | None, access: Path | None) -> "Audit":
    from reidapp.server import audit
    from reidapp.server.access_folder import AccessFolder

    folder = AccessFolder.of(gallery, access)
    if not folder.has(audit.FILE_NAME):
        raise UserError(
            f"{folder.path / audit.FILE_NAME}: no log; it begins with `reidapp serve` or `reidapp users add`"
        )
    return audit.Audit(folder)
