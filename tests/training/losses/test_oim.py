import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from training.losses.oim import OIMLoss

X = [
    [0.348742916231, 0.929981109951, -0.116247638744],
    [0.895533471189, -0.199007438042, 0.398014876084],
    [-0.539163866017, 0.539163866017, 0.646996639221],
    [0.272165526976, 0.952579344416, 0.136082763488],
    [0.104828483672, -0.94345635305, 0.314485451017],
]
LABELS = torch.tensor([1, -1, 0, 1, -1])  # class 1 twice: the order counts
LUT = [
    [-0.455842305839, 0.683763458758, 0.569802882298],
    [0.107832773203, 0.970494958831, 0.215665546407],
    [0.754829412424, 0.107832773203, -0.646996639221],
]
QUEUE = [
    [0.57735026919, 0.57735026919, 0.57735026919],
    [-0.309426373878, 0.206284249252, 0.928279121633],
    [0.843274042712, -0.527046276695, 0.105409255339],
]
GRADIENT = [
    [0.129483099008, -0.131814892963, 0.080216511907],
    [0.0, 0.0, 0.0],
    [0.161371520152, -0.391562271399, 0.285938610332],
    [0.150262927563, -0.177614241692, 0.166986221723],
    [0.0, 0.0, 0.0],
]
LUT_AFTER = [
    [-0.499619107165, 0.614064390166, 0.610987456898],
    [0.253018859775, 0.962927970896, 0.093547738963],
    [0.754829412424, 0.107832773203, -0.646996639221],
]
QUEUE_AFTER = [
    [0.104828483672, -0.94345635305, 0.314485451017],
    [-0.309426373878, 0.206284249252, 0.928279121633],
    [0.895533471189, -0.199007438042, 0.398014876084],
]


def oim(lut: list[list[float]] | Tensor, queue: list[list[float]] | Tensor, head: int = 0) -> OIMLoss:
    lut, queue = torch.as_tensor(lut, dtype=torch.float64), torch.as_tensor(queue, dtype=torch.float64)
    loss = OIMLoss(lut.shape[1], len(lut), len(queue)).double()
    loss.load_state_dict({"lut": lut, "queue": queue, "head": torch.tensor(head)})
    return loss


def unit(*shape: int) -> Tensor:
    return F.normalize(torch.randn(*shape, dtype=torch.float64), dim=1)


def close(actual: Tensor | None, expected: list[list[float]]) -> None:
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=torch.float64), atol=1e-6, rtol=0)


def test_fixed_case() -> None:
    loss, x = oim(LUT, QUEUE, head=2), torch.tensor(X, dtype=torch.float64, requires_grad=True)
    value = loss(x, LABELS)
    value.backward()
    loss.update(x.detach(), LABELS)
    assert value.item() == pytest.approx(0.189282593847, abs=1e-11)
    close(loss.lut, LUT_AFTER)
    close(loss.queue, QUEUE_AFTER)
    assert loss.head == 1
    # The case's gradient is that of x itself; through the normalisation only its part across x remains.
    expected = torch.tensor(GRADIENT, dtype=torch.float64)
    across = expected - (expected * x.detach()).sum(1, keepdim=True) * x.detach()
    close(x.grad, across.tolist())


def test_gradient_is_the_closed_formula() -> None:
    lut, queue, x = unit(4, 6), unit(5, 6), unit(3, 6).requires_grad_()
    labels, expected = [2, 0, 2], []
    for feature, label in zip(x.detach(), labels, strict=True):
        memory = [*lut, *queue]
        terms = [math.exp(v @ feature / 0.1) for v in memory]
        gradient = torch.zeros(6, dtype=torch.float64)
        for row, (v, term) in enumerate(zip(memory, terms, strict=True)):
            gradient += (term / sum(terms) - (row == label)) * v / 0.1 / 3
        expected.append(gradient - (gradient @ feature) * feature)
    oim(lut, queue)(x, torch.tensor(labels)).backward()
    torch.testing.assert_close(x.grad, torch.stack(expected))


def test_numeric_gradient() -> None:
    loss, x = oim(LUT, QUEUE), torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: loss(x, LABELS), x)


@pytest.mark.parametrize("size", [0, 1, 4, 50])
def test_update_is_that_of_one_image_after_the_other(size: int) -> None:
    loss, x = oim(unit(4, 8), unit(size, 8), head=size // 2), torch.randn(30, 8, dtype=torch.float64)
    labels = torch.randint(-1, 3, (30,))
    lut, queue, head = loss.lut.clone(), loss.queue.clone(), size // 2
    for feature, label in zip(F.normalize(x, dim=1), labels.tolist(), strict=True):
        if label >= 0:
            lut[label] = F.normalize((0.5 * lut[label] + 0.5 * feature)[None], dim=1)
        elif size:
            queue[head] = feature
            head = (head + 1) % size
    loss.update(x, labels)
    assert torch.equal(loss.lut, lut)
    assert torch.equal(loss.queue, queue)
    assert loss.head == head


def test_lengths_do_not_matter() -> None:
    one, other, x = oim(LUT, QUEUE), oim(LUT, QUEUE), torch.tensor(X, dtype=torch.float64)
    scaled = x * torch.tensor([[0.1], [3.0], [50.0], [1.0], [2.0]])
    torch.testing.assert_close(one(scaled, LABELS), other(x, LABELS))
    one.update(scaled, LABELS)
    other.update(x, LABELS)
    torch.testing.assert_close(one.state_dict(), other.state_dict())


def test_rows_never_filled_do_not_count() -> None:
    x, labels, full = unit(4, 6), torch.tensor([0, 1, 1, -1]), unit(2, 6)
    padded = torch.cat([full, torch.zeros(3, 6, dtype=torch.float64)])
    expected = oim(full, torch.zeros(0, 6))(x, labels)
    loss = oim(padded, torch.zeros(7, 6))
    torch.testing.assert_close(loss(x, labels), expected)
    loss.count_empty = True
    logits = torch.cat([x @ full.T / 0.1, torch.zeros(4, 10, dtype=torch.float64)], 1)
    torch.testing.assert_close(loss(x, labels), F.cross_entropy(logits, labels, ignore_index=-1))


def test_an_identity_seen_for_the_first_time_is_pushed_away_from_the_others() -> None:
    lut = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    x = torch.tensor([[0.6, 0.8]], dtype=torch.float64, requires_grad=True)
    value = oim(lut, torch.zeros(3, 2))(x, torch.tensor([1]))
    value.backward()
    assert value.item() == pytest.approx(math.log(1 + math.exp(6)))
    assert x.grad is not None
    assert x.grad[0, 0] > 0


def test_an_empty_memory_teaches_nothing_and_is_filled() -> None:
    loss, x, labels = OIMLoss(4, 3, queue=5), torch.randn(4, 4, requires_grad=True), torch.tensor([0, 0, 2, -1])
    value = loss(x, labels)
    value.backward()
    assert value == 0
    torch.testing.assert_close(x.grad, torch.zeros(4, 4))
    loss.update(x.detach(), labels)
    assert loss(x, labels) > 0
    assert loss.lut.any(1).tolist() == [True, False, True]
    assert loss.queue.any(1).tolist() == [True, False, False, False, False]


def test_people_without_an_identity_have_no_loss_but_count_for_the_others() -> None:
    loss, x = oim(unit(3, 6), torch.zeros(4, 6)), torch.randn(3, 6, dtype=torch.float64)
    labels = torch.tensor([0, 1, 2])
    strangers = torch.randn(2, 6, dtype=torch.float64)
    alone = loss(x, labels)
    together = loss(torch.cat([x, strangers]), torch.tensor([0, 1, 2, -1, -1]))
    torch.testing.assert_close(alone, together)
    loss.update(strangers, torch.tensor([-1, -1]))
    assert loss(x, labels) > alone
