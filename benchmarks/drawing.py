"""How the drawings of docs/results/figures look: light, and the same bytes for the same figures.

Each carries a digest of the values that it was drawn from, so that one that is older than its values can be told.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from PIL import Image

from benchmarks.method_rows import DOCS

FIGURES = DOCS / "figures"
INK, QUIET, OURS, THEIRS = "#24292f", "#8c959f", "#1f5fa8", "#c9d1d9"
RIGHT, WRONG = "#1a7f37", "#c62828"
COLOURS = ("#1f5fa8", "#d9822b", "#1a7f37", "#8250df", "#c62828", "#6e7781", "#0a7c86", "#b35900")
# From here on, for whatever this process draws.
matplotlib.rcdefaults()
matplotlib.rcParams.update(
    {
        "font.size": 9,
        "font.family": "sans-serif",
        "axes.edgecolor": QUIET,
        "axes.labelcolor": INK,
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#e4e7eb",
        "legend.frameon": False,
        "legend.fontsize": 8,
        "lines.linewidth": 1.8,
        "lines.markersize": 4.5,
        "savefig.facecolor": "white",
        "svg.fonttype": "none",  # letters stay letters: a fifth of the size, and a reader can search for them
        "svg.hashsalt": "reidapp",
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
    }
)
_DESCRIPTION = 0x010E  # Exif's tag ImageDescription
_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


def drawn(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, Sequence[Axes]]:
    """A figure of so many inches, and its axes line by line."""
    figure = Figure(figsize=size, layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def round_number(value: float, _: object = None) -> str:
    """For ticks of a logarithmic axis: ``0.01``, ``100``, ``10 k``, ``1 M``."""
    for size, letter in ((1e6, " M"), (1e3, " k"), (1, "")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def logarithmic(axes: Axes) -> None:
    """Both axes, with a tick for each power of ten and no more."""
    axes.set(xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(round_number)
        axis.set_minor_locator(NullLocator())


def save(figure: Figure, name: str, values: Any) -> Path:
    """As docs/results/figures/NAME: ``.svg``, or ``.webp`` where there are pictures in it.

    Args:
        values: all that is drawn, as JSON has it; the file gets its digest.
    """
    FIGURES.mkdir(parents=True, exist_ok=True)
    file, said = FIGURES / name, f"drawn from {digest(values)}"
    if file.suffix == ".svg":
        figure.savefig(file, metadata=_NO_METADATA | {"Description": said})
    else:
        exif = Image.Exif()
        exif[_DESCRIPTION] = said
        figure.savefig(file, dpi=110, pil_kwargs={"quality": 85, "method": 6, "exif": exif})
    return file


def digest(values: Any) -> str:
    """The same for the same values on every machine: the last digits of a computed float don't count."""
    return hashlib.sha256(json.dumps(_rounded(values), sort_keys=True).encode()).hexdigest()[:16]


def digest_in(file: Path) -> str | None:
    """What `save` has written into a file."""
    if file.suffix == ".svg":
        said = file.read_text("utf-8")
    else:
        with Image.open(file) as picture:
            said = str(picture.getexif().get(_DESCRIPTION))
    found = re.search(r"drawn from (\w{16})", said)
    return found and found[1]


def _rounded(values: Any) -> Any:
    if isinstance(values, float):
        return f"{values:.6g}"
    if isinstance(values, dict):
        return {name: _rounded(value) for name, value in values.items()}
    return [_rounded(value) for value in values] if isinstance(values, list | tuple) else values
