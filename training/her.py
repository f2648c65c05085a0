"""HER (Wang, Gong, Xiang 2016, "Highly Efficient Regression for Scalable Person Re-Identification", BMVC)."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from models.device import pick_device
from models.network import Network
from models.run_folder import LEFT_OUT, RECIPE, folder_of, last_epoch, load_network, read_facts
from reidapp import files
from reidapp.errors import UserError
from training.data.cache import decode
from training.data.datasets import UNLABELLED, load_datasets
from training.progress import Notes
from training.run_writer import RunWriter

_CHUNK = 256


@dataclass(frozen=True)
class HerResult:
    """What `apply_her` came to.

    Attributes:
        run: the new run's folder.
        dim: of its embeddings.
        warnings: what went wrong without stopping it.
    """

    run: Path
    identities: int
    images: int
    dim: int
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"run": str(self.run)}

    def __str__(self) -> str:
        return f"{self.run}: {self.dim}-d, fitted to {self.images} images of {self.identities} identities"


def fit_her(features: np.ndarray, labels: np.ndarray, ridge: float = 1.0) -> np.ndarray:
    """Ridge regression from features to identity codes (from memory).

    W = (XᵀX + λI)⁻¹ XᵀY,  Y_ic = 1/√n_c for the n_c images i of identity c, else 0

    The codes of two identities are orthogonal and of length one, so a person's every image is sent to the same point,
    as far from everybody else's. An embedding is xᵀW. All is float64, and D × D at most: images may be many.

    Args:
        ridge: λ > 0. Rows of length one make it mean the same for all networks.

    Shapes: features [N, D], labels int [N], any numbers → float64 [D, C], the identities in ascending order.

    Raises:
        UserError: λ is not above 0, or one identity only.
    """
    _check(ridge)
    x = np.asarray(features, np.float64)
    _, labels, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(counts) < 2:
        raise UserError("HER: images of several identities are needed, and all here are of one")
    sums = np.zeros((len(counts), x.shape[1]))
    np.add.at(sums, labels, x)
    codes = sums / np.sqrt(counts)[:, None]  # (XᵀY)ᵀ
    return np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), codes.T)


def apply_her(
    run: Path, data: str | Sequence[str], out: Path, *, ridge: float = 1.0, device: str = "auto", quiet: bool = False
) -> HerResult:
    """Write a run whose network is that of ``run``, with W behind its embedding; nothing is trained.

    W is fitted to the embeddings, which have length one. Of more identities than the embedding has dimensions, only
    their span is kept: all distances stay the same, and the new embedding has min(C, D) dimensions.

    Args:
        run: the folder of a training run, or of one of its epochs.
        data: ``KIND:DIR``, or several; the labelled images of the training part are used.
        out: the new run's folder.
        ridge: λ, see `fit_her`.
        device: ``auto``, ``cpu`` or ``cuda``.
        quiet: no progress bar; warnings are still shown.

    Raises:
        UserError: bad run, data or folder, or see `fit_her`.
    """
    _check(ridge)  # now, not after minutes of embedding
    facts, trained, notes = read_facts(run), load_network(run), Notes()
    recipe_yaml = (folder_of(run) / RECIPE).read_text("utf-8")
    if "projection" in trained.description:
        raise UserError(f"{run}: has been through HER already; give the run it was made from")
    if last_epoch(out) is not None:
        raise UserError(f"{out}: holds a training run already; give another folder")
    specs = [data] if isinstance(data, str) else list(data)
    dataset = load_datasets(specs)
    records = [r for r in dataset.train if r.pid != UNLABELLED]
    if not records:
        raise UserError(f"data {dataset.spec}: no training images with an identity")

    with notes.bar("reading images", len(records), quiet) as advance:
        crops = decode(records, trained.height, trained.width, run, advance)
    skipped = dataset.skipped + crops.skipped
    notes.warn_left_out(skipped, out / LEFT_OUT)
    pids = np.array([r.pid for r in crops.records])
    trained.to(pick_device(device)).to(memory_format=torch.channels_last)
    weight = _narrowed(fit_her(_embeddings(trained, crops.images, notes, quiet), pids, ridge))

    dim = weight.shape[1]
    network = Network(trained.description | {"projection": dim})
    network.load_state_dict(trained.state_dict() | {"projection.weight": torch.from_numpy(weight.T)})
    recipe, trained_on = facts["recipe"], facts["data"]
    made = {  # so that an exported model's card names what W was fitted to, and how
        "recipe": recipe | {"changes": [*recipe["changes"], f"her.ridge={ridge}"]},
        "data": list(dict.fromkeys([*([trained_on] if isinstance(trained_on, str) else trained_on), *specs])),
        "network": network.description,
        "her": {"run": str(run.relative_to(folder_of(run).parent)), "data": specs, "ridge": ridge},
    }
    with files.disk_named(out):
        writer = RunWriter(out, facts | made, recipe_yaml, resume=False)
        try:
            writer.left_out(skipped)
            writer.save(0, network, nn.Module(), {})
        except OSError:
            writer.discard()
            raise
    writer.close()
    return HerResult(out, len(np.unique(pids)), len(pids), dim, notes.warnings)


def _check(ridge: float) -> None:
    if not 0 < ridge < math.inf:
        raise UserError(f"HER: ridge is {ridge}; a number above 0 expected")


def _embeddings(network: Network, images: np.ndarray, notes: Notes, quiet: bool) -> np.ndarray:
    parts = []
    with notes.bar("embedding", len(images), quiet) as advance:
        for start in range(0, len(images), _CHUNK):
            parts.append(network.embed_crops(list(images[start : start + _CHUNK])))
            advance(len(parts[-1]))
    return np.concatenate(parts)


def _narrowed(weight: np.ndarray) -> np.ndarray:
    """[D, C] → [D, min(C, D)]: W = RᵀQᵀ, and rows of Qᵀ are orthonormal, so xᵀRᵀ has the products of xᵀW."""
    return weight if weight.shape[1] <= len(weight) else np.linalg.qr(weight.T).R.T
