import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from training.methods import _mplp
from training.methods._mplp import mplp

ANGLES = [0, 20, 45, 50, 54, 57, 59, 150, 161, 200, 252, 300]
EVERY = [0, 1, 2, 3, 4, 5, 6]
PAPER = [
    *([0, 1], EVERY, EVERY, EVERY, EVERY[1:], EVERY[1:], EVERY[2:]),
    *([7, 8, 9], [7, 8, 9], [7, 8, 9, 10], [10, 11], [10, 11]),
]
CODE = [
    *([0, 1, 2, 3], EVERY, EVERY, EVERY, EVERY[1:], EVERY[1:], EVERY[1:]),
    *([7, 8, 9], [7, 8, 9], [7, 8, 9, 10], [9, 10, 11], [10, 11]),
]


def predicted(memory: Tensor, **options: Any) -> list[list[int]]:
    return [row.nonzero().squeeze(1).tolist() for row in mplp(memory, torch.arange(len(memory)), **options)]


def circle() -> Tensor:
    angles = [math.radians(angle) for angle in ANGLES]
    return torch.tensor([[math.cos(a), math.sin(a)] for a in angles], dtype=torch.float64)


def blobs(count: int = 60) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    centres = torch.randn(8, 6, generator=rng, dtype=torch.float64)
    people = torch.randint(8, (count,), generator=rng)
    return F.normalize(centres[people] + 0.8 * torch.randn(count, 6, generator=rng, dtype=torch.float64), dim=1)


def test_fixed_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    assert predicted(circle()) == PAPER
    assert predicted(circle(), reading="code") == CODE
    monkeypatch.setattr(_mplp, "_LEAST", 2)
    assert predicted(circle(), reading="code") == [[0, 1], *CODE[1:]]


@pytest.mark.parametrize("counts_itself", [True, False])
@pytest.mark.parametrize("reading", ["paper", "code"])
def test_agrees_with_walking_through_sorted_lists(reading: Any, counts_itself: bool) -> None:
    memory = blobs()
    similarities = (memory @ memory.T).fill_diagonal_(2)
    ranked = similarities.argsort(dim=1, descending=True).tolist()
    expected = []
    for i, (row, order) in enumerate(zip(similarities, ranked, strict=True)):
        k = int((row > 0.6).sum())
        kept = 0
        for j in order[:k]:
            place = ranked[j].index(i)  # 0 is j's own
            last = max(k, 10) if reading == "code" else k - counts_itself
            if place > last:
                break
            kept += 1
        if reading == "code":
            kept = min(max(kept, 2), k)
        expected.append(sorted(order[:kept]))
    found = predicted(memory, reading=reading, counts_itself=counts_itself)
    assert found == expected
    assert max(map(len, found)) > 5
    assert min(map(len, found)) == 1


def test_a_part_of_the_images_gets_the_same_labels() -> None:
    memory, chosen = blobs(), torch.tensor([7, 3, 3, 59])
    torch.testing.assert_close(mplp(memory, chosen), mplp(memory, torch.arange(60))[chosen])


def test_the_order_of_the_files_does_not_matter() -> None:
    memory = torch.cat([blobs(), blobs()[:20]])  # with duplicates
    order = torch.randperm(80)
    expected = mplp(memory, torch.arange(80))[order][:, order]
    assert torch.equal(mplp(memory[order], torch.arange(80)), expected)


@pytest.mark.parametrize("reading", ["paper", "code"])
def test_duplicates_are_positives_of_each_other(reading: Any) -> None:
    memory = F.normalize(torch.randn(3, 50), dim=1).repeat_interleave(4, 0)  # equal but for rounding, in float32
    memory = memory * (1 - 2 * torch.eye(3).repeat_interleave(4, 0)[:, [0]])  # their signs differ
    for i, own in enumerate(predicted(memory, reading=reading)):
        assert {i} <= set(own)
        assert set(own) == set(range(i // 4 * 4, i // 4 * 4 + 4))
    assert predicted(torch.ones(5, 1), reading=reading) == [[0, 1, 2, 3, 4]] * 5


def test_rows_never_filled_are_alone() -> None:
    assert predicted(torch.zeros(4, 3)) == [[0], [1], [2], [3]]


def test_autocast_rounds_nothing() -> None:
    memory = blobs().float()
    with torch.autocast("cpu", torch.bfloat16):
        inside = mplp(memory, torch.arange(60))
    assert torch.equal(inside, mplp(memory, torch.arange(60)))
