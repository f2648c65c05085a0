"""Users who search through the REST API while the gallery grows and is embedded anew: seconds from query to hits.

    python -m benchmarks.users [--rows 1000000] [--users 20] [--seconds 120] [--folder DIR] > docs/results/users.json

A gallery of the shipped model is filled with made-up rows, each with a picture; they have the mean, the directions and
the energies of the model's embeddings of generated people. Generated footage is indexed into it as well.
`reidapp serve` runs as users start it. A query is a picture file, in turn a crop and a whole frame with several people.
As the page does it: the picture is sent, decoded, and the people in it are found; then the one who is meant is embedded
and searched for, and the hits come back as JSON. Both together count; of each the p95 is told, too. Three situations:

    alone      one user, a search after the other
    together   all users, each with a search every five seconds (`--pause`), begun evenly spread
    at work    the same, while `reidapp index` writes new footage into the gallery and `reidapp reembed` moves it to
               another model, both at the lowest priority (nice 19)

Answers are checked: as many hits as were asked for, scores in order, no tracklet twice. ``refused`` are those whom the
server has told to come again later. Clients run on the same
machine, so their time on the processor is in the figures. Goals: a p95 of 150 ms alone and of 500 ms at work; no error.
"""

import argparse
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from benchmarks.machine import machine
from benchmarks.search import World, fill
from models import zoo
from reidapp.embedding import Embedder
from reidapp.gallery import schema
from reidapp.gallery.snapshot import Snapshots
from reidapp.gallery.store import Gallery
from reidapp.imaging import read_image
from reidapp.truth import Truth
from training.data.synthetic.footage import write_footage
from training.data.synthetic.people import render_people

TOP = 20
PEOPLE = 500  # whose embeddings say how the made-up ones are
REIDAPP = [sys.executable, "-m", "reidapp"]
LEISURELY = ["nice", "-n", "19"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="made-up ones")
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--pause", type=float, default=5.0, help="seconds from one search of a user to the next")
    parser.add_argument("--seconds", type=float, default=120.0, help="of each situation")
    parser.add_argument("--folder", type=Path, help="for the gallery, 3 GB; the system's temporary one by default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder, ignore_cleanup_errors=True) as folder:
        result = measured(Path(folder), arguments.rows, arguments.users, arguments.pause, arguments.seconds)
    facts = {"rows": arguments.rows, "users": arguments.users, "pause_s": arguments.pause, "top": TOP}
    print(json.dumps({"benchmark": "users"} | facts | result | {"machine": machine()}, indent=1))


def measured(folder: Path, rows: int, users: int, pause: float, seconds: float) -> dict[str, Any]:
    gallery, asked = filled(folder, rows)
    write_footage(folder / "more", cameras=6, people=24, seconds=120, seed=901)
    result: dict[str, Any] = {}
    with served(gallery.path) as client:
        note("alone")
        result["alone"] = Load(client, asked).of(1, 0.0, seconds / 4)
        note("together")
        result["together"] = Load(client, asked).of(users, pause, seconds)
        note("at work")
        before = gallery.summary().crops
        anew = ["reembed", "--gallery", gallery.path, "--model", other_model(folder)]
        with (
            working(["index", folder / "more", "--gallery", gallery.path, "--zone", "UTC"]),
            working(anew) as embedding,
        ):
            result["at work"] = Load(client, asked).of(users, pause, seconds)
            result["at work"]["re-embedding ran all the time"] = embedding.poll() is None
        result["at work"]["crops_indexed"] = gallery.summary().crops - before
        result["at work"]["crops_embedded_anew"] = sum(model.crops for model in gallery.models() if not model.active)
    return result


def filled(folder: Path, rows: int) -> tuple[Gallery, list["Query"]]:
    """A gallery of so many made-up rows and some of generated footage, and pictures to search it with."""
    note("drawing footage, indexing it, filling the gallery")
    write_footage(folder / "footage", cameras=3, people=12, seconds=60, seed=900)
    file = zoo.path_of(zoo.DEFAULT)
    embedder = Embedder(file)
    gallery = Gallery.create(folder / "gallery", file, embedder.card, embedder.identity)
    people = render_people(identities=PEOPLE, images_per_identity=4, seed=902)
    shown = [read_image(io.BytesIO(crop.jpeg), "crop") for crop in people]
    fill(gallery, World.like(embedder.embed(shown), rows))
    run("index", folder / "footage", "--gallery", gallery.path, "--zone", "UTC")
    give_pictures(gallery, sorted(gallery.path.glob("crops/*/*/*.webp")))
    Snapshots(gallery, gallery.model_id).derive()
    return gallery, list(queries(gallery, folder / "footage"))


def give_pictures(gallery: Gallery, pictures: Sequence[Path]) -> None:
    """Each row without a picture gets one of these, as a link to its file."""
    with Session(gallery.engine) as session:
        rows = session.execute(select(schema.Crop.chunk_id, schema.Crop.id)).all()
    for number, (chunk, crop) in enumerate(rows):
        path = gallery.crop_path(chunk, crop)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(pictures[number % len(pictures)], path)


def queries(gallery: Gallery, footage: Path) -> Iterator["Query"]:
    """Crops of the gallery, and frames of the footage with the box of one of the people in it, in turn."""
    from reidapp.demo import view_image
    from reidapp.footage.decoding import frame_at
    from reidapp.imaging import encode_crop

    truth = Truth.read(footage)
    for person in truth.people:
        for camera in truth.cameras:
            view = truth.best_view(person, camera)
            if view is not None:
                yield Query(encode_crop(view_image(footage, view)), None)
                yield Query(encode_crop(frame_at(footage / view.video, view.time_s)), list(view.box))


@dataclass(frozen=True)
class Query:
    data: bytes
    box: list[float] | None


@dataclass
class Load:
    """Users at a server."""

    client: httpx.Client
    asked: Sequence[Query]
    seconds: list[tuple[float, float]] = field(default_factory=list)  # of each: to find the people, to search
    errors: list[str] = field(default_factory=list)
    refused: int = 0  # told to come again, by 503 with Retry-After

    def of(self, users: int, pause: float, seconds: float) -> dict[str, Any]:
        end = time.monotonic() + seconds
        threads = [
            threading.Thread(target=self._user, args=(number, number * pause / users, pause, end))
            for number in range(users)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        parts = np.array(self.seconds).reshape(-1, 2) * 1e3
        if not len(parts):
            raise RuntimeError(f"nobody got hits: {self.refused} were refused; {self.errors[:3]}")
        took = parts.sum(1)
        return {
            "searches": len(took),
            "refused": self.refused,
            "errors": len(self.errors),
            "first_errors": self.errors[:3],
            **{f"p{share}_ms": round(float(np.percentile(took, share)), 1) for share in (50, 95, 99)},
            "worst_ms": round(float(took.max()), 1),
            "picture_p95_ms": round(float(np.percentile(parts[:, 0], 95)), 1),
            "search_p95_ms": round(float(np.percentile(parts[:, 1], 95)), 1),
        }

    def _user(self, number: int, start: float, pause: float, end: float) -> None:
        time.sleep(start)
        turn = number
        due = time.monotonic()
        while due < end:
            query = self.asked[turn % len(self.asked)]
            try:
                self.seconds.append(self._search(query))
            except (httpx.HTTPError, AssertionError, KeyError, ValueError) as error:
                if _is_refusal(error):
                    self.refused += 1
                else:
                    self.errors.append(f"{type(error).__name__}: {error}")
            turn += 7
            due = max(due + pause, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))

    def _search(self, query: Query) -> tuple[float, float]:
        started = time.monotonic()
        picture = self._post("queries", content=query.data)
        seen = time.monotonic()
        meant = {"id": picture["id"], "box": query.box}
        hits = self._post("search", json={"pictures": [meant], "top": TOP})["hits"]
        ended = time.monotonic()
        scores = [hit["score"] for hit in hits]
        assert len(hits) == TOP, f"{len(hits)} hits"
        assert scores == sorted(scores, reverse=True), "hits are not in order"
        assert len({hit["tracklet"] for hit in hits}) == TOP, "a tracklet twice"
        return seen - started, ended - seen

    def _post(self, path: str, **said: Any) -> dict[str, Any]:
        answer = self.client.post(f"api/v1/{path}", **said)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


def _is_refusal(error: Exception) -> bool:
    return (
        isinstance(error, httpx.HTTPStatusError)
        and error.response.status_code == 503
        and "Retry-After" in error.response.headers
    )


def session(link: str) -> httpx.Client:
    address = httpx.URL(link)
    limits = httpx.Limits(max_connections=None)
    client = httpx.Client(base_url=address.copy_with(query=None), timeout=60, limits=limits, follow_redirects=True)
    client.get("", params=address.params).raise_for_status()
    return client


@contextmanager
def served(gallery: Path) -> Iterator[httpx.Client]:
    """`reidapp serve`, and a client that its link has let in."""
    with serving(gallery) as link:
        yield session(link)


@contextmanager
def serving(gallery: Path) -> Iterator[str]:
    """`reidapp serve`, and its link."""
    command = [*REIDAPP, "serve", "--gallery", str(gallery), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            line = server.stdout.readline()
            found = re.search(r"http\S+", line)
            assert found, line
            yield found[0]
        finally:
            server.terminate()


@contextmanager
def working(arguments: Sequence[object]) -> Iterator[subprocess.Popen[bytes]]:
    """A command at the lowest priority, stopped in the end."""
    command = [*LEISURELY, *REIDAPP, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.terminate()


def other_model(folder: Path) -> Path:
    """The shipped model with one weight a little off: another model, as far as a gallery can tell."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(zoo.path_of(zoo.DEFAULT))
    weights = next(each for each in model.graph.initializer if numpy_helper.to_array(each).ndim == 4)
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * np.float32(1.001), weights.name))
    onnx.save(model, folder / "other.onnx")
    return folder / "other.onnx"


def run(*arguments: object) -> None:
    subprocess.run([*REIDAPP, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def note(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    main()
