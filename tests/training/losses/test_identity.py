import pytest
import torch

from training.losses.identity import IdentityLoss

LOGITS = [[1.51, 1.18, 0.7], [-0.81, 0.18, -1.18], [0.8, 0.11, 1.57], [-0.02, -0.11, -0.77]]
LABELS = torch.tensor([0, 1, 2, 0])


@pytest.mark.parametrize(("smoothing", "expected"), [(0.0, 0.664232145526), (0.1, 0.718898812193)])
def test_fixed_case(smoothing: float, expected: float) -> None:
    loss = IdentityLoss(smoothing)(torch.tensor(LOGITS, dtype=torch.float64), LABELS)
    assert loss.item() == pytest.approx(expected, abs=1e-11)


def test_agrees_with_a_double_loop() -> None:
    logits, labels = torch.randn(9, 5, dtype=torch.float64), torch.randint(5, (9,))
    total = 0.0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        norm = sum(torch.tensor(z).exp().item() for z in row)
        for c, z in enumerate(row):
            target = (0.9 if c == label else 0.0) + 0.1 / len(row)
            total -= target * (z - torch.tensor(norm).log().item())
    assert IdentityLoss(0.1)(logits, labels).item() == pytest.approx(total / len(labels), abs=1e-6)
