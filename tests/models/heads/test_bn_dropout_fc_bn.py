import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.heads.bn_dropout_fc_bn import BNDropoutFCBN
from reidapp.errors import UserError

MAP = torch.rand(6, 8, 4, 2, generator=torch.Generator().manual_seed(0))
POOLED = MAP.mean((2, 3))


def batch_norm(x: Tensor) -> Tensor:
    return F.batch_norm(x, None, None, training=True)


@pytest.mark.parametrize("variant", list("ABCD"))
def test_the_networks_of_the_paper(variant: str) -> None:
    head = BNDropoutFCBN(8, dim=16, dropout=0.0, variant=variant)
    expected = {
        "A": lambda: POOLED,
        "B": lambda: head.project(POOLED),
        "C": lambda: batch_norm(head.project(POOLED)),
        "D": lambda: batch_norm(head.project(batch_norm(POOLED))),
    }[variant]()
    outputs = head(MAP)
    torch.testing.assert_close(outputs["pooled"], POOLED)
    torch.testing.assert_close(outputs["features"], expected)
    assert head.dim == head.dims["features"] == (8 if variant == "A" else 16)


def test_the_papers_choice() -> None:
    torch.manual_seed(0)
    head = BNDropoutFCBN(2048)
    assert head.dims == {"pooled": 2048, "features": 1024}
    dropped = head.before(torch.randn(64, 2048)) == 0
    assert 0.49 < dropped.float().mean() < 0.51
    assert not (head.eval().before(torch.randn(4, 2048)) == 0).any()
    weight = head.project.weight
    assert weight.std().item() == pytest.approx(2048**-0.5, rel=0.02)  # Kaiming's, for a layer without ReLU


@pytest.mark.parametrize("variant", ["E", "", "AB"])
def test_unknown_variants(variant: str) -> None:
    with pytest.raises(UserError, match=f'unknown variant "{variant}"; known: A, B, C, D'):
        BNDropoutFCBN(8, variant=variant)
