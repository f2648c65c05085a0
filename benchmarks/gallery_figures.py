"""Pictures of a gallery of generated people, for `benchmarks.figures`: ranked results, a timeline, a map."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from benchmarks.calibration import World, index_with_shipped, known
from benchmarks.drawing import INK, QUIET, THEIRS, drawn, save
from reidapp.embedding import Embedder
from reidapp.gallery.search import Hit
from reidapp.gallery.store import Gallery
from reidapp.imaging import read_image, resize
from reidapp.metrics import evaluate_ranking
from reidapp.truth import Truth
from training.adapting import adapt_quick
from training.figures import Sheet

QUERIES, HITS = 5, 8
RIGHT, WRONG = "#1a7f37", "#c62828"
_CROP = (192, 96)  # height and width in a picture
_MARKERS = "osD^v<>P"


@dataclass(frozen=True)
class Search:
    """Somebody searched for from one camera in all others.

    Attributes:
        hits: each with the person that it shows; None for nobody.
        precision: average precision over the tracklets of the other cameras.
    """

    person: int
    camera: str
    query: Path
    hits: list[tuple[Hit, int | None]]
    precision: float


def draw_gallery(footage: Path, detector: str) -> None:
    """Index generated footage with the shipped model, and draw what is in it."""
    truth = Truth.read(footage)
    with tempfile.TemporaryDirectory() as name:
        gallery, embedder = index_with_shipped(footage, Path(name) / "gallery", detector)
        draw(gallery, embedder, truth, Path(name))


def draw(gallery: Gallery, embedder: Embedder, truth: Truth, work: Path) -> None:
    """
    Args:
        work: folder for the adapted model.
    """
    world = known(gallery, embedder, truth)
    found = sorted(searches(world), key=lambda search: -search.precision)
    draw_ranked([found[k] for k in np.linspace(0, len(found) - 1, QUERIES).round().astype(int)], len(found))
    draw_timeline(max(found, key=lambda search: sum(who == search.person for _, who in search.hits)), world, truth)
    adapted = adapt_quick(gallery, work / "adapted.onnx").model
    draw_map(world, {"as it is": embedder, "adapted to its cameras": Embedder(adapted)})


def searches(world: World) -> list[Search]:
    """Everybody from each camera, if the other cameras have a tracklet of theirs."""
    found = []
    for (person, camera), (crop, query) in world.crops.items():
        cameras = world.others(camera)
        if own := world.tracklets(person, cameras):
            hits = world.searcher.search(query, cameras=cameras, top=len(world.who)).hits
            people = [world.who[hit.tracklet] for hit in hits]
            right = np.flatnonzero([who == person for who in people])
            precision = float(((np.arange(len(right)) + 1) / (right + 1)).sum() / len(own))
            found.append(Search(person, camera, crop.file, list(zip(hits, people, strict=True)), precision))
    return found


def draw_ranked(shown: Sequence[Search], of: int) -> None:
    title = f"{len(shown)} of {of} searches in other cameras, spread evenly over average precision, best first"
    sheet = Sheet(
        len(shown), 1 + HITS, f"{title}\ngreen: the same person   red: another, or nobody   below each: cosine"
    )
    for column, heading in enumerate(["query", *range(1, HITS + 1)]):
        sheet.head(column, str(heading))
    for line, search in enumerate(shown):
        sheet.put(line, 0, _picture(search.query), f"AP {search.precision:.2f}", INK)
        for column, (hit, who) in enumerate(search.hits[:HITS], start=1):
            colour = RIGHT if who == search.person else WRONG
            sheet.put(line, column, _picture(hit.thumbnail), f"{hit.score:.2f}", colour)
    save(sheet.figure, "ranked.webp")


def draw_timeline(search: Search, world: World, truth: Truth) -> None:
    """Hits as bars, one lane a camera, over where the person really was."""
    tracklets = {one.id: one for one in world.gallery.tracklets()}
    begin = min(one.start for one in tracklets.values())
    figure, (axes,) = drawn(1, 1, (7.6, 0.9 + 0.5 * len(truth.cameras)))
    lanes = {camera: place for place, camera in enumerate(reversed(truth.cameras))}

    def bar(camera: str, start: float, end: float, height: float, **style: object) -> None:
        axes.add_patch(Rectangle((start, lanes[camera] - height / 2), max(end - start, 0.4), height, **style))  # type: ignore[arg-type]

    for stay in truth.appearances():
        if stay.person == search.person:
            first, last = ((each.time - begin).total_seconds() for each in (stay.first, stay.last))
            bar(stay.camera, first, last, 0.8, facecolor="#d8efdd", edgecolor="none")
    for one in tracklets.values():
        start, end = ((time - begin).total_seconds() for time in (one.start, one.end))
        bar(one.camera, start, end, 0.12, facecolor=THEIRS, edgecolor="none")
    for hit, who in search.hits[: len(world.tracklets(search.person, world.others(search.camera)))]:
        start, end = ((time - begin).total_seconds() for time in (hit.start, hit.end))
        colour = RIGHT if who == search.person else WRONG
        bar(hit.camera, start, end, 0.34, facecolor=colour, edgecolor="white", linewidth=0.8)
        axes.text((start + end) / 2, lanes[hit.camera] + 0.2, str(hit.rank), color=colour, fontsize=8, ha="center")
    axes.set_yticks(
        list(lanes.values()), [f"{camera} (query)" if camera == search.camera else camera for camera in lanes]
    )
    last = max((one.end - begin).total_seconds() for one in tracklets.values())
    axes.set(xlim=(-1, last + 1), ylim=(-0.6, len(lanes) - 0.4), xlabel="seconds")
    axes.set_title("First hits of a search, by rank; light green: where the person was; grey: all tracklets")
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0)
    save(figure, "timeline.svg")


def draw_map(world: World, models: dict[str, Embedder]) -> None:
    """t-SNE of all best shots: a colour for each person, a form for each camera."""
    import matplotlib
    from sklearn.manifold import TSNE

    tracklets = world.gallery.tracklets()
    crops = [(crop, one.camera, world.who[one.id]) for one in tracklets for crop in one.crops]
    crops = [each for each in crops if each[2] is not None]
    images = [read_image(crop.file) for crop, _, _ in crops]
    cameras = np.array([camera for _, camera, _ in crops])
    camids = np.unique(cameras, return_inverse=True)[1]
    people = np.array([person for _, _, person in crops])
    figure, axes = drawn(1, len(models), (7.6, 4.1))
    for place, (name, embedder) in zip(axes, models.items(), strict=True):
        rows = np.concatenate([embedder.embed([image], camera) for image, camera in zip(images, cameras, strict=True)])
        scores = evaluate_ranking(rows, people, camids, rows, people, camids)
        points = TSNE(perplexity=min(15, len(rows) // 4), metric="cosine", init="random", random_state=0).fit_transform(
            rows
        )
        for number, camera in enumerate(sorted(set(cameras))):
            for k, person in enumerate(sorted(set(people))):
                at = points[(cameras == camera) & (people == person)]
                colour = matplotlib.colormaps["tab20"](k % 20)
                place.scatter(*at.T, s=26, color=colour, marker=_MARKERS[number], linewidths=0)
        place.set_title(f"{name}: mAP {100 * scores.mAP:.1f}, Rank-1 {100 * scores.rank1:.1f}")
        _bare(place)
    forms = [axes[0].scatter([], [], color=QUIET, marker=_MARKERS[k], s=26) for k in range(len(set(cameras)))]
    figure.legend(
        forms, sorted(set(cameras)), loc="outside lower center", ncols=len(forms), title="a colour for each person"
    )
    save(figure, "embedding.svg")


def _picture(file: Path) -> np.ndarray:
    return resize(read_image(file), *_CROP)


def _bare(axes: Axes) -> None:
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(True)
