"""MMCL (Wang, Zhang 2020, arXiv 2004.09228): images belong to several classes, those of the images like them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import scipy.sparse
import torch
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from reidapp.errors import UserError
from reidapp.options import BelowOne, NotNegative, Positive, Share
from training.clustering import describe
from training.data.datasets import Record
from training.losses._memory import cosines
from training.losses._multi_label import mcl, mmcl
from training.methods._extract import Extract
from training.methods._images import ImagesAsClasses
from training.methods._mplp import Reading, mplp
from training.recipe import Schedule

_AT_ONCE = 64  # images whose similarities to all are held in memory


class MMCL(ImagesAsClasses):
    """Every image has its own class, and soon those of the images that the memory finds similar (`mplp`).

    The loss is `mmcl` on the cosines of image and memory. Afterwards v_i ← α v_i + (1 − α) x_i, brought to length one,
    where α grows in a straight line with the run. Neither cameras nor style-transferred images are needed; the paper's
    numbers are with the latter (CamStyle), as more augmentation.

    Args:
        threshold: t of the label prediction.
        reading: of the label prediction: ``paper``, or its authors' ``code``.
        counts_itself: of the label prediction, see `mplp`.
        delta: δ, the weight of an image's own classes.
        hard: r, the share of the other classes that is pushed away.
        alpha: α at the end of the run, from 0.
        single: share of the run in which an image has its own class only; the code's first six epochs of sixty.
        form: ``mmcl``, or ``mcl``, the loss that the paper compares it with.
        tau: τ of mcl.
        start: the memory begins as ``zeros``, as published, or with what the network's ``features`` are then.
        records, sampler, schedule, dims, recipe, on: see `ImagesAsClasses`.

    Raises:
        UserError: an unknown word; a run that ends before labels are predicted; a collapse, in which an image resembles
            most of the others.
    """

    def __init__(
        self,
        records: Sequence[Record],
        sampler: Mapping[str, Any],
        schedule: Schedule,
        dims: Mapping[str, int],
        recipe: str,
        on: str = "features",
        threshold: Share = 0.6,
        reading: Reading = "paper",
        delta: NotNegative = 5.0,
        hard: Share = 0.01,
        alpha: BelowOne = 0.5,
        single: BelowOne = 0.1,
        form: Literal["mmcl", "mcl"] = "mmcl",
        tau: Positive = 0.1,
        start: Literal["zeros", "features"] = "zeros",
        counts_itself: bool = True,
    ) -> None:
        super().__init__(records, sampler, schedule, dims, recipe, on, momentum=0.0)
        words = {"reading": (reading, "paper", "code"), "form": (form, "mmcl", "mcl")}
        for key, (word, *known) in (words | {"start": (start, "zeros", "features")}).items():
            if word not in known:
                raise UserError(f'{recipe}, method.mmcl: {key} is {" or ".join(known)}, not "{word}"')
        if not self.epochs_from(single):
            raise UserError(
                f"{recipe}: too short a run: it ends before labels are predicted, {single:.0%} from its beginning; "
                "give more schedule.epochs, or method.mmcl.single=0"
            )
        self.threshold, self.reading, self.counts_itself = threshold, reading, counts_itself
        self.delta, self.hard = delta, hard
        self.alpha, self.single, self.form, self.tau, self.start = alpha, single, form, tau, start
        self._predicts = False

    def epoch(self, rng: np.random.Generator, done: float, extract: Extract) -> Iterator[np.ndarray]:
        self.momentum, self._predicts = self.alpha * done, done >= self.single
        if done == 0 and self.start == "features":
            self.memory.copy_(self.look(extract, self.on))
        if self._predicts and self._is_one_group(rng):
            raise UserError(
                f"{self.recipe}: an image resembles most of the others (cosine above {self.threshold:g}), so that "
                "nobody is told apart; raise method.mmcl.threshold, or start from a better model"
            )
        return super().epoch(rng, done, extract)

    def loss(self, features: Tensor, batch: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        scores = cosines(features, self.memory)
        positives = self._labels_of(batch)
        numbers = {"labels_per_image": positives.sum(1).float().mean()}
        if self.form == "mcl":
            return mcl(scores, positives, self.tau), numbers
        return mmcl(scores, positives, self.delta, self.hard), numbers

    def report(self) -> dict[str, float]:
        """Of the clusters that hang together by mutual labels, as the memory predicts them at the epoch's end."""
        if self._predicts and self._is_one_group(np.random.default_rng(0)):
            return describe(np.zeros(len(self.memory), np.int64), self.identities)
        every = torch.arange(len(self.memory), device=self.memory.device).split(_AT_ONCE)
        pairs = [
            torch.stack([some[image], of], 1) for some in every for image, of in [self._labels_of(some).nonzero().T]
        ]
        return describe(mutual_groups(torch.cat(pairs).cpu().numpy(), len(self.memory)), self.identities)

    def _labels_of(self, images: Tensor) -> Tensor:
        """Whom images [B] are taken to show, by what the memory holds now: bool [B, N]."""
        if self._predicts:
            return mplp(self.memory, images, self.threshold, self.reading, self.counts_itself)
        alone = torch.zeros(len(images), len(self.memory), dtype=torch.bool, device=self.memory.device)
        return alone.scatter_(1, images[:, None], True)

    def _is_one_group(self, rng: np.random.Generator) -> bool:
        """In a collapse, every label of every image would be checked against all images: training would stand still."""
        chosen = torch.from_numpy(rng.permutation(len(self.memory))[:256]).to(self.memory.device)
        similar = (self.memory[chosen] @ self.memory.T > self.threshold).sum(1).float().mean() - 1
        return len(self.memory) > 2 and bool(similar > (len(self.memory) - 1) / 2)


def mutual_groups(pairs: np.ndarray, count: int) -> np.ndarray:
    """Group of every image, int [count], −1 for those alone: connected by pairs [·, 2] that are there both ways."""
    one_way = scipy.sparse.csr_array((np.ones(len(pairs)), pairs.T), shape=(count, count))
    _, groups = connected_components(one_way.multiply(one_way.T), directed=False)
    return np.where(np.bincount(groups)[groups] > 1, groups, -1)
