"""Pictures of an evaluation: `reidapp evaluate … --figures DIR`.

    cmc.png         share of queries with a right match among the first k
    roc.png         share of genuine pairs accepted against that of impostors, and the threshold
    ranked.png      queries and the first ten of their rankings
    activation.png  where the network looks; of run folders, since an exported model gives no feature map

The rankings shown are those that were scored: the same distances, the same images left out.
"""

import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter

from reidapp.errors import UserError
from reidapp.gallery.calibration import Calibration
from reidapp.imaging import read_image, resize
from reidapp.metrics import Distances, People, RetrievalScores, Verification
from training.data.datasets import Record

NAMES = ("cmc.png", "roc.png", "ranked.png", "activation.png")
_QUERIES = 8
_RANKS = 10
_CROP = (192, 96)  # height and width of a crop in a picture, in pixels
_CELL = (1.98, 0.93)  # of it with its frame and label, in inches
_RIGHT, _WRONG, _INK, _LINE = "#1a7f37", "#c62828", "#24292f", "#1f5fa8"
_STYLE = {
    "font.size": 9,
    "axes.edgecolor": "#8c959f",
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e7eb",
    "axes.axisbelow": True,
    "savefig.dpi": 130,
}


@dataclass(frozen=True)
class Shown:
    """What a ranking is drawn from: the records and, in their order, who they are and how far apart.

    Attributes:
        score: what is written below a crop; ``cosine`` is the distance's negative.
    """

    query: list[Record]
    gallery: list[Record]
    people: People
    distances: Distances
    score: Literal["cosine", "distance"]

    def first(self, query: int) -> list[tuple[Record, float, bool]]:
        """The first ten for a query, as scored: (record, score, right)."""
        row = self.distances(slice(query, query + 1))[0]
        images, right = self.people.same_person(query)
        matches = np.zeros(len(row), bool)
        matches[images[right]] = True
        left_out = np.zeros(len(row), bool)
        left_out[images[~right]] = True
        order = np.lexsort((matches, row))  # among equals the wrong one first, as in the scores
        order = order[~left_out[order]][:_RANKS]
        sign = -1 if self.score == "cosine" else 1
        return [(self.gallery[k], sign * float(row[k]), bool(matches[k])) for k in order]


def make_folder(folder: Path) -> None:
    """Make the folder, without what an earlier evaluation drew there."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--figures {folder}: a file; name a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in NAMES:
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"--figures {folder}: cannot be written to ({error.strerror}); name another folder") from error


def write_figures(
    folder: Path, model: Path, scores: RetrievalScores, shown: Shown, warn: Callable[[str], object]
) -> None:
    """Draw all that there is data for; say why one is missing."""
    queries = evenly(scores.average_precisions, _QUERIES)
    with matplotlib.style.context(["default", _STYLE]):
        _save(folder / "cmc.png", draw_cmc(scores, model.stem))
        _save(folder / "ranked.png", draw_ranked(shown, queries, scores))
        if scores.verification:
            _save(folder / "roc.png", draw_roc(scores.verification, model.stem))
        else:
            warn("roc.png not drawn: it needs a genuine pair and a thousand impostor pairs")
        if model.is_dir():
            crops = [read_image(shown.query[k].path) for k in queries]
            _save(folder / "activation.png", draw_activation(crops, energy(model, crops), model.stem))
        else:
            warn("activation.png not drawn: an exported model gives no feature map; evaluate the run's folder for it")


def write_reliability(file: Path, calibration: Calibration) -> None:
    """Draw P(match) against the share of matches, for `reidapp gallery calibrate --plot`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.style.context(["default", _STYLE]):
        _save(file, draw_reliability(calibration))


def draw_reliability(calibration: Calibration) -> Figure:
    pairs = f"{calibration.matches:,} pairs of one person, {calibration.others:,} of two"
    figure, axes = _plot("How far P(match) can be believed", f"by {calibration.source}: {pairs}; each predicted unseen")
    given, right = np.array([(point.p_match, point.right) for point in calibration.reliability]).T
    axes.plot([0, 1], [0, 1], color="#8c959f", linewidth=1, linestyle="--")
    axes.plot(given, right, color=_LINE, marker="o", markersize=4, linewidth=1.8, clip_on=False)
    axes.set(xlabel="P(match), mean of a bin", ylabel="share that is the same person", xlim=(0, 1), ylim=(0, 1))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.text(0.98, 0.05, f"expected calibration error {calibration.error:.3f}", transform=axes.transAxes, ha="right")
    return figure


def evenly(precisions: tuple[float | None, ...], count: int) -> list[int]:
    """Queries spread evenly over average precision, best first."""
    scored = [(-precision, query) for query, precision in enumerate(precisions) if precision is not None]
    ordered = [query for _, query in sorted(scored)]
    at = np.linspace(0, len(ordered) - 1, min(count, len(ordered))).round().astype(int)
    return [ordered[k] for k in at]


def draw_cmc(scores: RetrievalScores, name: str) -> Figure:
    figure, axes = _plot(f"Cumulative match characteristic — {name}", scores.protocol)
    ranks = np.arange(1, len(scores.cmc) + 1)
    axes.plot(ranks, scores.cmc, color=_LINE, marker="o", markersize=3.5, linewidth=1.8, clip_on=False)
    bottom = max(0, np.floor(scores.rank1 * 10 - 1) / 10)
    for k in (1, 5, 10):
        room = scores.cmc[k - 1] - bottom > 0.1 * (1 - bottom)  # between the point and the axis
        _annotate(axes, f"{scores.cmc[k - 1]:.1%}", (k, scores.cmc[k - 1]), (4, -14) if room else (4, 8))
    axes.set(xlabel="rank k", ylabel="queries with a right match among the first k", xlim=(0.5, 20.5))
    axes.set(ylim=(bottom, 1), xticks=[1, 5, 10, 15, 20])
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    facts = f"mAP {scores.mAP:.1%}   mINP {scores.mINP:.1%}\n{scores.size}"
    axes.text(0.98, 0.05, facts, transform=axes.transAxes, ha="right")
    return figure


def draw_roc(verification: Verification, name: str) -> Figure:
    pairs = f"{verification.genuine:,} genuine and {verification.impostors:,} impostor pairs; threshold on the cosine"
    figure, axes = _plot(f"Receiver operating characteristic — {name}", pairs)
    rates, accepted, _ = np.array(verification.roc).T
    axes.semilogx(rates, accepted, color=_LINE, marker="o", markersize=3, linewidth=1.8)
    axes.semilogx([1e-3], [verification.tpr], "o", color=_WRONG, markersize=7)
    text = f"cosine ≥ {verification.threshold:.3f}\naccepts {verification.tpr:.1%}, falsely 0.1%"
    _annotate(axes, text, (1e-3, verification.tpr), (8, -28) if verification.tpr > 0.2 else (8, 12))
    axes.set(xlabel="false-match rate", ylabel="genuine pairs accepted", xlim=(0.9e-4, 1.1e-1), ylim=(0, 1))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return figure


def draw_ranked(shown: Shown, queries: list[int], scores: RetrievalScores) -> Figure:
    title = f"{len(queries)} of {scores.queries} queries, spread evenly over average precision, best first"
    legend = f"✓ green: right   ✗ red: wrong   below each: {shown.score}"
    sheet = Sheet(len(queries), 1 + _RANKS, f"{title}\n{legend}\n" + textwrap.fill(scores.protocol, 140))
    for column, heading in enumerate(["query", *range(1, _RANKS + 1)]):
        sheet.head(column, str(heading))
    for line, query in enumerate(queries):
        sheet.put(line, 0, _crop(shown.query[query]), f"AP {scores.average_precisions[query]:.2f}")
        for rank, (record, score, right) in enumerate(shown.first(query), start=1):
            mark, colour = ("✓", _RIGHT) if right else ("✗", _WRONG)
            sheet.put(line, rank, _crop(record), f"{mark} {score:.4f}", colour)
    return sheet.figure


def draw_activation(crops: list[np.ndarray], energies: list[np.ndarray], name: str) -> Figure:
    title = f"Where the network looks — {name}"
    explanation = "energy of the last feature map, brightest where it is strongest; the queries of ranked.png"
    sheet = Sheet(2, max(len(crops), 7), f"{title}\n{explanation}")
    for column, (crop, map_) in enumerate(zip(crops, energies, strict=True)):
        heat = 255 * matplotlib.colormaps["inferno"](map_)[..., :3]
        crop = resize(crop, *_CROP)
        sheet.put(0, column, crop)
        sheet.put(1, column, (0.4 * crop + 0.6 * heat).astype(np.uint8))
    return sheet.figure


def energy(run: Path, crops: list[np.ndarray]) -> list[np.ndarray]:
    """Σ_c F_c² of the backbone's feature map F for each crop, from 0 to 1, in a picture's size: float [192, 96].

    A backbone with several maps gives their mean.
    """
    import torch
    import torch.nn.functional as F

    from models.run_folder import load_network

    network = load_network(run)
    images = np.stack([resize(crop, network.height, network.width) for crop in crops])
    with torch.inference_mode():
        maps = network.backbone(network.normalise(torch.from_numpy(images)))
        total = torch.zeros(len(crops), 1, *_CROP)
        for features in maps if isinstance(maps, tuple) else (maps,):
            squares = features.float().square().sum(dim=1, keepdim=True)
            squares = F.interpolate(squares, _CROP, mode="bilinear", align_corners=False)
            low, high = squares.amin((1, 2, 3), keepdim=True), squares.amax((1, 2, 3), keepdim=True)
            total += (squares - low) / (high - low).clamp_min(1e-12)
        return list((total / total.amax((1, 2, 3), keepdim=True).clamp_min(1e-12))[:, 0].numpy())


def _plot(title: str, subtitle: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    figure.suptitle(title, fontsize=11, fontweight="bold")
    axes = figure.add_subplot()
    axes.set_title(textwrap.fill(subtitle, 95), fontsize=8)
    return figure, axes


def _annotate(axes: Axes, text: str, at: tuple[float, float], offset: tuple[int, int]) -> None:
    axes.annotate(text, at, xytext=offset, textcoords="offset points")


def _crop(record: Record) -> np.ndarray:
    return resize(read_image(record.path), *_CROP)


class Sheet:
    """Crops in lines and columns below a title. One pair of axes for all, in inches: a pair for each takes seconds."""

    def __init__(self, lines: int, columns: int, title: str) -> None:
        self._top = 0.35 + 0.17 * len(title.splitlines())
        width, height = columns * _CELL[1] + 0.06, self._top + lines * _CELL[0]
        self.figure = Figure(figsize=(width, height))
        self._axes = self.figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0), autoscale_on=False)
        self._axes.axis("off")
        self._axes.text(width / 2, 0.08, title, ha="center", va="top", fontsize=10)

    def head(self, column: int, text: str) -> None:
        self._axes.text((column + 0.5) * _CELL[1] + 0.03, self._top - 0.06, text, ha="center")

    def put(self, line: int, column: int, image: np.ndarray, label: str = "", colour: str = _INK) -> None:
        """A crop in a frame, with a label below."""
        top, left = self._top + line * _CELL[0], column * _CELL[1] + 0.06
        bottom, right = top + _CELL[0] - 0.24, left + _CELL[1] - 0.06
        self._axes.imshow(image, extent=(left, right, bottom, top), aspect="auto")
        corner, width, height = (left, top), right - left, bottom - top
        self._axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=colour, linewidth=2.5))
        self._axes.text((left + right) / 2, bottom + 0.16, label, ha="center", color=colour)


def _save(path: Path, figure: Figure) -> None:
    figure.savefig(path, pil_kwargs={"compress_level": 3})  # a third of the time for a tenth more bytes
