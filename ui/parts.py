"""Own components: each is NAME.html and NAME.js in ``components/``, run by Gradio's HTML component.

The HTML is static and the script fills it with DOM calls. Gradio could fill it from templates, but those are compiled
as JavaScript with the values inside: a camera called ``${…}`` would run.
"""

from pathlib import Path

import gradio as gr

FOLDER = Path(__file__).parent / "components"
STYLE = FOLDER / "page.css"


def part(name: str) -> gr.HTML:
    """A component from ``components/``; its value is JSON, read and written by both sides."""
    script = (FOLDER / "common.js").read_text("utf-8") + (FOLDER / f"{name}.js").read_text("utf-8")
    html = (FOLDER / f"{name}.html").read_text("utf-8")
    return gr.HTML(
        html_template=html,
        js_on_load=script,
        apply_default_css=False,
        elem_id=name,
        elem_classes="reid",
    )
