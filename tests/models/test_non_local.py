import torch

from models.non_local import NonLocal


def test_every_position_looks_at_every_other() -> None:
    torch.manual_seed(0)
    block, x = NonLocal(4).double().eval(), torch.randn(2, 4, 3, 2, dtype=torch.float64)
    torch.nn.init.normal_(block.norm.weight)
    theta, phi, g = (layer(x).flatten(2) for layer in (block.theta, block.phi, block.g))
    gathered = torch.zeros_like(g)
    for image in range(2):
        for i in range(6):
            for j in range(6):
                gathered[image, :, i] += (theta[image, :, i] @ phi[image, :, j]) * g[image, :, j] / 6
    expected = x + block.norm(block.expand(gathered.unflatten(2, (3, 2))))
    torch.testing.assert_close(block(x), expected)
    torch.testing.assert_close(block(x.contiguous(memory_format=torch.channels_last)), expected)


def test_it_starts_as_the_identity_and_learns() -> None:
    torch.manual_seed(0)
    block, x = NonLocal(4), torch.randn(2, 4, 3, 2)
    y = block(x)
    assert torch.equal(y, x)
    (y * torch.randn_like(y)).sum().backward()
    assert block.norm.weight.grad is not None
    assert block.norm.weight.grad.norm() > 0
