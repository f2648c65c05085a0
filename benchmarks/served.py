"""A large gallery, `reidapp serve` before it, and users who search in it through the REST API.

A gallery of the shipped model is filled with made-up rows, each with a picture; they have the mean, the directions and
the energies of the model's embeddings of generated people. Generated footage is indexed into it as well. The server
runs as users start it. A query is a picture file, in turn a crop and a whole frame with several people. As the page
does it: the picture is sent, decoded, and the people in it are found; then the one who is meant is embedded and
searched for, and the hits come back as JSON. Answers are checked: as many hits as were asked for, scores in order, no
tracklet twice. Clients run on the same machine, so their time on the processor is in the figures.
"""

import io
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from benchmarks.galleries import new_gallery
from benchmarks.made_up import MadeUp, fill
from reidapp.demo import view_image
from reidapp.footage.decoding import frame_at
from reidapp.gallery import schema
from reidapp.gallery.snapshot import Snapshots
from reidapp.gallery.store import Gallery
from reidapp.imaging import encode_crop, read_image
from reidapp.truth import Truth
from training.data.synthetic.footage import write_footage
from training.data.synthetic.people import render_people

TOP = 20
PEOPLE = 500  # whose embeddings say how the made-up ones are
REIDAPP = [sys.executable, "-m", "reidapp"]


def filled(folder: Path, rows: int) -> tuple[Gallery, list["Query"]]:
    """A gallery of so many made-up rows and some of generated footage, and pictures to search it with."""
    note("drawing footage, indexing it, filling the gallery")
    write_footage(folder / "footage", cameras=3, people=12, seconds=60, seed=900)
    gallery, embedder = new_gallery(folder / "gallery")
    people = render_people(identities=PEOPLE, images_per_identity=4, seed=902)
    shown = [read_image(io.BytesIO(crop.jpeg), "crop") for crop in people]
    fill(gallery, MadeUp.like(embedder.embed(shown), rows))
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
    truth = Truth.read(footage)
    for person in truth.people:
        for camera in truth.cameras:
            view = truth.best_view(person, camera)
            if view is not None:
                yield Query(encode_crop(view_image(footage, view)), None)
                yield Query(encode_crop(frame_at(footage / view.video, view.time_s)), list(view.box))


@dataclass(frozen=True)
class Query:
    """A picture file, and the box of who is meant in it, fractions; None: all of it is the person."""

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
        """What so many users got, who each begin a search every ``pause`` seconds.

        Raises:
            RuntimeError: nobody got hits.
        """
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
    """A client that the server's link has let in."""
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


def run(*arguments: object) -> None:
    subprocess.run([*REIDAPP, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def note(text: str) -> None:
    print(text, file=sys.stderr)
