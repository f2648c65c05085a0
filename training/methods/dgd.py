"""Domain-guided dropout (Xiao et al. 2016, arXiv 1604.07528): learn from several data sets without losing any."""

import math
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reidapp.errors import UserError
from reidapp.options import Share
from training.data.datasets import UNLABELLED, Record
from training.losses import Classifies
from training.methods._extract import Extract
from training.methods.supervised import Supervised

_SAMPLE = 1024  # crops per domain that impacts are measured on


class DomainGuidedDropout(Supervised):
    """First one classifier over the people of all domains together, then dropout that knows the domain.

    A neuron's impact on a domain is how much the loss there grows when it is set to zero:
    s_n = mean_i [ L(x_i with x_n = 0) − L(x_i) ]. Neurons that a domain does not need are dropped for its crops:
    ``deterministic`` keeps those with s_n > 0; ``stochastic`` keeps each with probability σ(s_n ln 9 / max s), 0.9 for
    the most useful. What is kept is divided by its probability, so the exported network needs no masks.

    Args:
        joint: share of the run before dropout begins, with the next epoch.
        form: ``stochastic`` or ``deterministic``.
        records, losses, sampler, dims, recipe, weights: see `Supervised`; a crop's domain is the data set it is from.
    """

    keep: Tensor
    guided: Tensor

    def __init__(
        self,
        records: Sequence[Record],
        losses: Mapping[str, Mapping[str, Any] | None],
        sampler: Mapping[str, Any],
        dims: Mapping[str, int],
        recipe: str,
        weights: Mapping[str, int] = MappingProxyType({}),
        joint: Share = 0.7,
        form: Literal["stochastic", "deterministic"] = "stochastic",
    ) -> None:
        super().__init__(records, losses, sampler, dims, recipe, weights)
        if form not in ("stochastic", "deterministic"):
            raise UserError(f'{recipe}, method: form is stochastic or deterministic, not "{form}"')
        self.joint, self.form = joint, form
        self.domains = torch.tensor([r.domain for r in records])
        count = int(self.domains.max()) + 1
        if count < 2:
            raise UserError(f"{recipe}: domain-guided dropout needs two data sets or more; give --data several times")
        if not self._classifiers():
            raise UserError(f"{recipe}: domain-guided dropout needs a loss on features that classifies; add identity")
        self.register_buffer("keep", torch.ones(count, dims["features"]))
        self.register_buffer("guided", torch.tensor(False))

    def epoch(self, rng: np.random.Generator, done: float, extract: Extract) -> Iterator[np.ndarray]:
        if done >= self.joint and not self.guided:
            self.guide(extract("features"), rng)
        return super().epoch(rng, done, extract)

    def guide(self, features: Tensor, rng: np.random.Generator) -> None:
        """Measure the impacts on features [N, D] of all crops, and set the probabilities by them."""
        rule = keep_probability if self.form == "stochastic" else keep_useful
        for domain in range(len(self.keep)):
            own = np.flatnonzero((self.domains == domain) & (self.labels != UNLABELLED))
            chosen = torch.from_numpy(rng.permutation(own)[:_SAMPLE])
            if len(chosen):
                sample, labels = features[chosen].to(self.keep.device), self.labels[chosen].to(self.keep.device)
                self.keep[domain] = rule(impacts(self._classifiers()[0], sample, labels))
        self.guided.fill_(True)

    def _look(self, network: nn.Module, images: Tensor, batch: Tensor) -> dict[str, Tensor]:
        outputs = super()._look(network, images, batch)
        if not self.guided:
            return outputs
        keep = self.keep[self.domains[batch].to(images.device)]
        return outputs | {"features": outputs["features"] * torch.bernoulli(keep) / keep.clamp(min=1e-6)}

    def _classifiers(self) -> list[Classifies]:
        on_features = [loss for key, loss in self.losses.items() if self.on[key] == "features"]
        return [loss for loss in on_features if isinstance(loss, Classifies)]


@torch.no_grad()
def impacts(classifier: Classifies, features: Tensor, labels: Tensor) -> Tensor:
    """s_n, [D]: growth of the mean cross-entropy when a neuron of the features [N, D] is zero."""
    whole = F.cross_entropy(classifier.scores(features), labels)
    found = torch.empty(features.shape[1], device=features.device)
    for neuron in range(features.shape[1]):
        without = features.clone()
        without[:, neuron] = 0
        found[neuron] = F.cross_entropy(classifier.scores(without), labels) - whole
    return found


def keep_useful(impact: Tensor) -> Tensor:
    """1 where the impact [D] is positive, else 0."""
    return (impact > 0).to(impact.dtype)


def keep_probability(impact: Tensor) -> Tensor:
    """σ(s ln 9 / max s) for impacts [D]: 0.9 for the largest, 0.5 for none."""
    return torch.sigmoid(impact * math.log(9) / impact.max().clamp(min=1e-12))
