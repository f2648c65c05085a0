"""The FastAPI application, without the page (``ui.page.mount`` adds it)."""

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from reidapp import __version__
from reidapp.errors import ReidappError, UserError
from reidapp.server.media import media_routes
from reidapp.server.security import LinkGate, LoopbackGuard, OneTimeLink
from reidapp.server.service import SearchService


def build_app(service: SearchService, link: OneTimeLink | None = None) -> FastAPI:
    """The server around one gallery.

    Args:
        service: the gallery and what searches it.
        link: the one-time link that starts a session; without it, every account of this machine gets in.
    """
    app = FastAPI(title="reidapp", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(media_routes(service))

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.exception_handler(ReidappError)
    async def say_what_is_wrong(request: Request, error: ReidappError) -> JSONResponse:
        status = 500 if not isinstance(error, UserError) else 404 if request.method == "GET" else 422
        return JSONResponse({"error": str(error)}, status)

    # The one added last is asked first.
    if link is not None:
        app.add_middleware(LinkGate, link=link)
    app.add_middleware(LoopbackGuard)
    return app
