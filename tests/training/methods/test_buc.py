from itertools import combinations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reidapp.errors import UserError
from tests.training.methods.images_as_classes import DIM, Features, build, people, run, showing
from training.methods import buc
from training.methods.buc import BUC, merged

FEATURES = torch.tensor(
    [
        [0.722591697066, -0.187537235942, 0.665350302072],
        [-0.957025387983, -0.216687731917, -0.192740326849],
        [0.561595008432, -0.587792935895, -0.582331959466],
        [0.659909622946, -0.163558162767, -0.733326678184],
        [-0.376700264944, 0.816569250336, -0.437391780668],
        [0.392100524441, 0.782195419602, -0.484177141434],
        [-0.543187389179, -0.500741705545, 0.673947479084],
        [-0.388175950338, 0.671927102768, -0.630740358741],
    ],
    dtype=torch.float64,
)
LABELS = torch.tensor([0, 0, 1, 2, 3, 3, 3, 4])
LOOKUP = [
    [-0.253225317071, 0.939445740081, -0.230908293999],
    [0.452513362506, -0.310633524521, 0.835905778301],
    [0.831264634416, 0.396185003172, -0.389918646427],
    [-0.412892371389, 0.315239612, -0.854484567839],
    [-0.850456019491, 0.002974365294, -0.526037747754],
]
LOOKUP_AFTER = [
    [0.475489440926, 0.76171743333, 0.440109467439],
    [0.452513362506, -0.310633524521, 0.835905778301],
    [0.831264634416, 0.396185003172, -0.389918646427],
    [-0.793163979675, 0.057060214657, -0.606329145967],
    [-0.850456019491, 0.002974365294, -0.526037747754],
]
CRITERION = [
    [0.0, 1.470164983952, 1.550286161277, 1.251546954536, 1.292396618985],
    [1.470164983952, 0.0, 0.560912476766, 1.583918654619, 1.678386145103],
    [1.550286161277, 0.560912476766, 0.0, 1.21402516905, 1.444262976797],
    [1.251546954536, 1.583918654619, 1.21402516905, 0.0, 0.441736871104],
    [1.292396618985, 1.678386145103, 1.444262976797, 0.441736871104, 0.0],
]


def partition(labels: Tensor) -> set[frozenset[int]]:
    return {frozenset(torch.nonzero(labels == label).squeeze(1).tolist()) for label in labels.unique()}


def slowly_merged(features: Tensor, labels: Tensor, pairs: int, penalty: float, squared: bool) -> Tensor:
    """All pairs of images in the order of D, as the published code goes through them."""
    sizes = labels.bincount()
    found = []
    for i, j in combinations(range(len(labels)), 2):
        if labels[i] != labels[j]:
            distance = float((features[i] - features[j]).square().sum())
            distance = distance if squared else distance**0.5
            found.append((distance + penalty * int(sizes[labels[i]] + sizes[labels[j]]), i, j))
    result, left = labels.clone(), pairs
    for _, i, j in sorted(found):
        if result[i] != result[j] and left:
            result[result == result[j]] = result[i].item()
            left -= 1
    return result


@pytest.mark.parametrize(
    ("pairs", "penalty", "squared", "expected"),
    [
        (1, 0.05, False, [0, 0, 1, 2, 3, 3, 3, 3]),
        (1, 0.4, False, [0, 0, 1, 1, 2, 2, 2, 3]),
        (2, 0.005, True, [0, 0, 1, 1, 2, 2, 2, 2]),
        (1, 0.005, True, [0, 0, 1, 2, 3, 3, 3, 3]),
    ],
)
def test_merges_of_the_fixed_case(pairs: int, penalty: float, squared: bool, expected: list[int]) -> None:
    assert merged(FEATURES, LABELS, pairs, penalty, squared).tolist() == expected


def test_criterion_of_the_fixed_case() -> None:
    found = buc._criterion(FEATURES, LABELS, torch.arange(8), 0.05, squared=False)
    least = [[float(found[LABELS.eq(a)][:, LABELS.eq(b)].min()) for b in range(5)] for a in range(5)]
    expected = torch.tensor(CRITERION, dtype=torch.float64).fill_diagonal_(torch.inf)
    torch.testing.assert_close(torch.tensor(least, dtype=torch.float64), expected, atol=1e-6, rtol=0)


def test_loss_and_memory_of_the_fixed_case() -> None:
    method = build(BUC, 8).double()
    method.memory = torch.zeros(8, 3, dtype=torch.float64)
    method.memory[:5] = torch.tensor(LOOKUP, dtype=torch.float64)
    method.labels.copy_(torch.tensor([0, 3, 1, 2, 3, 3, 3, 4]))
    value, _ = method(Features(), 2 * FEATURES[:2], torch.tensor([0, 1]), torch.Generator())
    assert value.item() == pytest.approx(9.394529796388, abs=1e-9)
    method.update()
    expected = torch.tensor(LOOKUP_AFTER, dtype=torch.float64)
    torch.testing.assert_close(method.memory[:5], expected, atol=1e-6, rtol=0)
    assert not method.memory[5:].any()


@pytest.mark.slow
@pytest.mark.parametrize("block", [1, 100, 1 << 24])
@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize("penalty", [0.0, 0.005, 0.3])
def test_agrees_with_going_through_all_pairs(
    squared: bool, penalty: float, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buc, "_BLOCK", block)
    features, labels = F.normalize(torch.randn(40, 4, dtype=torch.float64), dim=1), torch.arange(40)
    for _ in range(6):
        expected = slowly_merged(features, labels, 6, penalty, squared)
        labels = merged(features, labels, 6, penalty, squared)
        assert partition(labels) == partition(expected)
        assert labels.unique().tolist() == list(range(int(labels.max()) + 1))
    assert labels.max() == 3


def test_duplicates_are_merged_first() -> None:
    features = torch.cat([people(6, 1), people(6, 1)[:4]])
    labels = merged(features, torch.arange(10), 4, penalty=0.0)
    assert partition(labels) == {*(frozenset({n, n + 6}) for n in range(4)), frozenset({4}), frozenset({5})}


def test_large_clusters_are_spared() -> None:
    angles = torch.tensor([0.0, 0.0, 0.0, 0.1, 0.1, 0.1, 1.5, 1.8], dtype=torch.float64)
    features, labels = torch.stack([angles.cos(), angles.sin()], 1), torch.tensor([0, 0, 0, 1, 1, 1, 2, 3])
    assert merged(features, labels, 1, penalty=0.0).tolist() == [0, 0, 0, 0, 0, 0, 1, 2]
    assert merged(features, labels, 1, penalty=0.1).tolist() == [0, 0, 0, 1, 1, 1, 2, 2]


def test_the_order_of_the_files_does_not_matter() -> None:
    """As published it did: images of a person beside each other were merged."""
    features, order = people(10, spread=1.5), torch.randperm(40)
    inverse = order.argsort()
    labels = shuffled = torch.arange(40)
    for _ in range(5):
        labels, shuffled = merged(features, labels, 6, 0.005), merged(features[order], shuffled, 6, 0.005)
        assert partition(shuffled[inverse]) == partition(labels)

    one, other = (build(BUC, 40, sampler={"batch": 40}, merge=0.1) for _ in range(2))
    run(one, features, 20)
    run(other, features[order], 20)
    assert partition(other.labels[inverse]) == partition(one.labels)


def test_merges_come_when_the_code_makes_them() -> None:
    """Nineteen, in epochs 20, 22, …, 56 of 58; they leave a twentieth of the clusters."""
    method, features = build(BUC, 80, epochs=58), people(10, 8)
    merges = []
    for epoch in range(58):
        run(method, features, epoch + 1, begin=epoch, of=58)
        merges.append(int(method.merges))
        assert int(method.labels.max()) + 1 == 80 - 4 * merges[-1]
    assert merges == [0] * 20 + [1 + n // 2 for n in range(38)]


def test_no_merge_is_lost_where_every_epoch_has_one() -> None:
    """Not by what shares of a run are rounded to either."""
    for epochs, first in ((5, 0.4), (6, 0.5), (9, 1 / 3), (10, 0.6)):
        method = build(BUC, 40, epochs=epochs, first=first, merge=1 / (epochs - round(first * epochs) + 1.5))
        assert method.planned == method.epochs_from(first)
        run(method, people(10), epochs)
        assert method.merges == method.planned


def test_people_are_found_and_reported() -> None:
    method = build(BUC, 40, pids=np.repeat(range(10), 4).tolist(), merge=0.25)
    run(method, people(10), 20)
    assert method.report() == {"clusters": 10, "outliers": 0, "largest": 0.1, "ari": 1}
    unknown = build(BUC, 40, pids=[-1] * 40, merge=0.25)
    run(unknown, people(10), 20)
    assert torch.equal(unknown.labels, method.labels)
    assert "ari" not in unknown.report()


def test_the_memory_begins_anew_with_the_clusters() -> None:
    method, features = build(BUC, 40, merge=0.1), people(10)
    run(method, features, 7, of=20)
    assert method.merges == 0
    assert method.memory.any(1).all()
    list(method.epoch(np.random.default_rng(0), 0.35, showing(features)))
    assert method.merges == 1
    assert not method.memory.any()


def test_resuming_goes_on_as_if_nothing_had_happened() -> None:
    features, (whole, first, second) = people(10), (build(BUC, 40, merge=0.1) for _ in range(3))
    expected = run(whole, features, 20)
    found = run(first, features, 12, of=20)
    second.load_state_dict(first.state_dict())
    assert found + run(second, features, 20, begin=12) == expected
    assert torch.equal(second.memory, whole.memory)
    assert torch.equal(second.labels, whole.labels)


def test_two_clusters_are_left_of_few_images() -> None:
    for count in (2, 3, 8):
        method = build(BUC, count, merge=0.5)
        run(method, people(count, 1), 20)
        assert int(method.labels.max()) + 1 >= 2


def test_what_it_is_not_built_with() -> None:
    with pytest.raises(UserError, match=r"each of 19 merges begins an epoch, and after the first 34% .* room for 13;"):
        build(BUC, 40, epochs=20)
    with pytest.raises(UserError, match='compare: no output "pool"; did you mean "pooled"'):
        build(BUC, 40, compare="pool")
    with pytest.raises(UserError, match="one training image only"):
        build(BUC, 1)


def test_images_that_look_the_same_are_refused() -> None:
    with pytest.raises(UserError, match="all 8 images look the same to the network"):
        list(build(BUC, 8).epoch(np.random.default_rng(0), 0.5, showing(torch.ones(8, DIM))))
