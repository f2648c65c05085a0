import json
from dataclasses import replace

import numpy as np
import pytest

from reidapp.errors import UserError
from reidapp.metrics import RetrievalScores, Verification, evaluate_distances, evaluate_ranking, verify

# The fixed case: query 3 has only a same-camera match, pid −1 is junk, pid 0 are distractors.
DISTANCES = np.array(
    [
        [0.1, 0.4, 0.2, 0.3, 0.05, 0.8, 0.9, 0.7, 0.6, 0.95],
        [0.5, 0.35, 0.3, 0.1, 0.01, 0.6, 0.2, 0.05, 0.9, 0.7],
        [0.11, 0.22, 0.33, 0.44, 0.55, 0.66, 0.77, 0.88, 0.99, 0.01],
    ]
)
QUERY = np.array([1, 2, 3]), np.array([0, 1, 0])
GALLERY = np.array([1, 1, 2, 0, -1, 2, 1, 2, 0, 3]), np.array([0, 1, 0, 2, 1, 2, 2, 1, 0, 0])


def test_fixed_case() -> None:
    scores = evaluate_distances(DISTANCES, *QUERY, *GALLERY)
    assert scores.queries == 2
    assert scores.cmc[:5] == (0, 0, 1, 1, 1)
    assert scores.mAP == pytest.approx(0.321428571429, abs=1e-12)
    assert scores.mINP == pytest.approx(0.309523809524, abs=1e-12)
    assert scores.unscored == {"their identity is in the gallery only under the query's own camera": 1}
    assert scores.average_precisions[2] is None
    assert np.mean(scores.average_precisions[:2]) == pytest.approx(scores.mAP)  # type: ignore[arg-type]
    assert scores.matches_per_query == 2


def slow(distances, q_pids, q_cams, g_pids, g_cams, keep=False):  # type: ignore[no-untyped-def]
    """CMC (20), mAP and mINP by two plain loops; among equal distances, wrong images come first."""
    firsts, aps, inps = [], [], []
    for row, pid, cam in zip(distances, q_pids, q_cams, strict=True):
        ranked = []
        for d, g_pid, g_cam in zip(row, g_pids, g_cams, strict=True):
            if g_pid != -1 and (keep or g_pid != pid or g_cam != cam):
                ranked.append((d, bool(g_pid == pid)))
        hits, precisions, last = 0, [], 0
        for rank, (_, right) in enumerate(sorted(ranked), start=1):
            if right:
                hits += 1
                precisions.append(hits / rank)
                firsts += [rank] if hits == 1 else []
                last = rank
        if hits:
            aps.append(np.mean(precisions))
            inps.append(hits / last)
    cmc = [np.mean([f <= k for f in firsts]) for k in range(1, 21)]
    return cmc, np.mean(aps), np.mean(inps), len(aps)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("keep", [False, True])
def test_agrees_with_a_double_loop(seed: int, keep: bool) -> None:
    rng = np.random.default_rng(seed)
    queries, gallery = 90, 400  # more than one block of queries
    people = rng.geometric(0.08, queries) % 30, rng.integers(0, 4, queries)
    everybody = rng.geometric(0.08, gallery) % 32 - 1, rng.integers(0, 4, gallery)  # unequal counts, junk
    distances = rng.random((queries, gallery)).round(2 if seed % 2 else 8)  # odd seeds: many ties
    scores = evaluate_distances(distances, *people, *everybody, same_camera="keep" if keep else "remove")
    cmc, mean_ap, mean_inp, scored = slow(distances, *people, *everybody, keep=keep)
    assert scores.queries == scored
    np.testing.assert_allclose(scores.cmc, cmc, atol=1e-12)
    assert scores.mAP == pytest.approx(mean_ap, abs=1e-12)
    assert scores.mINP == pytest.approx(mean_inp, abs=1e-12)


def test_an_identity_with_very_many_images() -> None:
    rng = np.random.default_rng(0)
    distances, pids, cams = rng.random((5, 600)), rng.integers(0, 2, 600), rng.integers(0, 3, 600)
    scores = evaluate_distances(distances, pids[:5], cams[:5], pids, cams)
    assert scores.mAP == pytest.approx(slow(distances, pids[:5], cams[:5], pids, cams)[1], abs=1e-12)


def test_embeddings_are_scored_as_their_distances() -> None:
    rng = np.random.default_rng(0)
    query, gallery = unit(rng, 70, 16), unit(rng, 300, 16)
    people = rng.integers(0, 20, 70), rng.integers(0, 3, 70)
    everybody = rng.integers(-1, 20, 300), rng.integers(0, 3, 300)
    by_embedding = evaluate_ranking(query, *people, gallery, *everybody, protocol="a test")
    by_distance = evaluate_distances(-(query @ gallery.T), *people, *everybody)
    assert by_embedding.to_dict() == by_distance.to_dict() | {"protocol": by_embedding.protocol}
    assert by_embedding.gallery == (everybody[0] != -1).sum()


def test_one_embedding_for_everybody_scores_near_zero() -> None:
    pids, cams = np.arange(200) // 2, np.arange(200) % 2
    scores = evaluate_ranking(np.ones((200, 4)) / 2, pids, cams, np.ones((200, 4)) / 2, pids, cams)
    assert scores.rank1 == 0
    assert scores.mAP < 0.01


def test_distances_by_rows_are_scored_as_the_matrix() -> None:
    asked = []

    def rows_of(rows: slice) -> np.ndarray:
        asked.append(rows)
        return np.tile(DISTANCES, (50, 1))[rows]

    people = np.tile(QUERY[0], 50), np.tile(QUERY[1], 50)
    by_rows = evaluate_distances(rows_of, *people, *GALLERY)
    assert by_rows == evaluate_distances(np.tile(DISTANCES, (50, 1)), *people, *GALLERY)
    assert len(asked) > 1


@pytest.mark.parametrize("same_camera", ["remove", "keep"])
def test_threshold_agrees_with_a_double_loop(same_camera: str) -> None:
    rng = np.random.default_rng(0)
    query, gallery = people_like(rng, 150), people_like(rng, 300)
    query_people = np.arange(150) % 30, rng.integers(0, 3, 150)
    gallery_people = np.arange(300) % 32 - 1, rng.integers(0, 3, 300)
    genuine, impostors = [], []
    for q, pid, cam in zip(query, *query_people, strict=True):
        for g, g_pid, g_cam in zip(gallery, *gallery_people, strict=True):
            if g_pid == pid and (g_cam != cam or same_camera == "keep"):
                genuine.append(float(q @ g))
            elif g_pid not in (pid, -1):
                impostors.append(float(q @ g))
    found = verify(query, *query_people, gallery, *gallery_people, same_camera=same_camera)  # type: ignore[arg-type]
    assert found is not None
    assert (found.genuine, found.impostors) == (len(genuine), len(impostors))
    assert found.roc[0][0] == pytest.approx(1e-4)
    assert found.roc[-1][0] == pytest.approx(1e-1)
    for fmr, tpr, threshold in [*found.roc, (1e-3, found.tpr, found.threshold)]:
        assert tpr == pytest.approx(np.mean(np.array(genuine) >= threshold))
        assert np.mean(np.array(impostors) >= threshold) <= fmr
        assert np.mean(np.array(impostors) >= threshold - 1e-5) > fmr  # the lowest such threshold, but for a step


def test_no_threshold_from_too_few_pairs() -> None:
    rng = np.random.default_rng(0)
    query, gallery = unit(rng, 20, 8), unit(rng, 60, 8)
    no_camera = np.zeros(20, int), np.zeros(60, int)
    pids = np.arange(60) % 20
    assert verify(query, pids[:20], no_camera[0], gallery, pids, no_camera[1]) is None  # no genuine pair
    assert verify(query, pids[:20], no_camera[0], gallery, pids, no_camera[1], same_camera="keep") is not None
    few = verify(query[:9], pids[:9], no_camera[0][:9], gallery, pids, no_camera[1], same_camera="keep")
    assert few is None


def test_one_embedding_for_everybody_has_no_usable_threshold() -> None:
    pids, cams, same = np.arange(200) // 2, np.arange(200) % 2, np.ones((200, 4)) / 2
    found = verify(same, pids, cams, same, pids, cams)
    assert found is not None
    assert found.tpr == 0
    assert found.threshold > 1


def test_order_of_the_gallery_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    order = rng.permutation(len(GALLERY[0]))
    shuffled = evaluate_distances(DISTANCES[:, order], *QUERY, GALLERY[0][order], GALLERY[1][order])
    assert shuffled == evaluate_distances(DISTANCES, *QUERY, *GALLERY)


def test_no_valid_query_is_explained() -> None:
    no_camera = np.zeros(3, int), np.zeros(10, int)
    with pytest.raises(UserError, match=r"only under the query's own camera \(3\).*--same-camera keep"):
        evaluate_distances(DISTANCES, QUERY[0], no_camera[0], GALLERY[0], no_camera[1])
    assert (
        evaluate_distances(DISTANCES, QUERY[0], no_camera[0], GALLERY[0], no_camera[1], same_camera="keep").queries == 3
    )
    with pytest.raises(UserError, match=r"identity is not in the gallery \(3\)$"):
        evaluate_distances(DISTANCES, QUERY[0] + 50, QUERY[1], *GALLERY)


def test_a_query_is_no_match_of_its_own_image() -> None:
    """Everybody is query and gallery; junk between them, for it moves the places."""
    rng = np.random.default_rng(0)
    pids, cameras, own = rng.integers(-1, 12, 80), np.zeros(80, int), np.flatnonzero(rng.random(80) < 0.9)
    own = own[pids[own] != -1]
    images = people_like(rng, 80)
    distances = -(images[own] @ images.T)
    found = evaluate_distances(distances, pids[own], cameras[own], pids, cameras, same_camera="keep", own=own)
    cameras = np.arange(80)  # as if each image were the only one of its camera: then only itself is left out
    assert found.to_dict() | {"protocol": ""} == evaluate_distances(
        distances, pids[own], cameras[own], pids, cameras
    ).to_dict() | {"protocol": ""}
    sides = images[own], pids[own], cameras[own], images, pids, cameras
    assert verify(*sides, same_camera="keep", own=own) == verify(*sides)


def test_an_own_image_that_is_the_only_one_is_the_reason() -> None:
    pids, cameras = np.array([1, 2, 2]), np.zeros(3, int)
    own = np.array([0, -1, 2])
    scores = evaluate_distances(np.ones((3, 3)), pids, cameras, pids, cameras, same_camera="keep", own=own)
    assert scores.unscored == {"their identity is in the gallery only by the query's own image": 1}
    assert scores.matches_per_query == 1.5


def test_unknown_cameras_are_not_one_camera() -> None:
    """Query 0 has none, query 1 is of camera 0: of what it may match, one is of camera 0, the other of none."""
    pids, distances = np.array([1, 1]), np.array([[0.1, 0.2], [0.1, 0.2]])
    scores = evaluate_distances(distances, pids, np.array([-1, 0]), pids, np.array([-1, 0]))
    assert scores.unscored == {}
    assert scores.matches_per_query == 1.5


def test_nan_is_refused() -> None:
    broken = np.full((3, 4), np.nan)
    with pytest.raises(UserError, match="query embeddings: NaN"):
        evaluate_ranking(broken, *QUERY, np.zeros((10, 4)), *GALLERY)
    with pytest.raises(UserError, match="distances: NaN"):
        evaluate_distances(np.where(DISTANCES == 0.4, np.nan, DISTANCES), *QUERY, *GALLERY)
    with pytest.raises(UserError, match="gallery embeddings: NaN"):
        verify(np.zeros((3, 4)), *QUERY, np.full((10, 4), np.nan), *GALLERY)


def test_prints_and_serialises() -> None:
    scores = RetrievalScores(tuple([0.5] * 20), 0.25, 0.125, 8, 40, "a protocol", {"a reason": 2})
    assert str(scores) == (
        "Rank-1 50.0%  Rank-5 50.0%  mAP 25.0%  mINP 12.5%\n"
        "8 queries, 40 gallery images; a protocol\n2 queries not scored: a reason"
    )
    assert scores.to_dict()["mAP"] == 0.25
    assert scores.to_dict()["verification"] is None
    verified = replace(scores, verification=Verification(0.4371, 0.612, ((1e-3, 0.612, 0.4371),), 100, 50_000))
    assert "\nTPR 61.2% at a false-match rate of 1e-3 (cosine ≥ 0.437)\n8 queries" in str(verified)
    assert verified.verification
    few = replace(verified.verification, impostors=5000)
    assert str(few).endswith("(cosine ≥ 0.437); of only 5,000 pairs of strangers")
    facts = json.loads(json.dumps(verified.to_dict()))["verification"]
    assert facts["threshold"] == 0.4371
    assert facts["roc"] == [{"fmr": 1e-3, "tpr": 0.612, "threshold": 0.4371}]


def people_like(rng: np.random.Generator, count: int) -> np.ndarray:
    """Rows of length one; of 30 people by turns."""
    x = np.random.default_rng(7).normal(size=(30, 16))[np.arange(count) % 30] + rng.normal(size=(count, 16))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def unit(rng: np.random.Generator, rows: int, dim: int) -> np.ndarray:
    x = rng.normal(size=(rows, dim)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)
