"""Crops of generated people in Market-1501's layout, so that every loader of that layout reads them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from reidapp.errors import UserError
from reidapp.files import whole_folder

from .appearance import Appearance, draw_appearance, look_alike
from .body import Body
from .build import build_body
from .crops import SCENES_PER_CAMERA, CropCamera, draw_crop, draw_crop_camera
from .parallel import spread
from .seeds import camera_namespace, check_training_seed, identity_namespace, image_namespace, stream

EXTRAS = 20
PASSER_SPACING = 0.012  # of the points of people far away, metres
LOOK_ALIKE_EVERY = 8
SPLITS = ("train", "test")


@dataclass(frozen=True)
class PeopleSummary:
    """What ``write_people`` wrote."""

    folder: Path
    identities: int
    cameras: int
    train_images: int
    query_images: int
    gallery_images: int

    @property
    def images(self) -> int:
        return self.train_images + self.query_images + self.gallery_images

    def __str__(self) -> str:
        parts = [f"{self.images} crops of {self.identities} people from {self.cameras} cameras in {self.folder}"]
        if self.query_images:
            parts.append(f"{self.train_images} train, {self.query_images} query, {self.gallery_images} gallery")
        return ": ".join(parts)


@dataclass(frozen=True)
class World:
    """The settings that every identity of one run shares."""

    seed: int
    split: str
    cameras: int
    images: int
    size: tuple[int, int]


@dataclass(frozen=True)
class Crop:
    """One crop: identity from 1, camera from 1, place (the layout's sequence) from 1, running number, JPEG bytes."""

    pid: int
    camera: int
    scene: int
    number: int
    jpeg: bytes

    @property
    def name(self) -> str:
        """The file name in Market-1501's layout."""
        return f"{self.pid:04d}_c{self.camera}s{self.scene}_{self.number:06d}_01.jpg"


def identity_appearance(seed: int, split: str, index: int) -> Appearance:
    """The person with this index in a split of a seed; every eighth is dressed like the one before."""
    rng = stream(seed, identity_namespace(split), index)
    if index % LOOK_ALIKE_EVERY == LOOK_ALIKE_EVERY - 1:
        return look_alike(rng, identity_appearance(seed, split, index - 1))
    return draw_appearance(rng)


def _spacing(size: tuple[int, int]) -> float:
    """Distance of body points in metres that leaves no holes in a crop of this size."""
    return 1.02 / size[0]


@lru_cache(maxsize=64)
def _camera(seed: int, split: str, index: int) -> CropCamera:
    passers = [_extra(seed, split, (index + k) % EXTRAS, PASSER_SPACING) for k in range(4)]
    return draw_crop_camera(stream(seed, camera_namespace(split), index), passers)


@lru_cache(maxsize=2 * EXTRAS)
def _extra(seed: int, split: str, index: int, spacing: float) -> Body:
    return build_body(draw_appearance(stream(seed, image_namespace(split), index)), spacing)


def render_person(world: World, index: int) -> Iterator[Crop]:
    """All crops of one identity; ``index`` counts from 0 within the split."""
    spacing = _spacing(world.size)
    body = build_body(identity_appearance(world.seed, world.split, index), spacing)
    rng = stream(world.seed, image_namespace(world.split), index, 1)
    most = min(world.cameras, world.images)
    seen = rng.permutation(world.cameras)[: int(rng.integers(min(2, most), most + 1))]
    extras = [_extra(world.seed, world.split, int(k), spacing) for k in rng.choice(EXTRAS, 4, replace=False)]
    for number in range(world.images):
        camera, scene = int(seen[number % len(seen)]), int(rng.integers(SCENES_PER_CAMERA))
        jpeg = draw_crop(rng, body, _camera(world.seed, world.split, camera), scene, extras, world.size)
        yield Crop(index + 1, camera + 1, scene + 1, number, jpeg)


def render_people(
    *,
    identities: int,
    cameras: int = 6,
    images_per_identity: int = 12,
    seed: int = 0,
    split: str = "train",
    size: tuple[int, int] = (128, 64),
) -> Iterator[Crop]:
    """Crops of ``identities`` people one after the other, without writing them."""
    world = World(seed, split, cameras, images_per_identity, size)
    for index in range(identities):
        yield from render_person(world, index)


@dataclass(frozen=True)
class _Task:
    world: World
    index: int
    folder: Path
    test: bool


def _write_person(task: _Task) -> tuple[int, int, int]:
    """Write one identity's crops; returns how many went to train, query and gallery."""
    counts = [0, 0, 0]
    asked: set[int] = set()
    for crop in render_person(task.world, task.index):
        if not task.test:
            kind = 0
        elif crop.camera not in asked:
            kind = 1
            asked.add(crop.camera)
        else:
            kind = 2
        counts[kind] += 1
        (task.folder / FOLDERS[kind] / crop.name).write_bytes(crop.jpeg)
    return counts[0], counts[1], counts[2]


FOLDERS = ("bounding_box_train", "query", "bounding_box_test")


def write_people(
    out: Path,
    *,
    identities: int,
    cameras: int = 6,
    images_per_identity: int = 12,
    seed: int = 0,
    split: str = "train",
    test_share: float = 0.0,
    size: tuple[int, int] = (128, 64),
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PeopleSummary:
    """Write crops of generated people into ``out`` in Market-1501's layout.

    The same arguments give the same bytes, whatever the number of workers. The folder has all of it, or is not there.

    Args:
        split: the namespace that identities and cameras come from, "train" or "test"; footage has its own.
        test_share: share of the identities, the last ones, that go to ``query/`` (their first image in each camera) and
            ``bounding_box_test/`` instead of ``bounding_box_train/``.
        size: height and width of the crops, pixels.
        workers: processes; all cores by default.
        progress: called with the identities done and to do.
    """
    _check(out, identities, cameras, images_per_identity, split, test_share, size)
    check_training_seed(seed)
    held_out = round(identities * test_share)
    world = World(seed, split, cameras, images_per_identity, size)
    total = np.zeros(3, int)
    with whole_folder(out) as folder:
        for name in FOLDERS if held_out else FOLDERS[:1]:
            (folder / name).mkdir()
        tasks = [_Task(world, index, folder, index >= identities - held_out) for index in range(identities)]
        for done, counts in enumerate(spread(_write_person, tasks, workers), start=1):
            total += counts
            if progress is not None:
                progress(done, identities)
    return PeopleSummary(out, identities, cameras, int(total[0]), int(total[1]), int(total[2]))


def _check(
    out: Path, identities: int, cameras: int, images: int, split: str, test_share: float, size: tuple[int, int]
) -> None:
    """Refuse what cannot be done, before anything is written."""
    for name, value in (("identities", identities), ("cameras", cameras), ("images_per_identity", images)):
        if value < 1:
            raise UserError(f"{name} is {value}; it must be at least 1")
    if split not in SPLITS:
        raise UserError(f"unknown split {split!r}; use one of {', '.join(SPLITS)}")
    if not 0.0 <= test_share <= 1.0:
        raise UserError(f"test_share is {test_share}; it must be between 0 and 1")
    if min(size) < 16:
        raise UserError(f"size is {size[0]}x{size[1]}; crops must be at least 16 pixels each way")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: already there and not an empty folder; give a new one")
