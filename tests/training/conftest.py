"""A small labelled set of coloured patterns, and runs trained on it."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

TINY = ["input.height=32", "input.width=16", "sampler.identities=4", "sampler.images=2", "augmentation.erase=0"]


def write_crops(folder: Path, pids: range, cameras: int, images: int, seed: int = 0) -> None:
    """Crops named as in Market-1501; an identity is a pattern of colours, a camera a brightness."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for pid in pids:
        pattern = np.random.default_rng(pid).integers(40, 216, (6, 3, 3)).astype(np.uint8)
        for camera in range(1, cameras + 1):
            for image in range(images):
                crop = cv2.resize(pattern, (20, 40), interpolation=cv2.INTER_LINEAR).astype(float)
                crop = crop * (0.9 + 0.1 * camera) + rng.normal(0, 6, crop.shape)
                cv2.imwrite(
                    str(folder / f"{pid:04d}_c{camera}s1_{image:06d}_01.jpg"), crop.clip(0, 255).astype(np.uint8)
                )


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Nets this small gain nothing from a second thread, and lose much when another process keeps it waiting."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Market-1501's layout: 8 people to train on, 6 others to find, 2 cameras."""
    folder = tmp_path_factory.mktemp("crops")
    write_crops(folder / "bounding_box_train", range(1, 9), cameras=2, images=3)
    write_crops(folder / "query", range(21, 27), cameras=2, images=1)
    write_crops(folder / "bounding_box_test", range(21, 27), cameras=2, images=2, seed=1)
    return folder


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    """Overrides that shrink a recipe for a test."""
    return TINY


@pytest.fixture(scope="session")
def run(crops: Path, tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run to read; a test that writes into one trains its own."""
    from training.engine import train
    from training.recipe import load_recipe

    out = tmp_path_factory.mktemp("runs") / "run"
    train(load_recipe("small", [*tiny, "schedule.epochs=1"]), f"market1501:{crops}", out, quiet=True)
    return out


@pytest.fixture(scope="session")
def onnx_file(run: Path) -> Path:
    """The run's model."""
    from models.export import export_run

    export_run(run, run.parent / "model.onnx", name="tiny")
    return run.parent / "model.onnx"


@pytest.fixture(scope="session")
def one_batch(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two data sets of four people with two images each, all in one camera: a batch of eight and no more."""
    folders = [tmp_path_factory.mktemp("batch") for _ in range(2)]
    for number, folder in enumerate(folders):
        write_crops(folder / "bounding_box_train", range(1 + 4 * number, 5 + 4 * number), cameras=1, images=2)
    return folders
