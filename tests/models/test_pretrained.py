from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import WeightsEnum

from models.backbones.osnet import OSNet
from models.backbones.resnet18 import ResNet18
from models.network import Network
from models.pretrained import load_pretrained
from reidapp.errors import UserError


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """ResNet-18's as in torchvision's file, which is older than the count of batches."""
    torch.manual_seed(1)
    state = torchvision.models.resnet18().state_dict()
    return {name: tensor for name, tensor in state.items() if "num_batches" not in name}


def same(backbone: nn.Module, weights: dict[str, Tensor]) -> bool:
    own = backbone.state_dict()
    return all(torch.equal(own[k], v) for k, v in weights.items() if not k.startswith("fc."))


def test_a_public_file_with_its_classifier(weights: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "resnet18.pth"
    torch.save(weights, path)
    backbone = ResNet18()
    result = load_pretrained(backbone, str(path))
    assert same(backbone, weights)
    assert str(result) == (
        f"backbone starts from {path}: {len(weights) - 2} entries used, 2 left out (fc.weight, fc.bias)"
    )


@pytest.mark.parametrize("prefix", ["module.", "backbone.", "base.", "module.base."])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
def test_prefixes_and_wrappers(weights: dict[str, Tensor], tmp_path: Path, prefix: str, wrapper: str | None) -> None:
    other = {} if prefix == "module." else {prefix.replace("base", "neck").replace("backbone", "neck"): torch.ones(1)}
    content: dict[str, Any] = {prefix + k: v for k, v in weights.items()} | other
    torch.save({wrapper: content, "epoch": 3} if wrapper else content, tmp_path / "w.pth")
    backbone = ResNet18()
    result = load_pretrained(backbone, str(tmp_path / "w.pth"))
    assert same(backbone, weights)
    assert set(result.ignored) == {*other, f"{prefix}fc.weight", f"{prefix}fc.bias"}


def test_safetensors_and_non_local_blocks_that_no_file_has(weights: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(weights, tmp_path / "w.safetensors")
    backbone = ResNet18(non_local=True)
    load_pretrained(backbone, str(tmp_path / "w.safetensors"))
    assert same(backbone, weights)


@pytest.mark.parametrize("source", ["run", "run/epoch-002/trunk.safetensors"])
def test_the_backbone_of_an_earlier_run(tmp_path: Path, source: str) -> None:
    description = {"height": 64, "width": 32, "backbone": {"osnet": {"width": 0.25}}, "head": {"bnneck": {"dim": 7}}}
    for epoch in ("epoch-001", "epoch-002"):
        earlier = Network(description)
        (tmp_path / "run" / epoch).mkdir(parents=True)
        save_file(earlier.state_dict(), tmp_path / "run" / epoch / "trunk.safetensors")
    backbone = OSNet(0.25)
    result = load_pretrained(backbone, str(tmp_path / source))
    assert same(backbone, earlier.backbone.state_dict())
    assert "head.project.weight" in result.ignored


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: {k: v for k, v in w.items() if k != "layer1.0.conv2.weight"}, "layer1.0.conv2.weight is missing"),
        (lambda w: w | {"layer5.weight": torch.ones(1)}, "layer5.weight is unknown"),
        (lambda w: w | {"conv1.weight": torch.ones(64, 1, 7, 7)}, "conv1.weight is 64×1×7×7, not 64×3×7×7"),
        (lambda w: {}, "conv1.weight is missing"),
    ],
)
def test_weights_of_another_network(weights: dict[str, Tensor], tmp_path: Path, change: Any, message: str) -> None:
    torch.save(change(weights), tmp_path / "w.pth")
    backbone = ResNet18()
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    with pytest.raises(
        UserError, match=rf"w\.pth: weights of another network \(\d+ do not fit, the first: {message}\)"
    ):
        load_pretrained(backbone, str(tmp_path / "w.pth"))
    assert same(backbone, before)


class Dangerous:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    torch.save({"conv1.weight": Dangerous(tmp_path / "ran")}, tmp_path / "w.pt")
    with pytest.raises(UserError, match=r"w\.pt: not read: not a plain file of tensors"):
        load_pretrained(ResNet18(), str(tmp_path / "w.pt"))
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
def test_files_that_are_no_weights(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("no weights")
    torch.save([1, 2], tmp_path / "list.pth")
    (tmp_path / "empty").mkdir()
    for source, message in {
        "text.pth": "not a plain file of tensors",
        "list.pth": "weights of another network",
        "empty": "no finished epoch",
        "missing.pth": '"imagenet", a file or a run folder expected',
    }.items():
        with pytest.raises(UserError, match=message):
            load_pretrained(ResNet18(), str(tmp_path / source))


def test_imagenet(weights: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def get_state_dict(of: WeightsEnum, **options: Any) -> dict[str, Tensor]:
        asked.update(options, of=of)
        return weights

    monkeypatch.setattr(WeightsEnum, "get_state_dict", get_state_dict)
    backbone = ResNet18()
    load_pretrained(backbone, "imagenet")
    assert same(backbone, weights)
    assert asked["of"] is torchvision.models.ResNet18_Weights.IMAGENET1K_V1
    assert asked["check_hash"]


def test_imagenet_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def get_state_dict(of: WeightsEnum, **options: Any) -> None:
        raise URLError("no route")

    monkeypatch.setattr(WeightsEnum, "get_state_dict", get_state_dict)
    with pytest.raises(UserError, match=r"resnet18.*\.pth could not be fetched .*; download it elsewhere and give the"):
        load_pretrained(ResNet18(), "imagenet")


def test_imagenet_for_a_backbone_that_has_none() -> None:
    with pytest.raises(UserError, match="no imagenet weights for OSNet; give a file"):
        load_pretrained(OSNet(0.25), "imagenet")
