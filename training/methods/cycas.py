"""CycAs (Wang et al. 2020, arXiv 2007.07577): who goes from one frame to the next and back, comes out as himself."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reidapp import registry
from reidapp.options import BelowOne, NotNegative, Positive
from training.data.datasets import UNLABELLED, Record
from training.data.samplers import FramePairSampler
from training.distributed import gather
from training.losses._cycle import cycle_loss
from training.methods._extract import Extract
from training.methods._images import output


class CycAs(nn.Module):
    """Cycle association: people in two frames of a camera, a moment apart, are most like themselves.

    L = mean over pairs of frames of `cycle_loss`(S),  s_ij = cosine of person i in one frame and j in the other

    Neither identities nor tracks are needed, but whole frames with their times: benchmarks have none, `footage:DIR`
    has. Who may be in one frame alone; the frame that shows fewer is where associations begin.

    The paper could not be read: what is here was written from memory. There, frames of two cameras that see the same
    place at the same time are paired besides.

    Args:
        records: the crops; their cameras and times say which of them are a frame.
        sampler: options of `FramePairSampler`.
        dims: {output of the network: its dimension}.
        recipe: named in errors.
        on: the output of the network that is learnt.
        margin, delta, epsilon: m, δ, ε of the loss.

    Raises:
        UserError: no such output, or no pairs of frames (`FramePairSampler`).
    """

    identities: Tensor

    def __init__(
        self,
        records: Sequence[Record],
        sampler: Mapping[str, Any],
        dims: Mapping[str, int],
        recipe: str,
        on: str = "features",
        margin: NotNegative = 0.5,
        delta: BelowOne = 0.5,
        epsilon: Positive = 0.5,
    ) -> None:
        super().__init__()
        self.on, self.margin, self.delta, self.epsilon = (
            output(on, dims, f"{recipe}, method: on"),
            margin,
            delta,
            epsilon,
        )
        self.sampler: FramePairSampler = registry.build(
            FramePairSampler,
            sampler,
            f"{recipe}, sampler",
            cameras=np.array([record.camid for record in records]),
            times=np.array([np.nan if record.time_s is None else record.time_s for record in records]),
        )
        self.register_buffer("identities", torch.tensor([record.pid for record in records]), persistent=False)
        self._sizes: list[int] = []  # of the frames in the batch, two by two
        self._losses: list[Tensor] = []  # of this epoch, like the next
        self._right: list[Tensor] = []

    def epoch(self, rng: np.random.Generator, done: float, extract: Extract) -> Iterator[np.ndarray]:
        """Index batches int [batch_size] of one epoch."""
        self._losses, self._right = [], []
        for pairs in self.sampler.epoch(rng):
            frames = [frame for pair in pairs for frame in pair]
            self._sizes = [len(frame) for frame in frames]
            yield np.concatenate(frames)

    def forward(
        self, network: nn.Module, images: Tensor, batch: Tensor, noise: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        features, people = gather(network(images)[self.on]), self.identities[gather(batch.to(images.device))]
        losses = []
        with torch.autocast(features.device.type, enabled=False):  # multiplied by T, what bf16 rounds off is larger
            features = F.normalize(features.to(torch.promote_types(features.dtype, torch.float32)), dim=1)
            frames, those = features.split(self._sizes), people.split(self._sizes)
            for few, many, who, whom in zip(frames[::2], frames[1::2], those[::2], those[1::2], strict=True):
                if len(few) > 1:
                    similarities = few @ many.T
                    losses.append(cycle_loss(similarities, self.margin, self.delta, self.epsilon))
                    there = (who != UNLABELLED) & (who[:, None] == whom).any(1)
                    self._right.append((whom[similarities.detach().argmax(1)] == who)[there])
        loss = torch.stack(losses).mean()
        self._losses.append(loss.detach())
        return loss, {}

    def update(self) -> None:
        pass

    def diagnose(self) -> list[str]:
        """The loss is at its margin where all are equally alike, and above where others are more alike."""
        if torch.stack(self._losses).mean() < self.margin:
            return []
        return [
            "in an average pair of frames nobody is more like himself than like others; start from a better model, or "
            "lower sampler.gap or schedule.lr"
        ]

    def report(self) -> dict[str, float]:
        """Who is most like himself in the other frame, as a share of those who are known to be in it."""
        right = torch.cat(self._right)
        return {"right_associations": float(right.float().mean())} if len(right) else {}
