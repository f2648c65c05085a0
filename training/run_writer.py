"""Writing a run folder (its layout: `models.run_folder`)."""

import contextlib
import io
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from models.run_folder import (
    CLASSIFIER,
    FACTS,
    LEFT_OUT,
    OPTIMIZER,
    RECIPE,
    TRUNK,
    epoch_number,
    epochs,
    is_epoch,
    last_epoch,
    read_facts,
)
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
        keep_every: of how many epochs one checkpoint stays when the next ones come; None: of none.

    Raises:
        UserError: the folder holds a run and ``resume`` is off, or another run, or none, or it cannot be made, or its
            name is an epoch's.
    """

    def __init__(
        self,
        run: Path,
        facts: Mapping[str, Any],
        recipe: str,
        resume: bool,
        writes: bool = True,
        keep_every: int | None = None,
    ) -> None:
        self.run, self._log, self._writes, self._keep_every = run, run / "log.jsonl", writes, keep_every
        self._new = not run.exists()
        if is_epoch(run):
            raise UserError(f"--out {run}: epochs in a run folder are called so; name the run's folder, or another one")
        if resume:
            before = read_facts(run)
            if "her" in before:
                raise UserError(f"{run}: was made by HER, which trains nothing; resume the run it was made from")
            if changed := _difference(_asked_for(before), _asked_for(facts)):
                data = [before["data"]] if isinstance(before["data"], str) else before["data"]
                source = "".join(f"--source {spec} " for spec in before.get("source", []))
                raise UserError(
                    f"{run}: {changed}. To go on with it: reidapp train {run / 'recipe.yaml'} "
                    f"--data {' --data '.join(data)} {source}--seed {before['seed']} --out {run} --resume"
                )
            if writes:
                self._drop_unfinished_epochs()
        else:
            if last_epoch(run) is not None:
                raise UserError(
                    f"{run}: holds a training run already; add --resume to go on with it, or give another --out"
                )
            _make(run)
            if writes:
                self._begin(facts, recipe)
        self._tensorboard = _tensorboard(run) if writes else None

    def _begin(self, facts: Mapping[str, Any], recipe: str) -> None:
        files.write_whole(self.run / FACTS, json.dumps(facts, indent=1, ensure_ascii=False).encode())
        files.write_whole(self.run / RECIPE, recipe.encode())
        files.write_whole(self._log, b"")

    def last_means(self) -> dict[str, float]:
        """What was logged last; empty for a new run."""
        lines = self._log.read_text("utf-8").splitlines() if self._log.exists() else []
        return json.loads(lines[-1]) if lines else {}

    def _drop_unfinished_epochs(self) -> None:
        """An epoch is logged before it is saved: a line without a checkpoint will be written again."""
        if not self._log.exists():
            raise UserError(
                f"{self._log}: not there; put it back, or begin a new run from this one with start={self.run}"
            )
        last = last_epoch(self.run)
        done = epoch_number(last) if last else 0
        lines = self._log.read_text("utf-8").splitlines(keepends=True)
        files.write_whole(self._log, "".join(lines[:done]).encode())

    def left_out(self, skipped: Sequence[tuple[Path, str]]) -> None:
        """Write down all images that are not used."""
        if skipped and self._writes:
            lines = "".join(f"{path}: {why}\n" for path, why in skipped)
            files.write_whole(self.run / LEFT_OUT, lines.encode(errors="surrogateescape"))

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
        """Write the checkpoint of an epoch, then remove those before it that are not kept."""
        if not self._writes:
            return
        final = self.run / f"epoch-{epoch:03d}"
        partial = self.run / f".{final.name}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            files.write_flushed(partial / TRUNK, safetensors.torch.save(_tensors(network)))
            files.write_flushed(partial / CLASSIFIER, safetensors.torch.save(_tensors(method)))
            files.write_flushed(partial / OPTIMIZER, _pickled(optimizer))
            files.flush_folder(partial)
            shutil.rmtree(final, ignore_errors=True)
            os.replace(partial, final)
        finally:
            shutil.rmtree(partial, ignore_errors=True)  # on a full disk it would take the room
        files.flush_folder(self.run)
        for old in epochs(self.run):
            if old != final and (self._keep_every is None or epoch_number(old) % self._keep_every):
                shutil.rmtree(old, ignore_errors=True)

    def close(self) -> None:
        if self._tensorboard is not None:
            self._tensorboard.close()

    def discard(self) -> None:
        """Close, and remove the folder if it was made for this run."""
        self.close()
        if self._writes and self._new:
            shutil.rmtree(self.run, ignore_errors=True)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise UserError(f"--out {folder}: a file; name a folder") from error
    except OSError as error:
        raise UserError(f"--out {folder}: cannot be made ({error.strerror}); name another folder") from error


def _asked_for(facts: Mapping[str, Any]) -> dict[str, Any]:
    defaults: dict[str, Any] = {"source": [], "start": None}  # what older runs do not say
    return {**defaults, **facts["recipe"], **{key: facts[key] for key in ("data", "source", "seed") if key in facts}}


def _difference(before: Any, now: Any, key: str = "") -> str:
    """The first key that differs, dotted as in ``--set``, and its two values; empty if none does."""
    if before == now:
        return ""
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return f"its {key} was {before}, not {now}"
    inside = (_difference(before.get(k), now.get(k), f"{key}.{k}" if key else k) for k in [*now, *before])
    return next(filter(None, inside), "")


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}


def _pickled(state: Mapping[str, Any]) -> bytes:
    """In memory: on a full disk `torch.save` says nothing of the disk."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def _tensorboard(run: Path) -> Any:
    with contextlib.suppress(ImportError):
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(run / "tensorboard"))
    return None
