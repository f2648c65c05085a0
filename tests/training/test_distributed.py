"""Two processes and one train the same network."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from models.run_folder import last_epoch
from tests.training.test_recipes_contract import two_frames

TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")


LOSSES = (
    '{"oim": {"queue": 3}, "triplet": {"on": "features"}, "cosface": null, "center": {"weight": 0.1},'
    ' "identity": {"on": ["features", "pooled"]}}'
)


@pytest.mark.slow
def test_gradients_banks_and_statistics_are_those_of_one_process(tmp_path: Path) -> None:
    """Mining goes over the whole batch, banks take all of it in one order, batch norm sees its own part."""
    script = str(Path(__file__).with_name("one_step.py"))
    run(script, LOSSES, str(tmp_path / "one"))
    run(*TWO, script, LOSSES, str(tmp_path / "two"))
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
    run(*command, "--out", str(tmp_path / "one"), "--set", "bn_split=2")
    output = run(*TWO, *command, "--out", str(tmp_path / "two"))
    assert output.startswith(f"{tmp_path / 'two'}: 1 epoch, 32 images")
    assert len(output.splitlines()) == 1
    epochs = [last_epoch(tmp_path / name) for name in ("one", "two")]
    one, two = (load_file(epoch / "classifier.safetensors") for epoch in epochs if epoch is not None)
    torch.testing.assert_close(two["losses.oim.lut"], one["losses.oim.lut"], rtol=0, atol=1e-3)
    assert one["losses.oim.lut"].norm(dim=1).sum() > 3.9  # four people or more have been seen


@pytest.mark.slow
def test_clusters_and_their_memory_are_those_of_one_process(crops: Path, tiny: list[str], tmp_path: Path) -> None:
    still = "augmentation={flip: 0, shift: 0, zoom: 0, colour: 0, erase: 0}"
    dbscan = "method.spcl.clustering={dbscan: {min_samples: 2, k1: 6, k2: 2, eps: 0.9}}"
    changes = [*tiny, still, dbscan, "sampler.batches=2", "optimizer={sgd: {}}", "schedule={epochs: 1, lr: 1e-3}"]
    options = [option for change in changes for option in ("--set", change)]
    command = ["-m", "reidapp", "train", "spcl", "--small", "--data", f"market1501:{crops}", *options]
    run(*command, "--out", str(tmp_path / "one"), "--set", "bn_split=2")
    run(*TWO, *command, "--out", str(tmp_path / "two"))
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
    command = ["-m", "reidapp", "train", "cycas", "--small", "--data", f"footage:{two_frames(one_batch[0])}", *options]
    run(*command, "--out", str(tmp_path / "one"), "--set", "bn_split=2")
    run(*TWO, *command, "--out", str(tmp_path / "two"))
    one, two = (json.loads((tmp_path / name / "log.jsonl").read_text()) for name in ("one", "two"))
    assert two["loss"] == pytest.approx(one["loss"], abs=1e-5)
    assert two["right_associations"] == one["right_associations"]


def run(*command: str) -> str:
    """Its standard output."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return done.stdout
