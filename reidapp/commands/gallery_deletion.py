"""`reidapp gallery delete`, `erase`, `retention` and `prune`."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reidapp.commands import journal, opening, output
from reidapp.commands.options import GalleryOption, JsonOption
from reidapp.errors import UnknownError, UserError

if TYPE_CHECKING:
    from reidapp.gallery.erasure import Plan, Subject
    from reidapp.gallery.store import Gallery

app = typer.Typer()  # merged into `reidapp gallery`


@app.command("delete")
def gallery_delete(
    gallery: GalleryOption,
    video: Annotated[str | None, typer.Option(help="Only of this recording: its path or id.")] = None,
    camera: Annotated[str | None, typer.Option(help="Only of this camera.")] = None,
    after: Annotated[str | None, typer.Option(help="Only what was seen at this time or later.")] = None,
    before: Annotated[str | None, typer.Option(help="Only what was seen at this time or earlier.")] = None,
    older_than: Annotated[str | None, typer.Option(help="Only what was seen so long ago, such as 30d or 12h.")] = None,
    tracklet: Annotated[list[str] | None, typer.Option(help="This tracklet; may be given several times.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: JsonOption = False,
) -> None:
    """Delete from the gallery, for good; recordings' files are not touched. Says what goes, and asks."""
    from reidapp.gallery.deletion import Selection, delete_from, planned
    from reidapp.gallery.mirror import let_go
    from reidapp.gallery.store import Gallery

    if before and older_than:
        raise UserError("gallery delete: --before and --older-than exclude each other")
    opened = Gallery.open(gallery)
    until = _ago(older_than, "--older-than") if older_than else opening.time(before, "--before", opened)
    selection = Selection(video, camera, opening.time(after, "--after", opened), until, tracklet or ())
    found = planned(opened, selection)
    if found and not dry_run:
        output.confirm(f"delete from {gallery}: {found}", yes)  # noqa: S608 - a question, no SQL
        journal.noted(gallery, "delete", what="of the gallery")
        with opened.writing() as writer:
            found = delete_from(writer, selection)
            let_go(opened)
    said = f"{gallery}: {'would go' if dry_run else 'deleted'}: {found}"
    output.show({"deleted": not dry_run} | found.to_dict(), said, json)


@app.command("erase")
def gallery_erase(
    gallery: GalleryOption,
    identity: Annotated[str | None, typer.Option(help="This person, by name: all that is known of them.")] = None,
    tracklet: Annotated[list[str] | None, typer.Option(help="This tracklet; may be given several times.")] = None,
    camera: Annotated[str | None, typer.Option(help="All people of this camera; with --before, until then.")] = None,
    before: Annotated[str | None, typer.Option(help="All people seen at this time or earlier.")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Look into every byte for what should be gone.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: JsonOption = False,
) -> None:
    """Erase a person or a period: also their name, and all that was asked about them. Without options: what was."""
    from reidapp.gallery import erasure, traces
    from reidapp.gallery.deletion import Selection
    from reidapp.gallery.store import Gallery

    opened = Gallery.open(gallery)
    if not (identity or tracklet or camera or before):
        stones = erasure.tombstones(opened)
        output.show(
            {"erasures": [each.to_dict() for each in stones]}, "\n".join(map(str, stones)) or "nothing so far", json
        )
        return
    seen = bool(tracklet or camera or before)
    selection = (
        Selection(None, camera, None, opening.time(before, "--before", opened), tracklet or ()) if seen else None
    )
    subject = erasure.Subject(identity, selection)
    ended = not dry_run and _ended_what_was_broken_off(opened)
    try:
        plan = erasure.planned(opened, subject)
    except UnknownError:
        if not (ended or verify):
            raise
        plan = None
    sought = traces.traces_of_words([identity] if identity else tracklet or ())
    if plan and verify:
        sought = erasure.traces_before(opened, subject)
    if plan and not dry_run:
        output.confirm(f"erase from {gallery}, for good: {plan}", yes)
        plan = _erased(opened, subject, plan)
    facts, said = {"erased": bool(plan) and not dry_run} | (plan.to_dict() if plan else {}), str(plan or "nothing")
    lines = [f"{gallery}: {'would go' if dry_run else 'erased'}: {said}"]
    proof = traces.searched(opened, sought, _log_folders(gallery)) if verify and not dry_run else None
    output.show(
        facts | ({"proof": proof.to_dict()} if proof else {}),
        "\n".join([*lines, *([str(proof)] if proof else [])]),
        json,
    )
    if proof and proof.found:
        raise typer.Exit(1)


@app.command("retention")
def gallery_retention(
    gallery: GalleryOption,
    days: Annotated[int | None, typer.Option(min=1, max=36500, help="Keep what was seen for so many days.")] = None,
    off: Annotated[bool, typer.Option("--off", help="Keep everything.")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Delete what is older, as `serve` does each hour.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask where --days makes something go.")] = False,
    json: JsonOption = False,
) -> None:
    """How long the gallery keeps what was seen: `serve` deletes what is older each hour, `index` at its end."""
    from reidapp.gallery.deletion import (
        Deletion,
        delete_outdated,
        older_than,
        outdated,
        planned,
        retention,
        set_retention,
    )
    from reidapp.gallery.mirror import let_go
    from reidapp.gallery.store import Gallery

    if days and off:
        raise UserError("gallery retention: --days and --off exclude each other")
    opened = Gallery.open(gallery)
    if days and (going := planned(opened, older_than(days))):
        output.confirm(f"{gallery}: keep what was seen for {days} days; {going} would go", yes)
    if days or off:
        journal.noted(gallery, "change", what="retention")
        set_retention(opened, days)
    kept, older = retention(opened), outdated(opened)
    found = planned(opened, older) if older else Deletion()
    if apply and found:
        journal.noted(gallery, "delete", what="by retention")
        with opened.writing() as writer:
            found = delete_outdated(writer)
            let_go(opened)
    done = f"deleted {found}" if apply else f"`reidapp serve` or the next `reidapp index` deletes {found}"
    said = f"kept for {kept} days; {done}" if kept else "kept for ever"
    output.show({"days": kept, "deleted": apply, "outdated": found.to_dict()}, f"{gallery}: {said}", json)


@app.command("prune")
def gallery_prune(
    gallery: GalleryOption,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: JsonOption = False,
) -> None:
    """Delete the vectors of models that are not in use: those before a `reembed`, or of one that was broken off."""
    from reidapp.gallery.deletion import drop_other_models
    from reidapp.gallery.mirror import let_go
    from reidapp.gallery.store import Gallery

    opened = Gallery.open(gallery)
    found = [model for model in opened.models() if not model.active]
    if found and not dry_run:
        listed = "; ".join(map(str, found))
        output.confirm(f"delete from {gallery} the vectors of {listed}", yes)  # noqa: S608 - a question, no SQL
        journal.noted(gallery, "delete", what="vectors of other models")
        with opened.writing() as writer, opened.embedding_anew():
            found = drop_other_models(writer)
            let_go(opened)
    said = "\n".join([f"{gallery}: {'would go' if dry_run else 'deleted'}: {len(found)} models", *map(str, found)])
    output.show({"deleted": not dry_run, "models": [model.to_dict() for model in found]}, said, json)


def _ended_what_was_broken_off(gallery: "Gallery") -> bool:
    """Whether there was an erasure that had not come to its end; it has now."""
    from reidapp.gallery import erasure
    from reidapp.gallery.mirror import let_go

    if not erasure.is_pending(gallery):
        return False
    with gallery.writing(), gallery.embedding_anew():
        notes = erasure.finish(gallery)
        let_go(gallery)
    for note in ["an erasure that was broken off has come to its end", *notes]:
        output.note(f"note: {note}")
    return True


def _erased(gallery: "Gallery", subject: "Subject", plan: "Plan") -> "Plan":
    """Erase, out of the log's purposes too; those first, for they need the names."""
    from reidapp.gallery.erasure import erase
    from reidapp.gallery.mirror import let_go
    from reidapp.server import audit
    from reidapp.server.access_folder import AccessFolder

    by = journal.noted(gallery.path, "erased", what=subject.kind)
    with gallery.writing() as writer:
        if (folder := AccessFolder.of(gallery.path)).has(audit.FILE_NAME):
            audit.Audit(folder).forget(plan.names)
        done, notes = erase(writer, subject, by)
        let_go(gallery)
    for note in notes:
        output.note(f"note: {note}")
    return done


def _log_folders(gallery: Path) -> list[Path]:
    from reidapp.server.access_folder import AccessFolder

    folder = AccessFolder.of(gallery).path
    return [folder] if folder.is_dir() else []


def _ago(text: str, option: str) -> datetime:
    """The time that lies so many days or hours back."""
    from datetime import UTC, timedelta

    count, unit = text[:-1], {"d": "days", "h": "hours"}.get(text[-1:])
    if unit is None or not count.isdecimal() or len(count) > 5:
        raise UserError(f'{option}: "{text}" is no age such as 30d or 12h')
    return datetime.now(UTC) - timedelta(**{unit: int(count)})
