import math

import numpy as np
import pytest
import torch
from torch import Tensor

from reidapp.errors import UserError
from tests.training.methods.images_as_classes import DIM, Features, build, people, run, showing
from training.methods import softsim
from training.methods.softsim import SoftSim, nearest, softened

PIDS = np.repeat(range(10), 4).tolist()
NOWHERE = torch.full((40,), -1)


def test_the_loss_agrees_with_a_double_loop() -> None:
    logits, labels = torch.randn(5, 9, dtype=torch.float64), torch.tensor([0, 3, 8, 3, 1])
    neighbours, total = torch.stack([torch.randperm(9)[:4] for _ in range(5)]), 0.0
    for row, label, near in zip(logits.tolist(), labels.tolist(), neighbours.tolist(), strict=True):
        log_sum = math.log(sum(math.exp(x) for x in row))
        total -= 0.7 * (row[label] - log_sum) + sum(0.3 / 4 * (row[j] - log_sum) for j in near)
    assert softened(logits, labels, neighbours, 0.7).item() == pytest.approx(total / 5, abs=1e-10)


def test_with_all_weight_on_the_image_it_is_cross_entropy() -> None:
    logits, labels, near = torch.randn(5, 9), torch.tensor([0, 3, 8, 3, 1]), torch.randint(9, (5, 2))
    torch.testing.assert_close(softened(logits, labels, near, 1.0), torch.nn.functional.cross_entropy(logits, labels))


def test_numeric_gradients() -> None:
    logits = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    near = torch.tensor([[1, 2], [0, 5], [3, 4]])
    assert torch.autograd.gradcheck(lambda x: softened(x, torch.tensor([0, 1, 2]), near, 0.6), logits)


@pytest.mark.parametrize("block", [1, 100, 1 << 24])
def test_neighbours_agree_with_a_double_loop(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(softsim, "_BLOCK", block)
    views, cameras = [people(10), torch.roll(people(10, spread=0.6), 1, 1)], torch.randint(-1, 3, (40,))
    found = nearest(views, cameras, 5, 0.4)
    for i, row in enumerate(found.tolist()):
        distances = []
        for j in range(40):
            distance = sum(1 - float(view[i] @ view[j]) for view in views) / 2
            same_camera = cameras[i] == cameras[j] and cameras[i] >= 0
            distances.append((distance + 0.4 * bool(same_camera), j))
        assert row == [j for _, j in sorted(distances) if j != i][:5]


def test_neighbours_of_other_cameras_come_first_and_unknown_cameras_do_not_count() -> None:
    features, cameras = people(10), torch.arange(40) % 2
    assert (cameras[nearest([features], cameras, 2, 10.0)] != cameras[:, None]).all()
    assert torch.equal(nearest([features], NOWHERE, 3, 10.0), nearest([features], cameras, 3, 0.0))


def test_duplicates_have_each_other_and_never_themselves() -> None:
    features = people(10, 1).repeat(4, 1)
    found = nearest([features.float()], NOWHERE, 3, 0.0)
    assert (found % 10 == torch.arange(40)[:, None] % 10).all()
    assert not (found == torch.arange(40)[:, None]).any()


def test_fewer_images_than_neighbours() -> None:
    assert nearest([people(3, 1)], NOWHERE[:3], 8, 0.0).sort(1).values.tolist() == [[1, 2], [0, 2], [0, 1]]


def test_labels_are_softened_when_the_recipe_says() -> None:
    method, features = build(SoftSim, 40, pids=PIDS, k=3), people(10)
    run(method, features, 5, of=20)
    assert method.report() == {}
    batch = torch.tensor([0, 13])
    hard, _ = method(Features(), features[batch].float(), batch, torch.Generator())
    run(method, features, 6, begin=5, of=20)
    assert method.report() == {"right_neighbours": 1}
    soft, _ = method(Features(), features[batch].float(), batch, torch.Generator())
    own = torch.cdist(features[batch], features).argsort(1)[:, 1:4]
    logits = features[batch].float() @ method.memory.T / 0.1
    torch.testing.assert_close(soft, softened(logits, batch, own, 0.6), atol=1e-5, rtol=1e-5)
    assert hard != soft


def test_identities_are_looked_at_for_the_log_alone() -> None:
    features, one, other = people(10), build(SoftSim, 40, pids=PIDS), build(SoftSim, 40, pids=[-1] * 40)
    assert run(one, features, 8) == run(other, features, 8)
    assert other.report() == {}


def test_the_order_of_the_files_does_not_matter() -> None:
    features, order = people(10), torch.randperm(40)
    one, other = (build(SoftSim, 40, sampler={"batch": 40}, camera=0) for _ in range(2))
    assert run(other, features[order], 8) == pytest.approx(run(one, features, 8), abs=1e-4)
    torch.testing.assert_close(other.memory, one.memory[order])


def test_resuming_goes_on_as_if_nothing_had_happened() -> None:
    features, (whole, first, second) = people(10), (build(SoftSim, 40) for _ in range(3))
    expected = run(whole, features, 10)
    found = run(first, features, 6, of=10)
    second.load_state_dict(first.state_dict())
    assert found + run(second, features, 10, begin=6) == expected
    assert torch.equal(second.memory, whole.memory)


def test_what_it_is_not_built_with() -> None:
    with pytest.raises(UserError, match="too short a run: it ends before there are neighbours, 25% from its beginning"):
        build(SoftSim, 8, epochs=1)
    with pytest.raises(UserError, match='compare: no output "local"; known: features, pooled'):
        build(SoftSim, 8, compare=["local"])
    with pytest.raises(UserError, match="compare is empty"):
        build(SoftSim, 8, compare=[])
    with pytest.raises(UserError, match="one training image only"):
        build(SoftSim, 1)


def same(value: float) -> Tensor:
    return torch.full((8, DIM), value)


@pytest.mark.parametrize(("value", "message"), [(1.0, "look the same"), (math.nan, r"no numbers \(NaN\)")])
def test_images_that_look_the_same_are_refused(value: float, message: str) -> None:
    with pytest.raises(UserError, match=message):
        list(build(SoftSim, 8).epoch(np.random.default_rng(0), 0.5, showing(same(value))))
