import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.training.methods.clustered import Same, begin, build, people, step
from training.losses._memory import cosines
from training.methods.cluster_contrast import ClusterContrast, update_centroids
from training.methods.ise import ISE, degree, label_preserving, support_samples


@pytest.fixture(scope="module")
def case(shared: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((shared / "reference" / "method_cases.json").read_text())["ise"]
    inputs = {key: torch.tensor(found["inputs"][key]) for key in ("y",)}
    inputs |= {key: torch.tensor(found["inputs"][key], dtype=torch.float64) for key in ("f", "centroids")}
    return {**inputs, **found["expected"]}


def close(found: Tensor, expected: Any) -> None:
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), atol=1e-9, rtol=0)


FORMS = {"paper_lambda": 1.0, "code": 0.25}


def test_fixed_degree(case: dict[str, Any]) -> None:
    assert degree(0.3, 1.0) == pytest.approx(case["lambda_t"], abs=1e-9)
    assert degree(1.0, 1.0) == pytest.approx(case["lambda_end"])
    assert degree(0.0, 1.0) == 0


@pytest.mark.parametrize(
    ("form", "key"), [("paper_lambda", "support_paper_lambda"), ("code", "support_code(0.25*lambda)")]
)
def test_fixed_support_samples(case: dict[str, Any], form: str, key: str) -> None:
    found = support_samples(case["f"], case["y"], case["centroids"], FORMS[form] * case["lambda_t"], 1)
    close(found, case[key])


@pytest.mark.parametrize("form", FORMS)
def test_fixed_losses(case: dict[str, Any], form: str) -> None:
    both = build(ISE, len(case["y"]), dim=4, pli_gain=FORMS[form])
    both.memory, both.labels, both._step = case["centroids"], case["y"], 300
    both._steps = 1000
    total, numbers = both(Same(), case["f"], torch.arange(len(case["y"])), torch.Generator())
    preservation = case["L_LP_code(no eps)"] if form == "code" else case["L_LP_paper_lambda"]
    assert float(numbers["preservation"]) == pytest.approx(preservation, abs=1e-6)
    assert float(total) == pytest.approx(case[f"L_SE_{form}"] + 0.1 * preservation, abs=1e-6)


def test_fixed_case_of_two_neighbours(case: dict[str, Any]) -> None:
    shift = 0.25 * case["lambda_t"]
    supports = support_samples(case["f"], case["y"], case["centroids"], shift, 2)
    own = case["y"].repeat_interleave(2)
    towards = case["centroids"][torch.tensor(case["K2_nearest"])] - case["centroids"][own]
    expected = F.normalize(case["f"].repeat_interleave(2, 0) + shift * towards, dim=1)
    torch.testing.assert_close(supports, expected)
    found = label_preserving(case["f"], case["y"], supports, own, 0.6)
    assert float(found) == pytest.approx(case["K2_L_LP_code"], abs=1e-5)  # the code adds 1e-6 twice


def test_fixed_update(case: dict[str, Any]) -> None:
    supports = support_samples(case["f"], case["y"], case["centroids"], 0.25 * case["lambda_t"], 1)
    memory = case["centroids"].clone()
    update_centroids(memory, torch.cat([case["f"], supports]), torch.cat([case["y"], case["y"]]), 0.2, "hard")
    close(memory, case["centroids_after_hard_update(actual+support,m=0.2)"])


@pytest.mark.parametrize("neighbours", [1, 2, 9])
def test_label_preserving_agrees_with_a_double_loop(neighbours: int) -> None:
    rng = torch.Generator().manual_seed(0)
    features = F.normalize(torch.randn(14, 6, generator=rng, dtype=torch.float64), dim=1)
    labels = torch.tensor([0, 4, 4, 1, 2, 2, 2, 2, 0, 1, 1, 1, 1, 0])  # unequal, mixed, and no 3
    memory = F.normalize(torch.randn(5, 6, generator=rng, dtype=torch.float64), dim=1)
    supports = support_samples(features, labels, memory, 0.4, neighbours)
    count = min(neighbours, 4)  # there are five clusters
    assert supports.shape == (14 * count, 6)
    own = labels.repeat_interleave(count)
    expected = 0.0
    for f, label in zip(features, labels, strict=True):
        positive = math.exp(min(float(f @ s) for s, y in zip(supports, own, strict=True) if y == label) / 0.6)
        negatives = 0.0
        for other in (0, 1, 2, 4):
            if other != label:
                most = max(float(f @ s) for s, y in zip(supports, own, strict=True) if y == other)
                negatives += math.exp(most / 0.6)
        expected -= math.log(positive / (positive + negatives)) / 14
    assert float(label_preserving(features, labels, supports, own, 0.6)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("memory", ["hard", "mean"])
def test_at_the_beginning_it_is_cluster_contrast(memory: str) -> None:
    """Support samples are then the crops themselves, so nothing but the number of equal terms differs."""
    ise, plain = build(ISE, memory=memory, beta=0.0), build(ClusterContrast, memory=memory, momentum=0.2)
    features = people(noise=0.1)
    for method in (ise, plain):
        method.batches = begin(method, features)
    batch = ise.batches[0]
    assert (batch == plain.batches[0]).all()
    torch.testing.assert_close(step(ise, features, batch), step(plain, features, batch))
    torch.testing.assert_close(ise.memory, plain.memory)


@pytest.mark.parametrize("memory", ["seq", "hard", "mean"])
def test_without_its_parts_it_is_cluster_contrast_all_along(memory: str) -> None:
    ise = build(ISE, memory=memory, beta=0.0, expansion=False)
    plain, features = build(ClusterContrast, memory=memory, momentum=0.2), people(noise=0.1)
    begin(plain, features)
    for batch in begin(ise, features, done=0.5):
        torch.testing.assert_close(step(ise, features, batch), step(plain, features, batch))
    torch.testing.assert_close(ise.memory, plain.memory)


@pytest.mark.parametrize(("expansion", "beta"), [(True, 0.0), (False, 0.1), (True, 0.1)])
def test_each_part_adds_its_own(expansion: bool, beta: float) -> None:
    features = people(noise=0.1)
    method = build(ISE, expansion=expansion, beta=beta)
    batch = begin(method, features, done=0.5)[0]
    f, labels, memory = features[batch].double(), method.labels[batch], method.memory.clone()
    supports = support_samples(f, labels, memory, degree(0.5, 1.0), 1)
    both, own = (torch.cat([f, supports]), labels.repeat(2)) if expansion else (f, labels)
    expected = F.cross_entropy(cosines(both, memory) / 0.05, own)
    expected = expected + beta * label_preserving(f, labels, supports, labels, 0.6)
    torch.testing.assert_close(step(method, features, batch)[0], expected)
    update_centroids(memory, both, own, 0.2, "hard")
    torch.testing.assert_close(method.memory, memory)


@pytest.mark.slow
def test_numeric_gradient() -> None:
    method, features = build(ISE, tau=0.5, neighbours=2, beta=1.0), people(noise=0.1).double()
    batch = torch.from_numpy(begin(method, features.float(), done=0.5)[0])
    shown = (2 * features[batch]).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: method(Same(), x, batch, torch.Generator())[0], shown)


def test_the_degree_grows_with_every_step_and_goes_on_after_an_interruption() -> None:
    method, features = build(ISE), people()  # ten epochs of three batches
    for batch in begin(method, features):
        step(method, features, batch)
    assert method._step / method._steps == pytest.approx(0.1)
    later = build(ISE)
    begin(later, features, done=0.1)
    assert later._step == method._step
