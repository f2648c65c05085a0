"""Two processes and one train the same network."""

import json
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from models.run_folder import last_epoch
from reidapp.imaging import read_image, resize
from tests.reidapp.commands import reidapp
from tests.training import one_step
from tests.training.test_recipes_contract import two_frames
from training.data import cache
from training.data.datasets import Record
from training.distributed import join, leave

TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")


LOSSES = (
    '{"oim": {"queue": 3}, "triplet": {"on": "features"}, "cosface": null, "center": {"weight": 0.1},'
    ' "identity": {"on": ["features", "pooled"]}}'
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As the processes have, which would round otherwise in another order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
def test_gradients_banks_and_statistics_are_those_of_one_process(tmp_path: Path) -> None:
    """Mining goes over the whole batch, banks take all of it in one order, batch norm sees its own part."""
    one_step.main(LOSSES, str(tmp_path / "one"))
    together(one_step.main, LOSSES, str(tmp_path / "two"))
    one, two = load_file(tmp_path / "one"), load_file(tmp_path / "two")
    assert one.keys() == two.keys()
    assert sum(name.startswith("gradient") for name in one) > 100
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-9, atol=1e-12, msg=lambda text, n=name: f"{n}: {text}")


@pytest.mark.slow
def test_a_run_in_two_processes(crops: Path, tiny: list[str], tmp_path: Path) -> None:
    """torchrun on the command line: one line of output, one run folder, and the banks of one process."""
    still = "augmentation={flip: 0, shift: 0, zoom: 0, colour: 0, erase: 0}"
    recipe = ["loss={oim: {queue: 0}}", "optimizer={sgd: {}}", "schedule={images: 32, lr: 1e-3}", "accumulate=2"]
    changes = [*tiny, still, *recipe]
    options = [option for change in changes for option in ("--set", change)]
    command = ["-m", "reidapp", "train", "small", "--data", f"market1501:{crops}", *options]
    alone(*command[2:], "--out", tmp_path / "one", "--set", "bn_split=2")
    output = run(*TWO, *command, "--out", str(tmp_path / "two"))
    assert output.startswith(f"{tmp_path / 'two'}: 1 epoch, 32 images")
    assert len(output.splitlines()) == 1
    epochs = [last_epoch(tmp_path / name) for name in ("one", "two")]
    one, two = (load_file(epoch / "classifier.safetensors") for epoch in epochs if epoch is not None)
    torch.testing.assert_close(two["losses.oim.lut"], one["losses.oim.lut"], rtol=0, atol=1e-3)
    assert one["losses.oim.lut"].norm(dim=1).sum() > 3.9  # four people or more have been seen


@pytest.mark.slow
def test_one_process_decodes_for_all(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    paths = [tmp_path / f"{number}.png" for number in range(6)]
    for number, path in enumerate(paths):
        cv2.imwrite(str(path), np.random.default_rng(number).integers(0, 256, (20, 10, 3), dtype=np.uint8))
    paths[2].write_text("no image")
    together(decode, tmp_path, paths)
    first, second = (np.load(tmp_path / f"{rank}.npz") for rank in (0, 1))
    assert (first["reads"], second["reads"]) == (6, 0)
    expected = np.stack([resize(read_image(path), 16, 8) for path in paths if path != paths[2]])
    for crops in (first, second):
        np.testing.assert_array_equal(crops["images"], expected)
        assert crops["pids"].tolist() == [0, 1, 3, 4, 5]
        assert crops["skipped"].tolist() == ["2.png"]
    assert not list((tmp_path / "out").iterdir())


def decode(folder: Path, paths: list[Path]) -> None:
    rank = join("cpu").rank
    reads: list[Path] = []

    def noted(path: Path) -> np.ndarray:
        reads.append(path)
        return read_image(path)

    cache.read_image = noted
    crops = cache.decode([Record(path, pid) for pid, path in enumerate(paths)], 16, 8, folder / "out")
    pids, skipped = [record.pid for record in crops.records], [path.name for path, _ in crops.skipped]
    np.savez(folder / f"{rank}.npz", images=crops.images, reads=len(reads), pids=pids, skipped=skipped)
    leave()


@pytest.mark.slow
def test_weights_of_a_head_a_moving_average_and_resuming(crops: Path, tiny: list[str], tmp_path: Path) -> None:
    """JLML's sparsity is of its head's weights, which are no part of a batch."""
    still = "augmentation={flip: 0, shift: 0, zoom: 0, colour: 0, erase: 0}"
    schedule = ["optimizer={sgd: {}}", "schedule={images: 64, lr: 1e-3}", "ema=0.5", "keep_every=1"]
    changes = [*tiny, still, "input={height: 64, width: 32}", "sampler={batch: 8}", *schedule]
    options = [option for change in changes for option in ("--set", change)]
    command = ["train", "jlml", "--small", "--data", f"market1501:{crops}", *options]
    alone(*command, "--out", tmp_path / "one", "--set", "bn_split=2")
    in_two(*command, "--out", tmp_path / "two")
    log = [json.loads((tmp_path / name / "log.jsonl").read_text().splitlines()[-1]) for name in ("one", "two")]
    assert log[1] == pytest.approx(log[0], rel=1e-3)
    one, two = (load_file(tmp_path / name / "epoch-002" / "trunk.safetensors") for name in ("one", "two"))
    for name in one:  # as wholes: where rounding turns a ReLU, single values go their own way on some processors
        apart = (two[name] - one[name]).float().norm()
        assert apart <= 1e-2 * one[name].float().norm() + 1e-3, name

    shutil.rmtree(tmp_path / "two" / "epoch-002")
    in_two(*command, "--out", tmp_path / "two", "--resume")
    resumed = load_file(tmp_path / "two" / "epoch-002" / "trunk.safetensors")
    assert all(torch.equal(resumed[name], two[name]) for name in two)


@pytest.mark.slow
def test_clusters_and_their_memory_are_those_of_one_process(crops: Path, tiny: list[str], tmp_path: Path) -> None:
    still = "augmentation={flip: 0, shift: 0, zoom: 0, colour: 0, erase: 0}"
    dbscan = "method.spcl.clustering={dbscan: {min_samples: 2, k1: 6, k2: 2, eps: 0.9}}"
    changes = [*tiny, still, dbscan, "sampler.batches=2", "optimizer={sgd: {}}", "schedule={epochs: 1, lr: 1e-3}"]
    options = [option for change in changes for option in ("--set", change)]
    command = ["train", "spcl", "--small", "--data", f"market1501:{crops}", *options]
    alone(*command, "--out", tmp_path / "one", "--set", "bn_split=2")
    in_two(*command, "--out", tmp_path / "two")
    one, two = (load_file(tmp_path / name / "epoch-001" / "classifier.safetensors") for name in ("one", "two"))
    torch.testing.assert_close(two["memory"], one["memory"], rtol=0, atol=1e-3)
    lines = [json.loads((tmp_path / name / "log.jsonl").read_text()) for name in ("one", "two")]
    assert lines[0]["clusters"] == lines[1]["clusters"]
    assert lines[0]["ari"] == lines[1]["ari"]


@pytest.mark.slow
def test_people_are_associated_across_processes(one_batch: list[Path], tmp_path: Path) -> None:
    """One process has the earlier frame, the other one the later."""
    still = "augmentation={flip: 0, shift: 0, zoom: 0, colour: 0, erase: 0}"
    changes = [still, "input={height: 32, width: 16}", "sampler={batch: 8}", "schedule={epochs: 1, lr: 1e-3}"]
    options = [option for change in changes for option in ("--set", change)]
    command = ["train", "cycas", "--small", "--data", f"footage:{two_frames(one_batch[0])}", *options]
    alone(*command, "--out", tmp_path / "one", "--set", "bn_split=2")
    in_two(*command, "--out", tmp_path / "two")
    one, two = (json.loads((tmp_path / name / "log.jsonl").read_text()) for name in ("one", "two"))
    assert two["loss"] == pytest.approx(one["loss"], abs=1e-5)
    assert two["right_associations"] == one["right_associations"]


def alone(*command: object) -> None:
    """What is to be compared with; in this process, which has loaded all that it needs."""
    done = reidapp(*command)
    assert done.returncode == 0, done.stderr


def in_two(*command: object) -> None:
    for done in together(reidapp, *command):
        assert done.returncode == 0, done.stderr
        assert "Warning" not in done.stderr


def together(act: Callable[..., Any], *arguments: object) -> list[Any]:
    """What two processes of a team give: as torchrun starts them, but forked from one that has loaded everything."""
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload([__name__, "training.engine", "torch._dynamo"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with ProcessPoolExecutor(2, forks) as team:  # one that dies ends the other's waiting
        return [each.result() for each in [team.submit(one_of_two, rank, port, act, arguments) for rank in range(2)]]


def one_of_two(rank: int, port: int, act: Callable[..., Any], arguments: tuple[object, ...]) -> Any:
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in place.items()}
    torch.set_num_threads(1)
    return act(*arguments)


def run(*command: str) -> str:
    """Its standard output."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return done.stdout
