"""Whether the server lives and can answer, which everybody may ask; and its figures, which say what it holds."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

from reidapp.server.access import Anybody, galleries_of
from reidapp.server.askers import RefusedError
from reidapp.server.galleries import UNREADABLE
from reidapp.server.routes._shared import Problem

router = APIRouter(tags=["health"])


class Status(BaseModel):
    status: str


@router.get("/healthz")
def healthz() -> Status:
    """The process answers."""
    return Status(status="ok")


@router.get("/readyz", response_model=Status, responses={503: {"model": Problem}})
def readyz(request: Request) -> Status | JSONResponse:
    """Every gallery can be read, and searched with its own model."""
    try:
        for _, service in galleries_of(request):
            service.check()
    except UNREADABLE:  # its text may name files
        return JSONResponse({"error": "a gallery cannot be read; `reidapp gallery verify` says why"}, 503)
    return Status(status="ready")


@router.get("/metrics", response_class=Response)
def metrics(request: Request, asker: Anybody) -> Response:
    """Figures in Prometheus' text form, for who may see all: they count what is in the galleries."""
    if not asker.sees_all:
        raise RefusedError(f"{asker.name} may see a part of the galleries; the figures are of all")
    return Response(generate_latest(request.app.state.metrics.registry), media_type=CONTENT_TYPE_LATEST)
