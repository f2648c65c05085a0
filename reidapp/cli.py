"""The `reidapp` command: parses, calls, prints. What it calls is imported inside each command, so help is instant."""

import contextlib
import importlib.util
import json as json_
import os
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from reidapp import __version__
from reidapp.errors import ReidappError, UnknownError, UserError
from reidapp.files import one_line
from reidapp.wording import counted, counts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reidapp.embedding import Embedder
    from reidapp.footage.indexing import Footage
    from reidapp.footage.report import IndexReport
    from reidapp.footage.watching import Watcher
    from reidapp.gallery.cases import Cases
    from reidapp.gallery.erasure import Plan, Subject
    from reidapp.gallery.identities import Identities
    from reidapp.gallery.reembedding import ReembedReport
    from reidapp.gallery.search import Hit, SearchResult
    from reidapp.gallery.store import Gallery
    from reidapp.model_card import ModelCard
    from reidapp.server.audit import Audit
    from reidapp.server.run import Place
    from reidapp.server.users import Account, Kind, Rights, Users

app = typer.Typer(
    help="Find one person across many cameras' recordings.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
synth = typer.Typer(help="Generate people and footage, with ground truth.", no_args_is_help=True)
app.add_typer(synth, name="synth")
models = typer.Typer(help="Models and detectors: which there are, and whether they are sound.", no_args_is_help=True)
app.add_typer(models, name="models")
bench = typer.Typer(help="Measure the product on generated worlds, against the truth.", no_args_is_help=True)
app.add_typer(bench, name="bench")
gallery_ = typer.Typer(help="Look into a gallery, correct its cameras, delete from it.", no_args_is_help=True)
app.add_typer(gallery_, name="gallery")
identity = typer.Typer(help="Name people, and say which tracklets show them.", no_args_is_help=True)
app.add_typer(identity, name="identity")
case_ = typer.Typer(help="Keep hits together with notes and verdicts, and export them.", no_args_is_help=True)
app.add_typer(case_, name="case")
users = typer.Typer(help="Who may get in, and what they may do and see.", no_args_is_help=True)
app.add_typer(users, name="users")
keys = typer.Typer(help="API keys, for programs.", no_args_is_help=True)
users.add_typer(keys, name="keys")
audit_ = typer.Typer(help="What was done, by whom and when: a log that only grows.", no_args_is_help=True)
app.add_typer(audit_, name="audit")


def _named(folder: Path | None) -> Path | None:
    """A folder by its name where it was given as ``.`` or ``..``, which read badly in a message."""
    return folder.resolve() if folder and folder.name in ("", "..") else folder


GalleryOption = Annotated[Path, typer.Option("--gallery", "-g", callback=_named, help="Folder of the gallery.")]
DatabaseOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Of a new gallery: its rows on a server, postgresql://USER@HOST/DATABASE; the password by PGPASSWORD.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
DetectorOption = Annotated[
    str | None, typer.Option(help="hog (built in), a pulled one's name, or KIND:PATH of a file.", show_default=False)
]
IdentityArgument = Annotated[str, typer.Argument(metavar="NAME", help="The person's name.")]
CaseArgument = Annotated[str, typer.Argument(metavar="NAME", help="The case's name.")]
TrackletsArgument = Annotated[list[str] | None, typer.Argument(help="Ids of hits, or their beginnings.")]
CountArgument = Annotated[int, typer.Argument(min=1, help="So many.")]
CrowdOption = Annotated[int, typer.Option(min=1, help="Groups of people before a camera at once, who cross.")]
OfGalleryOption = Annotated[
    Path | None,
    typer.Option("--gallery", "-g", callback=_named, help="Folder of the gallery; users and the log are beside it."),
]
AccessOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Users and the log, if not GALLERY-access; or set REIDAPP_ACCESS.",
    ),
]
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

_lines = False  # progress as JSON, for the program that started this one

_FEW_QUERIES = 100  # on which an export's loss of mAP says little
_TRAIN = "this command needs `pip install 'reidapp[train]'`"
_SERVE = "`pip install 'reidapp[cpu]'`, or 'reidapp[gpu]'"
_EXTRA_OF = dict.fromkeys(
    ("torch", "torchvision", "yaml", "safetensors", "onnx", "onnxscript", "sklearn", "matplotlib"), _TRAIN
)
_EXTRA_OF |= dict.fromkeys(("onnxruntime", "faiss"), _SERVE) | {
    "ray": "`pip install 'reidapp[ray]'`",
    "psycopg": "rows in PostgreSQL need `pip install 'reidapp[postgres]'`",
}
_UsageError: Any = typer.BadParameter.__mro__[1]  # click's, or in newer Typers that of a copy without a public name


@contextlib.contextmanager
def _interruptible(told: str) -> Iterator[None]:
    """A service that is stopped (SIGTERM) is interrupted as by Ctrl-C, and neither is mute."""
    import signal

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        _note(told)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def main() -> None:
    """Run a command; a known fault is one line on standard error and an exit code of its own (Ctrl-C: Typer's 130)."""
    try:
        sys.exit(app(prog_name="reidapp", standalone_mode=False))
    except _UsageError as error:
        if message := " ".join(error.format_message().split()):  # none if a bare command has shown its help
            print(f"{error.ctx.command_path if error.ctx else 'reidapp'}: {message}", file=sys.stderr)
        sys.exit(error.exit_code)
    except ReidappError as error:
        print(f"reidapp: {one_line(str(error))}", file=sys.stderr)
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXTRA_OF:
            raise
        print(f"reidapp: {missing} is not installed; {_EXTRA_OF[missing]}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:  # a folder that cannot be written, a full disk
        where = f"{error.filename}: " if error.filename else ""
        print(f"reidapp: {where}{error.strerror or error}", file=sys.stderr)
        sys.exit(1)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    progress: Annotated[str, typer.Option(help="bar, or json: an object a line, on standard error.")] = "bar",
) -> None:
    global _lines
    if progress not in ("bar", "json"):
        raise UserError(f'--progress: "{progress}" is unknown; bar or json')
    _lines = progress == "json"


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for all that the demo makes.")] = Path("demo"),
    seed: Annotated[int, typer.Option(min=0, help="Another seed: other people, other cameras.")] = 0,
    serve: Annotated[bool, typer.Option(help="Open the web page at the end.")] = True,
    json: JsonOption = False,
) -> None:
    """The whole line on generated people: footage, training, export, index, search, web page."""
    if importlib.util.find_spec("torch") is None:  # said now, not after a minute of filming
        raise ModuleNotFoundError(name="torch")
    from reidapp.demo import run_demo

    report = run_demo(out, seed=seed, say=_note)
    _show(report.to_dict(), str(report), json)
    if serve and not json:
        from reidapp.server.run import Place

        _serve([report.gallery], Place(7860), None, open_browser=True)


@synth.command("people")
def synth_people(
    out: Annotated[Path, typer.Argument(help="Folder to write, in Market-1501's layout.")],
    identities: Annotated[int, typer.Option(min=2, help="People.")] = 100,
    cameras: Annotated[int, typer.Option(min=2, help="Camera looks.")] = 6,
    images: Annotated[int, typer.Option(min=2, help="Crops per person.")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same pixels.")] = 0,
    test_share: Annotated[float, typer.Option(min=0, max=1, help="Share of the people kept for query/gallery.")] = 0.0,
    json: JsonOption = False,
) -> None:
    """Crops of generated people, labelled."""
    from training.data.synthetic.people import write_people

    with _progress("drawing people", "people") as advance:
        summary = write_people(
            out,
            identities=identities,
            cameras=cameras,
            images_per_identity=images,
            seed=seed,
            test_share=test_share,
            progress=advance,
        )
    _show(vars(summary), str(summary), json)


@synth.command("footage")
def synth_footage(
    out: Annotated[Path, typer.Argument(help="Folder to write: a folder per camera, and truth.csv.")],
    cameras: Annotated[int, typer.Option(min=1, help="Cameras.")] = 3,
    people: Annotated[int, typer.Option(min=1, help="People who walk through all of them.")] = 12,
    seconds: Annotated[float, typer.Option(min=10, help="Length of each camera's recording.")] = 60,
    crowd: CrowdOption = 1,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same pixels.")] = 0,
    json: JsonOption = False,
) -> None:
    """Multi-camera footage of generated people, with ground truth."""
    from training.data.synthetic.footage import write_footage
    from training.data.synthetic.seeds import check_training_seed

    check_training_seed(seed)
    with _progress("filming", "cameras") as advance:
        summary = write_footage(
            out, cameras=cameras, people=people, seconds=seconds, crowd=crowd, seed=seed, progress=advance
        )
    _show(vars(summary), str(summary), json)


@bench.command("footage")
def bench_footage(
    more: Annotated[list[int] | None, typer.Argument(hidden=True, min=0, metavar="--seeds")] = None,  # the 1 2 of 0 1 2
    seeds: Annotated[
        list[int] | None, typer.Option(min=0, metavar="N…", help="Worlds to draw: --seeds 0 1 2, which is the default.")
    ] = None,
    world: Annotated[
        Path | None, typer.Option(help="A folder of footage with its truth.csv, instead of drawn worlds.")
    ] = None,
    cameras: Annotated[int, typer.Option(min=2, help="Cameras of a drawn world.")] = 4,
    people: Annotated[int, typer.Option(min=2, help="People of a drawn world.")] = 24,
    seconds: Annotated[float, typer.Option(min=10, help="Length of each camera's recording.")] = 120,
    crowd: CrowdOption = 2,
    model: Annotated[str | None, typer.Option(help="Shipped model's name or an ONNX file.")] = None,
    detector: DetectorOption = "hog",
    sampling: Annotated[str, typer.Option(help="Frames to look at: Nfps, or all.")] = "2fps",
    out: Annotated[
        Path, typer.Option(help="Folder that keeps worlds and results; finished ones are not done again.")
    ] = Path("bench"),
    json: JsonOption = False,
    report: Annotated[Path | None, typer.Option(help="Write a page with the worst cases into a folder.")] = None,
) -> None:
    """Footage → gallery → queries, held against the truth."""
    from reidapp.bench import WorldSize, run_bench

    chosen = [*(seeds or []), *(more or [])]
    if more and not seeds:
        raise UserError(f"bench footage: unexpected {more[0]}; worlds are named by --seeds {more[0]}")
    if world and chosen:
        raise UserError("bench footage: --world and --seeds exclude each other")
    try:
        result = run_bench(
            out,
            seeds=chosen or (0, 1, 2),
            world=world,
            size=WorldSize(cameras, people, seconds, crowd),
            model=model,
            detector=detector,
            sampling=sampling,
            bars=_progress,
        )
    except KeyboardInterrupt:
        _note(f"interrupted; finished worlds are kept in {out}, and the same command goes on after them")
        raise
    if report:
        _note(f"page: {result.write_page(report)}")
    _show(result.to_dict(), str(result), json)


@app.command()
@_interruptible("interrupted; what was committed before, if anything, is kept. The same command goes on from here")
def index(
    sources: Annotated[
        list[str], typer.Argument(metavar="FOLDER|URL...", help="Folder of recordings, one of them, or live streams.")
    ],
    gallery: Annotated[
        Path | None, typer.Option("--gallery", "-g", callback=_named, help="Folder of the gallery; not for --dry-run.")
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
    from reidapp.footage.cluster import Cluster, ModelFiles
    from reidapp.footage.detection import open_detector
    from reidapp.footage.indexing import Footage, find_footage, index_footage
    from reidapp.footage.pipeline import cores, let_others_go_first
    from reidapp.footage.watching import EVERY_S, QUIET_S, Watcher
    from reidapp.settings import IndexSettings, read_cameras

    if probe and not dry_run:
        raise UserError("index: --probe belongs to --dry-run; indexing opens every file anyway")
    if dry_run and watch:
        raise UserError("index: --dry-run looks once; leave --watch out")
    settings = IndexSettings.checked(kind=as_, sampling=sampling, detector=detector, template=template, zone=zone)
    said = read_cameras(cameras) if cameras else {}
    streams = live.named([source for source in sources if live.is_url(source)], camera_name or [])
    if len(sources) != (len(streams) or 1):
        raise UserError("index: give one folder, or live streams alone")
    if streams:
        if record is None:
            raise UserError("index: missing --record FOLDER, where live streams are kept; hits play from there")
        if dry_run or template or as_ != "videos":
            raise UserError("index: --dry-run, --template and --as are for folders, not for live streams")
        settings = settings.model_copy(update={"template": live.TEMPLATE})
    elif record or camera_name:
        raise UserError("index: --record and --camera-name are for live streams, such as rtsp://…")
    folder = record or Path(sources[0])
    if dry_run:
        from reidapp.footage.survey import survey

        plan = find_footage(folder, settings, said)
        with _progress("probing", "files") if probe else contextlib.nullcontext(lambda *_: None) as advance:
            found = survey(plan, settings.zone, probe, advance)
        _show(found.to_dict(), str(found), json)
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
        footage = None if watch or streams else find_footage(folder, settings, said)
        if streams:
            folder.mkdir(parents=True, exist_ok=True)
        watcher = None if footage else Watcher(folder, settings, said, quiet_s=0.0 if streams else QUIET_S)
        target, embedder = _gallery_to_write(gallery, model, vectors, database, **session)
        if cluster:
            cluster.send(ModelFiles.read(embedder.path, settings.detector, cluster.provider))
            where = f"{cluster.provider} of a Ray cluster: {cluster}"
            _note(f"detector {settings.detector} and model {embedder.card.name} on {where}")
        else:
            on = f"detector {settings.detector} on {finder.provider}" if finder else "no detector"
            _note(f"{on}; model {embedder.card.name} on {embedder.provider}")

        def index_all(footage: Footage) -> "IndexReport":
            nonlocal embedder
            if watcher and embedder.identity != target.model_id:  # `reembed` has moved the gallery
                embedder = _own_model(target, **session)
                if cluster:
                    cluster.send(ModelFiles.read(embedder.path, settings.detector, cluster.provider))
                _note(f"model {embedder.card.name}/{embedder.card.version} from now on")
            with _progress("indexing", "s of video" if settings.kind == "videos" else "pictures") as advance:
                return index_footage(footage, target, embedder, finder, settings, advance, workers, cluster, again)

        def summary(report: "IndexReport") -> str:
            return _index_summary(report, settings.kind, gallery)

        if watcher:
            with live.recording(streams, folder, _note):
                report = _watched(watcher, index_all, summary, EVERY_S / 2 if streams else EVERY_S, json)
        else:
            assert footage  # noqa: S101 - None is for who watches; for mypy
            report = index_all(footage)
            _show(report.to_dict(), summary(report), json)
    if report.interrupted:
        raise typer.Exit(130)


@app.command()
def search(
    gallery: GalleryOption,
    image: Annotated[
        list[Path] | None, typer.Option("--image", "-i", help="Picture of the person; several make one query.")
    ] = None,
    person: Annotated[int | None, typer.Option(min=1, help="Which person in the picture, from the left.")] = None,
    tracklet: Annotated[
        list[str] | None, typer.Option(help="Find who looks like this hit, by its id; several make one query.")
    ] = None,
    identity: Annotated[str | None, typer.Option(help="Find more of a named person.")] = None,
    saved: Annotated[str | None, typer.Option(help="Run a saved search again, with its answers.")] = None,
    yes: Annotated[list[str] | None, typer.Option(help="This hit shows the person: refine the search.")] = None,
    no: Annotated[list[str] | None, typer.Option(help="This hit does not show the person.")] = None,
    combine: Annotated[
        str | None,
        typer.Option(help="Several images by mean, max (one that fits is enough) or set (all count, each its best)."),
    ] = None,
    save: Annotated[
        str | None, typer.Option(help="Keep the search under this name: pictures, filters, answers.")
    ] = None,
    camera: Annotated[
        list[str] | None, typer.Option(help="Only this camera or group; may be given several times.")
    ] = None,
    after: Annotated[
        str | None, typer.Option(help="Not before this time (ISO 8601; without a zone: the cameras').")
    ] = None,
    before: Annotated[str | None, typer.Option(help="Not after this time.")] = None,
    top: Annotated[int, typer.Option(min=1, max=1000, help="Hits at most.")] = 20,
    rerank: Annotated[
        bool, typer.Option("--rerank", help="Order the first 200 by k-reciprocal neighbours: who resembles whom there.")
    ] = False,
    travel_times: Annotated[
        bool,
        typer.Option("--travel-times", help="Order the first 200 also by how long people take from camera to camera."),
    ] = False,
    model: Annotated[str | None, typer.Option(help="Refused unless it is the model that made the gallery.")] = None,
    detector: DetectorOption = None,
    purpose: Annotated[str | None, typer.Option(help="What the search is for; the gallery's log keeps it.")] = None,
    demand_purpose: Annotated[bool, typer.Option(hidden=True, envvar="REIDAPP_DEMAND_PURPOSE")] = False,
    json: JsonOption = False,
) -> None:
    """Find a person: tracklets, best first. What was asked with or judged is not shown again."""
    from reidapp.asking import Question, ask, check_period, keep
    from reidapp.footage.detection import open_detector
    from reidapp.gallery.search import Searcher
    from reidapp.gallery.store import Gallery

    if demand_purpose and not (purpose or "").strip():
        raise UserError("--purpose: say what the search is for, such as a case's number; it is written down")
    opened = Gallery.open(gallery)
    check_period(_time(after, "--after", opened), _time(before, "--before", opened))  # before anything is kept
    embedder = _embedder(model, batch=1) if model else _own_model(opened, batch=1)
    searcher = Searcher(opened, embedder)
    filters: dict[str, Any] = {"cameras": camera, "after": after, "before": before}
    question = Question(
        image or (), person, tracklet or (), identity, saved, yes or (), no or (), combine, save,
        {key: value for key, value in filters.items() if value},
    )  # fmt: skip
    found = ask(opened, embedder, lambda: open_detector(detector or opened.detector), question, _who())
    _noted(gallery, "search", purpose=purpose)
    keep(opened, question, found.crops, _who())
    filters = found.filters | question.filters
    result = searcher.search(
        found.asked.embeddings,
        cameras=filters.get("cameras"),
        after=_time(filters.get("after"), "--after", opened),
        before=_time(filters.get("before"), "--before", opened),
        top=top,
        combine=found.asked.combine,
        without=found.asked.without,
        partial=found.asked.partial,
        rerank=rerank,
        travel_times=travel_times,
        seen=found.asked.seen,
    )
    facts = {
        "hits": [hit.to_dict() for hit in result.hits],
        "calibration": result.calibration and result.calibration.to_dict(),
        "expected_false_hits": result.expected_false_hits and round(result.expected_false_hits, 2),
        "probably_absent": result.probably_absent,
        "rows": result.rows,
        "seconds": round(result.seconds, 4),
        "warnings": [warning.to_dict() for warning in found.warnings],
        "refined": found.asked.refined,
        "left_out": sorted(found.asked.without),
    }
    for warning in found.warnings:
        _note(f"note: {warning}")
    odds = _odds(result, found.asked.partial, bool(filters), gallery)
    _show(facts, "\n".join([_hits_table(result.hits), *odds]), json)


@app.command()
def serve(
    gallery: Annotated[
        list[Path],
        typer.Option(
            "--gallery",
            "-g",
            callback=lambda folders: [*map(_named, folders)],
            help="Folder of the gallery; several are served side by side.",
        ),
    ],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 7860,
    detector: DetectorOption = None,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = False,
    behind_proxy: Annotated[
        str | None,
        typer.Option(help="Address that users know this server by, such as https://cams.example/reid.", metavar="URL"),
    ] = None,
    footage: Annotated[
        list[Path] | None, typer.Option(help="The page and the API may index folders below this one only.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen at; any but 127.0.0.1 needs users, and TLS.")
    ] = "127.0.0.1",
    certificate: Annotated[Path | None, typer.Option(help="PEM file, for https.")] = None,
    key: Annotated[Path | None, typer.Option(help="PEM file, the certificate's key.")] = None,
    access: AccessOption = None,
    demand_purpose: Annotated[
        bool,
        typer.Option(
            "--demand-purpose", envvar="REIDAPP_DEMAND_PURPOSE", help="Every search has to say what it is for."
        ),
    ] = False,
    log: Annotated[
        str, typer.Option(help="lines, of what goes wrong; or json: requests, jobs and faults, an object a line.")
    ] = "lines",
) -> None:
    """Search galleries in the browser or by the REST API: on this machine, or by users who sign in over TLS."""
    from reidapp.server.run import Place

    if log not in ("lines", "json"):
        raise UserError(f'--log: "{log}" is unknown; lines or json')
    place = Place(port, host, certificate, key, behind_proxy)
    _serve(gallery, place, detector, open_browser, footage or [], access, demand_purpose, log == "json")


@app.command()
def train(
    recipe: Annotated[str | None, typer.Argument(help="Name of a recipe, or a YAML file.", show_default=False)] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(help="KIND:DIR, for example market1501:people; several are joined.", show_default=False),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(help="KIND:DIR, labelled; for recipes that learn from unlabelled --data.", show_default=False),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run.", show_default=False)] = None,
    small: Annotated[bool, typer.Option("--small", help="A network, size and schedule for a CPU.")] = False,
    changes: Annotated[list[str] | None, typer.Option("--set", help="key.sub=value; changes the recipe.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same order and changes of the images.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    resume: Annotated[bool, typer.Option(help="Go on from the run's last epoch.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the recipes.")] = False,
    show: Annotated[
        bool,
        typer.Option("--show", help="Check the recipe with all changes, but for the data; print it, and stop."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Train an embedding model by a recipe."""
    from training.recipe import describe, kinds, list_recipes, load_recipe

    if list_:
        found = kinds()
        groups = [[f"from {kind}", *(f"  {name:34} {describe(name)}" for name in own)] for kind, own in found.items()]
        text = "\n\n".join("\n".join(lines) for lines in groups)
        _show({"recipes": list_recipes(), "kinds": found}, text, json)
        return
    if show and recipe is not None:
        shown = load_recipe(recipe, changes or [], small)
        if importlib.util.find_spec("torch"):
            from training.engine import check

            check(shown)
        else:
            _note("note: torch is not installed, so losses and networks were not checked")
        _show(shown.model_dump(), shown.to_yaml().rstrip(), json)
        return
    if recipe is None or not data or out is None:
        given = {"RECIPE": recipe, "--data KIND:DIR": data, "--out RUN": out}
        missing = ", ".join(name for name, value in given.items() if not value)
        raise UserError(f"train: missing {missing} (`reidapp train --list` names the recipes)")
    try:
        from training.engine import train as run_training
    except KeyboardInterrupt:  # torch takes its seconds
        _note("interrupted before anything was begun")
        raise

    checked = load_recipe(recipe, changes or [], small)
    result = run_training(checked, data, out, source=source or (), seed=seed, device=device, resume=resume)
    if os.environ.get("RANK", "0") == "0":  # of the processes that torchrun starts, one talks
        _show(result.to_dict(), str(result), json)


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="A shipped model's name, an ONNX file, or the folder of a run.")],
    data: Annotated[list[str], typer.Option(help="KIND:DIR of labelled crops.")],
    flip: Annotated[bool, typer.Option(help="Average each embedding with that of the mirrored image.")] = False,
    rerank: Annotated[bool, typer.Option("--rerank", help="Re-rank by k-reciprocal neighbours (Zhong 2017).")] = False,
    figures: Annotated[
        Path | None, typer.Option(help="Folder for cmc.png, roc.png, ranked.png, activation.png.", show_default=False)
    ] = None,
    same_camera: Annotated[
        str | None,
        typer.Option(help="remove a query's own person in its own camera, or keep; remove if cameras are known."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Rank-1, Rank-5, mAP and mINP of a model on labelled crops, and the threshold that tells people apart."""
    from models.zoo import path_of
    from training.evaluation import evaluate as measure

    path = Path(model)
    path = path if path.is_dir() else path_of(model)
    scores = measure(path, _only(data), flip=flip, rerank=rerank, figures=figures, same_camera=same_camera)
    _show(scores.to_dict(), str(scores), json)


@app.command()
def her(
    run: Annotated[Path, typer.Argument(help="Folder of a training run.")],
    data: Annotated[list[str], typer.Option(help="KIND:DIR of labelled crops to fit to; several are joined.")],
    out: Annotated[Path, typer.Option(help="Folder of the new run.")],
    ridge: Annotated[float, typer.Option(help="λ of the regression, above 0.")] = 1.0,
    json: JsonOption = False,
) -> None:
    """Fit HER's ridge regression behind a trained network's embedding: a new run, without training."""
    from training.her import apply_her

    result = apply_her(run, data, out, ridge=ridge)
    _show(result.to_dict(), str(result), json)


@app.command("export")
def export_(
    run: Annotated[Path, typer.Argument(help="Folder of a training run.")],
    out: Annotated[Path, typer.Option(help="The ONNX file to write.")],
    name: Annotated[str | None, typer.Option(help="Of the model, in its card; the file's name without.")] = None,
    precision: Annotated[
        str, typer.Option(help="fp32, fp16 or int8; the last two may lose 0.3 and 1.0 points of mAP on --data.")
    ] = "fp32",
    data: Annotated[
        list[str] | None, typer.Option(help="KIND:DIR of labelled crops to measure the file on.", show_default=False)
    ] = None,
    json: JsonOption = False,
) -> None:
    """Export a trained model to ONNX; refuses, and leaves no file, if its embeddings differ from the run's."""
    from models.export import export_run
    from training.labelled_crops import LabelledCrops

    examples = LabelledCrops(_only(data)) if data else None
    card = export_run(run, out, name=name, precision=precision, examples=examples)
    if (queries := card.scores.get("against fp32", {}).get("queries", _FEW_QUERIES)) < _FEW_QUERIES:
        _note(f"note: its loss was measured on {queries} queries only, of which each counts much; give a larger --data")
    _show(json_.loads(card.to_json()), f"{out}: {_export_summary(card)}", json)


@models.command("list")
def models_list(json: JsonOption = False) -> None:
    """The models and detectors that ship, are pulled, or can be pulled."""
    from models.catalogue import entries

    found = entries()
    _show({"models": [entry.to_dict() for entry in found]}, "\n".join(map(str, found)), json)


@models.command("info")
def models_info(
    model: Annotated[str, typer.Argument(help="A name, or an ONNX file.")],
    json: JsonOption = False,
) -> None:
    """All that is known of one: its card with every score, sha256, sizes, licence, inputs and outputs."""
    from models.catalogue import info

    facts = info(model)
    _show(facts, "\n".join(_outline(facts)), json)


@models.command("verify")
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
        _show({"sound": sound, "wrong": wrong}, "\n".join(sound), json)
    if wrong:
        raise UserError("; ".join(wrong))


@models.command("compare")
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
    embedders = {own.identity: own for own in [_own_model(opened)]}
    embedders |= {other.identity: other for other in (Embedder(_model_for(opened, name)) for name in names)}
    with _progress("comparing", "crops") as advance:
        comparison = compare(opened, list(embedders.values()), crops, advance)
    _show(comparison.to_dict(), str(comparison), json)


@models.command("adopt")
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
    _show(json_.loads(made.to_json()), f"{out}: {_export_summary(made)}", json)


@models.command("pull")
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

    bar = _progress(f"pulling {name}", "MB") if release_of(name).url else contextlib.nullcontext()
    with bar as advance:
        record, fetched = pull(name, to, from_, timeout, advance)
    path = model_file(to or default_folder(), name)
    use = f"{record.detector}:{path}" if to else name
    text = f"{path}: {record}, {'now' if fetched else 'there already'}\n  use it with --detector {use}"
    _show({**vars(record), "path": str(path), "fetched": fetched}, text, json)


@app.command()
def adapt(
    gallery: GalleryOption,
    out: Annotated[Path, typer.Option(help="Folder of the run; with --quick the ONNX file of the new version.")],
    quick: Annotated[bool, typer.Option("--quick", help="Batch norm statistics of each camera; no training.")] = False,
    recipe: Annotated[str, typer.Option(help="ise, cluster_contrast, spcl, or a YAML file.")] = "ise",
    start: Annotated[
        str | None,
        typer.Option(
            help="Model to adapt: a run's folder, or as for reembed --model; the gallery's own without.",
            show_default=False,
        ),
    ] = None,
    changes: Annotated[list[str] | None, typer.Option("--set", help="key.sub=value; changes the recipe.")] = None,
    images: Annotated[
        int | None, typer.Option(min=1, help="Training images, counted with repetition.", show_default=False)
    ] = None,
    source: Annotated[
        list[str] | None, typer.Option(help="KIND:DIR, labelled; to learn from besides.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same order and changes of the images.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's last epoch.")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Move the gallery to the new version at once.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Apply it even if it is not known to be better.")] = False,
    progress: Annotated[str, typer.Option(help="bar, or json: an object a line, on standard error.")] = "bar",
    json: JsonOption = False,
) -> None:
    """Adapt a model to a gallery's own cameras, from its stored crops, without labels."""
    if progress not in ("bar", "json"):
        raise UserError(f'--progress: "{progress}" is unknown; bar or json')
    from reidapp.embedding import Embedder
    from reidapp.gallery.store import Gallery
    from training.adapting import adapt as adapt_by_training
    from training.adapting import adapt_quick

    lines = progress == "json"
    opened = Gallery.open(gallery)
    beginning = None if start is None else Path(start) if Path(start).is_dir() else _model_for(opened, start)
    if quick:
        result = adapt_quick(opened, out, beginning)
    else:
        asked = [*(changes or []), *([f"schedule.images={images}"] if images else [])]
        result = adapt_by_training(
            opened, out, recipe, start=beginning, changes=asked, source=source or (), seed=seed, device=device,
            resume=resume, lines=lines,
        )  # fmt: skip
    keeps_old = apply and not (result.improved or force)
    moved = _reembedded(opened, Embedder(result.model), lines) if apply and not keeps_old else None
    facts = result.to_dict() | ({"reembed": moved.to_dict()} if moved else {})
    _show(facts, "\n".join(map(str, [result, *([moved] if moved else [])])), json)
    if keeps_old:
        raise ReidappError(f"{gallery}: stays with its model, since {result.model} is not better; --force moves it")
    if moved and moved.interrupted:
        raise typer.Exit(130)


@app.command()
def reembed(
    gallery: GalleryOption,
    model: Annotated[
        str | None,
        typer.Option(
            help="Shipped model's name, an ONNX file, or name/version or id of one that the gallery has. "
            "Without it, those are listed.",
            show_default=False,
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Move a gallery to another model: its stored crops are embedded again, and the old vectors stay."""
    from reidapp.embedding import Embedder
    from reidapp.gallery.store import Gallery

    opened = Gallery.open(gallery)
    if model is None:
        known = opened.models()
        _show({"models": [each.to_dict() for each in known]}, "\n".join(map(str, known)), json)
        return
    report = _reembedded(opened, Embedder(_model_for(opened, model)))
    _show(report.to_dict(), f"{gallery}: {report}", json)
    if report.interrupted:
        raise typer.Exit(130)


@gallery_.command("info")
def gallery_info(gallery: GalleryOption, json: JsonOption = False) -> None:
    """Cameras, recordings, tracklets, crops, models, the calibration, the time covered, and the size on disk."""
    from reidapp.gallery.calibration import current
    from reidapp.gallery.store import Gallery

    opened = Gallery.open(gallery)
    facts, calibration = opened.facts(), current(opened, opened.model_id)
    told = str(calibration or "no P(match): not calibrated (`reidapp gallery calibrate`)")
    _show(facts.to_dict() | {"calibration": calibration and calibration.to_dict()}, f"{facts}\n{told}", json)


@gallery_.command("calibrate")
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
    found = calibrate(opened, lambda: _own_model(opened), None if labels else from_, labels)
    if plot:
        from training.figures import write_reliability

        write_reliability(plot, found)
    points = [vars(point) for point in found.reliability]
    _show(found.to_dict() | {"reliability": points, "plot": plot and str(plot)}, f"{gallery}: {found}", json)


@gallery_.command("normalise")
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
    _show(found.to_dict(), f"{gallery}: {found}", json)


@gallery_.command("travel-times")
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
    _show(found.to_dict(), f"{gallery}: {found}", json)


@gallery_.command("upgrade")
def gallery_upgrade(gallery: GalleryOption, json: JsonOption = False) -> None:
    """Bring a gallery that an older version made up to this one, wholly or not at all; other commands do it, too."""
    from reidapp.gallery import database
    from reidapp.gallery.store import Gallery

    before, after = database.versions(gallery) if database.is_there(gallery) else (None, None)
    Gallery.open(gallery)
    text = "nothing to do" if before == after else f"brought from version {before} of the rows to {after}"
    _show({"before": before, "after": after}, f"{gallery}: {text}", json)


@gallery_.command("verify")
def gallery_verify(gallery: GalleryOption, json: JsonOption = False) -> None:
    """Prove that a gallery is whole: rows, pictures, vectors, models; a line for each fault, with what to do."""
    from reidapp.gallery.store import Gallery
    from reidapp.gallery.verification import verify

    opened = Gallery.open(gallery)
    with _progress("verifying", "crops") as advance:
        found = verify(opened, advance)
    _show(found.to_dict(), f"{gallery}: {found}", json)
    if found.faults:
        raise typer.Exit(1)


@gallery_.command("repair")
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
    from reidapp.gallery.store import Gallery
    from reidapp.gallery.verification import repair

    opened = Gallery.open(gallery)
    candidates = [*(model or []), *map(zoo.file_of, zoo.names())]
    with _progress("repairing", "crops") as advance:
        report = repair(opened, Embedder, candidates, advance)
    _show(report.to_dict(), f"{gallery}: {report}", json)
    if report.after.faults:
        raise typer.Exit(1)


@gallery_.command("cameras")
def gallery_cameras(gallery: GalleryOption, json: JsonOption = False) -> None:
    """The cameras: clock (zone, seconds ahead), group, recordings, tracklets, and the time covered."""
    from reidapp.gallery.store import Gallery

    found = Gallery.open(gallery).cameras()
    _show({"cameras": [camera.to_dict() for camera in found]}, "\n".join(map(str, found)) or "no cameras yet", json)


@gallery_.command("camera")
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
    _show(facts, "\n".join(told), json)


@gallery_.command("delete")
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
    until = _ago(older_than, "--older-than") if older_than else _time(before, "--before", opened)
    selection = Selection(video, camera, _time(after, "--after", opened), until, tracklet or ())
    found = planned(opened, selection)
    if found and not dry_run:
        _confirm(f"delete from {gallery}: {found}", yes)  # noqa: S608 - a question, no SQL
        _noted(gallery, "delete", what="of the gallery")
        with opened.writing() as writer:
            found = delete_from(writer, selection)
            let_go(opened)
    said = f"{gallery}: {'would go' if dry_run else 'deleted'}: {found}"
    _show({"deleted": not dry_run} | found.to_dict(), said, json)


@gallery_.command("erase")
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
        _show({"erasures": [each.to_dict() for each in stones]}, "\n".join(map(str, stones)) or "nothing so far", json)
        return
    seen = bool(tracklet or camera or before)
    selection = Selection(None, camera, None, _time(before, "--before", opened), tracklet or ()) if seen else None
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
        _confirm(f"erase from {gallery}, for good: {plan}", yes)
        plan = _erased(opened, subject, plan)
    facts, said = {"erased": bool(plan) and not dry_run} | (plan.to_dict() if plan else {}), str(plan or "nothing")
    lines = [f"{gallery}: {'would go' if dry_run else 'erased'}: {said}"]
    proof = traces.searched(opened, sought, _log_folders(gallery)) if verify and not dry_run else None
    _show(
        facts | ({"proof": proof.to_dict()} if proof else {}),
        "\n".join([*lines, *([str(proof)] if proof else [])]),
        json,
    )
    if proof and proof.found:
        raise typer.Exit(1)


@gallery_.command("retention")
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
        _confirm(f"{gallery}: keep what was seen for {days} days; {going} would go", yes)
    if days or off:
        _noted(gallery, "change", what="retention")
        set_retention(opened, days)
    kept, older = retention(opened), outdated(opened)
    found = planned(opened, older) if older else Deletion()
    if apply and found:
        _noted(gallery, "delete", what="by retention")
        with opened.writing() as writer:
            found = delete_outdated(writer)
            let_go(opened)
    done = f"deleted {found}" if apply else f"`reidapp serve` or the next `reidapp index` deletes {found}"
    said = f"kept for {kept} days; {done}" if kept else "kept for ever"
    _show({"days": kept, "deleted": apply, "outdated": found.to_dict()}, f"{gallery}: {said}", json)


@gallery_.command("prune")
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
        _confirm(f"delete from {gallery} the vectors of {listed}", yes)  # noqa: S608 - a question, no SQL
        _noted(gallery, "delete", what="vectors of other models")
        with opened.writing() as writer, opened.embedding_anew():
            found = drop_other_models(writer)
            let_go(opened)
    said = "\n".join([f"{gallery}: {'would go' if dry_run else 'deleted'}: {len(found)} models", *map(str, found)])
    _show({"deleted": not dry_run, "models": [model.to_dict() for model in found]}, said, json)


@gallery_.command("vectors")
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
    with _progress("copying", "vectors") if to else contextlib.nullcontext(lambda *_: None) as advance:
        found = move(opened, to, advance) if to else mirror(opened)
    _show(found.to_dict(), f"{gallery}: {found}", json)


@gallery_.command("backup")
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
    _show(facts | {"erased": erased, "not_erased": failed}, "\n".join([said, *erased]), json)
    if failed:
        raise ReidappError("; ".join(failed))


@gallery_.command("restore")
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
    _show(*_copied(backup, gallery, database), json)


@gallery_.command("searches")
def gallery_searches(
    gallery: GalleryOption,
    delete: Annotated[str | None, typer.Option(help="Forget this one, with its pictures and answers.")] = None,
    json: JsonOption = False,
) -> None:
    """The saved searches: whom they ask for, their filters and answers."""
    from reidapp.gallery.saved_searches import SavedSearches
    from reidapp.gallery.store import Gallery

    searches = SavedSearches(Gallery.open(gallery), _who())
    if delete:
        _noted(gallery, "delete", what="saved search", name=delete)
        searches.delete(delete)
    found = searches.all()
    _show({"searches": [each.to_dict() for each in found]}, "\n".join(map(str, found)) or "no saved searches", json)


@identity.command("list")
def identity_list(gallery: GalleryOption, json: JsonOption = False) -> None:
    """All named people, and how many tracklets show them."""
    found = _identities(gallery).all()
    _show({"identities": [each.to_dict() for each in found]}, "\n".join(map(str, found)) or "nobody has a name", json)


@identity.command("show")
def identity_show(name: IdentityArgument, gallery: GalleryOption, json: JsonOption = False) -> None:
    """A person's tracklets: camera, time, and who said so."""
    found = _identities(gallery).show(name)
    facts = found.to_dict() | {"tracklets": [each.to_dict() for each in found.judged]}
    _show(facts, "\n".join(map(str, [found, *found.judged])), json)


@identity.command("new")
def identity_new(
    name: IdentityArgument,
    gallery: GalleryOption,
    tracklets: TrackletsArgument = None,
    json: JsonOption = False,
) -> None:
    """Name a person."""
    _done([_identities(gallery).new(name, tracklets or ())], json)


@identity.command("add")
def identity_add(
    name: IdentityArgument,
    tracklets: TrackletsArgument,
    gallery: GalleryOption,
    no: Annotated[bool, typer.Option("--no", help="They do not show the person.")] = False,
    json: JsonOption = False,
) -> None:
    """Say that tracklets show a person, or with --no that they don't."""
    _done([_identities(gallery).add(name, tracklets or (), "no" if no else "yes")], json)


@identity.command("remove")
def identity_remove(
    name: IdentityArgument, tracklets: TrackletsArgument, gallery: GalleryOption, json: JsonOption = False
) -> None:
    """Take back what was said of tracklets."""
    _done([_identities(gallery).remove(name, tracklets or ())], json)


@identity.command("rename")
def identity_rename(
    name: IdentityArgument,
    to: Annotated[str, typer.Argument(help="The new name.")],
    gallery: GalleryOption,
    json: JsonOption = False,
) -> None:
    """Call a person by another name."""
    _done([_identities(gallery).rename(name, to)], json)


@identity.command("merge")
def identity_merge(
    name: IdentityArgument,
    into: Annotated[str, typer.Argument(help="Who it is the same person as; this name stays.")],
    gallery: GalleryOption,
    json: JsonOption = False,
) -> None:
    """Two names are one person's."""
    _done([_identities(gallery).merge(name, into)], json)


@identity.command("unmerge")
def identity_unmerge(name: IdentityArgument, gallery: GalleryOption, json: JsonOption = False) -> None:
    """Take the last merge into a person apart; what was said since then stays."""
    _done([_identities(gallery).unmerge(name)], json)


@identity.command("delete")
def identity_delete(name: IdentityArgument, gallery: GalleryOption, json: JsonOption = False) -> None:
    """Take a name away; the tracklets stay (`reidapp gallery delete --tracklet` deletes those)."""
    _noted(gallery, "delete", what="identity", name=name)
    _done([_identities(gallery).delete(name)], json)


@identity.command("undo")
def identity_undo(gallery: GalleryOption, count: CountArgument = 1, json: JsonOption = False) -> None:
    """Undo the last actions, whoever did them."""
    _done(_identities(gallery).undo(count), json)


@identity.command("redo")
def identity_redo(gallery: GalleryOption, count: CountArgument = 1, json: JsonOption = False) -> None:
    """Do again what was undone last."""
    _done(_identities(gallery).redo(count), json)


@identity.command("log")
def identity_log(gallery: GalleryOption, json: JsonOption = False) -> None:
    """All that was done to identities, when and by whom."""
    found = _identities(gallery).log()
    _show({"log": [each.to_dict() for each in found]}, "\n".join(map(str, found)) or "nothing yet", json)


@case_.command("list")
def case_list(gallery: GalleryOption, json: JsonOption = False) -> None:
    """All cases, and how many hits they have."""
    found = _cases(gallery).all()
    _show({"cases": [each.to_dict() for each in found]}, "\n".join(map(str, found)) or "no cases", json)


@case_.command("show")
def case_show(name: CaseArgument, gallery: GalleryOption, json: JsonOption = False) -> None:
    """A case's hits in order of time, with verdicts and notes."""
    cases = _cases(gallery)
    info, hits = cases.get(name), cases.hits(name)
    _show(info.to_dict() | {"hits": [each.to_dict() for each in hits]}, "\n".join(map(str, [info, *hits])), json)


@case_.command("new")
def case_new(
    name: CaseArgument,
    gallery: GalleryOption,
    note: Annotated[str, typer.Option(help="What it is about.")] = "",
    json: JsonOption = False,
) -> None:
    """Open a case."""
    _cases(gallery).new(name, note)
    _done([f'case "{name}" is open'], json)


@case_.command("add")
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
    _done([f'{counted(len(hits), "hit")} in "{name}"'], json)


@case_.command("remove")
def case_remove(
    name: CaseArgument, tracklets: TrackletsArgument, gallery: GalleryOption, json: JsonOption = False
) -> None:
    """Take hits out of a case."""
    _cases(gallery).remove(name, tracklets or ())
    _done([f'{counted(len(tracklets or ()), "hit")} taken from "{name}"'], json)


@case_.command("note")
def case_note(
    name: CaseArgument,
    note: Annotated[str, typer.Argument(help="What it is about.")],
    gallery: GalleryOption,
    json: JsonOption = False,
) -> None:
    """Write down what a case is about."""
    _cases(gallery).change(name, note=note)
    _done([f'"{name}": {note}'], json)


@case_.command("rename")
def case_rename(
    name: CaseArgument,
    to: Annotated[str, typer.Argument(help="The new name.")],
    gallery: GalleryOption,
    json: JsonOption = False,
) -> None:
    """Call a case by another name."""
    _cases(gallery).change(name, to)
    _done([f'"{name}" is called "{to}"'], json)


@case_.command("close")
def case_close(name: CaseArgument, gallery: GalleryOption, json: JsonOption = False) -> None:
    """Close a case: it is read and exported, and changes no more."""
    _cases(gallery).change(name, closed=True)
    _done([f'"{name}" is closed'], json)


@case_.command("reopen")
def case_reopen(name: CaseArgument, gallery: GalleryOption, json: JsonOption = False) -> None:
    """Open a closed case again."""
    _cases(gallery).change(name, closed=False)
    _done([f'"{name}" is open'], json)


@case_.command("delete")
def case_delete(name: CaseArgument, gallery: GalleryOption, json: JsonOption = False) -> None:
    """Forget a case; its tracklets stay in the gallery."""
    _noted(gallery, "delete", what="case", name=name)
    _cases(gallery).delete(name)
    _done([f'case "{name}" is forgotten'], json)


@case_.command("export")
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
    part = Part(camera, _time(after, "--after", opened), _time(before, "--before", opened))
    _noted(gallery, "export", what="case", heads="shown" if show_heads else "blurred", name=name)
    with _progress("exporting", "hits") as advance:
        found = export_case(opened, name, out, by or _who(), show_heads=show_heads, part=part, progress=advance)
    _show(found.to_dict(), str(found), json)


@users.command("add")
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
    account = _noting(_users(gallery, access)).add(name, password, **rights)
    _show(account.to_dict(), str(account), json)


@users.command("list")
def users_list(gallery: OfGalleryOption = None, access: AccessOption = None, json: JsonOption = False) -> None:
    """Who may get in, and what they may do and see."""
    found = _users(gallery, access).all()
    _show({"users": [each.to_dict() for each in found]}, "\n".join(map(str, found)) or "no users", json)


@users.command("passwd")
def users_passwd(
    name: UserArgument, gallery: OfGalleryOption = None, access: AccessOption = None, json: JsonOption = False
) -> None:
    """Another password; all sessions of theirs end."""
    store = _users(gallery, access)
    store.named("user", name)
    _noting(store).change_password(name, _new_password())
    _done([f'"{name}" has another password, and has to sign in again'], json)


@users.command("rights")
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
    store, rights = _users(gallery, access), _rights(gallery, role, camera, after, before)
    store.named("user", name)
    given: dict[str, Any] = {key: value for key, value in rights.items() if value is not None}
    if everything:
        given |= {"cameras": None, "after": None, "before": None}
    given |= _heads(heads)
    if not given:
        raise UserError("users rights: give --role, --camera, --after, --before, --heads or --everything")
    account = _noting(store).change_rights(name, **given)
    _show(account.to_dict(), str(account), json)


@users.command("remove")
def users_remove(
    name: UserArgument, gallery: OfGalleryOption = None, access: AccessOption = None, json: JsonOption = False
) -> None:
    """Let somebody in no more; what they did stays in the log."""
    _remove("user", name, gallery, access)
    _done([f'"{name}" gets in no more'], json)


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
    account, key = _noting(_users(gallery, access)).add_key(name, days, **rights)
    _note(str(account))
    _note("send it as Authorization: Bearer KEY; it is shown this once")
    _show(account.to_dict() | {"key": key}, key, json)


@keys.command("list")
def keys_list(gallery: OfGalleryOption = None, access: AccessOption = None, json: JsonOption = False) -> None:
    """The API keys, what they may do and see, and until when; not the keys themselves."""
    found = _users(gallery, access).all("key")
    _show({"keys": [each.to_dict() for each in found]}, "\n".join(map(str, found)) or "no keys", json)


@keys.command("revoke")
def keys_revoke(
    name: Annotated[str, typer.Argument(help="The key's name.")],
    gallery: OfGalleryOption = None,
    access: AccessOption = None,
    json: JsonOption = False,
) -> None:
    """Let a program in no more."""
    _remove("key", name, gallery, access)
    _done([f'key "{name}" opens nothing any more'], json)


@audit_.command("list")
def audit_list(
    gallery: OfGalleryOption = None,
    access: AccessOption = None,
    count: Annotated[int, typer.Option(min=1, max=1_000_000, help="Rows at most, the last ones.")] = 100,
    json: JsonOption = False,
) -> None:
    """What was done, by whom and when; the newest first."""
    log, store = _audit(gallery, access), _users(gallery, access)
    found, names = log.last(count), store.names()
    facts = {"entries": [each.to_dict() | {"name": names.get(each.by)} for each in found]}
    _show(facts, "\n".join(each.told(names) for each in found) or "nothing yet", json)


@audit_.command("head")
def audit_head(gallery: OfGalleryOption = None, access: AccessOption = None, json: JsonOption = False) -> None:
    """The last row's number and mac. Keep it elsewhere: it proves later that no row was cut off at the end."""
    head = _audit(gallery, access).head()
    _show({"head": head}, head, json)


@audit_.command("verify")
def audit_verify(
    gallery: OfGalleryOption = None,
    access: AccessOption = None,
    head: Annotated[str | None, typer.Option(help="As `audit head` printed it; the kept one without.")] = None,
    json: JsonOption = False,
) -> None:
    """Is every row as it was written, and none changed, put in, taken out or cut off?"""
    found = _audit(gallery, access).verify(head)
    _show(found.to_dict(), str(found), json)
    if found.broken:
        raise typer.Exit(1)


@app.command()
def doctor(json: JsonOption = False) -> None:
    """Check this installation, and say how to mend what is wrong."""
    from reidapp.doctor import diagnose

    checks = diagnose()
    _show({"checks": [check.to_dict() for check in checks]}, "\n".join(map(str, checks)), json)
    if any(check.status == "fail" for check in checks):
        raise typer.Exit(1)


def _serve(
    galleries: "Sequence[Path]",
    place: "Place",
    detector: str | None,
    open_browser: bool,
    footage: "Sequence[Path]" = (),
    access: Path | None = None,
    demand_purpose: bool = False,
    as_events: bool = False,
) -> None:
    from functools import cache

    from models import zoo
    from reidapp.footage.detection import open_detector
    from reidapp.gallery.store import Gallery
    from reidapp.server.access_folder import VARIABLE, AccessFolder
    from reidapp.server.app import build_app
    from reidapp.server.audit import Audit
    from reidapp.server.galleries import Galleries
    from reidapp.server.jobs import Jobs
    from reidapp.server.keeping import Keeper
    from reidapp.server.run import run
    from reidapp.server.security import OneTimeLink
    from reidapp.server.service import SearchService
    from reidapp.server.sign_in import Sessions, UserDoor
    from reidapp.server.users import Users
    from ui.page import mount

    opened, detectors = [Gallery.open(path) for path in galleries], cache(open_detector)
    folder = AccessFolder.of(galleries[0], access)
    users = Users(folder)
    place.check(has_users := bool(users.all()))
    services = [SearchService(each, _own_model(each, batch=1), detectors(detector or each.detector)) for each in opened]
    served, audit = Galleries(services), Audit(folder)
    os.environ[VARIABLE] = str(folder.path)  # commands that are run as jobs have the same log
    door = UserDoor(users, Sessions(users, folder.secret("session.key")), audit) if has_users else None
    link = None if door else OneTimeLink()
    jobs = Jobs([path.resolve() for path in footage], {name: zoo.file_of(name) for name in zoo.names()})
    app = build_app(
        served, link, asker=users.of_system(_who()), door=door, users=users, audit=audit, demand_purpose=demand_purpose,
        public=place.public, any_host=not place.is_loopback, jobs=jobs,
    )  # fmt: skip
    keeper = Keeper(served, jobs, audit)
    keeper.start()
    with _interruptible("the server has ended, and its jobs with it"):
        try:
            run(mount(app, served), place, link=link, open_browser=open_browser, as_events=as_events)
        finally:
            keeper.close()
            jobs.close()


def _gallery_to_write(
    path: Path, model: str | None, vectors: str | None, database: str | None, **session: Any
) -> "tuple[Gallery, Embedder]":
    """An existing gallery with its own model, or a new one with the model asked for."""
    from reidapp.gallery import database as rows
    from reidapp.gallery import mirror
    from reidapp.gallery.store import Gallery

    if not rows.is_there(path):
        embedder = _embedder(model, **session)
        place = mirror.reached(vectors or mirror.FAISS)  # before anything is made
        gallery = Gallery.create(path, embedder.path, embedder.card, embedder.identity, database)
        if place != mirror.FAISS:
            mirror.move(gallery, place)
        return gallery, embedder
    gallery = Gallery.open(path, database)
    gallery.check_writable()
    if vectors and mirror.reached(vectors) != (now := mirror.place(gallery)):
        raise UserError(f"{path}: searched by {now}; `reidapp gallery vectors -g {path} --to {vectors}` moves it")
    own = _own_model(gallery, **session)
    if model and (asked := _embedder(model)).identity != own.identity:
        raise UserError(f'{path}: made by model "{own.card.name}"; "{asked.card.name}" needs a gallery of its own')
    return gallery, own


def _embedder(model: str | None, **session: Any) -> "Embedder":
    from models import zoo
    from reidapp.embedding import Embedder

    return Embedder(zoo.path_of(model or zoo.DEFAULT), **session)


def _own_model(gallery: "Gallery", **session: Any) -> "Embedder":
    from reidapp.embedding import Embedder
    from reidapp.model_card import is_model

    file = gallery.model_path(id_ := gallery.model_id)
    if not is_model(file, id_):
        raise ReidappError(
            f"{file}: the gallery's model is {'damaged' if file.is_file() else 'missing'}; "
            f"`reidapp gallery repair --gallery {gallery.path} --model FILE` puts another copy of it there"
        )
    return Embedder(file, **session)


def _model_for(gallery: "Gallery", model: str) -> Path:
    """The file itself, that of a shipped model, or that of one which the gallery has."""
    from models import zoo
    from reidapp.gallery.reembedding import model_called
    from reidapp.registry import suggestion

    if Path(model).is_file() or model in zoo.names():
        return zoo.path_of(model)
    if known := model_called(gallery, model):
        return known.file
    names = [f"{each.card.name}/{each.card.version}" for each in gallery.models()]
    hint, shipped = suggestion(model, [*zoo.names(), *names]), ", ".join(zoo.names())
    raise UserError(
        f'model "{model}": no such file or model{hint}; shipped: {shipped}; {gallery.path} has {", ".join(names)}'
    )


def _reembedded(gallery: "Gallery", embedder: "Embedder", lines: bool = False) -> "ReembedReport":
    from reidapp.gallery.reembedding import reembed as move

    if lines:
        from training.progress import Lines

        return move(gallery, embedder, embedder.path, Lines("embedding"))
    _note(f"model {embedder.card.name}/{embedder.card.version} on {embedder.provider}")
    with _progress("embedding", "crops") as advance:
        return move(gallery, embedder, embedder.path, advance)


def _only(data: list[str]) -> str:
    if len(data) > 1:
        raise UserError(f"--data: {len(data)} data sets given; a model is scored on one at a time")
    return data[0]


def _time(text: str | None, option: str, gallery: "Gallery") -> datetime | None:
    from reidapp.asking import time_of

    return time_of(text, option, gallery)


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
        _note(f"note: {note}")
    return True


def _erased(gallery: "Gallery", subject: "Subject", plan: "Plan") -> "Plan":
    """Erase, out of the log's purposes too; those first, for they need the names."""
    from reidapp.gallery.erasure import erase
    from reidapp.gallery.mirror import let_go
    from reidapp.server import audit
    from reidapp.server.access_folder import AccessFolder

    by = _noted(gallery.path, "erased", what=subject.kind)
    with gallery.writing() as writer:
        if (folder := AccessFolder.of(gallery.path)).has(audit.FILE_NAME):
            audit.Audit(folder).forget(plan.names)
        done, notes = erase(writer, subject, by)
        let_go(gallery)
    for note in notes:
        _note(f"note: {note}")
    return done


def _log_folders(gallery: Path) -> list[Path]:
    from reidapp.server.access_folder import AccessFolder

    folder = AccessFolder.of(gallery).path
    return [folder] if folder.is_dir() else []


def _copied(source: Path, target: Path, database: str | None) -> tuple[dict[str, Any], str]:
    from reidapp.gallery.backup import copy_gallery
    from reidapp.gallery.store import Gallery

    opened = Gallery.open(source)
    _noted(source, "export", what="a copy of the gallery")
    with _progress("verifying", "crops") as advance:
        found = copy_gallery(opened, target, advance, database)
    return {"copy": str(target)} | found.to_dict(), f"{target}: {found}"


def _ago(text: str, option: str) -> datetime:
    """The time that lies so many days or hours back."""
    from datetime import UTC, timedelta

    count, unit = text[:-1], {"d": "days", "h": "hours"}.get(text[-1:])
    if unit is None or not count.isdecimal() or len(count) > 5:
        raise UserError(f'{option}: "{text}" is no age such as 30d or 12h')
    return datetime.now(UTC) - timedelta(**{unit: int(count)})


def _confirm(what: str, yes: bool) -> None:
    """Go on only if the user agrees."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UserError(f"{what}? Nobody can be asked here: --yes does it, --dry-run only looks")
    if not typer.confirm(one_line(f"{what}?"), err=True):
        raise typer.Exit(1)


def _identities(gallery: Path) -> "Identities":
    from reidapp.gallery.identities import Identities
    from reidapp.gallery.store import Gallery

    return Identities(Gallery.open(gallery), _who())


def _cases(gallery: Path) -> "Cases":
    from reidapp.gallery.cases import Cases
    from reidapp.gallery.store import Gallery

    return Cases(Gallery.open(gallery), _who())


def _users(gallery: Path | None, access: Path | None) -> "Users":
    from reidapp.server.access_folder import AccessFolder
    from reidapp.server.users import Users

    return Users(AccessFolder.of(gallery, access))


def _audit(gallery: Path | None, access: Path | None) -> "Audit":
    from reidapp.server import audit
    from reidapp.server.access_folder import AccessFolder

    folder = AccessFolder.of(gallery, access)
    if not folder.has(audit.FILE_NAME):
        raise UserError(
            f"{folder.path / audit.FILE_NAME}: no log; it begins with `reidapp serve` or `reidapp users add`"
        )
    return audit.Audit(folder)


def _noted(gallery: Path, action: str, **about: str | int | None) -> str:
    """Write a row into the log of a gallery that is or was served; before it is done. Returns who does it, by an id."""
    from reidapp.server import audit
    from reidapp.server.access_folder import NOTED, AccessFolder
    from reidapp.server.users import Users

    folder = AccessFolder.of(gallery)
    if not folder.has(audit.FILE_NAME):
        return ""
    by = Users(folder).of_system(_who()).id
    if not os.environ.get(NOTED):
        audit.Audit(folder).add(action, by, gallery.resolve().name, **about)
    return by


def _noting(store: "Users") -> "Users":
    """Of whom what changes is written down as this account's doing."""
    from reidapp.server.audit import Audit

    log, by = Audit(store.folder), store.of_system(_who()).id

    def note(what: str, account: "Account") -> None:
        log.add("change of rights", by, what=what, account=account.id)

    return store.noted(note)


def _remove(kind: "Kind", name: str, gallery: Path | None, access: Path | None) -> None:
    store = _users(gallery, access)
    store.named(kind, name)  # before a log is begun where there are none
    _noting(store).remove(kind, name)


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
            _note(f'note: camera "{name}" is not in {gallery}, so far{suggestion(name, sorted(filter(None, known)))}')

    def time(text: str | None, option: str) -> datetime | None:
        if opened is None and text:
            with contextlib.suppress(ValueError):  # what is no time, `_time` says
                if datetime.fromisoformat(text).tzinfo is None:
                    raise UserError(f"{option}: write the zone, as in {text}+00:00, or give --gallery: its cameras'")
        return _time(text, option, opened)  # type: ignore[arg-type]  # not looked at where the zone is said

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


def _who() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in some containers
        return "unknown"


def _done(told: list[str], json: bool) -> None:
    _show({"done": told}, "\n".join(told), json)


def _note(text: str) -> None:
    print(one_line(text), file=sys.stderr, flush=True)


def _show(facts: dict[str, Any], text: str, json: bool) -> None:
    print(json_.dumps(facts, ensure_ascii=False, default=str) if json else text, flush=True)


@contextlib.contextmanager
def _progress(title: str, unit: str) -> "Iterator[Callable[..., None]]":
    """A bar with the rate and the time left, where standard error is a terminal; yields advance(done, total, label)."""
    if _lines:
        from training.progress import Lines

        yield Lines(title)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %  {task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[label]}", markup=False),  # a file's name, which may have brackets
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None, label="", rate="")

        def advance(done: float, total: float, label: str = "") -> None:
            speed = bar.tasks[0].speed or 0.0
            rate = f"{speed:.0f}" if speed >= 10 else f"{speed:.2g}"
            bar.update(
                task, completed=done, total=total, label=one_line(label), rate=f"{rate} {unit}/s" if speed else ""
            )

        yield advance


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


def _watched(
    watcher: "Watcher",
    index_all: "Callable[[Footage], IndexReport]",
    summary: "Callable[[IndexReport], str]",
    every_s: float,
    json: bool,
) -> "IndexReport":
    """Index until Ctrl-C, or until a service is stopped."""
    from reidapp.footage.watching import watch

    passes = 0

    def took(report: "IndexReport") -> None:
        nonlocal passes
        passes += 1
        _show({"pass": passes, **report.to_dict()}, summary(report), json)

    _note(f"watching {watcher.folder}; Ctrl-C ends it")
    total = watch(watcher, index_all, took, _note, every_s)
    _show({"passes": passes, **total.to_dict()}, f"in all: {summary(total)}", json)
    return total


def _export_summary(card: "ModelCard") -> str:
    title = f"{card.name}, {card.precision}, {card.height}×{card.width} → {card.dim}-d"
    return "\n  ".join([title, *card.score_lines()])


def _outline(facts: dict[str, Any], indent: str = "") -> Iterator[str]:
    """Nested facts as indented lines; empty ones are left out."""
    for key, value in facts.items():
        if isinstance(value, dict) and value:
            yield f"{indent}{key}:"
            yield from _outline(value, indent + "  ")
        elif value not in ("", None, [], {}):
            yield f"{indent}{key}: {', '.join(map(str, value)) if isinstance(value, list) else value}"


def _odds(result: "SearchResult", partial: bool, filtered: bool, gallery: Path) -> Iterator[str]:
    """What P(match) says of the hits together."""
    yield from result.told(filtered)
    if result.hits and not result.calibration:
        how = f"for P(match): reidapp gallery calibrate -g {gallery}"
        yield f"The scores only rank; {'P(match) is for pictures alone' if partial else how}"


def _hits_table(hits: "list[Hit]") -> str:
    from zoneinfo import ZoneInfo

    from reidapp.gallery.recordings import IN_WORDS
    from reidapp.imaging import is_picture

    if not hits:
        return "nothing found: no tracklet is left after the filters"
    width = max(len(hit.camera) for hit in hits)

    def line(hit: "Hit") -> str:
        start, end = (time.astimezone(ZoneInfo(hit.zone)) for time in (hit.start, hit.end))
        when = f"{start:%Y-%m-%d %H:%M:%S} – {end:%H:%M:%S %Z}"
        marks = [f"time uncertain ({hit.start_source})" if hit.uncertain else "", IN_WORDS.get(hit.recording, "")]
        marks = [mark.partition(":")[0] for mark in marks if mark]
        at = "" if is_picture(hit.video) else f" at {hit.best_s:.1f} s"
        where = hit.video.name + at + (f"  [{', '.join(marks)}]" if marks else "")
        likely = "" if hit.p_match is None else f"{hit.p_match:>4.0%}  "
        return f"{hit.rank:>3}  {likely}{hit.score:.3f}  {hit.tracklet}  {hit.camera:<{width}}  {when}  {where}"

    return "\n".join(map(line, hits))
