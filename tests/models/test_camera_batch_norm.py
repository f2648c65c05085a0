from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models import camera_batch_norm
from models.camera_batch_norm import FEWEST, look, look_by_camera, statistics_of
from models.ghost_batch_norm import split_batch_norm
from models.network import Network

DESCRIPTION = {"height": 32, "width": 16, "backbone": {"osnet": {"width": 0.25}}, "head": {"bnneck": {"dim": 8}}}


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return Network(DESCRIPTION).eval()


def crops(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 16, 3), np.uint8)


def features_of(network: nn.Module) -> Callable[[Tensor], Tensor]:
    return lambda images: network(images)["features"]


def test_one_batch_is_normalised_as_in_training(network: Network) -> None:
    """Up to the factor of the unbiased variance that running statistics have."""
    images = crops(64)
    with statistics_of(network, [images]):
        found = look(network, images, features_of(network))
    with torch.no_grad():
        expected = network.train()(torch.from_numpy(images))["features"]
    own = look(network, images, features_of(network))
    cosine = nn.functional.cosine_similarity
    assert cosine(found, expected).mean() > 0.98
    assert cosine(own, expected).mean() < 0.9


def test_statistics_are_the_mean_over_the_batches() -> None:
    layer = nn.Sequential(nn.Flatten(1), nn.BatchNorm1d(3))
    batches = [np.random.default_rng(n).normal(n, n + 1, (5, 1, 1, 3)).astype(np.float32) for n in range(3)]
    norm: nn.BatchNorm1d = layer[1]  # type: ignore[assignment]
    with statistics_of(layer, batches):
        assert norm.running_mean is not None
        assert norm.running_var is not None
        flat = np.stack(batches).reshape(3, 5, 3)
        np.testing.assert_allclose(norm.running_mean, flat.mean(1).mean(0), rtol=1e-5)
        np.testing.assert_allclose(norm.running_var, flat.var(1, ddof=1).mean(0), rtol=1e-5)


@pytest.mark.parametrize("splits", [1, 3])
def test_the_network_is_as_before(network: Network, splits: int) -> None:
    """Also after Ctrl-C, and where batch norm sees parts of a batch in training, here of 3."""
    split_batch_norm(network, splits)
    before, options = {k: v.clone() for k, v in network.state_dict().items()}, [vars(m).copy() for m in bns(network)]
    with suppress(KeyboardInterrupt), statistics_of(network, [crops(64)]):
        assert not torch.equal(network.state_dict()["head.neck.running_mean"], before["head.neck.running_mean"])
        raise KeyboardInterrupt
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert [vars(m) for m in bns(network)] == options
    assert not any(module.training for module in network.modules())


def bns(network: nn.Module) -> list[nn.Module]:
    return [m for m in network.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]


def test_a_cameras_light_and_contrast_disappear() -> None:
    """Two cameras see the same people, one of them darker and flatter: their features are the same then."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(1), nn.BatchNorm1d(6), nn.Linear(6, 4)).eval()
    people = np.random.default_rng(0).normal(size=(FEWEST, 1, 2, 3)).astype(np.float32)
    images, cameras = np.concatenate([people, 0.3 * people - 2]), np.repeat([0, 1], FEWEST)
    apart = look_by_camera(network, images, cameras, network)
    torch.testing.assert_close(apart[:FEWEST], apart[FEWEST:], rtol=1e-3, atol=1e-3)
    plain = look(network, images, network)
    assert (plain[:FEWEST] - plain[FEWEST:]).abs().mean() > 0.5


@pytest.mark.slow
def test_few_crops_and_unknown_cameras_have_the_networks_own_statistics(network: Network) -> None:
    cameras = np.concatenate([np.full(FEWEST, 7), np.full(FEWEST - 1, 3), np.full(40, -1)])
    order = np.random.default_rng(0).permutation(len(cameras))
    images, cameras = crops(len(cameras))[order], cameras[order]
    found = look_by_camera(network, images, cameras, features_of(network))
    own = look(network, images, features_of(network))
    torch.testing.assert_close(found[cameras != 7], own[cameras != 7])
    with statistics_of(network, [images[cameras == 7]]):
        seven = look(network, images[cameras == 7], features_of(network))
    torch.testing.assert_close(found[cameras == 7], seven)


def test_the_order_of_the_files_is_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch is a sample of the camera's crops, though neighbouring files look alike."""
    monkeypatch.setattr(camera_batch_norm, "_BATCH", 64)
    norm, rng = nn.Sequential(nn.Flatten(1), nn.BatchNorm1d(3), nn.Linear(3, 3)), np.random.default_rng(0)
    people = (rng.normal(size=(12, 1)).repeat(20, 0) + rng.normal(0, 0.1, (240, 3))).astype(
        np.float32
    )  # sorted by name
    people = people.reshape(240, 1, 1, 3)
    order, cameras = rng.permutation(240), np.zeros(240, int)
    found, shuffled = look_by_camera(norm, people, cameras, norm), look_by_camera(norm, people[order], cameras, norm)
    torch.testing.assert_close(found[order], shuffled, rtol=0.1, atol=0.1)
