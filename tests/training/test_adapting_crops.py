"""Which batch norm statistics a gallery's crops get, and what is left as it was."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.camera_statistics import CameraStatistics
from models.network import Network
from reidapp.gallery.label_free import LabelFreeScores
from reidapp.imaging import encode_crop
from training.adapting_crops import COMMON, EACH_CAMERA, AdaptingCrops, Tried, best
from training.data.datasets import UNLABELLED, Record
from training.data.datasets.gallery import Gallery

BEFORE = LabelFreeScores(100, 0.9, 0.1, 0.95, 0.40, 0.3)


def tried(auc: float, same_camera: float | None) -> Tried:
    return Tried("", CameraStatistics([], {}), replace(BEFORE, auc=auc, same_camera=same_camera))


def test_of_what_improves_the_least_drawn_to_its_own_camera_is_taken() -> None:
    less, least, confused = tried(0.95, 0.35), tried(0.96, 0.33), tried(0.80, 0.30)
    assert best([less, least, confused], BEFORE) is least  # the last one tells tracklets apart worse
    assert best([confused, tried(0.95, 0.45)], BEFORE) is None
    assert best([], BEFORE) is None


def test_in_one_camera_tracklets_decide() -> None:
    one_camera = replace(BEFORE, same_camera=None)
    worse, better = tried(0.97, None), tried(0.99, None)
    assert best([worse, better], one_camera) is better


def crops_of(folder: Path, counts: dict[str, int]) -> AdaptingCrops:
    """A tracklet of two noisy crops each time; every camera has its own brightness."""
    data, records = object.__new__(Gallery), []
    for camid, (name, count) in enumerate(counts.items()):
        for number in range(count):
            noise = np.random.default_rng((camid, number)).integers(0, 100, (32, 16, 3)) + 60 * camid
            file = folder / f"{name}-{number}.webp"
            file.write_bytes(encode_crop(noise.astype(np.uint8)))
            records.append(Record(file, UNLABELLED, camid, tracklet=100 * camid + number // 2, time_s=0.0))
    data.train, data.cameras, data.at_once = records, list(counts), []
    return AdaptingCrops(data, network())


def network() -> Network:
    torch.manual_seed(0)
    return Network({"height": 32, "width": 16, "backbone": "resnet18", "head": "bnneck"}).eval()


@pytest.mark.slow
def test_statistics_are_tried_without_touching_the_network(tmp_path: Path) -> None:
    crops, net = crops_of(tmp_path, {"gate": 18, "hall": 18, "attic": 4}), network()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    found = crops.each_camera(net)
    assert crops.fitted == {"gate": 18, "hall": 18, "attic": 0}
    assert [one.statistics.cameras for one in found] == [["gate", "hall"]] * 4
    assert [one.name.partition(",")[0] for one in found] == [EACH_CAMERA] * 4
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    (mean,) = [name for name in found[0].statistics.tables if name.endswith("bn1.running_mean")][:1]
    steps = [float((one.statistics.tables[mean][1] - net.get_buffer(mean)).abs().mean()) for one in found]
    assert steps == sorted(steps, reverse=True)  # nearer and nearer to the network's own


@pytest.mark.slow
def test_where_no_camera_has_enough_crops_they_are_common(tmp_path: Path) -> None:
    crops, net = crops_of(tmp_path, {"gate": 12, "hall": 12}), network()
    assert crops.each_camera(net) == []
    chosen, found = crops.better_statistics(net)
    assert found == [chosen]
    assert (chosen.name, chosen.statistics.cameras) == (COMMON, [])
    mean = next(iter(chosen.statistics.tables))
    assert torch.equal(net.get_buffer(mean), chosen.statistics.tables[mean][0])
