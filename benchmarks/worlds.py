"""Generated worlds, indexed, with who is who in them: what is measured of searches is measured on these."""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.galleries import footage_in, index_with_shipped
from benchmarks.machine import without_folder
from models import zoo
from reidapp.embedding import Embedder
from reidapp.gallery.facts import CropInfo
from reidapp.gallery.identities import Identities
from reidapp.gallery.search import Searcher
from reidapp.gallery.store import Gallery
from reidapp.imaging import read_image
from reidapp.measures import Followed, Query, RankedHit, best_crop
from reidapp.truth import Truth
from training.data.synthetic.seeds import bench_seed

SIZE: dict[str, Any] = {"cameras": 4, "people": 24, "seconds": 120, "crowd": 2}
DETECTOR, SEEDS = "hog", [30, 31, 32]


@dataclass(frozen=True)
class World:
    """An indexed world.

    Attributes:
        who, camera_of: of each tracklet's id its main person, None for nobody, and its camera.
        crops: of each person in each camera the best crop, and its embedding float32 ``[1, D]``.
    """

    gallery: Gallery
    searcher: Searcher
    who: dict[str, int | None]
    camera_of: dict[str, str]
    crops: dict[tuple[int, str], tuple[CropInfo, np.ndarray]]

    def half(self, number: int) -> list[int]:
        """People with even (0) or odd (1) numbers."""
        return [person for person in sorted({person for person, _ in self.crops}) if person % 2 == number]

    def tracklets(self, person: int, cameras: Sequence[str] | None = None) -> list[str]:
        of = [id_ for id_, each in self.who.items() if each == person]
        return [id_ for id_ in of if cameras is None or self.camera_of[id_] in cameras]

    def others(self, *cameras: str) -> list[str]:
        """All cameras but these."""
        return sorted(set(self.camera_of.values()) - set(cameras))

    def sought(self) -> list[tuple[int, str]]:
        """(person, camera) of all searches from one camera in all others in which there is somebody to find."""
        return [(person, camera) for person, camera in self.crops if self.tracklets(person, self.others(camera))]

    def searched(self, person: int, camera: str, **options: Any) -> Query:
        """Somebody from one camera in all others: all tracklets there, ranked.

        Args:
            options: of `Searcher.search`.
        """
        crop, query = self.crops[person, camera]
        hits = self.searcher.search(query, cameras=self.others(camera), top=len(self.who), **options).hits
        return Query(person, camera, crop, tuple(RankedHit(hit, self.who[hit.tracklet]) for hit in hits))


def options(description: str | None) -> argparse.ArgumentParser:
    """Those of all that is measured on these worlds."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detector", default=DETECTOR)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="worlds of reidapp bench")
    parser.add_argument("--work", type=Path, help="folder that keeps the worlds, for another run")
    return parser


@contextmanager
def opened(arguments: argparse.Namespace) -> Iterator[list[World]]:
    """The worlds of `options`."""
    with tempfile.TemporaryDirectory() as name:
        work = arguments.work or Path(name)
        yield [_indexed(work / str(seed), seed, arguments.detector) for seed in arguments.seeds]


def _indexed(folder: Path, seed: int, detector: str) -> World:
    footage = footage_in(folder / "footage", **SIZE, seed=bench_seed(seed))
    gallery, embedder = index_with_shipped(footage, folder / "gallery", detector)
    return known(gallery, embedder, Truth.read(footage))


def known(gallery: Gallery, embedder: Embedder, truth: Truth) -> World:
    """A gallery, and who is who in it."""
    followed = [Followed(one, tuple(truth.people_in(one.camera, one.path))) for one in gallery.tracklets()]
    best = {(p, camera): best_crop(truth, followed, p, camera) for p in truth.people for camera in truth.cameras}
    # It takes most of a search's time, and is no part of this.
    gallery.tracklet = cache(gallery.tracklet)  # type: ignore[method-assign]
    crops = {
        who: (crop, embedder.embed([read_image(crop.file)], who[1])) for who, crop in best.items() if crop is not None
    }
    return World(
        gallery,
        Searcher(gallery, embedder),
        {one.tracklet.id: one.person for one in followed},
        {one.tracklet.id: one.tracklet.camera for one in followed},
        crops,
    )


@contextmanager
def named(world: World, people: Sequence[int]) -> Iterator[None]:
    """Names for some people's tracklets, for as long as it lasts."""
    identities = Identities(world.gallery, "truth")
    for person in people:
        identities.new(f"person {person}", world.tracklets(person))
    yield
    for person in people:
        identities.delete(f"person {person}")


def world_facts(
    benchmark: str, arguments: argparse.Namespace, worlds: Sequence[World], options: str = ""
) -> dict[str, Any]:
    """What a result was measured on.

    Args:
        options: that the benchmark's command has besides.
    """
    detector, numbers = without_folder(arguments.detector), " ".join(map(str, arguments.seeds))
    return {
        "benchmark": benchmark,
        "command": f"python -m benchmarks.{benchmark}{options} --detector {detector} --seeds {numbers}",
        "worlds": {"seeds": arguments.seeds, **SIZE},
        "tracklets": [len(world.who) for world in worlds],
        "model": zoo.DEFAULT,
    }
