"""What every backbone and head must do; a new one is tested here by itself."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from models.export import export_network
from models.network import Network
from models.run_folder import load_weights
from reidapp import registry
from reidapp.errors import UserError
from reidapp.model_card import ModelCard

BACKBONES = registry.names("models.backbones")
HEADS = registry.names("models.heads")


def network(backbone: Any = "osnet", head: Any = "bnneck", seed: int = 0) -> Network:
    torch.manual_seed(seed)
    return Network({"height": 64, "width": 32, "backbone": backbone, "head": head})


def images(n: int) -> torch.Tensor:
    return torch.randint(0, 256, (n, 64, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def fitting(backbone: str, head: str) -> Network | None:
    """The network, or None if the backbone gives two feature maps and the head takes one."""
    try:
        return network(backbone, head)
    except UserError as error:
        if "takes one feature map" not in str(error):
            raise
        return None


@pytest.fixture(scope="module", params=BACKBONES)
def net(request: pytest.FixtureRequest) -> Network:
    """A network of every backbone in evaluation mode, with the first head that takes its feature maps."""
    net = next(net for head in HEADS if (net := fitting(request.param, head)))
    net(images(4))  # batch norm with statistics of its own
    return net.eval()


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_shapes_and_gradients(backbone: str, head: str) -> None:
    net = fitting(backbone, head)
    if net is None:
        return
    outputs = net(images(4))
    vectors = {name: outputs[name] for name in net.dims}
    assert {name: vector.shape for name, vector in vectors.items()} == {n: (4, d) for n, d in net.dims.items()}
    assert net.dims["features"] == net.dim
    sum((vector * torch.randn_like(vector)).sum() for vector in vectors.values()).backward()
    assert [n for n, p in net.named_parameters() if p.requires_grad and p.grad is None] == []
    first = next(module for module in net.backbone.modules() if isinstance(module, nn.Conv2d))
    assert first.weight.grad is not None
    assert first.weight.grad.norm() > 0


def test_a_head_for_one_map_refuses_two() -> None:
    message = "head.bnneck takes one feature map, and backbone.jlml gives two; choose another head or backbone"
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        network("jlml", "bnneck")


@torch.inference_mode()
def test_embeddings_have_length_one_and_do_not_depend_on_their_neighbours(net: Network) -> None:
    together = net.embed(images(5))
    assert together.shape == (5, net.dim)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(5))
    torch.testing.assert_close(net.embed(images(5)[:2]), together[:2], atol=1e-5, rtol=0)


@pytest.mark.slow
@torch.inference_mode()
def test_a_description_and_weights_make_the_same_network_again(net: Network, tmp_path: Path) -> None:
    save_file(net.state_dict(), tmp_path / "trunk.safetensors")
    torch.manual_seed(1)
    again = Network(json.loads(json.dumps(net.description)))
    load_weights(again, tmp_path / "trunk.safetensors")
    torch.testing.assert_close(again.eval().embed(images(3)), net.embed(images(3)), atol=0, rtol=0)


@torch.no_grad()
def test_memory_format_does_not_count(net: Network) -> None:
    def maps(backbone: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
        given = backbone(x)
        return list(given) if isinstance(given, tuple) else [given]

    x = net.normalise(images(3))
    assert x.is_contiguous(memory_format=torch.channels_last)
    expected = maps(net.backbone, x.contiguous())
    converted = copy.deepcopy(net.backbone).to(memory_format=torch.channels_last)
    torch.testing.assert_close(maps(converted, x), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_every_backbone_is_exported(net: Network, tmp_path: Path) -> None:
    """`export_network` compares the file with the network."""
    card = ModelCard("tiny", "1", net.height, net.width, net.dim, training_data="noise")
    export_network(net, card, tmp_path / "tiny.onnx")
    assert (tmp_path / "tiny.onnx").is_file()


@pytest.mark.parametrize("backbone", BACKBONES)
def test_unknown_options(backbone: str) -> None:
    with pytest.raises(UserError, match=rf'^backbone\.{backbone}: unknown key "no_such"; known: .*$') as caught:
        network({backbone: {"no_such": 1}})
    assert "image_size" not in str(caught.value)


def test_uint8_and_float_pixels_are_the_same() -> None:
    net = network().eval()
    with torch.inference_mode():
        torch.testing.assert_close(net.embed(images(3)), net.embed(images(3).float()))


def test_pixels_are_normalised_once() -> None:
    grey = torch.full((1, 4, 4, 3), 255, dtype=torch.uint8)
    white = (1 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(network().normalise(grey)[0, :, 0, 0], white)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    other = network({"osnet": {"width": 0.5}})
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
        network({})
