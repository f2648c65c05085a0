import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from training.losses._cycle import _temperature, cycle, cycle_loss

X1 = [[0.9127, 0.3597, -0.1371, -0.9375], [0.0638, 0.5027, -0.2148, 0.0947], [0.5848, -0.0414, 0.4438, 0.7091]]
X2 = [
    [-0.8778, -0.07, 0.5066, -0.4964],
    [-0.6347, 0.6502, -0.5534, 0.7744],
    [-0.4747, -0.1777, -0.2562, -0.4269],
    [0.134, 0.4286, -0.5455, 0.2521],
]
CYCLE = [
    [0.292143203864, 0.618110196026, 0.089746600109],
    [0.090490414937, 0.821614864037, 0.087894721026],
    [0.114400916421, 0.784298324247, 0.101300759333],
]


def cosines(few: int, many: int) -> Tensor:
    x, y = (F.normalize(torch.randn(count, 5, dtype=torch.float64), dim=1) for count in (few, many))
    return x @ y.T


def slow(similarities: list[list[float]], margin: float, delta: float, epsilon: float) -> float:
    """Every probability by itself."""

    def probability(to: float, among: list[float]) -> float:
        t = math.log((delta * (len(among) - 1) + 1) / (1 - delta)) / epsilon
        return math.exp(t * to) / sum(math.exp(t * s) for s in among)

    columns, total = [list(column) for column in zip(*similarities, strict=True)], 0.0
    for i, row in enumerate(similarities):
        back = [
            sum(probability(row[k], row) * probability(columns[k][j], columns[k]) for k in range(len(row)))
            for j in range(len(similarities))
        ]
        total += max(0.0, max((a for j, a in enumerate(back) if j != i), default=-1.0) - back[i] + margin)
    return total / len(similarities)


def test_fixed_case() -> None:
    x, y = (F.normalize(torch.tensor(frame, dtype=torch.float64), dim=1) for frame in (X1, X2))
    torch.testing.assert_close(cycle(x @ y.T), torch.tensor(CYCLE, dtype=torch.float64), atol=1e-10, rtol=0)
    assert cycle_loss(x @ y.T).item() == pytest.approx(0.669654852359, abs=1e-10)


@pytest.mark.parametrize(("few", "many"), [(1, 1), (1, 4), (2, 2), (3, 7), (6, 6)])
def test_the_loss_agrees_with_a_slow_loop(few: int, many: int) -> None:
    similarities = cosines(few, many)
    for options in ((0.5, 0.5, 0.5), (0.2, 0.8, 0.1)):
        assert cycle_loss(similarities, *options).item() == pytest.approx(slow(similarities.tolist(), *options))


def test_numeric_gradients() -> None:
    for shape in ((3, 5), (4, 4), (5, 2), (1, 3)):
        assert torch.autograd.gradcheck(cycle_loss, cosines(*shape).requires_grad_())


def test_a_larger_first_frame_is_the_other_way_round() -> None:
    similarities = cosines(6, 4)
    assert cycle_loss(similarities) == cycle_loss(similarities.T)


@pytest.mark.parametrize("count", [2, 5, 50])
def test_the_temperature_makes_epsilon_delta_however_many_there_are(count: int) -> None:
    similarities = torch.zeros(count, dtype=torch.float64)
    similarities[0] = 0.3
    p = (_temperature(count, delta=0.6, epsilon=0.3) * similarities).softmax(0)
    assert float(p[0] - p[1]) == pytest.approx(0.6)


def test_who_is_found_again_costs_nothing_and_strangers_in_the_larger_frame_do_no_harm() -> None:
    similarities = torch.eye(4, 7, dtype=torch.float64)
    assert cycle_loss(similarities) == 0
    assert (cycle(similarities).diagonal() > 0.5).all()
    torch.testing.assert_close(cycle(similarities).sum(1), torch.ones(4, dtype=torch.float64))


def test_the_order_of_people_does_not_matter() -> None:
    similarities = cosines(4, 6)
    moved = similarities[torch.randperm(4)][:, torch.randperm(6)]
    torch.testing.assert_close(cycle_loss(moved), cycle_loss(similarities))


def test_where_all_are_alike_it_stays_at_the_margin() -> None:
    assert cycle_loss(torch.ones(3, 5)).item() == pytest.approx(0.5)


def test_one_person_alone_is_zero_with_a_gradient_of_zero() -> None:
    similarities = torch.rand(1, 3, requires_grad=True)
    value = cycle_loss(similarities)
    value.backward()
    assert value == 0
    assert similarities.grad is not None
    assert (similarities.grad == 0).all()
