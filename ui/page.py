"""The search page, and how it is put into the server's application."""

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import gradio as gr
from fastapi import FastAPI

from reidapp.errors import ReidappError
from reidapp.server.service import SearchService
from ui import view
from ui.parts import STYLE, part

TOP = 40
SYSTEM_FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif")
SYSTEM_MONO = ("ui-monospace", "Consolas", "monospace")


def mount(app: FastAPI, service: SearchService, path: str = "/") -> FastAPI:
    """Put the page into an application made by ``reidapp.server.app.build_app``."""
    return gr.mount_gradio_app(
        app,
        build_page(service),
        path=path,
        server_name="127.0.0.1",
        theme=theme(),
        css_paths=[STYLE],
        footer_links=[],
        run_history=False,  # it would keep queries in the browser
        show_error=False,
        max_file_size="1mb",  # pictures come by /media/query; nothing is uploaded through Gradio
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
    )


def build_page(service: SearchService) -> gr.Blocks:
    """The page around one gallery."""
    with gr.Blocks(title="reidapp", analytics_enabled=False, fill_width=True, delete_cache=(600, 600)) as page:
        summary = part("summary")
        with gr.Row(elem_id="work"):
            with gr.Column(elem_id="side"):
                query = part("picker")
                cameras = gr.CheckboxGroup(label="Cameras", info="None ticked: all of them.", elem_id="cameras")
                times = part("times")
                go = gr.Button("Search", variant="primary", elem_id="search")
            with gr.Column(elem_id="main"):
                part("player")
                hits = part("hits")

        def load() -> tuple[list[list[str]], gr.CheckboxGroup, view.Json, view.Json]:
            infos = service.gallery.cameras()
            start = view.message("Give a picture of the person and press Search: the hits of all cameras appear here.")
            return (
                view.facts(service.gallery, service.provider),
                gr.CheckboxGroup(choices=view.camera_choices(infos), value=[]),
                view.clock_choice(infos),
                start if infos else view.empty_gallery(service.gallery),
            )

        def search(chosen: view.Json | None, names: list[str], choice: view.Json | None) -> view.Json:
            try:
                after, before = view.chosen_times(choice)
                if not service.gallery.cameras():
                    return view.empty_gallery(service.gallery)
                picture, box = view.chosen_person(chosen)
                result = service.search(picture, box, cameras=names, after=after, before=before, top=TOP)
            except ReidappError as error:
                return view.message(problem=str(error))
            return view.hits(result, filtered=bool(names or after or before))

        page.load(load, None, [summary, cameras, times, hits], show_progress="hidden", api_visibility="private")
        go.click(
            search,
            [query, cameras, times],
            hits,
            show_progress="minimal",
            concurrency_limit=4,
            trigger_mode="always_last",
            api_visibility="private",
        )
    page.queue(max_size=64)
    return page


def theme() -> gr.themes.Base:
    """Calm, and with the system's own fonts: Gradio's themes name fonts that it loads from elsewhere."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.slate,
        font=SYSTEM_FONTS,
        font_mono=SYSTEM_MONO,
    ).set(  # the defaults are too pale to read: 4.5 to 1 is what WCAG asks for
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
