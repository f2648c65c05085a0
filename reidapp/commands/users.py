"""`reidapp users` and `users keys`."""

import contextlib
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reidapp.commands import journal, opening, output
from reidapp.commands.options import AccessOption, JsonOption, OfGalleryOption
from reidapp.errors import UserError

if TYPE_CHECKING:
    from reidapp.server.users import Account, Kind, Rights, Users

app = typer.Typer(help="Who may get in, and what they may do and see.", no_args_is_help=True)
keys = typer.Typer(help="API keys, for programs.", no_args_is_help=True)
NewNameArgument = Annotated[str, typer.Argument(metavar="NAME", help="What to call them.")]
UserArgument = Annotated[str, typer.Argument(metavar="NAME", help="The user's name.")]
RoleOption = Annotated[str, typer.Option(help="viewer (looks, searches), investigator (also judges, exports), admin.")]
RightCameraOption = Annotated[
    list[str] | None, typer.Option(help="Only this camera or group; may be given several times. All without.")
]
RightAfterOption = Annotated[str | None, typer.Option(help="Only what was there at this time or later.")]
RightBeforeOption = Annotated[str | None, typer.Option(help="Only what was there at this time or earlier.")]
RightHeadsOption = Annotated[
    str | None, typer.Option(help="How heads are seen: shown, blurred, or role (blurred for viewers, shown to others).")
]

app.add_typer(keys, name="keys")


@app.command("add")
def users_add(
    name: NewNameArgument,
    gallery: OfGalleryOption = None,
    access: AccessOption = None,
    role: RoleOption = "viewer",
    camera: RightCameraOption = None,
    after: RightAfterOption = None,
    before: RightBeforeOption = None,
    heads: RightHeadsOption = None,
    json: JsonOption = False,
) -> None:
    """Let somebody in. Asks for a password, or reads it from standard input."""
    rights, password = _rights(gallery, role, camera, after, before) | _heads(heads), _new_password()
    account = _noting(users_of(gallery, access)).add(name, password, **rights)
    output.show(account.to_dict(), str(account), json)


@app.command("list")
def users_list(gallery: OfGalleryOption = None, access: AccessOption = None, json: JsonOption = False) -> None:
    """Who may get in, and what they may do and see."""
    found = users_of(gallery, access).all()
    output.show({"users": [each.to_dict() for each in found]}, "\n".join(map(str, found)) or "no users", json)


@app.command("passwd")
def users_passwd(
    name: UserArgument, gallery: OfGalleryOption = None, access: AccessOption = None, json: JsonOption = False
) -> None:
    """Another password; all sessions of theirs end."""
    store = users_of(gallery, access)
    store.named("user", name)
    _noting(store).change_password(name, _new_password())
    output.done([f'"{name}" has another password, and has to sign in again'], json)


@app.command("rights")
def users_rights(
    name: UserArgument,
    gallery: OfGalleryOption = None,
    access: AccessOption = None,
    role: Annotated[str | None, typer.Option(help="viewer, investigator or admin; as it is without.")] = None,
    camera: RightCameraOption = None,
    after: RightAfterOption = None,
    before: RightBeforeOption = None,
    heads: RightHeadsOption = None,
    everything: Annotated[bool, typer.Option("--everything", help="All cameras and times, from now on.")] = False,
    json: JsonOption = False,
) -> None:
    """Change what somebody may do and see; it counts at once. What is left out stays."""
    if everything and (camera or after or before):
        raise UserError("users rights: --everything excludes --camera, --after and --before")
    store, rights = users_of(gallery, access), _rights(gallery, role, camera, after, before)
    store.named("user", name)
    given: dict[str, Any] = {key: value for key, value in rights.items() if value is not None}
    if everything:
        given |= {"cameras": None, "after": None, "before": None}
    given |= _heads(heads)
    if not given:
        raise UserError("users rights: give --role, --camera, --after, --before, --heads or --everything")
    account = _noting(store).change_rights(name, **given)
    output.show(account.to_dict(), str(account), json)


@app.command("remove")
def users_remove(
    name: UserArgument, gallery: OfGalleryOption = None, access: AccessOption = None, json: JsonOption = False
) -> None:
    """Let somebody in no more; what they did stays in the log."""
    _remove("user", name, gallery, access)
    output.done([f'"{name}" gets in no more'], json)


@keys.command("add")
def keys_add(
    name: NewNameArgument,
    gallery: OfGalleryOption = None,
    access: AccessOption = None,
    role: RoleOption = "viewer",
    camera: RightCameraOption = None,
    after: RightAfterOption = None,
    before: RightBeforeOption = None,
    heads: RightHeadsOption = None,
    days: Annotated[int, typer.Option(min=1, max=3650, help="For which it holds.")] = 90,
    json: JsonOption = False,
) -> None:
    """Let a program in. Prints its key, once: only a hash is kept."""
    rights = _rights(gallery, role, camera, after, before) | _heads(heads)
    account, key = _noting(users_of(gallery, access)).add_key(name, days, **rights)
    output.note(str(account))
    output.note("send it as Authorization: Bearer KEY; it is shown this once")
    output.show(account.to_dict() | {"key": key}, key, json)


@keys.command("list")
def keys_list(gallery: OfGalleryOption = None, access: AccessOption = None, json: JsonOption = False) -> None:
    """The API keys, what they may do and see, and until when; not the keys themselves."""
    found = users_of(gallery, access).all("key")
    output.show({"keys": [each.to_dict() for each in found]}, "\n".join(map(str, found)) or "no keys", json)


@keys.command("revoke")
def keys_revoke(
    name: Annotated[str, typer.Argument(help="The key's name.")],
    gallery: OfGalleryOption = None,
    access: AccessOption = None,
    json: JsonOption = False,
) -> None:
    """Let a program in no more."""
    _remove("key", name, gallery, access)
    output.done([f'key "{name}" opens nothing any more'], json)


def users_of(gallery: Path | None, access: Path | None) -> "Users":
    from reidapp.server.access_folder import AccessFolder
    from reidapp.server.users import Users

    return Users(AccessFolder.of(gallery, access))


def _remove(kind: "Kind", name: str, gallery: Path | None, access: Path | None) -> None:
    store = users_of(gallery, access)
    store.named(kind, name)  # before a log is begun where there are none
    _noting(store).remove(kind, name)


def _noting(store: "Users") -> "Users":
    """Of whom what changes is written down as this account's doing."""
    from reidapp.server.audit import Audit

    log, by = Audit(store.folder), store.of_system(journal.who()).id

    def note(what: str, account: "Account") -> None:
        log.add("change of rights", by, what=what, account=account.id)

    return store.noted(note)


def _heads(said: str | None) -> "Rights":
    """As the option says; what is not said stays."""
    if said is None:
        return {}
    return {"heads": None if said == "role" else said}  # type: ignore[typeddict-item]  # it is checked where it is stored


def _rights(
    gallery: Path | None, role: str | None, cameras: list[str] | None, after: str | None, before: str | None
) -> "Rights":
    """As the options say; a time without a zone is the gallery's cameras'."""
    from reidapp.gallery.store import Gallery
    from reidapp.registry import suggestion

    opened = Gallery.open(gallery) if gallery else None
    known = {name for camera in opened.cameras() for name in (camera.name, camera.group)} if opened else set()
    for name in cameras or ():
        if opened and name not in known:
            output.note(
                f'note: camera "{name}" is not in {gallery}, so far{suggestion(name, sorted(filter(None, known)))}'
            )

    def time(text: str | None, option: str) -> datetime | None:
        if opened is None and text:
            with contextlib.suppress(ValueError):  # what is no time, `opening.time` says
                if datetime.fromisoformat(text).tzinfo is None:
                    raise UserError(f"{option}: write the zone, as in {text}+00:00, or give --gallery: its cameras'")
        return opening.time(text, option, opened)  # type: ignore[arg-type]  # not looked at where the zone is said

    said = {"cameras": cameras, "after": time(after, "--after"), "before": time(before, "--before")}
    return {**({"role": role} if role else {}), **said}  # type: ignore[typeddict-item]


def _new_password() -> str:
    """Asked for twice at a terminal; else the first line of standard input, which no list of processes has."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    import getpass

    password = getpass.getpass("New password: ")
    if getpass.getpass("Again: ") != password:
        raise UserError("password: the two are different; nothing was changed")
    return password
