"""The whole line on generated people: footage → training → export → index → search, held against the truth.

The people and the camera looks that the model is trained on are others than those in the footage.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from reidapp import files
from reidapp.errors import UserError
from reidapp.gallery.search import Hit, Searcher
from reidapp.gallery.store import Gallery
from reidapp.imaging import cut, read_image, resize
from reidapp.settings import IndexSettings
from reidapp.truth import Sighting, Truth
from reidapp.wording import counts

_MARKER = "made-by-reidapp-demo"  # only a folder with this file in it is ever emptied
_SHEET = "hits.png"  # comes last
FOOTAGE_SECONDS = 60
# To train on. Images are counted with repetition; fewer are faster and worse.
TRAINING_IMAGES = 48_000
TRAINING_PEOPLE = 400
_HITS_SHOWN = 8


@dataclass(frozen=True)
class Found:
    """One person searched for: where the query is from, the hits, and who each hit really is."""

    person: int
    query: Sighting
    hits: list[Hit]
    people: list[int | None]

    @property
    def elsewhere(self) -> list[tuple[Hit, int | None]]:
        """The hits from other cameras than the query's, each with the person it shows."""
        both = zip(self.hits, self.people, strict=True)
        return [(hit, person) for hit, person in both if hit.camera != self.query.camera]

    @property
    def right(self) -> bool:
        """The first hit from another camera shows the person."""
        return bool(self.elsewhere) and self.elsewhere[0][1] == self.person


@dataclass(frozen=True)
class DemoReport:
    """What the demo made and found.

    Attributes:
        found: with the model that it has trained.
        shipped: name/version of the shipped model, with which the same people are searched for.
        found_by_shipped: with that one.
    """

    gallery: Path
    sheet: Path
    seed: int
    found: list[Found]
    shipped: str
    found_by_shipped: list[Found]
    seconds: dict[str, float]

    @property
    def right(self) -> int:
        """People whose first hit from another camera is right."""
        return sum(found.right for found in self.found)

    @property
    def right_by_shipped(self) -> int:
        """The same with the shipped model."""
        return sum(found.right for found in self.found_by_shipped)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "seed": self.seed,
            "people": len(self.found),
            "right": self.right,
            "shipped": {"model": self.shipped, "right": self.right_by_shipped},
            "seconds": {step: round(seconds, 1) for step, seconds in self.seconds.items()},
            "gallery": str(self.gallery),
            "sheet": str(self.sheet),
            "searches": [
                {
                    "person": found.person,
                    "camera": found.query.camera,
                    "time_s": found.query.time_s,
                    "right": found.right,
                    "hits": [h.to_dict() | {"person": p} for h, p in zip(found.hits, found.people, strict=True)],
                }
                for found in self.found
            ],
        }

    def __str__(self) -> str:
        steps = ", ".join(f"{step} {seconds:.0f} s" for step, seconds in self.seconds.items())
        return (
            "\n\n".join(map(_table, self.found))
            + f"\n\nFor {self.right} of {len(self.found)} people the first hit from another camera is right; with the "
            f"shipped model, {self.shipped}, for {self.right_by_shipped}.\n"
            f"Pictures of the first hits: {self.sheet}\nGallery: {self.gallery}\nTime: {steps}"
        )


def run_demo(out: Path, *, seed: int = 0, again: bool = False, say: Callable[[str], None] = print) -> DemoReport:
    """Make footage, train, export, index, search, and search with the shipped model; everything is left in ``out``.

    Args:
        out: is emptied if a demo that was stopped made it.
        seed: of the people, the cameras and the training.
        again: empty it also if a demo has come to its end in it.
        say: told what happens.

    Raises:
        UserError: ``out`` holds something that no demo made, or a whole demo.
    """
    _empty(out, again)
    seconds: dict[str, float] = {}

    def step(name: str, text: str, work: Callable[[], Any]) -> Any:
        say(text)
        began = time.monotonic()
        result = work()
        seconds[name] = time.monotonic() - began
        if isinstance(result, str):
            say(f"  {result}")
        return result

    footage, model, gallery = out / "footage", out / "model.onnx", out / "gallery"
    step("footage", "1. Filming 12 generated people with 3 cameras", lambda: _film(footage, seed))
    drawn = out / "people"
    step("people", "2. Drawing other people, under other cameras, to train on", lambda: _draw(drawn, seed))
    step("training", "3. Training a small model on them", lambda: _train(drawn, out / "run", seed))
    step("export", "4. Exporting it to ONNX, and checking the export", lambda: _export(out / "run", model))
    step("index", "5. Indexing the footage", lambda: _index(footage, gallery, model))
    found = step("search", "6. Searching for each person", lambda: search_everybody(footage, gallery))
    shipped, found_by_shipped = step(
        "shipped", "7. The same with the model that ships with reidapp", lambda: _with_shipped(footage, gallery, model)
    )
    sheet = contact_sheet(found, footage, out / _SHEET)
    return DemoReport(gallery, sheet, seed, found, shipped, found_by_shipped, seconds)


def search_everybody(footage: Path, gallery_path: Path) -> list[Found]:
    """Search for every person of the truth once, with the best view from one camera; the cameras take turns."""
    from reidapp.embedding import Embedder

    truth = Truth.read(footage)
    gallery = Gallery.open(gallery_path)
    embedder = Embedder(gallery.model_file)
    searcher = Searcher(gallery, embedder)
    everybody = []
    for person in truth.people:
        view = truth.best_view(person, truth.cameras[person % len(truth.cameras)])
        hits = searcher.search(embedder.embed([view_image(footage, view)]), top=20).hits
        people = [truth.who(hit.camera, gallery.tracklet(hit.tracklet).path) for hit in hits]
        everybody.append(Found(person, view, hits, people))
    return everybody


def view_image(footage: Path, view: Sighting) -> np.ndarray:
    """The pixels of a sighting: RGB uint8 ``[h, w, 3]``."""
    from reidapp.footage.decoding import frame_at

    return cut(frame_at(footage / view.video, view.time_s), view.box)


def contact_sheet(found: list[Found], footage: Path, out: Path) -> Path:
    """A picture: a row per person, the query first, then the hits, framed green where they are right."""
    height, width, edge, text = 128, 64, 4, 14
    cell_h, cell_w = height + 2 * edge + text, width + 2 * edge
    columns = 2 + _HITS_SHOWN
    sheet = Image.new("RGB", (columns * cell_w, len(found) * cell_h), "white")
    draw = ImageDraw.Draw(sheet)

    def put(row: int, column: int, image: np.ndarray, frame: str, label: str) -> None:
        x, y = column * cell_w, row * cell_h
        draw.rectangle((x, y, x + cell_w - 1, y + cell_h - text - 1), fill=frame)
        sheet.paste(Image.fromarray(resize(image, height, width)), (x + edge, y + edge))
        draw.text((x + edge, y + cell_h - text + 1), label, fill="black")

    for row, person in enumerate(found):
        put(row, 0, view_image(footage, person.query), "white", f"query {person.query.camera}")
        shown = list(zip(person.hits, person.people, strict=True))[:_HITS_SHOWN]
        for column, (hit, who) in enumerate(shown, start=2):
            frame = "#1a9850" if who == person.person else "#d73027"
            put(row, column, read_image(hit.thumbnail), frame, f"{hit.camera} {hit.score:.2f}")
    sheet.save(out)
    return out


def _empty(out: Path, again: bool) -> None:
    if out.exists() and not (out / _MARKER).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: holds things that no demo made; give another --out")
    if (out / _SHEET).is_file() and not again:  # people may have been named in its gallery since
        raise UserError(
            f"{out}: a demo is there; `reidapp serve --gallery {out / 'gallery'}` opens it, --again makes it anew"
        )
    out.mkdir(parents=True, exist_ok=True)
    (out / _MARKER).touch()  # stays, so that who is stopped here can begin again
    files.empty(out, but=_MARKER)


def _film(out: Path, seed: int) -> str:
    from training.data.synthetic.footage import write_footage

    return str(write_footage(out, cameras=3, people=12, seconds=FOOTAGE_SECONDS, seed=seed))


def _draw(out: Path, seed: int) -> str:
    from training.data.synthetic.people import write_people

    return str(write_people(out, identities=TRAINING_PEOPLE, cameras=8, images_per_identity=8, seed=seed))


def _train(people: Path, run: Path, seed: int) -> str:
    from training.engine import train
    from training.recipe import load_recipe

    recipe = load_recipe("small", [f"schedule.images={TRAINING_IMAGES}"])
    return str(train(recipe, f"market1501:{people}", run, seed=seed))


def _export(run: Path, out: Path) -> str:
    from models.export import export_run

    card = export_run(run, out, name="demo")
    return f"{out}: {card.height}×{card.width} pixels to {card.dim} numbers, {out.stat().st_size / 1e6:.1f} MB"


def _index(footage: Path, gallery_path: Path, model: Path) -> str:
    from reidapp.embedding import Embedder
    from reidapp.footage.detection import open_detector
    from reidapp.footage.indexing import find_footage, index_footage

    embedder, settings = Embedder(model), IndexSettings(zone="UTC")
    gallery = Gallery.create(gallery_path, model, embedder.card, embedder.identity)
    report = index_footage(
        find_footage(footage, settings), gallery, embedder, open_detector(settings.detector), settings
    )
    return counts(video=report.videos, frame=report.frames, tracklet=report.tracklets, crop=report.crops)


def _with_shipped(footage: Path, gallery_path: Path, model: Path) -> tuple[str, list[Found]]:
    """Name/version of the shipped model, and what it finds; then the gallery is moved back to its own."""
    from models import zoo
    from reidapp.embedding import Embedder
    from reidapp.gallery.reembedding import reembed

    gallery = Gallery.open(gallery_path)
    shipped = zoo.path_of(zoo.DEFAULT)
    moved = reembed(gallery, Embedder(shipped), shipped)
    found = search_everybody(footage, gallery_path)
    reembed(gallery, Embedder(model), model)
    return moved.model, found


def _table(found: Found) -> str:
    """A person's search in words: the query, then the first hits, each said to be right or wrong."""
    lines = [f"Person {found.person}, seen by {found.query.camera} at {found.query.time_s:.1f} s:"]
    for hit, who in list(zip(found.hits, found.people, strict=True))[:5]:
        verdict = (
            "right" if who == found.person else f"wrong: person {who}" if who is not None else "wrong: no person there"
        )
        same = " (the query's camera)" if hit.camera == found.query.camera else ""
        lines.append(f"  {hit.rank}. {hit.camera:<8} {hit.start:%H:%M:%S} UTC  {hit.score:.3f}  {verdict}{same}")
    return "\n".join(lines)
