"""`reidapp index`."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reidapp.commands import opening, output
from reidapp.commands.options import DatabaseOption, DetectorOption, JsonOption, named
from reidapp.errors import UserError
from reidapp.files import one_line
from reidapp.wording import counted, counts

if TYPE_CHECKING:
    from reidapp.embedding import Embedder
    from reidapp.footage import live
    from reidapp.footage.cluster import Cluster
    from reidapp.footage.detection import Detector
    from reidapp.footage.indexing import Footage
    from reidapp.footage.known import Known
    from reidapp.footage.report import IndexReport
    from reidapp.footage.watching import Watcher
    from reidapp.gallery.store import Gallery
    from reidapp.settings import IndexSettings


@output.interruptible(
    "interrupted; what was committed before, if anything, is kept. The same command goes on from here"
)
def index(
    sources: Annotated[
        list[str], typer.Argument(metavar="FOLDER|URL...", help="Folder of recordings, one of them, or live streams.")
    ],
    gallery: Annotated[
        Path | None,
        typer.Option(
            "--gallery",
            "-g",
            callback=named,
            help="Folder of the gallery; of one that is there, --dry-run says what it has.",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Shipped model's name or an ONNX file; the gallery's own if it has one.")
    ] = None,
    detector: DetectorOption = "hog",
    sampling: Annotated[
        str,
        typer.Option(
            help="Frames to look at: Nfps; keyframes (fastest); motion (2fps, only where it changed); or all."
        ),
    ] = "2fps",
    template: Annotated[
        str | None,
        typer.Option(
            help="Of paths, such as {camera}/{start:%Y-%m-%d_%H-%M-%S}, or a recorder: frigate, reolink, hikvision, "
            "dahua, unifi-protect, blue-iris, axis, …; guessed without."
        ),
    ] = None,
    zone: Annotated[
        str | None, typer.Option(help="Time zone of new cameras (IANA name); this machine's without.")
    ] = None,
    cameras: Annotated[
        Path | None, typer.Option(help="TOML file: a table per camera, with its name, zone, offset, group.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would be indexed as what, with gaps; makes nothing.")
    ] = False,
    probe: Annotated[
        bool, typer.Option("--probe", help="With --dry-run: open every file; exact lengths, codecs.")
    ] = False,
    as_: Annotated[
        str,
        typer.Option(
            "--as", help="videos; stills (pictures of cameras); or crops (pictures of one person each, as they are)."
        ),
    ] = "videos",
    watch: Annotated[bool, typer.Option("--watch", help="Go on with what arrives, until Ctrl-C.")] = False,
    record: Annotated[
        Path | None, typer.Option(help="Folder that keeps live streams, in files of a minute that hits play from.")
    ] = None,
    camera_name: Annotated[
        list[str] | None, typer.Option(help="Of a live stream; as many as there are streams. Their hosts' without.")
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto (a GPU if one works), cpu, or cuda (an error without one).")
    ] = "auto",
    again: Annotated[bool, typer.Option("--again", help="Also recordings that were deleted from the gallery.")] = False,
    nice: Annotated[bool, typer.Option("--nice", help="Low priority, half the cores: others go first.")] = False,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="On a Ray cluster: auto, local or HOST:PORT; it must see FOLDER by the same path."
        ),
    ] = None,
    vectors: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Of a new gallery: have them searched by Milvus, milvus://HOST:PORT/DB."),
    ] = None,
    database: DatabaseOption = None,
    json: JsonOption = False,
) -> None:
    """Index a folder of footage into a gallery. Run it again to add what is new, or to go on after an interruption."""
    from reidapp.footage import live
    from reidapp.footage.cluster import Cluster
    from reidapp.footage.detection import open_detector
    from reidapp.footage.indexing import find_footage
    from reidapp.footage.pipeline import cores, let_others_go_first
    from reidapp.footage.watching import EVERY_S, QUIET_S, Watcher
    from reidapp.settings import IndexSettings, read_cameras

    if probe and not dry_run:
        raise UserError("index: --probe belongs to --dry-run; indexing opens every file anyway")
    if dry_run and watch:
        raise UserError("index: --dry-run looks once; leave --watch out")
    settings = IndexSettings.checked(kind=as_, sampling=sampling, detector=detector, template=template, zone=zone)
    said = read_cameras(cameras) if cameras else {}
    streams = _streams(sources, record, camera_name or [], of_folders=bool(dry_run or template or as_ != "videos"))
    if streams:
        settings = settings.model_copy(update={"template": live.TEMPLATE})
    folder = record or Path(sources[0])
    if dry_run:
        _show_plan(find_footage(folder, settings, said), settings.zone, probe, json, _known(gallery, database))
        return
    if ray and settings.kind != "videos":
        raise UserError("index: --ray is for videos; pictures are indexed on this machine")
    if gallery is None:
        raise UserError("index: missing --gallery FOLDER (only --dry-run needs none)")
    if nice:
        let_others_go_first()
    workers = max(1, cores() // 2) if nice else cores()
    with Cluster(ray, device, workers) if ray else contextlib.nullcontext() as cluster:
        # One thread a session: as many chunks are at work as there are cores.
        session: dict[str, Any] = {"threads": 1, "provider": "cpu" if cluster else device}
        finder = open_detector(settings.detector, **session) if settings.kind != "crops" else None
        if streams:
            folder.mkdir(parents=True, exist_ok=True)
        footage = None if watch or streams else find_footage(folder, settings, said)
        watcher = None if footage else Watcher(folder, settings, said, quiet_s=0.0 if streams else QUIET_S)
        target, embedder = _gallery_to_write(gallery, model, vectors, database, **session)
        indexer = _Indexer(target, embedder, finder, settings, session, workers, cluster, again)
        indexer.begin()
        if watcher:
            with live.recording(streams, folder, output.note):
                report = _watched(watcher, indexer, EVERY_S / 2 if streams else EVERY_S, json)
        else:
            assert footage  # noqa: S101 - None is for who watches; for mypy
            report = indexer.index(footage)
            output.show(report.to_dict(), indexer.summary(report), json)
    if report.interrupted:
        raise typer.Exit(130)


@dataclass
class _Indexer:
    """All that footage is indexed with.

    Attributes:
        finder: None for crops, which are people already.
        session: options of ONNX sessions, see `Embedder`.
        workers, cluster, again: see `index_footage`; the cluster is ``elsewhere``.
    """

    gallery: "Gallery"
    embedder: "Embedder"
    finder: "Detector | None"
    settings: "IndexSettings"
    session: dict[str, Any]
    workers: int
    cluster: "Cluster | None"
    again: bool

    def begin(self) -> None:
        """Give a cluster what it works with, and say what works where."""
        if self.cluster:
            self._send_models(self.cluster)
            where = f"{self.cluster.provider} of a Ray cluster: {self.cluster}"
            output.note(f"detector {self.settings.detector} and model {self.embedder.card.name} on {where}")
        else:
            on = f"detector {self.settings.detector} on {self.finder.provider}" if self.finder else "no detector"
            output.note(f"{on}; model {self.embedder.card.name} on {self.embedder.provider}")

    def index(self, footage: "Footage") -> "IndexReport":
        from reidapp.footage.indexing import index_footage

        with output.progress("indexing", "s of video" if self.settings.kind == "videos" else "pictures") as advance:
            return index_footage(
                footage, self.gallery, self.embedder, self.finder, self.settings, advance, self.workers, self.cluster,
                self.again,
            )  # fmt: skip

    def follow(self) -> None:
        """Take the model to which `reembed` has moved the gallery, if it has."""
        if self.embedder.identity != self.gallery.model_id:
            self.embedder = opening.own_model(self.gallery, **self.session)
            if self.cluster:
                self._send_models(self.cluster)
            output.note(f"model {self.embedder.card.name}/{self.embedder.card.version} from now on")

    def summary(self, report: "IndexReport") -> str:
        return _index_summary(report, self.settings.kind, self.gallery.path)

    def _send_models(self, cluster: "Cluster") -> None:
        from reidapp.footage.cluster import ModelFiles

        cluster.send(ModelFiles.read(self.embedder.path, self.settings.detector, cluster.provider))


def _streams(sources: list[str], record: Path | None, names: list[str], of_folders: bool) -> "list[live.Stream]":
    """The live streams among what was named; none where that is a folder.

    Args:
        of_folders: options were given that only folders know.
    """
    from reidapp.footage import live

    streams = live.named([source for source in sources if live.is_url(source)], names)
    if len(sources) != (len(streams) or 1):
        raise UserError("index: give one folder, or live streams alone")
    if not streams and (record or names):
        raise UserError("index: --record and --camera-name are for live streams, such as rtsp://…")
    if streams and record is None:
        raise UserError("index: missing --record FOLDER, where live streams are kept; hits play from there")
    if streams and of_folders:
        raise UserError("index: --dry-run, --template and --as are for folders, not for live streams")
    return streams


def _known(gallery: Path | None, database: str | None) -> "Known":
    """What the gallery of a dry run knows already; one that is still to be made knows nothing."""
    from reidapp.footage.known import NOTHING, Known
    from reidapp.gallery import database as rows
    from reidapp.gallery.store import Gallery

    if gallery and rows.is_there(gallery):
        return Known.to(Gallery.open(gallery, database))
    if gallery:
        output.note(f"{gallery}: no gallery there yet, so nothing is indexed")
    return NOTHING


def _show_plan(plan: "Footage", zone: str, probe: bool, json: bool, known: "Known") -> None:
    """What would be indexed as what."""
    from reidapp.footage.survey import survey

    with output.progress("probing", "files") if probe else contextlib.nullcontext(lambda *_: None) as advance:
        found = survey(plan, zone, probe, advance, known)
    output.show(found.to_dict(), str(found), json)


def _gallery_to_write(
    path: Path, model: str | None, vectors: str | None, database: str | None, **session: Any
) -> "tuple[Gallery, Embedder]":
    """An existing gallery with its own model, or a new one with the model asked for."""
    from reidapp.gallery import database as rows
    from reidapp.gallery import mirror
    from reidapp.gallery.store import Gallery

    if not rows.is_there(path):
        embedder = opening.embedder(model, **session)
        place = mirror.reached(vectors or mirror.FAISS)  # before anything is made
        gallery = Gallery.create(path, embedder.path, embedder.card, embedder.identity, database)
        if place != mirror.FAISS:
            mirror.move(gallery, place)
        return gallery, embedder
    gallery = Gallery.open(path, database)
    gallery.check_writable()
    if vectors and mirror.reached(vectors) != (now := mirror.place(gallery)):
        raise UserError(f"{path}: searched by {now}; `reidapp gallery vectors -g {path} --to {vectors}` moves it")
    own = opening.own_model(gallery, **session)
    if model and (asked := opening.embedder(model)).identity != own.identity:
        raise UserError(f'{path}: made by model "{own.card.name}"; "{asked.card.name}" needs a gallery of its own')
    return gallery, own


def _index_summary(report: "IndexReport", kind: str, gallery: Path) -> str:
    known, thing = f", {report.unchanged} indexed before" if report.unchanged else "", kind.removesuffix("s")
    found = counts(frame=report.frames, detection=report.detections, tracklet=report.tracklets, crop=report.crops)
    lines = [f"{counted(report.videos, thing)}{known}: {found} written and searchable in {gallery}"]
    if report.unchanged and not report.videos + report.frames:
        lines = [f"nothing new: {counted(report.unchanged, thing)} indexed before, searchable in {gallery}"]
    if report.deleted:
        deleted = counted(report.deleted, thing)
        lines.append(f"  deleted from the gallery, and not indexed again: {deleted}; --again indexes them")
    lines += [f"  note: {note}" for note in report.notes]
    lines += [one_line(f"  incomplete: {entry.file}: {entry.reason}") for entry in report.incomplete]
    lines += [one_line(f"  skipped: {entry.file}: {entry.reason}") for entry in report.skipped]
    if report.interrupted:
        lines.append("  interrupted; what was committed is kept. The same command goes on from here")
    return "\n".join(lines)


def _watched(watcher: "Watcher", indexer: _Indexer, every_s: float, json: bool) -> "IndexReport":
    """Index until Ctrl-C, or until a service is stopped."""
    from reidapp.footage.watching import watch

    passes = 0

    def index(footage: "Footage") -> "IndexReport":
        indexer.follow()
        return indexer.index(footage)

    def took(report: "IndexReport") -> None:
        nonlocal passes
        passes += 1
        output.show({"pass": passes, **report.to_dict()}, indexer.summary(report), json)

    output.note(f"watching {watcher.folder}; Ctrl-C ends it")
    total = watch(watcher, index, took, output.note, every_s)
    output.show({"passes": passes, **total.to_dict()}, f"in all: {indexer.summary(total)}", json)
    return total
