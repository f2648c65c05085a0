"""What is known without labels: held against slow definitions, and what must hold."""

from dataclasses import replace

import numpy as np
import pytest

from reidapp.gallery.label_free import LabelFreeScores, label_free_scores


def drawn(seed: int, noise: float, shift: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[tuple[int, int]]]:
    """12 people seen by 3 cameras each, 2 to 5 crops a tracklet; a camera moves all its crops by ``shift``."""
    rng = np.random.default_rng(seed)
    people, looks = rng.normal(size=(12, 16)), shift * rng.normal(size=(3, 16))
    rows, tracklets, cameras = [], [], []
    for person in range(12):
        for camera in range(3):
            for _ in range(rng.integers(2, 6)):
                rows.append(people[person] + looks[camera] + noise * rng.normal(size=16))
                tracklets.append(3 * person + camera)
                cameras.append(camera)
    embeddings = np.array(rows, np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    apart = [(3 * one + camera, 3 * (one + 1) + camera) for one in range(0, 12, 2) for camera in range(3)]
    return embeddings, np.array(tracklets), np.array(cameras), apart


@pytest.mark.parametrize("seed", range(3))
def test_slow_definitions(seed: int) -> None:
    embeddings, tracklets, cameras, apart = drawn(seed, 0.5, 0.5)
    same, other = [], []
    for i in range(len(embeddings)):
        for j in range(i):
            cosine = float(embeddings[i] @ embeddings[j])
            if tracklets[i] == tracklets[j]:
                same.append(cosine)
            elif tuple(sorted((int(tracklets[i]), int(tracklets[j])))) in apart:
                other.append(cosine)
    own, by_chance = [], []
    for i in range(len(embeddings)):
        outside = [j for j in np.argsort(-embeddings @ embeddings[i], kind="stable") if tracklets[j] != tracklets[i]]
        own += [cameras[j] == cameras[i] for j in outside[:10]]
        by_chance.append(np.mean([cameras[j] == cameras[i] for j in outside]))
    found = label_free_scores(embeddings, tracklets, cameras, apart)
    assert found.crops == len(embeddings)
    assert found.within == pytest.approx(np.mean(same), abs=1e-5)
    assert found.apart == pytest.approx(np.mean(other), abs=1e-5)
    own_crops = np.flatnonzero(tracklets == 0)
    first = [float(embeddings[i] @ embeddings[j]) for i in own_crops for j in own_crops if j < i]
    assert found.by_tracklet[0] == pytest.approx(np.mean([a > b for a in first for b in other]), abs=1e-4)
    assert found.to_dict()["tracklets"] == len(found.by_tracklet) == 36
    assert found.auc == pytest.approx(np.mean([(a > b) + 0.5 * (a == b) for a in same for b in other]), abs=1e-4)
    assert found.same_camera == pytest.approx(np.mean(own), abs=1e-3)
    assert found.same_camera_by_chance == pytest.approx(np.mean(by_chance), abs=1e-6)


def test_better_embeddings_score_better() -> None:
    good, noisy, biased = (label_free_scores(*drawn(0, *how)) for how in ((0.1, 0.0), (1.5, 0.0), (0.1, 2.0)))
    assert (good.auc or 0) > 0.99 > (noisy.auc or 1)
    assert (good.within or 0) > (noisy.within or 1)
    assert (biased.same_camera or 0) > (good.same_camera or 1) + 0.2


def test_nothing_to_measure_on() -> None:
    embeddings = np.eye(4, dtype=np.float32)
    found = label_free_scores(embeddings, np.arange(4), np.zeros(4, int), [])
    assert (found.within, found.apart, found.auc, found.same_camera) == (None, None, None, None)
    all_one = label_free_scores(np.ones((4, 1), np.float32), np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]), [(0, 1)])
    assert all_one.auc == 0.5  # a collapsed network tells nobody apart


@pytest.mark.parametrize(
    ("auc", "same_camera", "better"),
    [
        (0.95, 0.50, True),
        (0.90, 0.49, True),
        (0.90, 0.50, False),  # as before
        (0.89, 0.40, False),  # tracklets are mixed up
        (0.99, 0.51, False),  # cameras are taken for people
        (None, 0.40, True),
    ],
)
def test_what_is_better(auc: float | None, same_camera: float, better: bool) -> None:
    before = LabelFreeScores(100, 0.8, 0.4, None if auc is None else 0.9, 0.5, 0.3)
    assert replace(before, auc=auc, same_camera=same_camera).improves(before) is better


def test_a_few_tracklets_that_disagree_say_nothing() -> None:
    """The mean falls by 0.02: of one tracklet that falls far, or of all."""
    before = LabelFreeScores(100, 0.8, 0.4, 0.98, 0.5, 0.3, by_tracklet=(0.98,) * 4)
    one = replace(before, auc=0.96, same_camera=0.4, by_tracklet=(0.98, 0.98, 0.98, 0.90))
    each = replace(one, by_tracklet=(0.96, 0.961, 0.959, 0.96))
    assert one.improves(before)
    assert not each.improves(before)
    assert not replace(one, same_camera=0.51).improves(before)
    assert not replace(one, auc=0.90, by_tracklet=(0.98, 0.98, 0.98, 0.66)).improves(before)  # too far for any chance
