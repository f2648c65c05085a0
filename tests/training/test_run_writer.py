from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from models.run_folder import epochs, last_epoch
from training.run_writer import RunWriter

FACTS: dict[str, Any] = {"recipe": {"name": "small"}, "data": "folder:a", "seed": 0}


def writer(run: Path, **options: Any) -> RunWriter:
    return RunWriter(run, FACTS, "# a recipe\n", **{"resume": False} | options)


def save(to: RunWriter, epoch: int) -> None:
    to.log(epoch, epoch, {"loss": 1.0})
    to.save(epoch, nn.Linear(2, 2), nn.Linear(2, 2), {"epoch": epoch})


def test_a_checkpoint_that_was_not_finished_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one before it stays; the next start forgets its line in the log, and writes over what is left of it."""
    run = tmp_path / "run"
    save(writer(run), 1)
    torch_save = torch.save

    def full_disk(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="no space left"):
        save(writer(run, resume=True), 2)
    assert epochs(run) == [run / "epoch-001"]
    monkeypatch.setattr(torch, "save", torch_save)
    resumed = writer(run, resume=True)
    assert resumed.last_means()["epoch"] == 1
    save(resumed, 2)
    assert last_epoch(run) == run / "epoch-002"
    assert [path.name for path in run.iterdir() if path.name.startswith(".")] == []


def test_only_the_first_process_writes(tmp_path: Path) -> None:
    other = writer(tmp_path / "run", writes=False)
    save(other, 1)
    other.left_out([(tmp_path / "a.jpg", "no image")])
    assert list((tmp_path / "run").iterdir()) == []


def test_a_folder_of_ones_own_stays_when_nothing_comes_of_the_run(tmp_path: Path) -> None:
    writer(tmp_path).discard()
    assert tmp_path.exists()
    writer(tmp_path / "new").discard()
    assert not (tmp_path / "new").exists()
