import torch
import torch.nn.functional as F

from models.heads.bnneck import BNNeck

MAP = torch.rand(6, 8, 4, 2, generator=torch.Generator().manual_seed(0))


def test_the_neck_normalises_without_a_bias_that_learns() -> None:
    head = BNNeck(8)
    outputs = head(MAP)
    torch.testing.assert_close(outputs["pooled"], MAP.mean((2, 3)))
    torch.testing.assert_close(outputs["features"], F.batch_norm(MAP.mean((2, 3)), None, None, training=True))
    assert {name for name, p in head.named_parameters() if p.requires_grad} == {"neck.weight"}


def test_gem_learns_its_exponent() -> None:
    head = BNNeck(8, pool="gem")
    pooled = head(MAP)["pooled"]
    torch.testing.assert_close(pooled, (MAP**3).mean((2, 3)) ** (1 / 3))
    pooled.sum().backward()
    assert head.pool.p.grad is not None


def test_dropout_is_of_the_features_in_training() -> None:
    torch.manual_seed(0)
    head = BNNeck(8, dim=512, dropout=0.5)
    outputs = head(MAP)
    assert 0.4 < (outputs["features"] == 0).float().mean() < 0.6
    assert (outputs["pooled"] != 0).all()
    assert (head.eval()(MAP)["features"] != 0).all()


def test_a_scale_of_one_stays_one() -> None:
    for scale in (True, False):
        head = BNNeck(8, dim=4, scale=scale)
        optimizer = torch.optim.SGD([p for p in head.parameters() if p.requires_grad], lr=0.1)
        head(torch.randn(16, 8, 2, 1))["features"].abs().sum().backward()
        optimizer.step()
        assert torch.equal(head.neck.weight, torch.ones(4)) != scale
