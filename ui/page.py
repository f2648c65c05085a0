"""The web page: Gradio's frame around own components, put into the server's application.

Each module in ``pages/`` is a page: its `start` fills an element. What pages share is in ``components/``, words are
in ``texts/``, one table per language, or in the page's own file. The modules are served as they are, under ``ui/``,
and ask the REST API.
"""

import json
import os
import re
import warnings
from pathlib import Path

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import gradio as gr
from fastapi import FastAPI
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from reidapp.server.galleries import Galleries
from reidapp.server.security import path_inside, refused
from reidapp.server.service import SearchService

FOLDER = Path(__file__).parent
SERVED = ("pages", "components", "texts")
# In the bar at the top; others follow by name.
ORDER = ("search", "browse", "cases", "identities", "indexing", "models", "admin")
CLOSED = re.compile(r"/(gradio_api|monitoring|login|logout|dev|svelte)(/|$)")
NEEDED = re.compile(r"/gradio_api/(info|startup-events|theme\.css|heartbeat/[0-9a-z]+)/?")


def pages_found() -> dict[str, str]:
    """By module, in order, the path of every page below the root; the search is the root itself."""
    found = {path.stem for path in (FOLDER / "pages").glob("*.js")}
    order = sorted(found, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    return {name: "" if name == "search" else name for name in order}


PAGES = pages_found()
SYSTEM_FONTS = (
    *("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans"),
    *("PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "sans-serif"),
)
SYSTEM_MONO = ("ui-monospace", "Consolas", "monospace")

# Relative to the page's own address, so that it holds under a proxy's path too.
_START = """
const about = {about};
const load = (path) => import(new URL(path, document.baseURI));
Promise.all([load("ui/pages/{name}.js"), load("ui/components/language.js").then((words) => words.learn(about.pages))])
  .then(([page]) => page.start(element.querySelector(".page"), about))
  .catch((error) => {{
    element.querySelector(".page").textContent = "The page cannot be shown; load it again.";
    console.error(error);
  }});
"""


def mount(app: FastAPI, served: SearchService | Galleries, path: str = "/") -> FastAPI:
    """Put the pages into an application made by ``reidapp.server.app.build_app``."""
    for name in SERVED:
        app.mount(f"{path}ui/{name}", Fresh(directory=FOLDER / name))
    warnings.filterwarnings("ignore", "SSR mode is not supported")  # nor wanted; Gradio says so even where it is off
    gr.mount_gradio_app(
        app,
        build_pages(
            served if isinstance(served, Galleries) else Galleries([served]), with_paths=app.state.door is None
        ),
        path=path,
        server_name="127.0.0.1",
        theme=theme(),
        css_paths=[FOLDER / "components" / "page.css"],
        footer_links=[],
        run_history=False,  # it would keep queries in the browser
        show_error=False,
        max_file_size="1mb",  # pictures come by the API; nothing is uploaded through Gradio
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
    )
    page = app.routes[-1]
    if not isinstance(page, Mount):  # another would stand there unguarded
        raise TypeError(f"{page}: not Gradio's page")
    page.app = OnlyThePage(page.app)
    return app


def build_pages(served: Galleries, with_paths: bool = True) -> gr.Blocks:
    """Gradio's part: a frame of one element for each page.

    Args:
        with_paths: who looks at it may know where galleries are.
    """
    galleries = [{"name": name, "path": str(service.gallery.path) if with_paths else name} for name, service in served]
    about = json.dumps({"galleries": galleries, "pages": PAGES})
    with gr.Blocks(title="reidapp", analytics_enabled=False, fill_width=True, delete_cache=(600, 600)) as blocks:
        _page("search", about)
    for name, path in PAGES.items():
        if path:
            with blocks.route(name, path, show_in_navbar=False):
                _page(name, about)
    return blocks


def _page(name: str, about: str) -> None:
    start = _START.format(name=name, about=about)
    gr.HTML(
        '<div class="page"></div>',
        js_on_load=start,
        apply_default_css=False,
        elem_id=f"page-{name}",
        elem_classes="reid",
    )


class OnlyThePage:
    """Of Gradio's own routes those that its page needs: nothing here is uploaded through it, run by its queue, or
    served by it as a file, so no way leads there.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            path = path_inside(scope)
            if CLOSED.match(path) and not NEEDED.fullmatch(path):
                await refused(scope, "There is nothing here.", 404)(scope, receive, send)
                return
        await self.app(scope, receive, send)


class Fresh(StaticFiles):
    """Files that a browser asks about again each time, so that none is of another version than the server."""

    def file_response(self, *args: object, **kwargs: object) -> Response:
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers["Cache-Control"] = "no-cache"
        return response


def theme() -> gr.themes.Base:
    """Calm, and with the system's own fonts: Gradio's themes name fonts that it loads from elsewhere."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.slate,
        font=SYSTEM_FONTS,
        font_mono=SYSTEM_MONO,
    ).set(  # all in one call: another one would take some of them back
        # What belongs together lies on panels, a shade from the ground.
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        background_fill_primary_dark="*neutral_900",
        background_fill_secondary="*neutral_100",
        background_fill_secondary_dark="*neutral_800",
        input_background_fill="white",
        input_background_fill_dark="*neutral_950",
        # The defaults are too pale to read: 4.5 to 1 is what WCAG asks for.
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_800",
    )
