"""What every backbone and head must do; a new one is tested here by itself."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from models.backbones.osnet import OSNet
from models.network import Network
from models.run_folder import load_weights
from reidapp import registry
from reidapp.errors import UserError

BACKBONES = registry.names("models.backbones")


def network(backbone: str = "osnet", head: str = "bnneck") -> Network:
    torch.manual_seed(0)
    return Network({"height": 64, "width": 32, "backbone": {backbone: {}}, "head": {head: {}}})


def images(n: int) -> torch.Tensor:
    return torch.randint(0, 256, (n, 64, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("head", registry.names("models.heads"))
def test_shapes_gradients_and_embeddings(backbone: str, head: str) -> None:
    net = network(backbone, head)
    outputs = net(images(4))
    assert {name: vector.shape for name, vector in outputs.items()} == {n: (4, d) for n, d in net.dims.items()}
    sum(vector.square().mean() for vector in outputs.values()).backward()
    without = [n for n, p in net.named_parameters() if p.requires_grad and p.grad is None]
    assert not without
    embeddings = net.eval().embed(images(4))
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(4))
    assert embeddings.shape == (4, net.dim)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_an_embedding_does_not_depend_on_its_neighbours(backbone: str) -> None:
    net = network(backbone).eval()
    with torch.inference_mode():
        torch.testing.assert_close(net.embed(images(5))[:2], net.embed(images(5)[:2]), atol=1e-5, rtol=0)


def test_uint8_and_float_pixels_are_the_same() -> None:
    net = network().eval()
    with torch.inference_mode():
        torch.testing.assert_close(net.embed(images(3)), net.embed(images(3).float()))


def test_pixels_are_normalised_once() -> None:
    grey = torch.full((1, 4, 4, 3), 255, dtype=torch.uint8)
    white = (1 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(network().normalise(grey)[0, :, 0, 0], white)


@pytest.mark.parametrize(("width", "millions"), [(1.0, 2.2), (0.75, 1.3), (0.5, 0.6), (0.25, 0.2)])
def test_osnet_has_the_size_of_the_paper(width: float, millions: float) -> None:
    """Table 5 of the paper, with its 512-d linear layer and batch norm."""
    net = OSNet(width)
    head = net.channels * 512 + 3 * 512
    assert (sum(p.numel() for p in net.parameters()) + head) / 1e6 == pytest.approx(millions, abs=0.06)


def test_osnet_reduces_sixteen_times() -> None:
    assert OSNet(0.25)(torch.zeros(2, 3, 64, 32)).shape == (2, 128, 4, 2)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    other = Network({"height": 64, "width": 32, "backbone": {"osnet": {"width": 0.5}}, "head": {"bnneck": {}}})
    save_file(other.state_dict(), tmp_path / "trunk.safetensors")
    with pytest.raises(UserError, match="weights of another network"):
        load_weights(network(), tmp_path / "trunk.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"no tensors")
    with pytest.raises(UserError, match="not readable as safetensors"):
        load_weights(network(), tmp_path / "broken.safetensors")


def test_unknown_names() -> None:
    with pytest.raises(UserError, match='unknown name "osnett"; did you mean "osnet"'):
        network("osnett")
    with pytest.raises(UserError, match="exactly one entry"):
        Network({"height": 64, "width": 32, "backbone": {}, "head": "bnneck"})
