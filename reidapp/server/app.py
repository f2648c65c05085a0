"""The FastAPI application, without the page (``ui.page.mount`` adds it)."""

import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from reidapp import __version__
from reidapp.errors import ReidappError, UnavailableError, UnknownError, UserError
from reidapp.files import BusyError, DiskError, one_line
from reidapp.server import sign_in
from reidapp.server.access import API
from reidapp.server.askers import Asker, RefusedError
from reidapp.server.audit import Audit
from reidapp.server.galleries import Galleries
from reidapp.server.jobs import Jobs
from reidapp.server.metrics import Measured, Metrics
from reidapp.server.routes import api_routes, health
from reidapp.server.security import (
    RETRY,
    BelowPath,
    Door,
    Gate,
    LinkDoor,
    OneTimeLink,
    OpenDoor,
    OriginGuard,
    origin_of,
)
from reidapp.server.service import SearchService
from reidapp.server.turns import Turns
from reidapp.server.users import Users

_STATUS: tuple[tuple[type[ReidappError], int], ...] = (
    (UnknownError, 404),
    (UserError, 422),
    (BusyError, 409),
    (RefusedError, 403),
    (UnavailableError, 503),
    (DiskError, 507),
)
_log = logging.getLogger(__name__)
_DESCRIPTION = (
    f"Every path is that of the default gallery; each also exists below `{API}/galleries/{{gallery}}/…`, for one of "
    "several that `/galleries` lists. Times are ISO 8601 with a zone, UTC in answers; scores and boxes are 0..1."
)


def build_app(
    served: SearchService | Galleries,
    link: OneTimeLink | None = None,
    *,
    asker: Asker | None = None,
    door: sign_in.UserDoor | None = None,
    users: Users | None = None,
    audit: Audit | None = None,
    demand_purpose: bool = False,
    public: str | None = None,
    any_host: bool = False,
    jobs: Jobs | None = None,
    turns: Turns | None = None,
) -> FastAPI:
    """The server around one gallery or several.

    Args:
        served: what is searched.
        link: the one-time link that starts a session; without it, and without a door, every account of this machine
            gets in.
        asker: who has come by the link.
        door: lets users in, in place of the link.
        users: those whom admins may change here.
        audit: the log of what is done; nothing is kept without one.
        demand_purpose: a search has to say what it is for.
        public: the address that users know it by, behind a reverse proxy, such as ``https://cams.example/reid``.
        any_host: see `reidapp.server.security.OriginGuard`.
        jobs: runs what takes long; child processes of this one.
        turns: how many search at once, and how many wait.

    Raises:
        UserError: ``public`` is no address.
    """
    origin = origin_of(public) if public else None
    outside = urlsplit(public or "")
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.galleries = served if isinstance(served, Galleries) else Galleries([served])
    app.state.door = door
    app.state.users = users
    app.state.audit = audit
    app.state.demand_purpose = demand_purpose
    app.state.jobs = jobs or Jobs()
    app.state.turns = turns or Turns()
    app.state.metrics = Metrics(app.state.galleries, app.state.jobs)
    app.state.api = outside.path.rstrip("/") + API
    app.include_router(health.router)
    app.include_router(sign_in.router)
    # Mounted, so that what no route of it takes does not reach the page, which answers every path.
    app.mount(API, api := _api(), name="api")
    api.state = app.state
    api.add_middleware(Measured, metrics=app.state.metrics)
    for part in (app, api):
        part.add_exception_handler(ReidappError, _say_what_is_wrong)
        part.add_exception_handler(RequestValidationError, _say_what_is_invalid)
        part.add_exception_handler(HTTPException, _say_what_is_missing)
    who = asker or Asker("link")
    way_in: Door = door or (LinkDoor(link, who) if link else OpenDoor(who))
    # The one added last is asked first.
    app.add_middleware(Gate, door=way_in)
    app.add_middleware(OriginGuard, public=origin, any_host=any_host)
    if root := outside.path.rstrip("/"):
        app.add_middleware(BelowPath, root=root)
    return app


def described() -> dict[str, Any]:
    """The REST API's OpenAPI description, without a server."""
    description: dict[str, Any] = _api().openapi()
    return description


def _api() -> FastAPI:
    api = FastAPI(
        title="reidapp",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    api.include_router(api_routes())
    return api


async def _say_what_is_wrong(request: Request, error: Exception) -> JSONResponse:
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    text = str(error)
    if status in (500, 507):
        _log.error("a request failed: %s", one_line(text), extra={"facts": {"fault": type(error).__name__}})
    state = request.app.state
    for name, service in state.galleries:  # where they are is nobody's business but the server's
        text = text.replace(str(service.gallery.path), name)
    if state.audit is not None:
        text = text.replace(str(state.audit.folder.path), "access")
    return _problem(text, status, RETRY if status == 503 else None)


async def _say_what_is_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - as it is registered; for mypy
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    return _problem(f"{where}: {first['msg']}" if where else str(first["msg"]), 422)


async def _say_what_is_missing(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - as it is registered; for mypy
    return _problem(str(error.detail), error.status_code, error.headers)


def _problem(text: str, status: int, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": one_line(text)}, status, headers)
