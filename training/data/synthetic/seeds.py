"""Where chance comes from: one stream per (seed, namespace, index), so that namespaces never share a draw."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar
from zlib import crc32

import numpy as np

from reidapp.errors import UserError

_T = TypeVar("_T")

TRAIN_IDENTITY = "train-identity"
TRAIN_CAMERA = "train-camera"
TRAIN_IMAGE = "train-image"
TEST_IDENTITY = "test-identity"
TEST_CAMERA = "test-camera"
TEST_IMAGE = "test-image"
FOOTAGE_IDENTITY = "footage-identity"
FOOTAGE_CAMERA = "footage-camera"
FOOTAGE_LOOK = "footage-look"
FOOTAGE_VIEW = "footage-view"
FOOTAGE_PLAN = "footage-plan"
FOOTAGE_FRAME = "footage-frame"

FIRST_BENCH_SEED = 1_000_000  # seeds from here on are of the worlds of `reidapp bench`; no model learns from them
SEED_FILE = "seed.txt"  # in a folder of generated footage

NAMESPACES = (
    TRAIN_IDENTITY,
    TRAIN_CAMERA,
    TRAIN_IMAGE,
    TEST_IDENTITY,
    TEST_CAMERA,
    TEST_IMAGE,
    FOOTAGE_IDENTITY,
    FOOTAGE_CAMERA,
    FOOTAGE_LOOK,
    FOOTAGE_VIEW,
    FOOTAGE_PLAN,
    FOOTAGE_FRAME,
)


def entropy(seed: int, namespace: str, *index: int) -> tuple[int, ...]:
    """The words that seed one stream; different for every (seed, namespace, index)."""
    if namespace not in NAMESPACES:
        raise ValueError(f"unknown namespace {namespace!r}; one of {', '.join(NAMESPACES)}")
    return (seed, crc32(namespace.encode()), *index)


def stream(seed: int, namespace: str, *index: int) -> np.random.Generator:
    """An independent random generator for one thing: an identity, a camera, an image, a frame."""
    return np.random.default_rng(np.random.SeedSequence(entropy(seed, namespace, *index)))


def weighted(rng: np.random.Generator, weights: Mapping[_T, float]) -> _T:
    """One of some things, each as often as its weight says."""
    p = np.array(list(weights.values()), float)
    return list(weights)[int(rng.choice(len(p), p=p / p.sum()))]


def check_seed(seed: int) -> None:
    """Refuse a seed that no generator takes."""
    if seed < 0:
        raise UserError(f"seed is {seed}; it must be 0 or more")


def check_training_seed(seed: int) -> None:
    """Refuse a seed of what may be trained on if it is no seed, or one of those that measure."""
    check_seed(seed)
    if seed >= FIRST_BENCH_SEED:
        raise UserError(
            f"seed is {seed}; from {FIRST_BENCH_SEED} on they are kept for `reidapp bench`, give a lower one"
        )


def check_training_footage(folder: Path) -> None:
    """Refuse footage to train on that is kept to measure by.

    Raises:
        UserError: it is, or its seed file holds no seed.
    """
    file = folder / SEED_FILE
    if not file.is_file():
        return
    try:
        seed = int(file.read_text())
    except ValueError as error:
        raise UserError(f"{file}: no seed in it; make the footage anew") from error
    if seed >= FIRST_BENCH_SEED:
        raise UserError(
            f"data footage:{folder}: a world of `reidapp bench`, and no model may learn from what measures it; "
            "`reidapp synth footage` makes footage to train on"
        )


def bench_seed(world: int) -> int:
    """The seed of a world of `reidapp bench`, whose number counts from 0."""
    check_seed(world)
    return FIRST_BENCH_SEED + world


def identity_namespace(split: str) -> str:
    """The namespace that identities of a split of crops come from, e.g. ``train`` → ``train-identity``."""
    return f"{split}-identity"


def camera_namespace(split: str) -> str:
    """The namespace that camera looks of a split of crops come from."""
    return f"{split}-camera"


def image_namespace(split: str) -> str:
    """The namespace that single crops of a split come from."""
    return f"{split}-image"
