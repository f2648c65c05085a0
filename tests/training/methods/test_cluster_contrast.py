import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reidapp.errors import UserError
from tests.training.methods.clustered import SAMPLER, Same, begin, build, people, step
from training.data.datasets import Record
from training.methods.cluster_contrast import RULES, ClusterContrast, centroids, update_centroids


@pytest.fixture(scope="module")
def case(shared: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((shared / "reference" / "method_cases.json").read_text())["cluster_contrast"]
    return found


def double(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_fixed_loss(case: dict[str, Any]) -> None:
    features, labels = double(case["inputs"]["f"]).requires_grad_(), torch.tensor(case["inputs"]["y"])
    method = build(ClusterContrast, len(labels), dim=4)
    method.memory, method.labels = double(case["inputs"]["centroids"]), labels
    loss, _ = method(Same(), features, torch.arange(len(labels)), torch.Generator())
    loss.backward()
    assert loss.item() == pytest.approx(case["expected"]["loss"], abs=1e-9)
    # The case's gradient is that of f itself; through the normalisation only its part across f remains.
    expected, f = double(case["expected"]["grad_f(unnormalised f as leaf)"]), features.detach()
    torch.testing.assert_close(features.grad, expected - (expected * f).sum(1, keepdim=True) * f, atol=1e-6, rtol=0)


@pytest.mark.parametrize("rule", RULES)
def test_fixed_updates(case: dict[str, Any], rule: str) -> None:
    memory = double(case["inputs"]["centroids"])
    update_centroids(memory, double(case["inputs"]["f"]), torch.tensor(case["inputs"]["y"]), 0.1, rule)
    torch.testing.assert_close(memory, double(case["expected"][f"centroids_after_{rule}"]), atol=1e-9, rtol=0)


def test_fixed_centroids(case: dict[str, Any]) -> None:
    found = centroids(double(case["inputs"]["f"]), torch.tensor([0, -1, 1, 1, 0, -1]))
    expected = double(case["expected"]["init_centroids(f, labels=[0,-1,1,1,0,-1])"])
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize("rule", RULES)
def test_updates_agree_with_one_crop_after_the_other(rule: str) -> None:
    """Unequal counts, a class that is not in the batch, and rows twice."""
    rng = torch.Generator().manual_seed(1)
    features = F.normalize(torch.randn(20, 5, generator=rng, dtype=torch.float64), dim=1)
    features[7] = features[3]
    labels = torch.tensor([0, 0, 0, 1, 2, 2, 4, 1, 4, 4, 4, 4, 4, 0, 2, 2, 0, 1, 4, 4])
    memory = F.normalize(torch.randn(5, 5, generator=rng, dtype=torch.float64), dim=1)
    expected = memory.clone()
    for cluster in range(5):
        own = [f for f, label in zip(features, labels.tolist(), strict=True) if label == cluster]
        if rule == "hard" and own:
            own = [min(own, key=lambda f: float(f @ memory[cluster]))]
        if rule == "mean" and own:
            own = [sum(own) / len(own)]  # type: ignore[arg-type, list-item]
        for f in own:
            moved = 0.3 * expected[cluster] + 0.7 * f
            expected[cluster] = moved / moved.norm()
    update_centroids(memory, features, labels, 0.3, rule)
    torch.testing.assert_close(memory, expected)


def test_loss_agrees_with_a_double_loop() -> None:
    method, features = build(ClusterContrast), people()
    batch = begin(method, features)[0]
    expected = 0.0
    for at in batch:
        cosines = [float(features[at].double() @ c) for c in method.memory]
        own = cosines[int(method.labels[at])]
        expected -= math.log(math.exp(own / 0.05) / sum(math.exp(c / 0.05) for c in cosines)) / len(batch)
    assert float(step(method, features, batch)[0]) == pytest.approx(expected, abs=1e-6)


def test_numeric_gradient() -> None:
    method, features = build(ClusterContrast, tau=0.5), people().double()
    batch = torch.from_numpy(begin(method, features.float())[0][:6])
    shown = (3 * features[batch]).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: method(Same(), x, batch, torch.Generator())[0], shown)


def test_bfloat16_features() -> None:
    method, features = build(ClusterContrast), people()
    batch = begin(method, features)[0]
    exact, _ = method(Same(), features[batch], torch.from_numpy(batch), torch.Generator())
    with torch.autocast("cpu", torch.bfloat16):
        rough, _ = method(Same(), features[batch].bfloat16(), torch.from_numpy(batch), torch.Generator())
    assert float(rough) == pytest.approx(float(exact), abs=0.05)
    assert rough.dtype == torch.float64  # the memory's


def test_batches_are_clusters_and_outliers_are_left_out() -> None:
    features = people(6)
    features[5], features[20] = torch.eye(16)[0], -torch.eye(16)[3]  # like nobody
    method = build(ClusterContrast)
    batches = begin(method, features)
    assert len(batches) == 3
    for batch in batches:
        groups = batch.reshape(4, 4) // 8
        assert (groups == groups[:, :1]).all()
        assert len(set(groups[:, 0])) == 4
    assert not {5, 20} & set(np.concatenate(batches))
    assert method.report() == {"clusters": 6, "outliers": 2, "largest": 8 / 46, "ari": pytest.approx(0.95, abs=0.05)}
    torch.testing.assert_close(method.memory.norm(dim=1), torch.ones(6, dtype=torch.float64))


def test_fewer_clusters_than_a_batch_shows() -> None:
    batches = begin(build(ClusterContrast, 16), people(2))
    assert [len(batch) for batch in batches] == [16, 16, 16]


def test_the_order_of_the_files_decides_nothing() -> None:
    features, order = people(), np.random.default_rng(3).permutation(48)
    one, other = build(ClusterContrast), build(ClusterContrast)
    begin(one, features)
    begin(other, features[order])
    same = one.labels[order][:, None] == one.labels[order]
    assert torch.equal(same, other.labels[:, None] == other.labels)
    torch.testing.assert_close(one.memory, other.memory)  # clusters are numbered by what is in them


def test_identities_are_not_learnt_from() -> None:
    method, features = build(ClusterContrast), people()
    expected = begin(method, features)
    other = build(ClusterContrast)
    other.pids = np.random.default_rng(0).integers(0, 40, 48)
    assert all((a == b).all() for a, b in zip(expected, begin(other, features), strict=True))


def test_a_source_is_half_of_every_batch_and_its_identities_are_classes() -> None:
    source = [70, 70, 71, 71, 90, 90]
    method = build(ClusterContrast, source=source)
    features = torch.cat([people(), people(3, each=2, seed=9)])
    for batch in begin(method, features):
        groups = batch.reshape(4, 4)
        assert ((groups >= 48).all(1) == [False, True, False, True]).all()
        assert ((groups < 48).all(1) == [True, False, True, False]).all()
    assert method.memory.shape == (9, 16)
    assert method.labels[48:].tolist() == [6, 6, 7, 7, 8, 8]
    assert method.report()["clusters"] == 6
    assert method.sampler.batch_size == 16


def test_features_by_camera_are_asked_for() -> None:
    asked = []

    def extract(output: str, cameras: np.ndarray | None = None) -> Tensor:
        asked.append(cameras)
        return people()

    for camera_norm in (False, True):
        build(ClusterContrast, camera_norm=camera_norm).epoch(np.random.default_rng(0), 0.0, extract)
    assert asked[0] is None
    assert asked[1].tolist() == [n % 3 for n in range(48)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory": "soft"}, 'recipe r, method: memory is "soft"; seq, hard or mean expected'),
        ({"count": 1}, "recipe r: 1 training image; clusters need several"),
        ({"source": [-1, 3]}, "some crops of --source have no identity; give these data as --data"),
        ({"source": [1, 2], "sampler": {"identities": 3}}, "make sampler.identities an even number"),
        ({"sampler": {"batch": 16}}, 'sampler: unknown key "batch"'),
        ({"sampler": {"batches": None}}, "recipe r: how many clusters there will be is not known; say sampler.batches"),
        ({"clustering": {"dbscn": {}}}, 'unknown name "dbscn"; did you mean "dbscan"'),
        ({"clustering": {"dbscan": {"esp": 1}}}, r'method.clustering.dbscan: unknown key "esp"; did you mean "eps"'),
    ],
)
def test_bad_options_are_one_clear_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(ClusterContrast, **options)


def test_cameras_are_needed_for_their_statistics() -> None:
    records = [Record(Path(f"{n}.jpg"), -1) for n in range(8)]
    with pytest.raises(UserError, match="camera_norm needs cameras, and no crop's name or folder says one"):
        ClusterContrast(records, {"dbscan": {}}, SAMPLER, {"features": 3}, "recipe r", camera_norm=True)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (torch.full((48, 16), torch.nan), "features of 48 of 48 images are not finite"),
        (torch.ones(48, 16), "features of all 48 images are equal"),
        (torch.cat([torch.eye(16)] * 3), "no cluster found, all 48 images are outliers; raise eps"),
        (people(1, 48), "one giant cluster holds 100% of the clustered images; lower eps"),
    ],
)
def test_what_cannot_be_clustered_is_one_clear_line(features: Tensor, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        begin(build(ClusterContrast), features)
    assert "\n" not in str(caught.value)


def test_nothing_of_an_epoch_is_kept_for_the_next() -> None:
    assert not build(ClusterContrast).state_dict()


@pytest.mark.parametrize("rule", RULES)
def test_steps_bring_crops_to_their_clusters(rule: str) -> None:
    method, features = build(ClusterContrast, memory=rule), people(noise=0.1)
    for batch in begin(method, features) * 10:
        features[batch] -= 0.1 * step(method, features, batch)[1].float()
    assert (F.normalize(features, dim=1) @ method.memory.float().T).argmax(1).tolist() == method.labels.tolist()
