from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn

from models.backbones.vit_base import ViTBase
from models.backbones.vit_small import ViTSmall
from models.pretrained import load_pretrained
from reidapp.errors import UserError

POSITIONS = "encoder.pos_embedding"


@pytest.mark.slow
def test_torchvisions_weights_give_torchvisions_class_token() -> None:
    torch.manual_seed(0)
    model = torchvision.models.VisionTransformer(32, 16, 12, 6, 384, 1536).eval()
    model.heads = nn.Identity()
    net = ViTSmall((32, 32))
    net.load_state_dict(model.state_dict())
    images = torch.randn(3, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(net.eval()(images), model(images)[:, :, None, None])


@pytest.mark.slow
def test_patches_may_overlap() -> None:
    net = ViTSmall((256, 128), stride=12)
    assert net.grid == (21, 10)  # as TransReID
    assert net.encoder.pos_embedding.shape == (1, 211, 384)
    assert ViTSmall((64, 32), stride=12).eval()(torch.zeros(2, 3, 64, 32)).shape == (2, 384, 1, 1)


@pytest.mark.slow
def test_drop_path_leaves_out_whole_images_and_only_in_training() -> None:
    torch.manual_seed(0)
    net, images = ViTSmall((32, 16), drop_path=1.0), torch.randn(1, 3, 32, 16).expand(4, -1, -1, -1)
    with torch.no_grad():
        before = net.encoder.layers[10](tokens := torch.randn(4, 3, 384))
        assert torch.equal(net.encoder.layers[11](tokens), tokens)  # the last layer: always left out
        dropped = (before == tokens).flatten(1).all(1)
        assert dropped.any()
        assert net.training
        assert len(net(images).unique(dim=0)) > 1
        assert len(net.eval()(images).unique(dim=0)) == 1
        calm = ViTSmall((32, 16), drop_path=0.0)
        torch.testing.assert_close(calm(images), calm.eval()(images))


def field(height: int, width: int, value: str) -> Tensor:
    """Position embeddings [1, 1 + height·width, 384]: 7 for the class token; the row, or the column, 0 to 1."""
    rows, columns = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    patches = (rows if value == "row" else columns).reshape(1, -1, 1).expand(1, -1, 384)
    return torch.cat((torch.full((1, 1, 384), 7.0), patches), dim=1)


@pytest.mark.parametrize("grid", [(14, 14), (16, 8)])  # ImageNet's, and another training run's
@pytest.mark.parametrize("value", ["row", "column"])
def test_positions_of_another_grid_are_interpolated(grid: tuple[int, int], value: str) -> None:
    net = ViTSmall((256, 128), stride=12)
    positions = net.adapt({POSITIONS: field(*grid, value)})[POSITIONS]
    assert positions.shape == (1, 211, 384)
    assert (positions[:, 0] == 7).all()
    image = positions[0, 1:, 0].unflatten(0, net.grid)
    along, across = (image, image.T) if value == "row" else (image.T, image)
    assert (along.diff(dim=0) > 0).all()
    torch.testing.assert_close(across.diff(dim=0), torch.zeros_like(across[1:]), atol=1e-6, rtol=0)
    torch.testing.assert_close(image.mean(), torch.tensor(0.5), atol=0.01, rtol=0)


def test_positions_of_the_own_grid_stay() -> None:
    net = ViTSmall((64, 32))
    assert torch.equal(net.adapt(net.state_dict())[POSITIONS], net.encoder.pos_embedding)


def test_positions_of_no_grid_are_refused(tmp_path: Path) -> None:
    net = ViTSmall((64, 32))
    torch.save(net.state_dict() | {POSITIONS: torch.zeros(1, 1 + 13, 384)}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"the first: encoder\.pos_embedding is 1×14×384, not 1×9×384"):
        load_pretrained(net, str(tmp_path / "w.pth"))


@pytest.mark.slow
def test_timms_names(tmp_path: Path) -> None:
    """DeiT's and TransReID's files are in this naming."""
    layer = {
        "norm1": "ln_1",
        "attn.qkv": "self_attention.in_proj",
        "attn.proj": "self_attention.out_proj",
        "norm2": "ln_2",
        "mlp.fc1": "mlp.0",
        "mlp.fc2": "mlp.3",
    }
    names = {"patch_embed.proj": "conv_proj", "norm": "encoder.ln"}
    names |= {f"blocks.{i}.{t}": f"encoder.layers.encoder_layer_{i}.{o}" for i in range(12) for t, o in layer.items()}
    places = {"cls_token": "class_token", "pos_embed": POSITIONS}
    for theirs, own in names.items():
        for what in ("weight", "bias"):
            places[f"{theirs}.{what}"] = f"{own}{'_' if own.endswith('in_proj') else '.'}{what}"
    net = ViTSmall((64, 32))
    shapes = {name: tensor.shape for name, tensor in net.state_dict().items()}
    file = {theirs: torch.rand(shapes[own]) for theirs, own in places.items()}
    torch.save({"model": file | {"head.weight": torch.rand(1000, 384)}}, tmp_path / "deit.pth")
    assert load_pretrained(net, str(tmp_path / "deit.pth")).ignored == ("head.weight",)
    assert set(places.values()) == set(shapes)
    for theirs, own in places.items():
        assert torch.equal(net.state_dict()[own], file[theirs])


def test_too_small_an_image_and_too_large_a_stride() -> None:
    with pytest.raises(UserError, match="stride 16 on 64×8 pixels"):
        ViTBase((64, 8))
    with pytest.raises(UserError, match="stride 17"):
        ViTSmall((64, 32), stride=17)
