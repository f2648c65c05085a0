from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from models.backbones.osnet import OSNet
from models.pretrained import load_pretrained
from reidapp.errors import UserError

NORM = ("weight", "bias", "running_mean", "running_var")


@pytest.mark.parametrize(("width", "millions"), [(1.0, 2.2), (0.75, 1.3), (0.5, 0.6), (0.25, 0.2)])
def test_the_size_of_the_paper(width: float, millions: float) -> None:
    """Table 5 of the paper, with its 512-d linear layer and batch norm."""
    net = OSNet(width)
    head = net.channels * 512 + 3 * 512
    assert (sum(p.numel() for p in net.parameters()) + head) / 1e6 == pytest.approx(millions, abs=0.06)


def test_it_reduces_sixteen_times() -> None:
    assert OSNet(0.25)(torch.zeros(2, 3, 64, 32)).shape == (2, 128, 4, 2)


def torchreid_shapes(width: float) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes in torchreid's files of OSNet, classifier included."""

    def convolution(name: str, shape: tuple[int, ...]) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield f"{name}.conv.weight", shape
        yield from ((f"{name}.bn.{what}", shape[:1]) for what in NORM)

    c = [int(width * channels) for channels in (64, 256, 384, 512)]
    yield from convolution("conv1", (c[0], 3, 7, 7))
    for stage, (given, out) in enumerate(pairwise(c), start=2):
        for block in range(2):
            at, mid, entering = f"conv{stage}.{block}", out // 4, given if block == 0 else out
            yield from convolution(f"{at}.conv1", (mid, entering, 1, 1))
            lights = [f"{at}.conv2a"] + [f"{at}.conv2{s}.{i}" for n, s in enumerate("bcd", start=2) for i in range(n)]
            for light in lights:
                yield f"{light}.conv1.weight", (mid, mid, 1, 1)
                yield f"{light}.conv2.weight", (mid, 1, 3, 3)
                yield from ((f"{light}.bn.{what}", (mid,)) for what in NORM)
            hidden = mid // 16
            yield f"{at}.gate.fc1.weight", (hidden, mid, 1, 1)
            yield f"{at}.gate.fc1.bias", (hidden,)
            yield f"{at}.gate.fc2.weight", (mid, hidden, 1, 1)
            yield f"{at}.gate.fc2.bias", (mid,)
            yield from convolution(f"{at}.conv3", (out, mid, 1, 1))
            if entering != out:
                yield from convolution(f"{at}.downsample", (out, entering, 1, 1))
        if stage < 4:
            yield from convolution(f"conv{stage}.2.0", (out, out, 1, 1))
    yield from convolution("conv5", (c[3], c[3], 1, 1))
    yield "fc.0.weight", (512, c[3])
    yield "classifier.weight", (1000, 512)


@pytest.mark.slow
@pytest.mark.parametrize("width", [0.25, 1.0])
def test_torchreids_files_load(width: float, tmp_path: Path) -> None:
    theirs = {name: torch.rand(shape) for name, shape in torchreid_shapes(width)}
    torch.save(theirs, tmp_path / "osnet.pth")
    net = OSNet(width)
    result = load_pretrained(net, str(tmp_path / "osnet.pth"))
    assert result.ignored == ("fc.0.weight", "classifier.weight")
    own = net.state_dict()
    assert len(result.used) == len([name for name in own if "num_batches" not in name])
    for name, place in {
        "conv1.conv.weight": "stem.0.weight",
        "conv1.bn.running_mean": "stem.1.running_mean",
        "conv2.0.conv1.bn.bias": "stages.0.reduce.1.bias",
        "conv2.0.downsample.conv.weight": "stages.0.shortcut.0.weight",
        "conv2.1.conv2a.conv1.weight": "stages.1.streams.0.0.0.weight",
        "conv2.1.conv2a.bn.running_var": "stages.1.streams.0.0.2.running_var",
        "conv2.2.0.bn.weight": "stages.2.0.1.weight",
        "conv3.0.conv2b.1.conv2.weight": "stages.3.streams.1.1.1.weight",
        "conv3.1.conv2d.3.bn.running_var": "stages.4.streams.3.3.2.running_var",
        "conv3.1.gate.fc1.weight": "stages.4.gate.squeeze.weight",
        "conv3.1.gate.fc2.bias": "stages.4.gate.excite.bias",
        "conv3.2.0.conv.weight": "stages.5.0.0.weight",
        "conv4.1.conv2c.2.conv1.weight": "stages.7.streams.2.2.0.weight",
        "conv4.1.conv3.bn.weight": "stages.7.expand.1.weight",
        "conv5.bn.running_mean": "stages.8.1.running_mean",
    }.items():
        assert torch.equal(own[place], theirs[name]), name


def test_a_variant_with_more_norms_is_refused(tmp_path: Path) -> None:
    theirs = dict(torchreid_shapes(0.25)) | {"conv2.0.IN.weight": (64,)}
    torch.save({name: torch.rand(shape) for name, shape in theirs.items()}, tmp_path / "osnet_ibn.pth")
    with pytest.raises(UserError, match=r"weights of another network \(1 do not fit, the first: stages.0.IN.weight is"):
        load_pretrained(OSNet(0.25), str(tmp_path / "osnet_ibn.pth"))
