"""Statistics by camera: what is fitted, and that an exported model uses each camera's own."""

import numpy as np
import pytest
import torch
from torch import nn

from models.camera_statistics import CameraStatistics, fit_statistics, steadied
from models.export import BATCHES, export_network
from models.network import Network
from models.onnx_weights import load_onnx
from reidapp.embedding import Embedder
from reidapp.errors import UserError
from reidapp.model_card import ModelCard

HEIGHT, WIDTH = 64, 32
CAMERAS = ["gate", "hall"]


def pictures(shift: int, count: int = 40) -> np.ndarray:
    rng = np.random.default_rng(shift)
    return rng.integers(shift, shift + 100, (count, HEIGHT, WIDTH, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    net = Network({"height": HEIGHT, "width": WIDTH, "backbone": "resnet18", "head": "bnneck"}).eval()
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias)
    return net


@pytest.fixture(scope="module")
def statistics(network: Network) -> CameraStatistics:
    by_camera = {"gate": pictures(0), "hall": pictures(120)}
    return fit_statistics(network, np.concatenate(list(by_camera.values())), by_camera)


@pytest.fixture(scope="module")
def exported(network: Network, statistics: CameraStatistics, tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    path = tmp_path_factory.mktemp("cameras") / "m.onnx"
    card = ModelCard("tiny", "2", HEIGHT, WIDTH, network.dim, cameras=CAMERAS)
    export_network(network, card, path, statistics=statistics)
    return Embedder(path)


def of_row(network: Network, statistics: CameraStatistics, row: int, images: np.ndarray) -> np.ndarray:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    statistics.put_into(network, row)
    found = network.embed_crops(list(images))
    network.load_state_dict(before)
    return found


@pytest.mark.slow
def test_each_camera_has_the_moments_of_its_own_crops(network: Network, statistics: CameraStatistics) -> None:
    """Of the first batch norm, whose input is a convolution of the pictures."""
    assert statistics.cameras == CAMERAS
    stem = next(name for name in statistics.tables if name.endswith("running_mean"))
    layer = network.get_submodule(stem.rpartition(".")[0])
    for row, images in enumerate([np.concatenate([pictures(0), pictures(120)]), pictures(0), pictures(120)]):
        seen = []
        hook = layer.register_forward_pre_hook(lambda _, given, seen=seen: seen.append(given[0]))
        network.embed_crops(list(images))
        hook.remove()
        values = torch.cat(seen).transpose(0, 1).flatten(1)
        torch.testing.assert_close(statistics.tables[stem][row], values.mean(1), atol=1e-4, rtol=1e-4)
        variance = statistics.tables[stem.replace("mean", "var")][row]
        torch.testing.assert_close(variance, values.var(1), atol=1e-4, rtol=1e-3)


def test_few_crops_are_steadied_by_the_networks_own(network: Network, statistics: CameraStatistics) -> None:
    """Schneider et al. 2020: (N·source + n·target) / (N + n)."""
    mixed = steadied(statistics, network, [80, 40, 10], 40)
    for name, table in statistics.tables.items():
        own = network.get_buffer(name)
        torch.testing.assert_close(mixed.tables[name][0], (80 * table[0] + 40 * own) / 120)
        torch.testing.assert_close(mixed.tables[name][1], (table[1] + own) / 2)
        torch.testing.assert_close(mixed.tables[name][2], (10 * table[2] + 40 * own) / 50)
    assert mixed.cameras == CAMERAS
    unchanged = steadied(statistics, network, [80, 40, 10], 0)
    assert all(torch.equal(unchanged.tables[name], table) for name, table in statistics.tables.items())


def test_fitting_leaves_the_network_as_it_was(network: Network) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    fit_statistics(network, pictures(3), {"gate": pictures(5)})
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name], atol=0, rtol=0)
    assert not network.training


@pytest.mark.slow
@pytest.mark.parametrize("size", BATCHES)
def test_an_exported_model_takes_each_cameras_own(
    exported: Embedder, network: Network, statistics: CameraStatistics, size: int
) -> None:
    images = pictures(60, size)
    expected = [of_row(network, statistics, row, images) for row in range(3)]
    for row, camera in ((0, None), (1, "gate"), (2, "hall"), (0, "a camera of another gallery"), (1, "gate")):
        np.testing.assert_allclose(exported.embed(list(images), camera), expected[row], atol=2e-4)
    assert (expected[1] * expected[2]).sum(1).max() < 0.999  # else nothing is shown


@pytest.mark.slow
def test_a_neighbour_changes_nothing(exported: Embedder) -> None:
    images = list(pictures(60, 5))
    together = exported.embed(images, "hall")
    np.testing.assert_array_equal(together[:2], exported.embed(images[:2], "hall"))


@pytest.mark.slow
def test_read_back_it_has_the_common_statistics(
    exported: Embedder, network: Network, statistics: CameraStatistics
) -> None:
    again = load_onnx(exported.path)
    for name, table in statistics.tables.items():
        torch.testing.assert_close(again.get_buffer(name), table[0], atol=0, rtol=0)
    for name, weight in network.named_parameters():
        torch.testing.assert_close(again.get_parameter(name), weight, atol=0, rtol=0)


def test_a_network_without_batch_norm() -> None:
    with pytest.raises(UserError, match="no batch norm"):
        fit_statistics(nn.Linear(2, 2), pictures(0), {})
