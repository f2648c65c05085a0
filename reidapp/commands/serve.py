"""`reidapp serve`."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reidapp.commands import journal, opening, output
from reidapp.commands.options import AccessOption, DetectorOption, named
from reidapp.errors import UserError

if TYPE_CHECKING:
    from reidapp.server.run import Place


def serve(
    gallery: Annotated[
        list[Path],
        typer.Option(
            "--gallery",
            "-g",
            callback=lambda folders: [*map(named, folders)],
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
    vectors_on_gpu: Annotated[
        bool, typer.Option("--vectors-on-gpu", help="Search a copy of the vectors on a GPU, by faiss-gpu.")
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
    serve_galleries(
        gallery, place, detector, open_browser, footage or [], access, demand_purpose, log == "json", vectors_on_gpu
    )


def serve_galleries(
    galleries: "Sequence[Path]",
    place: "Place",
    detector: str | None,
    open_browser: bool,
    footage: "Sequence[Path]" = (),
    access: Path | None = None,
    demand_purpose: bool = False,
    as_events: bool = False,
    vectors_on_gpu: bool = False,
) -> None:
    """Serve until Ctrl-C, or until a service is stopped."""
    from functools import cache

    from models import zoo
    from reidapp.footage.detection import open_detector
    from reidapp.gallery import mirror
    from reidapp.gallery.gpu import Gpu
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

    gpu = Gpu() if vectors_on_gpu else None
    opened, detectors = [Gallery.open(path) for path in galleries], cache(open_detector)
    for each in opened if gpu else []:
        if (searched_by := mirror.place(each)) != mirror.FAISS:
            raise UserError(f"--vectors-on-gpu: {each.path} is searched by {searched_by}; leave one of them out")
    folder = AccessFolder.of(galleries[0], access)
    users = Users(folder)
    place.check(has_users := bool(users.all()))
    with place.bind() as bound:  # a taken port is said now, not when all is loaded
        if not as_events:
            output.note(f"loading {', '.join(map(str, galleries))} …")  # a large one takes a while
        services = [
            SearchService(each, opening.own_model(each, batch=1), detectors(detector or each.detector), gpu)
            for each in opened
        ]
        served, audit = Galleries(services), Audit(folder)
        os.environ[VARIABLE] = str(folder.path)  # commands that are run as jobs have the same log
        door = UserDoor(users, Sessions(users, folder.secret("session.key")), audit) if has_users else None
        link = None if door else OneTimeLink()
        jobs = Jobs([path.resolve() for path in footage], {name: zoo.file_of(name) for name in zoo.names()})
        app = build_app(
            served, link, asker=users.of_system(journal.who()), door=door, users=users, audit=audit,
            demand_purpose=demand_purpose, public=place.public, any_host=not place.is_loopback, jobs=jobs,
        )  # fmt: skip
        keeper = Keeper(served, jobs, audit)
        keeper.start()
        with output.interruptible("the server has ended, and its jobs with it"):
            try:
                run(mount(app, served), place, bound=bound, link=link, open_browser=open_browser, as_events=as_events)
            finally:
                keeper.close()
                jobs.close()
