import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from training.losses._multi_label import mcl, mmcl

MEMORY = [
    [0.296444513933, -0.616274295711, -0.492225219925, 0.538554524143],
    [0.647063848894, 0.301465213965, -0.092510440096, -0.694167788576],
    [-0.488529597242, 0.13047599589, -0.856059876191, 0.107127659783],
    [-0.592052926978, 0.543160240031, -0.526883870905, -0.277206911686],
    [0.284075333964, 0.600736791284, 0.460160770997, -0.588785680079],
    [0.649459275894, -0.2073433025, 0.124243677545, -0.720954168067],
    [0.339999032919, -0.673537445251, -0.648546912866, 0.100672087843],
    [-0.936634151398, -0.066348833443, 0.056719445226, -0.339259787285],
    [-0.718154721046, -0.216927066933, -0.356531268188, -0.556849978967],
    [0.892524974672, 0.339120440882, 0.177431133877, -0.238567996375],
    [-0.277604060461, -0.671038253375, 0.36607128852, 0.581923929604],
    [0.528548442608, -0.089707274476, 0.814716779001, -0.220965424303],
]
X = [
    [0.327693372271, 0.401981974467, 0.809968801305, -0.273821268139],
    [-0.062831732762, -0.589157084877, 0.384515592474, 0.707879835736],
    [-0.525158333383, 0.196575897752, 0.039193514538, -0.827061369984],
]
POSITIVES = [[2, 5], [7], [0, 3, 9]]
GRADIENT = [
    [1.531613798564, 0.135642100224, 3.084896825861, -0.061437995055],
    [3.568462898005, -0.434924784657, -0.392560790593, 1.731860741335],
    [-2.492016454704, 0.347911786551, 0.756740129544, -1.139336509904],
]


def marked(positives: list[list[int]], classes: int) -> Tensor:
    marks = torch.zeros(len(positives), classes, dtype=torch.bool)
    for row, own in zip(marks, positives, strict=True):
        row[own] = True
    return marks


def test_fixed_case() -> None:
    memory, x = torch.tensor(MEMORY, dtype=torch.float64), torch.tensor(X, dtype=torch.float64, requires_grad=True)
    marks = marked(POSITIVES, 12)
    value = mmcl(x @ memory.T, marks, delta=5, hard=0.3)
    value.backward()
    assert value.item() == pytest.approx(10.68284876166, abs=1e-9)
    torch.testing.assert_close(x.grad, torch.tensor(GRADIENT, dtype=torch.float64), atol=1e-6, rtol=0)
    assert mcl(x @ memory.T, marks, tau=1).item() == pytest.approx(8.947971945799, abs=1e-9)
    assert mcl(x @ memory.T, marks, tau=0.1).item() == pytest.approx(31.505646503995, abs=1e-9)


@pytest.mark.parametrize(("delta", "hard"), [(5.0, 0.01), (1.0, 0.3), (2.0, 1.0)])
def test_agrees_with_a_double_loop(delta: float, hard: float) -> None:
    scores, total, logistic = 2 * torch.rand(5, 9, dtype=torch.float64) - 1, 0.0, 0.0
    positives = [[0], [1, 2, 3], [4, 8], [5], list(range(8))]
    for row, own in zip(scores.tolist(), positives, strict=True):
        others = sorted((s for j, s in enumerate(row) if j not in own), reverse=True)
        others_chosen = others[: max(1, int(hard * len(others)))]
        total += delta * sum((1 - row[p]) ** 2 for p in own) / len(own)
        total += sum((1 + s) ** 2 for s in others_chosen) / len(others_chosen)
        logistic += sum(math.log(1 + math.exp((-s if j in own else s) / 0.2)) for j, s in enumerate(row))
    assert mmcl(scores, marked(positives, 9), delta, hard).item() == pytest.approx(total / 5, abs=1e-10)
    assert mcl(scores, marked(positives, 9), 0.2).item() == pytest.approx(logistic / 5, abs=1e-10)


def test_numeric_gradients() -> None:
    scores = (2 * torch.rand(3, 8, dtype=torch.float64) - 1).requires_grad_()
    marks = marked([[0], [1, 5], [2, 3, 4]], 8)
    assert torch.autograd.gradcheck(lambda s: mmcl(s, marks, 5, 0.3), scores)
    assert torch.autograd.gradcheck(lambda s: mcl(s, marks, 0.1), scores)


def test_perfect_scores_cost_nothing() -> None:
    scores = (2 * torch.eye(6, dtype=torch.float64) - 1).requires_grad_()
    value = mmcl(scores, torch.eye(6, dtype=torch.bool))
    value.backward()
    assert value == 0
    assert scores.grad is not None
    assert not scores.grad.any()


def test_equal_scores_and_images_of_all_classes_stay_finite() -> None:
    for marks in (torch.eye(4, dtype=torch.bool), torch.ones(4, 4, dtype=torch.bool)):
        scores = torch.zeros(4, 4, requires_grad=True)
        value = mmcl(scores, marks)
        value.backward()
        assert value == (6 if marks.sum() == 4 else 5)
        assert scores.grad is not None
        assert scores.grad.isfinite().all()


def test_the_gradient_does_not_vanish_where_that_of_the_logistic_loss_does() -> None:
    marks = torch.tensor([[True, False, False]])
    slopes = []
    for loss in (mmcl, lambda s, m: mcl(s, m, 0.05)):
        scores = torch.tensor([[0.5, -1.0, -1.0]], dtype=torch.float64, requires_grad=True)
        loss(scores, marks).backward()
        assert scores.grad is not None
        slopes.append(abs(float(scores.grad[0, 0])))
    assert slopes[0] == pytest.approx(5)
    assert slopes[1] < 1e-2


def test_bf16_scores() -> None:
    scores = F.normalize(torch.randn(4, 6), dim=1).bfloat16()
    assert mmcl(scores, torch.eye(4, 6, dtype=torch.bool)).isfinite()
