"""The arguments of the commands that a server runs as jobs.

Nothing of a request but its folder to index is a path: models, archives and back-ups are named by what the server
knows.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from reidapp.errors import UnknownError, UserError
from reidapp.gallery import adapted
from reidapp.gallery.case_export import WHOLE, Part
from reidapp.gallery.erasure import Subject
from reidapp.gallery.store import Gallery
from reidapp.server.jobs import Jobs, new_id

EXPORTS = "exports"  # a folder of a gallery


def index_command(jobs: Jobs, gallery: Gallery, folder: str, options: Mapping[str, str]) -> list[str]:
    """The arguments that index a folder.

    Raises:
        UserError: no such folder on the server, or it lies beyond those that are allowed.
    """
    return ["index", str(allowed(jobs, folder)), *_options(gallery, options), "--nice", "--json"]


def allowed(jobs: Jobs, folder: str) -> Path:
    """A folder of footage as an admin gives it.

    Raises:
        UserError: not absolute, not there, or beyond the folders that are allowed.
    """
    path = Path(folder)
    if not path.is_absolute():
        raise UserError(f"folder {folder}: give it from the root on, as the server sees it")
    path = path.resolve()
    if jobs.footage and not any(path.is_relative_to(root) for root in jobs.footage):
        raise UserError(f"folder {folder}: not below {' or '.join(map(str, jobs.footage))} (`reidapp serve --footage`)")
    if not path.is_dir():
        raise UserError(f"folder {folder}: no such folder on the server")
    return path


def adapt_command(gallery: Gallery, id_: str, quick: bool, apply: bool, options: Mapping[str, str]) -> list[str]:
    """The arguments that adapt the gallery's model to it; the job's id is the new version's in `adapted_models`."""
    folder = gallery.path / adapted.FOLDER
    gallery.check_writable()
    folder.mkdir(exist_ok=True)
    out = folder / (f"{id_}.onnx" if quick else id_)
    flags = [*(["--quick"] if quick else []), *(["--apply"] if apply else [])]
    return ["adapt", f"--out={out}", *flags, *_options(gallery, options), "--progress=json", "--json"]


def reembed_command(jobs: Jobs, gallery: Gallery, model: str) -> list[str]:
    """The arguments that move the gallery to another model, by its id, a shipped one's name, or its job's id.

    Raises:
        UnknownError: there is none.
    """
    own = {each.id: each.file for each in gallery.models()}
    made = {id_: file for id_, (file, _) in adapted.adapted_models(gallery).items()}
    files = own | jobs.shipped | made
    if model not in files:
        raise UnknownError(f'model "{model}": not known here; /models lists them')
    return ["reembed", f"--model={files[model]}", *_options(gallery, {}), "--json"]


def calibrate_command(gallery: Gallery, source: str | None) -> list[str]:
    """The arguments that calibrate P(match)."""
    return ["gallery", "calibrate", *_options(gallery, {"from": source} if source else {}), "--json"]


def prune_command(gallery: Gallery) -> list[str]:
    """The arguments that delete the vectors of models that are not in use."""
    return ["gallery", "prune", *_options(gallery, {}), "--yes", "--json"]


def retention_command(gallery: Gallery) -> list[str]:
    """The arguments that delete what is older than the gallery keeps it."""
    return ["gallery", "retention", *_options(gallery, {}), "--apply", "--json"]


def erase_command(gallery: Gallery, subject: Subject) -> list[str]:
    """The arguments that erase somebody, and prove it."""
    chosen = [f"--identity={subject.identity}"] if subject.identity else []
    if what := subject.selection:
        chosen += [f"--tracklet={each}" for each in what.tracklets]
        chosen += [f"--camera={what.camera}"] if what.camera else []
        chosen += [f"--before={what.before.isoformat()}"] if what.before else []
    return ["gallery", "erase", *_options(gallery, {}), *chosen, "--yes", "--verify", "--json"]


def backup_command(gallery: Gallery) -> list[str]:
    """The arguments that copy the gallery into a folder of its own, beside it."""
    path = gallery.path.resolve()
    out = path.with_name(f"{path.name}-backups") / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{new_id()[:4]}"
    return ["gallery", "backup", *_options(gallery, {}), "--json", "--", str(out)]


def export_command(gallery: Gallery, id_: str, case: str, by: str, show_heads: bool, part: Part = WHOLE) -> list[str]:
    """The arguments that write a case's archive, which is `export_file`'s of the job's id."""
    gallery.check_writable()
    (gallery.path / EXPORTS).mkdir(exist_ok=True)
    options = {"out": str(export_file(gallery, id_)), "by": by}
    options |= {key: time.isoformat() for key in ("after", "before") if (time := getattr(part, key))}
    chosen = [f"--camera={name}" for name in part.cameras or ()]
    heads = ["--show-heads"] if show_heads else []
    return ["case", "export", *_options(gallery, options), *chosen, *heads, "--json", "--", case]


def export_file(gallery: Gallery, id_: str) -> Path:
    """The archive that the job of this id writes."""
    return gallery.path / EXPORTS / f"{id_}.zip"


def _options(gallery: Gallery, options: Mapping[str, str]) -> list[str]:
    return [f"--gallery={gallery.path.resolve()}", *(f"--{name}={value}" for name, value in options.items())]
