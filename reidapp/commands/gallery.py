"""`reidapp gallery`: what looks, corrects and copies; what deletes is in `gallery_deletion`."""

import contextlib
import importlib.util
from pathlib import Path
from typing import Annotated, Any

import typer

from reidapp.commands import gallery_deletion, journal, opening, output
from reidapp.commands.options import DatabaseOption, GalleryOption, JsonOption
from reidapp.errors import ReidappError, UserError

app = typer.Typer(help="Look into a gallery, correct its cameras, delete from it.", no_args_is_help=True)
app.add_typer(gallery_deletion.app)


@app.command("info")
def gallery_info(gallery: GalleryOption, json: JsonOption = False) -> None:
    """Cameras, recordings, tracklets, crops, models, the calibration, the time covered, and the size on disk."""
    from reidapp.gallery.calibration import current
    from reidapp.gallery.store import Gallery

    opened = Gallery.open(gallery)
    facts, calibration = opened.facts(), current(opened, opened.model_id)
    told = str(calibration or "no P(match): not calibrated (`reidapp gallery calibrate`)")
    output.show(facts.to_dict() | {"calibration": calibration and calibration.to_dict()}, f"{facts}\n{told}", json)


@app.command("calibrate")
def gallery_calibrate(
    gallery: GalleryOption,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="identities (named people), answers (to saved searches), a CSV file with tracklet and person, or "
            "label-free. Without it the first of which there is enough.",
        ),
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="PNG file for the reliability: P(match) against the truth.")] = None,
    json: JsonOption = False,
) -> None:
    """P(match) for hits, expected false hits, and "probably not in this gallery": from what is known of tracklets."""
    from reidapp.gallery.calibration import SOURCES, calibrate
    from reidapp.gallery.store import Gallery

    if plot and plot.suffix != ".png":
        raise UserError(f"--plot {plot}: the name must end in .png")
    if plot and importlib.util.find_spec("matplotlib") is None:  # said now, not after the work
        raise ModuleNotFoundError(name="matplotlib")
    opened, labels = Gallery.open(gallery), None if from_ in (None, *SOURCES) else Path(str(from_))
    if labels and not labels.is_file():
        raise UserError(f'--from: "{from_}" is no file, and none of {", ".join(SOURCES)}')
    found = calibrate(opened, lambda: opening.own_model(opened), None if labels else from_, labels)
    if plot:
        from training.figures import write_reliability

        write_reliability(plot, found)
    points = [vars(point) for point in found.reliability]
    output.show(found.to_dict() | {"reliability": points, "plot": plot and str(plot)}, f"{gallery}: {found}", json)


@app.command("normalise")
def gallery_normalise(
    gallery: GalleryOption,
    off: Annotated[bool, typer.Option("--off", help="Compare embeddings as they are.")] = False,
    json: JsonOption = False,
) -> None:
    """Take what each camera does to embeddings off, if that helps: measured on the gallery's crops, without labels."""
    from reidapp.gallery.normalisation import normalise, switch_off
    from reidapp.gallery.store import Gallery

    opened = Gallery.open(gallery)
    found = switch_off(opened) if off else normalise(opened)
    output.show(found.to_dict(), f"{gallery}: {found}", json)


@app.command("travel-times")
def gallery_travel_times(
    gallery: GalleryOption,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="identities (named people), answers (yes, to saved searches) or label-free. Without it the first of "
            "which there is enough.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Learn how long people take from camera to camera, for `search --travel-times`."""
    from reidapp.gallery.store import Gallery
    from reidapp.gallery.travel_times import learn

    found = learn(Gallery.open(gallery), from_)
    output.show(found.to_dict(), f"{gallery}: {found}", json)


@app.command("upgrade")
def gallery_upgrade(gallery: GalleryOption, json: JsonOption = False) -> None:
    """Bring a gallery that an older version made up to this one, wholly or not at all; other commands do it, too."""
    from reidapp.gallery import database
    from reidapp.gallery.store import Gallery

    before, after = database.versions(gallery) if database.is_there(gallery) else (None, None)
    Gallery.open(gallery)
    text = "nothing to do" if before == after else f"brought from version {before} of the rows to {after}"
    output.show({"before": before, "after": after}, f"{gallery}: {text}", json)


@app.command("verify")
def gallery_verify(gallery: GalleryOption, json: JsonOption = False) -> None:
    """Prove that a gallery is whole: rows, pictures, vectors, models; a line for each fault, with what to do."""
    from reidapp.gallery.store import Gallery
    from reidapp.gallery.verification import verify

    opened = Gallery.open(gallery)
    with output.progress("verifying", "crops") as advance:
        found = verify(opened, advance)
    output.show(found.to_dict(), f"{gallery}: {found}", json)
    if found.faults:
        raise typer.Exit(1)


@app.command("repair")
def gallery_repair(
    gallery: GalleryOption,
    model: Annotated[
        list[Path] | None, typer.Option(help="A copy of a model file that is missing; shipped ones are known.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make anew what is missing or damaged: vectors from the crops, crops from the recordings. Removes leftovers."""
    from models import zoo
    from reidapp.embedding import Embedder
    from reidapp.gallery.repair import repair
    from reidapp.gallery.store import Gallery

    opened = Gallery.open(gallery)
    candidates = [*(model or []), *map(zoo.file_of, zoo.names())]
    with output.progress("repairing", "crops") as advance:
        report = repair(opened, Embedder, candidates, advance)
    output.show(report.to_dict(), f"{gallery}: {report}", json)
    if report.after.faults:
        raise typer.Exit(1)


@app.command("cameras")
def gallery_cameras(gallery: GalleryOption, json: JsonOption = False) -> None:
    """The cameras: clock (zone, seconds ahead), group, recordings, tracklets, and the time covered."""
    from reidapp.gallery.store import Gallery

    found = Gallery.open(gallery).cameras()
    output.show(
        {"cameras": [camera.to_dict() for camera in found]}, "\n".join(map(str, found)) or "no cameras yet", json
    )


@app.command("camera")
def gallery_camera(
    name: Annotated[str, typer.Argument(help="Of the camera, as `reidapp gallery cameras` names it.")],
    gallery: GalleryOption,
    zone: Annotated[str | None, typer.Option(help="IANA name of the time zone that its clock shows.")] = None,
    offset: Annotated[
        str | None,
        typer.Option(
            help="By how much its clock is ahead of the true time, such as +12.5s or 2m; -90s if it is behind. "
            "Times of hits are the clock's less this."
        ),
    ] = None,
    rename: Annotated[str | None, typer.Option(help="Call it so; new recordings of the old name are its too.")] = None,
    merge_into: Annotated[str | None, typer.Option(help="Make its recordings those of this camera.")] = None,
    group: Annotated[
        str | None, typer.Option(help='Put it into a group, which filters take like a camera; "" takes it out.')
    ] = None,
    json: JsonOption = False,
) -> None:
    """Correct a camera. Hits, filters and pages follow at once; nothing is indexed again."""
    from reidapp.gallery.store import Gallery
    from reidapp.settings import CameraSettings

    asked = {"name": rename, "zone": zone, "offset": offset, "group": group}
    given = {key: value for key, value in asked.items() if value is not None}
    if bool(given) == bool(merge_into):
        raise UserError("gallery camera: give --zone, --offset, --rename or --group, or --merge-into alone")
    opened = Gallery.open(gallery)
    merged = None
    with opened.writing() as writer:
        if merge_into:
            merged = writer.merge_camera(name, merge_into)
        else:
            writer.change_camera(name, CameraSettings.checked("gallery camera: --", {"name": "rename"}, **given))
    camera = next((c for c in opened.cameras() if c.name == (merge_into or rename or name)), None)
    overlaps, forgotten = (merged.overlaps, merged.forgotten) if merged else ([], [])
    facts = {
        "camera": camera.to_dict() if camera else None,
        "overlaps": [vars(overlap) for overlap in overlaps],
        "forgotten": forgotten,
    }
    told = [str(camera or f"{rename or name}: no recordings yet")]
    told += [f"  {o.first} and {o.second} overlap by {o.seconds:.1f} s: two cameras after all?" for o in overlaps]
    told += [f"  what `{command}` learnt was of the cameras as they were, and is forgotten" for command in forgotten]
    output.show(facts, "\n".join(told), json)


@app.command("vectors")
def gallery_vectors(
    gallery: GalleryOption,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="milvus://HOST:PORT/DB, milvus:///FOLDER/FILE.db (Milvus Lite), or faiss (here)."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Where vectors are searched: here, or by a copy in Milvus; --to moves that, or brings the copy up to date."""
    from reidapp.gallery.mirror import mirror, move
    from reidapp.gallery.store import Gallery

    opened = Gallery.open(gallery)
    with output.progress("copying", "vectors") if to else contextlib.nullcontext(lambda *_: None) as advance:
        found = move(opened, to, advance) if to else mirror(opened)
    output.show(found.to_dict(), f"{gallery}: {found}", json)


@app.command("backup")
def gallery_backup(
    out: Annotated[Path, typer.Argument(help="New folder for the copy, on a local disk.")],
    gallery: GalleryOption,
    json: JsonOption = False,
) -> None:
    """Copy the gallery as it is now, also while `index` or `serve` is at work, and verify the copy.

    Whom the gallery has erased goes from its earlier back-ups, too.
    """
    from reidapp.gallery.erasure import erase_from_backups, remember_backup
    from reidapp.gallery.store import Gallery

    facts, said = _copied(gallery, out, None)
    opened = Gallery.open(gallery)
    remember_backup(opened, out)
    erased, failed = erase_from_backups(opened)
    output.show(facts | {"erased": erased, "not_erased": failed}, "\n".join([said, *erased]), json)
    if failed:
        raise ReidappError("; ".join(failed))


@app.command("restore")
def gallery_restore(
    backup: Annotated[Path, typer.Argument(help="Folder that `reidapp gallery backup` made.")],
    gallery: Annotated[Path, typer.Option("--gallery", "-g", help="New folder for the gallery.")],
    database: DatabaseOption = None,
    json: JsonOption = False,
) -> None:
    """Make a gallery of a back-up, verified, in a new folder; nothing is overwritten."""
    from reidapp.gallery.database import is_there

    if not is_there(backup):
        raise UserError(f"{backup}: no back-up here; name the folder that `reidapp gallery backup` made")
    output.show(*_copied(backup, gallery, database), json)


@app.command("searches")
def gallery_searches(
    gallery: GalleryOption,
    delete: Annotated[str | None, typer.Option(help="Forget this one, with its pictures and answers.")] = None,
    json: JsonOption = False,
) -> None:
    """The saved searches: whom they ask for, their filters and answers."""
    from reidapp.gallery.saved_searches import SavedSearches
    from reidapp.gallery.store import Gallery

    searches = SavedSearches(Gallery.open(gallery), journal.who())
    if delete:
        journal.noted(gallery, "delete", what="saved search", name=delete)
        searches.delete(delete)
    found = searches.all()
    output.show(
        {"searches": [each.to_dict() for each in found]}, "\n".join(map(str, found)) or "no saved searches", json
    )


def _copied(source: Path, target: Path, database: str | None) -> tuple[dict[str, Any], str]:
    from reidapp.gallery.backup import copy_gallery
    from reidapp.gallery.store import Gallery

    opened = Gallery.open(source)
    journal.noted(source, "export", what="a copy of the gallery")
    with output.progress("verifying", "crops") as advance:
        found = copy_gallery(opened, target, advance, database)
    return {"copy": str(target)} | found.to_dict(), f"{target}: {found}"
