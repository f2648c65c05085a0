from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reidapp.errors import UserError
from tests.training.methods.images_as_classes import DIM, Features
from training.data.datasets import UNLABELLED, Record
from training.losses._cycle import cycle_loss
from training.methods.cycas import CycAs

FRAMES = [[0, 1, 2], [1, 2, 0, 3], [2, 3], [3, 0, 1, 2, 4], [4, 1]]  # who is in them, one a second


def build(frames: list[list[int]] = FRAMES, known: bool = True, batch: int = 16, **options: Any) -> CycAs:
    records = [
        Record(Path(f"{second}-{person}.jpg"), person if known else UNLABELLED, 1, time_s=float(second))
        for second, people in enumerate(frames)
        for person in people
    ]
    return CycAs(records, {"batch": batch, "gap": 1.5}, {"features": DIM, "pooled": DIM}, "recipe r", **options)


def people(noise: float, frames: list[list[int]] = FRAMES) -> Tensor:
    """Everybody has an axis of his own."""
    who = [person for people in frames for person in people]
    rng = torch.Generator().manual_seed(0)
    return torch.eye(DIM)[who] + noise * torch.randn(len(who), DIM, generator=rng)


def epoch(method: CycAs, features: Tensor, seed: int = 0) -> list[float]:
    losses = []
    for batch in method.epoch(np.random.default_rng(seed), 0.0, lambda name: features):
        loss, _ = method(Features(), features[batch], torch.from_numpy(batch), torch.Generator())
        method.update()
        losses.append(float(loss))
    return losses


def test_the_loss_is_the_mean_over_pairs_of_frames() -> None:
    method, features = build(batch=17), people(0.5)
    (pairs,) = list(build(batch=17).sampler.epoch(np.random.default_rng(3)))[:1]
    batch = next(method.epoch(np.random.default_rng(3), 0.0, lambda name: features))
    assert batch.tolist() == [i for pair in pairs for frame in pair for i in frame]
    unit = F.normalize(features, dim=1)
    expected = [cycle_loss(unit[few] @ unit[many].T) for few, many in pairs if len(few)]
    assert len(expected) > 1
    loss, _ = method(Features(), 7 * features[batch], torch.from_numpy(batch), torch.Generator())
    torch.testing.assert_close(loss, torch.stack(expected).mean())


def test_who_is_told_apart_costs_nothing() -> None:
    method = build()
    assert max(epoch(method, people(0.0))) < 1e-6
    assert method.report() == {"right_associations": 1}
    assert method.diagnose() == []


@pytest.mark.slow
def test_people_are_told_apart_by_what_stays_theirs_from_frame_to_frame() -> None:
    """Half of an image is whose it is, half is noise; a linear network learns which, without identities."""
    rng = np.random.default_rng(0)
    frames = [rng.permutation(5)[: rng.integers(4, 6)].tolist() for _ in range(40)]
    torch.manual_seed(0)
    noise = 0.6 * torch.randn(sum(map(len, frames)), DIM)
    images, linear = torch.cat([people(0.0, frames), noise], 1), nn.Linear(2 * DIM, DIM, bias=False)
    method, judge = build(frames, known=False), build(frames)
    network = nn.Sequential(linear, Features())
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    epoch(judge, linear(images).detach())
    assert judge.report()["right_associations"] < 0.6
    for seed in range(25):
        for batch in method.epoch(np.random.default_rng(seed), 0.0, lambda name: images):
            optimizer.zero_grad()
            method(network, images[batch], torch.from_numpy(batch), torch.Generator())[0].backward()
            optimizer.step()
    epoch(judge, linear(images).detach())
    assert judge.report()["right_associations"] > 0.95


def test_identities_are_looked_at_for_the_log_alone() -> None:
    features, one, other = people(0.4), build(), build(known=False)
    assert epoch(one, features) == epoch(other, features)
    assert 0 < one.report()["right_associations"] < 1
    assert other.report() == {}


def test_right_associations_are_of_those_who_are_in_both_frames() -> None:
    method = build([[0, 1], [1, 2, 3]], batch=5)
    unit = torch.eye(DIM)
    epoch(method, torch.stack([unit[2], unit[1], unit[1], unit[2], unit[3]]))  # 0 looks like 2, whom he is not
    assert method.report() == {"right_associations": 1}


def test_cosines_are_not_of_bf16() -> None:
    method, features = build(), people(0.5)
    batch = next(method.epoch(np.random.default_rng(0), 0.0, lambda name: features))
    half = features[batch].bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = method(Features(), half, torch.from_numpy(batch), torch.Generator())
    exact, _ = method(Features(), half.double(), torch.from_numpy(batch), torch.Generator())
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(exact), abs=1e-5)


def test_images_that_look_the_same_are_told_of() -> None:
    method = build()
    epoch(method, torch.ones(16, DIM))
    (warning,) = method.diagnose()
    assert "nobody is more like himself" in warning


def test_nothing_is_carried_from_epoch_to_epoch() -> None:
    method, features = build(), people(0.5)
    first = epoch(method, features, seed=1)
    epoch(method, people(0.9), seed=2)
    assert epoch(method, features, seed=1) == first
    assert not method.state_dict()


def test_what_it_is_not_built_with() -> None:
    with pytest.raises(UserError, match='recipe r, method: on: no output "feature"'):
        build(on="feature")
    with pytest.raises(UserError, match="no frame shows two people"):
        build([[0], [0], [0]])
    with pytest.raises(UserError, match="no image has a camera and a time"):
        CycAs([Record(Path("a.jpg"), 1)] * 4, {}, {"features": DIM}, "recipe r")
    with pytest.raises(UserError, match='recipe r, sampler: unknown key "identities"'):
        CycAs([Record(Path("a.jpg"), 1)] * 4, {"identities": 4}, {"features": DIM}, "recipe r")
