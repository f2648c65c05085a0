"""The documentation as a site, from the Markdown files beside this one: `make docs`, then build/docs/index.html."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "reidapp"
extensions = ["myst_parser"]
exclude_patterns = ["results/*/notes.md"]
html_theme = "furo"
html_title = "reidapp"
myst_heading_anchors = 3


def setup(app: object) -> None:
    import make_reference

    make_reference.main()
