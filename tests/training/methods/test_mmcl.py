from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from reidapp.errors import UserError
from tests.training.methods.images_as_classes import DIM, Features, build, people, run, showing
from training.losses._multi_label import mmcl
from training.methods._mplp import mplp
from training.methods.mmcl import MMCL, mutual_groups

PIDS = np.repeat(range(10), 4).tolist()


def test_memory_of_the_fixed_case() -> None:
    """Images 2, 7 and 9, α = 0.25."""
    memory = torch.tensor(
        [
            [-0.488529597242, 0.13047599589, -0.856059876191, 0.107127659783],
            [-0.936634151398, -0.066348833443, 0.056719445226, -0.339259787285],
            [0.892524974672, 0.339120440882, 0.177431133877, -0.238567996375],
        ],
        dtype=torch.float64,
    )
    features = torch.tensor(
        [
            [0.327693372271, 0.401981974467, 0.809968801305, -0.273821268139],
            [-0.062831732762, -0.589157084877, 0.384515592474, 0.707879835736],
            [-0.525158333383, 0.196575897752, 0.039193514538, -0.827061369984],
        ],
        dtype=torch.float64,
    )
    after = torch.tensor(
        [
            [0.220775480775, 0.596600711299, 0.702590959009, -0.318891396379],
            [-0.369390219841, -0.602059848206, 0.397341431166, 0.585828124746],
            [-0.230049111547, 0.312878951678, 0.09937355849, -0.916138124819],
        ],
        dtype=torch.float64,
    )
    method = build(MMCL, 12).double()
    method.memory = torch.zeros(12, 4, dtype=torch.float64)
    method.memory[[2, 7, 9]] = memory
    method.momentum, batch = 0.25, torch.tensor([2, 7, 9])
    _, numbers = method(Features(), 3 * features, batch, torch.Generator())
    method.update()
    torch.testing.assert_close(method.memory[[2, 7, 9]], after, atol=1e-6, rtol=0)
    assert method.memory.any(1).sum() == 3
    assert numbers["labels_per_image"] == 1


def test_alpha_grows_and_prediction_begins_when_the_recipe_says() -> None:
    method, features = build(MMCL, 40, pids=PIDS), people(10)
    seen = {}
    for epoch in (0, 5, 6, 30, 59):
        run(method, features, epoch + 1, begin=epoch, of=60)
        seen[epoch] = method.momentum, method._predicts
    assert seen[0] == (0, False)
    assert seen[5][1] is False
    assert seen[6][1] is True
    assert seen[30] == (0.25, True)
    assert seen[59][0] == pytest.approx(0.491666666667)


def test_the_loss_is_of_what_the_memory_predicts() -> None:
    method, features = build(MMCL, 40), people(10)
    method.memory.copy_(features)
    list(method.epoch(np.random.default_rng(0), 0.5, showing(features)))
    batch = torch.tensor([0, 1, 17, 39])
    value, numbers = method(Features(), features[batch], batch, torch.Generator())
    positives = mplp(method.memory, batch)
    assert positives.sum() > 8
    torch.testing.assert_close(value, mmcl((features[batch] @ features.T).float(), positives), atol=1e-5, rtol=1e-5)
    assert numbers["labels_per_image"] == positives.sum() / 4
    method.counts_itself = False
    wider = mplp(method.memory, batch, counts_itself=False).sum()
    assert method(Features(), features[batch], batch, torch.Generator())[1]["labels_per_image"] == wider / 4
    before = method.memory.clone()
    assert method(Features(), features[batch], batch, torch.Generator())[0] == value  # evaluating changes nothing
    assert torch.equal(method.memory, before)


def test_people_are_found_and_reported() -> None:
    method, features = build(MMCL, 40, pids=PIDS), people(10)
    run(method, features, 1, of=4)
    assert method.report() == {"clusters": 0, "outliers": 40, "largest": 0, "ari": pytest.approx(0)}
    run(method, features, 2, begin=1, of=4)
    assert method.report() == {"clusters": 10, "outliers": 0, "largest": 0.1, "ari": 1}


def test_identities_are_looked_at_for_the_log_alone() -> None:
    features, one, other = people(10), build(MMCL, 40, pids=PIDS), build(MMCL, 40, pids=[-1] * 40)
    assert run(one, features, 3) == run(other, features, 3)
    assert "ari" not in other.report()


def test_the_order_of_the_files_does_not_matter() -> None:
    features, order = people(10), torch.randperm(40)
    one, other = build(MMCL, 40, sampler={"batch": 40}), build(MMCL, 40, sampler={"batch": 40})
    assert run(other, features[order], 4) == pytest.approx(run(one, features, 4), abs=1e-5)
    torch.testing.assert_close(other.memory, one.memory[order])


def test_it_starts_from_features_where_asked() -> None:
    features = people(10)
    method = build(MMCL, 40, start="features")
    list(method.epoch(np.random.default_rng(0), 0.0, showing(5 * features)))
    torch.testing.assert_close(method.memory, features.float())
    assert not build(MMCL, 40).memory.any()


def test_resuming_goes_on_as_if_nothing_had_happened() -> None:
    features, whole, first, second = people(10), *(build(MMCL, 40) for _ in range(3))
    expected = run(whole, features, 6)
    found = run(first, features, 3, of=6)
    second.load_state_dict(first.state_dict())
    assert found + run(second, features, 6, begin=3) == expected
    assert torch.equal(second.memory, whole.memory)


def test_gradients_reach_the_network() -> None:
    class Learns(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(DIM, DIM)

        def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"features": self.linear(images)}

    for form in ("mmcl", "mcl"):
        method, network, features = build(MMCL, 40, form=form), Learns(), people(10).float()
        method.memory.copy_(features)
        value, _ = method(network, features[:8], torch.arange(8), torch.Generator())
        value.backward()
        assert network.linear.weight.grad is not None
        assert network.linear.weight.grad.abs().sum() > 0


def test_mutual_groups() -> None:
    pairs = np.array([[0, 0], [0, 2], [2, 0], [2, 3], [3, 2], [1, 3], [1, 1], [0, 2], [4, 4]])
    groups = mutual_groups(pairs, 6)
    assert groups[0] == groups[2] == groups[3] >= 0
    assert groups[[1, 4, 5]].tolist() == [-1, -1, -1]


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [
        (1, {}, "one training image only"),
        (8, {"epochs": 1}, "too short a run: it ends before labels are predicted, 10% from its beginning"),
        (8, {"reading": "papers"}, 'reading is paper or code, not "papers"'),
        (8, {"form": "bce"}, 'form is mmcl or mcl, not "bce"'),
        (8, {"start": "noise"}, 'start is zeros or features, not "noise"'),
        (8, {"on": "feature"}, 'on: no output "feature"; did you mean "features"'),
    ],
)
def test_what_it_is_not_built_with(count: int, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(MMCL, count, **options)


def test_batches_are_of_images() -> None:
    with pytest.raises(UserError, match=r"every image is a class of its own here; give sampler='\{batch: 32\}'"):
        build(MMCL, 8, sampler={"identities": 4})


def test_images_that_look_the_same_are_refused() -> None:
    for features, message in [
        (torch.ones(8, DIM), "all 8 images look the same to the network"),
        (torch.full((8, DIM), torch.nan), r"the network gives no numbers \(NaN\)"),
    ]:
        with pytest.raises(UserError, match=message):
            list(build(MMCL, 8).epoch(np.random.default_rng(0), 0.0, showing(features)))


def test_a_collapse_is_said() -> None:
    method = build(MMCL, 40)
    method.memory.copy_(people(1, 40))
    with pytest.raises(UserError, match=r"resembles most of the others \(cosine above 0.6\).*method.mmcl.threshold"):
        list(method.epoch(np.random.default_rng(0), 0.5, showing(people(10))))
