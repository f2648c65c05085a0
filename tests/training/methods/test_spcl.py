import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reidapp.errors import UserError
from tests.training.methods.clustered import Same, begin, build, people, step
from training.methods.spcl import SpCL, best, class_means, overlap


@pytest.fixture(scope="module")
def case(shared: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((shared / "reference" / "method_cases.json").read_text())["spcl"]
    return found


def double(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_fixed_loss_and_update(case: dict[str, Any]) -> None:
    inputs = case["inputs"]
    method = build(SpCL, len(inputs["labels"]), dim=4)
    method.memory, method.classes = double(inputs["memory"]), torch.tensor(inputs["labels"])
    loss, _ = method(Same(), double(inputs["f"]), torch.tensor(inputs["index"]), torch.Generator())
    assert float(loss) == pytest.approx(case["expected"]["loss"], abs=1e-9)
    method.update()
    torch.testing.assert_close(method.memory, double(case["expected"]["memory_after"]), atol=1e-9, rtol=0)


def test_fixed_overlaps(case: dict[str, Any]) -> None:
    normal, tight, loose = (np.array(case["inputs"][key]) for key in ("lab", "lab_tight", "lab_loose"))
    np.testing.assert_allclose(overlap(normal, loose), case["expected"]["R_indep_iou"], atol=1e-9)
    np.testing.assert_allclose(overlap(normal, tight), case["expected"]["R_comp_iou"], atol=1e-9)


def test_overlap_and_best_agree_with_sets() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.integers(-1, 5, 60), rng.integers(-1, 7, 60)
    found = overlap(one, other)
    for i in range(60):
        a, b = ({j for j in range(60) if labels[j] == labels[i] >= 0} or {i} for labels in (one, other))
        assert found[i] == pytest.approx(len(a & b) / len(a | b))
    assert best(found, one).tolist() == [max(found[one == cluster]) for cluster in range(5)]


def test_loss_agrees_with_a_double_loop() -> None:
    features = people(noise=0.1)
    features[5] = torch.eye(16)[0]  # like nobody: a class of its own
    method = build(SpCL)
    batch = begin(method, features)[0]
    classes, expected = method.classes.tolist(), 0.0
    assert len(set(classes)) == 7
    for at in batch:
        z = []
        for c in range(max(classes) + 1):
            own = [
                float(features[at] @ v) for v, label in zip(method.memory.float(), classes, strict=True) if label == c
            ]
            z.append(math.exp(sum(own) / len(own) / 0.05))
        expected -= math.log(z[classes[at]] / sum(z)) / len(batch)
    assert float(step(method, features, batch)[0]) == pytest.approx(expected, abs=1e-4)


def test_with_fixed_singletons_it_is_cross_entropy() -> None:
    method, features = build(SpCL), people().double()
    method.memory, method.classes = F.normalize(people(seed=5).double(), dim=1), torch.arange(48).flip(0)
    batch = torch.tensor([3, 3, 9, 40])
    loss, _ = method(Same(), features[batch], batch, torch.Generator())
    torch.testing.assert_close(loss, F.cross_entropy(features[batch] @ method.memory.flip(0).T / 0.05, 47 - batch))


def test_numeric_gradient() -> None:
    method, features = build(SpCL, tau=0.5), people().double()
    batch = torch.from_numpy(begin(method, features.float())[0][:6])
    shown = (3 * features[batch]).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: method(Same(), x, batch, torch.Generator())[0], shown)


def test_class_means_are_not_of_length_one() -> None:
    found = class_means(double([[1, 0], [0, 1], [0.6, 0.8]]), torch.tensor([1, 1, 0]))
    assert found.tolist() == [[0.6, 0.8], [0.5, 0.5]]


def test_crops_outside_of_clusters_take_part() -> None:
    """A group of the sampler is a cluster's crops, or as many crops of nobody."""
    strangers = F.normalize(torch.randn(12, 16, generator=torch.Generator().manual_seed(4)), dim=1)
    features = torch.cat([people(), strangers])
    method = build(SpCL, 60)
    seen = np.concatenate(begin(method, features) + begin(method, features, done=0.1, seed=1))
    assert method.report()["clusters"] == 6
    assert method.report()["outliers"] == 12
    assert set(range(48, 60)) <= set(seen)
    for group in seen.reshape(-1, 4):
        assert (group >= 48).all() or len(set(group // 8)) == 1


def test_the_memory_is_filled_once_and_then_clustered() -> None:
    method, features = build(SpCL), people()
    batch = begin(method, features)[0]
    torch.testing.assert_close(method.memory, features.double())
    step(method, -features, batch)
    moved = method.memory.clone()
    assert not torch.equal(moved[batch[0]], features[batch[0]].double())
    begin(method, torch.zeros(48, 16), done=0.1)  # the network is not asked again
    assert torch.equal(method.memory, moved)
    assert set(method.state_dict()) == {"memory", "threshold"}


def test_unreliable_clusters_are_dissolved() -> None:
    """Two narrow clusters, and two that the looser eps joins: these are not independent."""

    def around(angle: float) -> Tensor:
        angles = torch.linspace(angle - 0.02, angle + 0.02, 12)
        return torch.stack([angles.cos(), angles.sin()], 1)

    features = torch.cat([around(0.0), around(1.0), around(2.0), around(2.5)])
    far = 1 - math.cos(0.46)  # between the last two
    options = {"clustering": {"dbscan": {"eps": far - 0.001, "metric": "cosine"}}, "dim": 2}
    method = build(SpCL, keep=0.5, **options)
    begin(method, features)
    assert method.report()["clusters"] == 2
    assert (method.classes[:24].reshape(2, 12) == torch.tensor([[0], [1]])).sum() in (0, 24)
    assert len(set(method.classes[24:].tolist())) == 24
    assert float(method.threshold) == 1
    lenient = build(SpCL, keep=1.0, **options)
    begin(lenient, features)
    assert lenient.report()["clusters"] == 4
    assert float(lenient.threshold) == 0.5


def test_one_cluster_among_strangers_is_learnt_from() -> None:
    strangers = F.normalize(torch.randn(40, 16, generator=torch.Generator().manual_seed(4)), dim=1)
    method = build(SpCL, clustering={"dbscan": {"eps": 0.1, "metric": "cosine"}})
    begin(method, torch.cat([people(1), strangers]))
    assert (method.report()["clusters"], method.report()["outliers"]) == (1, 40)
    assert int(method.classes.max()) == 40


def test_a_source_identity_has_one_vector() -> None:
    method = build(SpCL, source=[70, 90, 70, 71])
    features = torch.cat([people(), people(4, each=1, seed=9)])
    for batch in begin(method, features):
        assert ((batch.reshape(4, 4) >= 48).all(1) == [False, True, False, True]).all()
    assert method.rows[48:].tolist() == [48, 50, 48, 49]
    assert method.memory.shape == (51, 16)
    expected = F.normalize(features[48] + features[50], dim=0)
    torch.testing.assert_close(method.memory[48], expected.double())
    assert len(set(method.classes.tolist())) == 9
    batch = np.array([0, 48, 50])
    before = method.memory.clone()
    step(method, features, batch)
    assert (method.memory != before).any(1).nonzero().flatten().tolist() == [0, 48]


def test_the_order_of_the_files_decides_nothing() -> None:
    features, order = people(noise=0.1), np.random.default_rng(3).permutation(48)
    one, other = build(SpCL), build(SpCL)
    begin(one, features)
    begin(other, features[order])
    assert torch.equal(one.classes[order], other.classes)
    assert one.threshold == other.threshold


@pytest.mark.parametrize("options", [{"clustering": {"kmeans": {"clusters": 3}}}, {"gap": 0.3}])
def test_it_needs_two_more_densities(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="recipe r, method: clustering by dbscan, with an eps above gap, expected"):
        build(SpCL, **options)


def test_all_its_densities_tell_neighbours_from_others() -> None:
    with pytest.raises(UserError, match=r"at eps \+ gap everything is a neighbour; Jaccard needs a sum below 1"):
        build(SpCL, clustering={"dbscan": {"eps": 0.99}})
    build(SpCL, clustering={"dbscan": {"eps": 0.97}})
    build(SpCL, clustering={"dbscan": {"eps": 0.99, "metric": "cosine"}})
