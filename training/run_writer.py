"""Writing a run folder (its layout: `models.run_folder`)."""

import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from models.run_folder import CLASSIFIER, FACTS, OPTIMIZER, TRUNK, last_epoch, read_facts
from reidapp import files
from reidapp.errors import UserError


class RunWriter:
    """Log and checkpoints of one run. A checkpoint is there completely or not at all, whenever the process dies.

    Args:
        run: the folder; made if need be.
        facts: contents of ``run.json``.
        recipe: the recipe as YAML, with all changes.
        resume: continue the run in the folder, which must have been started by the same recipe, data and seed.
        writes: off in all processes of a run but the first.

    Raises:
        UserError: the folder holds a run and ``resume`` is off, or another run, or none.
    """

    def __init__(self, run: Path, facts: Mapping[str, Any], recipe: str, resume: bool, writes: bool = True) -> None:
        self.run, self._log, self._writes = run, run / "log.jsonl", writes
        if resume:
            before = read_facts(run)
            if "her" in before:
                raise UserError(f"{run}: was made by HER, which trains nothing; resume the run it was made from")
            changed = [key for key in ("recipe", "data", "seed") if before.get(key) != facts[key]]
            if changed:
                raise UserError(
                    f"{run}: its run had another {' and another '.join(changed)}; resume it with "
                    f"{run / 'recipe.yaml'}, data {before['data']} and seed {before['seed']}"
                )
            if writes:
                self._drop_unfinished_epochs()
        else:
            if last_epoch(run) is not None:
                raise UserError(f"{run}: holds a training run already; resume it, or give another folder")
            run.mkdir(parents=True, exist_ok=True)
            if writes:
                self._begin(facts, recipe)
        self._tensorboard = _tensorboard(run) if writes else None

    def _begin(self, facts: Mapping[str, Any], recipe: str) -> None:
        files.write_whole(self.run / FACTS, json.dumps(facts, indent=1, ensure_ascii=False).encode())
        files.write_whole(self.run / "recipe.yaml", recipe.encode())
        files.write_whole(self._log, b"")

    def last_means(self) -> dict[str, float]:
        """What was logged last; empty for a new run."""
        lines = self._log.read_text("utf-8").splitlines() if self._log.exists() else []
        return json.loads(lines[-1]) if lines else {}

    def _drop_unfinished_epochs(self) -> None:
        """An epoch is logged before it is saved: a line without a checkpoint will be written again."""
        last = last_epoch(self.run)
        done = int(last.name.removeprefix("epoch-")) if last else 0
        lines = self._log.read_text("utf-8").splitlines(keepends=True)
        files.write_whole(self._log, "".join(lines[:done]).encode())

    def log(self, epoch: int, step: int, numbers: Mapping[str, float]) -> None:
        if not self._writes:
            return
        line = json.dumps({"epoch": epoch, "step": step, **numbers})
        with self._log.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        if self._tensorboard is not None:
            for name, number in numbers.items():
                self._tensorboard.add_scalar(name, number, step)

    def save(self, epoch: int, network: nn.Module, method: nn.Module, optimizer: Mapping[str, Any]) -> None:
        """Write the checkpoint of an epoch, then remove the one before."""
        if not self._writes:
            return
        final = self.run / f"epoch-{epoch:03d}"
        partial = self.run / f".{final.name}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        save_file(_tensors(network), partial / TRUNK)
        save_file(_tensors(method), partial / CLASSIFIER)
        torch.save(optimizer, partial / OPTIMIZER)
        for path in [*partial.iterdir(), partial]:
            _sync(path)
        shutil.rmtree(final, ignore_errors=True)
        os.replace(partial, final)
        _sync(self.run)
        for old in self.run.glob("epoch-*"):
            if old != final:
                shutil.rmtree(old, ignore_errors=True)

    def close(self) -> None:
        if self._tensorboard is not None:
            self._tensorboard.close()


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}


def _tensorboard(run: Path) -> Any:
    with contextlib.suppress(ImportError):
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(run / "tensorboard"))
    return None


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
