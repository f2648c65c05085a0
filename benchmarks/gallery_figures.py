"""A gallery of generated people, and pictures of it: docs/results/gallery_figures.json and docs/results/figures/.

    python -m benchmarks.gallery_figures [--seed 5] [--detector hog] [--work DIR]

    ranked.webp      searches and their first hits
    timeline.svg     one of them against the truth: who was before which camera when
    embedding.svg    a map of a gallery's embeddings, before and after `adapt --quick`

The world is what the `footage` of the JSON file draws; that of the map is the same before cameras with unseen looks.
Both are indexed as `reidapp index` does it. Everybody is searched for from each camera in all others. `timeline.svg`
and `embedding.svg` are drawn from the file, so `python -m benchmarks.figures` can draw them again; `ranked.webp` needs
the gallery's pictures. No picture of a real person is drawn.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.drawing import INK, RIGHT, WRONG, save
from benchmarks.figures import draw_map, draw_timeline
from benchmarks.galleries import SMALL_WORLD, footage_in, index_with_shipped
from benchmarks.machine import machine, without_folder
from benchmarks.method_rows import DOCS
from benchmarks.worlds import World, known
from models import zoo
from reidapp.embedding import Embedder
from reidapp.imaging import read_image, resize
from reidapp.measures import Query
from reidapp.metrics import evaluate_ranking
from reidapp.truth import Truth
from training.adapting import adapt_quick
from training.figures import Sheet

QUERIES, HITS = 5, 8
_CROP = (192, 96)  # height and width in a picture

Result = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=SMALL_WORLD["seed"], help="of the world")
    parser.add_argument("--detector", default="hog")
    parser.add_argument("--work", type=Path, help="folder that keeps the footage, for another run")
    arguments = parser.parse_args()
    size = SMALL_WORLD | {"seed": arguments.seed}
    detector = without_folder(arguments.detector)
    facts: Result = {
        "benchmark": "gallery_figures",
        "command": f"python -m benchmarks.gallery_figures --seed {arguments.seed} --detector {detector}",
        "footage": " ".join(["reidapp synth footage FOLDER", *(f"--{name} {value}" for name, value in size.items())]),
        "detector": detector,
        "model": zoo.DEFAULT,
    }
    with tempfile.TemporaryDirectory() as name:
        folder = (arguments.work or Path(name)) / f"footage-of-seed-{arguments.seed}"
        facts |= drawn_from(footage_in(folder, **size), Path(name), arguments.detector)
        unseen = footage_in(folder.with_name(f"{folder.name}-unseen"), **size, unseen_looks=True)
        facts["map"] = {"footage": f"{facts['footage']} --unseen-looks"} | mapped(
            unseen, Path(name), arguments.detector
        )
    text = json.dumps(facts | {"machine": machine()}, indent=1) + "\n"
    (DOCS / "gallery_figures.json").write_text(text, "utf-8")
    draw_timeline()
    draw_map()


def drawn_from(footage: Path, work: Path, detector: str) -> Result:
    """What is in the pictures; `ranked.webp` is drawn here, where its crops are.

    Args:
        work: folder for the gallery.
    """
    truth = Truth.read(footage)
    gallery, embedder = index_with_shipped(footage, work / "gallery", detector)
    world = known(gallery, embedder, truth)
    found = sorted((world.searched(*each) for each in world.sought()), key=lambda search: -_precision(search))
    shown = [found[k] for k in np.linspace(0, len(found) - 1, QUERIES).round().astype(int)]
    ranked = {
        "searches": len(found),
        "mAP": round(100 * float(np.mean([_precision(search) for search in found])), 1),
        "rank1": round(100 * float(np.mean([search.precision_and_rank1[1] for search in found])), 1),
        "shown": [_facts(search) for search in shown],
    }
    draw_ranked(shown, ranked)
    most = max(found, key=lambda search: sum(hit.person == search.person for hit in search.hits))
    return {"tracklets": len(world.who), "ranked": ranked, "timeline": timeline(most, world, truth)}


def mapped(footage: Path, work: Path, detector: str) -> Result:
    """The map's places and scores.

    Args:
        work: folder for the gallery and the adapted model.
    """
    gallery, embedder = index_with_shipped(footage, work / "unseen-gallery", detector)
    adapted = Embedder(adapt_quick(gallery, work / "adapted.onnx").model)
    return maps(
        known(gallery, embedder, Truth.read(footage)), {"as it is": embedder, "adapted to its cameras": adapted}
    )


def _precision(search: Query) -> float:
    return search.precision_and_rank1[0]


def _facts(search: Query) -> Result:
    hits = [
        {"score": round(float(each.hit.score), 2), "right": each.person == search.person} for each in search.hits[:HITS]
    ]
    return {
        "person": search.person,
        "camera": search.camera,
        "precision": round(_precision(search), 2),
        "hits": hits,
    }


def draw_ranked(shown: Sequence[Query], ranked: Result) -> None:
    """
    Args:
        ranked: what is written at the pictures of ``shown``.
    """
    title = f"{len(shown)} of {ranked['searches']} searches in other cameras, spread evenly over average precision"
    legend = "green: the same person   red: another, or nobody   below each: cosine"
    sheet = Sheet(len(shown), 1 + HITS, f"{title}, best first\n{legend}")
    for column, heading in enumerate(["query", *range(1, HITS + 1)]):
        sheet.head(column, str(heading))
    for line, (search, facts) in enumerate(zip(shown, ranked["shown"], strict=True)):
        assert search.crop is not None
        sheet.put(line, 0, _picture(search.crop.file), f"AP {facts['precision']:.2f}", INK)
        pictures = [_picture(each.hit.thumbnail) for each in search.hits[:HITS]]
        for column, (picture, hit) in enumerate(zip(pictures, facts["hits"], strict=True), start=1):
            sheet.put(line, column, picture, f"{hit['score']:.2f}", RIGHT if hit["right"] else WRONG)
    save(sheet.figure, "ranked.webp", ranked)


def timeline(search: Query, world: World, truth: Truth) -> Result:
    """The first hits of a search, and where the person really was; times in seconds after the first tracklet's start.

    As many hits as the person has tracklets in the other cameras. Spans: [camera, first, last].
    """
    tracklets = world.gallery.tracklets()
    begin = min(one.start for one in tracklets)

    def span(camera: str, *times: Any) -> list[Any]:
        return [camera, *(round((time - begin).total_seconds(), 2) for time in times)]

    stays = [stay for stay in truth.appearances() if stay.person == search.person]
    first = search.hits[: len(world.tracklets(search.person, world.others(search.camera)))]
    return {
        "person": search.person,
        "query": search.camera,
        "cameras": list(truth.cameras),
        "there": [span(stay.camera, stay.first.time, stay.last.time) for stay in stays],
        "tracklets": [span(one.camera, one.start, one.end) for one in tracklets],
        "hits": [
            {
                "rank": each.hit.rank,
                "span": span(each.hit.camera, each.hit.start, each.hit.end),
                "right": each.person == search.person,
            }
            for each in first
        ],
    }


def maps(world: World, models: dict[str, Embedder]) -> Result:
    """t-SNE of all best shots that show somebody, by each model, with the scores among them."""
    from sklearn.manifold import TSNE

    tracklets = world.gallery.tracklets()
    crops = [(crop.file, one.camera, world.who[one.id]) for one in tracklets for crop in one.crops]
    crops = [each for each in crops if each[2] is not None]
    images, cameras = [read_image(file) for file, _, _ in crops], [camera for _, camera, _ in crops]
    people, camids = np.array([person for _, _, person in crops]), np.unique(cameras, return_inverse=True)[1]
    found: Result = {"people": people.tolist(), "cameras": cameras, "models": {}}
    for name, embedder in models.items():
        rows = np.concatenate([embedder.embed([image], camera) for image, camera in zip(images, cameras, strict=True)])
        scores = evaluate_ranking(rows, people, camids, rows, people, camids)
        tsne = TSNE(perplexity=min(15, len(rows) // 4), metric="cosine", init="random", random_state=0)
        found["models"][name] = {
            "mAP": round(100 * scores.mAP, 1),
            "rank1": round(100 * scores.rank1, 1),
            "points": [[round(float(x), 2), round(float(y), 2)] for x, y in tsne.fit_transform(rows)],
        }
    return found


def _picture(file: Path) -> np.ndarray:
    return resize(read_image(file), *_CROP)


if __name__ == "__main__":
    main()
