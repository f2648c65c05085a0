from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from reidapp.errors import UserError
from training.data.datasets import Record
from training.methods.dgd import DomainGuidedDropout, impacts, keep_probability, keep_useful

IMPACT = torch.tensor([0.02, -0.01, 0.0, 0.005], dtype=torch.float64)


def test_fixed_case() -> None:
    assert keep_useful(IMPACT).tolist() == [1, 0, 0, 1]
    expected = torch.tensor([0.9, 0.25, 0.5, 0.633974596216], dtype=torch.float64)
    torch.testing.assert_close(keep_probability(IMPACT), expected, atol=1e-9, rtol=0)


def test_nothing_useful_is_not_divided_by() -> None:
    assert keep_probability(torch.zeros(3)).tolist() == [0.5, 0.5, 0.5]
    assert keep_probability(torch.tensor([-1.0, -2.0])).isfinite().all()


def test_impact_agrees_with_zeroing_one_neuron_after_the_other() -> None:
    torch.manual_seed(0)
    classifier, features, labels = Linear(), torch.randn(7, 5), torch.tensor([0, 1, 2, 0, 1, 2, 0])
    whole = F.cross_entropy(classifier.scores(features), labels)
    for neuron, impact in enumerate(impacts(classifier, features, labels)):
        without = torch.stack([torch.where(torch.arange(5) == neuron, 0.0, row) for row in features])
        assert float(impact) == pytest.approx(
            float(F.cross_entropy(classifier.scores(without), labels) - whole), abs=1e-6
        )


@pytest.mark.parametrize("form", ["stochastic", "deterministic"])
def test_each_domain_keeps_the_neuron_it_needs(form: str) -> None:
    """Neuron 0 tells the people of domain 0 apart, neuron 1 those of domain 1, neuron 2 nobody."""
    method = build(form=form)
    with torch.no_grad():
        weight = method.get_parameter("losses.identity.classifier.weight")
        weight.copy_(torch.tensor([[5.0, 0, 0], [-5, 0, 0], [0, 5, 0], [0, -5, 0]]))
    features = torch.tensor([[1.0, 0, 1], [-1, 0, 1], [0, 1, 1], [0, -1, 1]]).repeat_interleave(2, 0)
    list(method.epoch(np.random.default_rng(0), 0.2, lambda output: features))
    assert not method.guided
    list(method.epoch(np.random.default_rng(0), 0.5, lambda output: features))
    assert method.guided
    high, low = (1.0, 0.0) if form == "deterministic" else (0.9, 0.5)
    torch.testing.assert_close(method.keep, torch.tensor([[high, low, low], [low, high, low]]))


def test_dropout_begins_when_guided_and_keeps_the_mean() -> None:
    method = build()
    batch, images = torch.arange(8), torch.ones(8, 1, 1, 3)
    seen = method._look(Same(), images, batch)["features"]
    assert torch.equal(seen, torch.ones(8, 3))
    method.guided.fill_(True)
    method.keep.copy_(torch.tensor([[1.0, 0.0, 0.5], [0.25, 1.0, 0.0]]))
    torch.manual_seed(0)
    drawn = torch.stack([method._look(Same(), images, batch)["features"] for _ in range(4000)]).mean(0)
    expected = torch.tensor([[1.0, 0, 1], [1, 1, 0]]).repeat_interleave(4, 0)
    torch.testing.assert_close(drawn, expected, atol=0.15, rtol=0)


def test_what_was_found_is_saved() -> None:
    assert {"keep", "guided"} <= build().state_dict().keys()


def test_one_data_set_or_an_unknown_form_is_refused() -> None:
    with pytest.raises(UserError, match="needs two data sets or more; give --data several times"):
        build(domains=(0, 0))
    with pytest.raises(UserError, match='form is stochastic or deterministic, not "soft"'):
        build(form="soft")


def test_a_loss_must_classify_the_features() -> None:
    with pytest.raises(UserError, match="needs a loss on features that classifies"):
        build(losses={"triplet": {}})


def test_people_without_an_identity_are_not_measured() -> None:
    features = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    method = build(pids=[0, 0, 1, 1, -1, -1, -1, -1])
    method.guide(features, np.random.default_rng(0))
    assert torch.equal(method.keep[1], torch.ones(3))
    mixed, labelled = build(pids=[0, 0, 1, -1, 2, 2, 3, 3]), np.array([0, 1, 2])
    classifier: Any = mixed.losses["identity"]
    with torch.no_grad():
        classifier.classifier.weight.copy_(features[:4])
    mixed.guide(features, np.random.default_rng(0))
    expected = keep_probability(impacts(classifier, features[labelled], torch.tensor([0, 0, 1])))
    torch.testing.assert_close(mixed.keep[0], expected)


class Linear:
    def __init__(self) -> None:
        self.weight = torch.randn(3, 5)

    def scores(self, outputs: torch.Tensor) -> torch.Tensor:
        return outputs @ self.weight.T


class Same(nn.Module):
    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"features": images[:, 0, 0]}


def build(
    form: str = "stochastic",
    domains: tuple[int, int] = (0, 1),
    pids: Sequence[int] = (0, 0, 1, 1, 2, 2, 3, 3),
    losses: Mapping[str, Any] = MappingProxyType({"identity": {"smoothing": 0.0}}),
) -> DomainGuidedDropout:
    """Two people in each of two domains, two crops each, three neurons."""
    records = [Record(Path(f"{n}.jpg"), pid, domain=domains[n // 4]) for n, pid in enumerate(pids)]
    options: dict[str, Any] = {"joint": 0.5, "form": form}
    return DomainGuidedDropout(records, losses, {"batch": 4}, {"features": 3}, "recipe", **options)
