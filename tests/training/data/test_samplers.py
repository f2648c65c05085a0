from typing import Any

import numpy as np
import pytest
import torch

from reidapp.errors import UserError
from training.data.samplers import FramePairSampler, IdentitySampler, RandomSampler, Sampler, build_sampler, split

UNEQUAL = np.repeat(np.arange(12), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 30, 40])


def epoch(labels: np.ndarray, p: int, k: int, seed: int = 0) -> np.ndarray:
    sampler = IdentitySampler(labels, p, k)
    batches = np.array(list(sampler.epoch(np.random.default_rng(seed))))
    assert len(batches) == sampler.batches
    return batches


def test_batches_are_p_times_k() -> None:
    for batch in epoch(UNEQUAL, p=4, k=4):
        groups = UNEQUAL[batch].reshape(4, 4)
        assert (groups == groups[:, :1]).all()


def test_an_epoch_shows_every_image() -> None:
    assert set(epoch(UNEQUAL, p=4, k=4).ravel()) == set(range(len(UNEQUAL)))


def test_identities_seldom_repeat_within_a_batch() -> None:
    labels = np.repeat(np.arange(100), 8)
    distinct = [len(set(labels[batch])) for batch in epoch(labels, p=16, k=4)]
    assert np.mean(distinct) > 15


def test_epochs_differ_and_repeat_with_the_seed() -> None:
    assert (epoch(UNEQUAL, 4, 4, seed=1) == epoch(UNEQUAL, 4, 4, seed=1)).all()
    assert (epoch(UNEQUAL, 4, 4, seed=1) != epoch(UNEQUAL, 4, 4, seed=2)).any()


def test_as_many_identities_as_there_are() -> None:
    batches = epoch(np.array([0, 0, 1]), p=2, k=4)
    assert batches.shape == (1, 8)
    assert set(batches.ravel()) == {0, 1, 2}


def test_file_order_carries_no_information() -> None:
    """Images of one identity are adjacent in sorted files; a shuffled list gives the same kind of batches."""
    shuffled = np.random.default_rng(0).permutation(UNEQUAL)
    for batch in epoch(shuffled, p=4, k=4):
        groups = shuffled[batch].reshape(4, 4)
        assert (groups == groups[:, :1]).all()


def build(options: dict[str, Any], labels: np.ndarray, cameras: np.ndarray | None = None) -> Sampler:
    return build_sampler(options, labels, np.zeros_like(labels) if cameras is None else cameras, "recipe x.yaml")


def batches(sampler: Sampler, seed: int = 0) -> np.ndarray:
    all_batches = np.array(list(sampler.epoch(np.random.default_rng(seed))))
    assert all_batches.shape == (sampler.batches, sampler.batch_size)
    return all_batches


def test_an_epoch_of_identities_shows_each_once() -> None:
    sampler = build({"identities": 4, "images": 3, "each": "identities"}, UNEQUAL)
    assert sampler.batches == 3
    groups = UNEQUAL[batches(sampler)].reshape(12, 3)
    assert (groups == groups[:, :1]).all()
    assert sorted(groups[:, 0]) == list(range(12))
    seen = set().union(*(batches(sampler, seed).ravel() for seed in range(400)))
    assert seen == set(range(len(UNEQUAL)))  # other images every time


def test_an_epoch_of_identities_takes_distinct_images_where_it_can() -> None:
    for group in batches(build({"identities": 4, "images": 3, "each": "identities"}, UNEQUAL)).reshape(12, 3):
        assert len(set(group)) == min(3, (UNEQUAL[group[0]] == UNEQUAL).sum())


@pytest.mark.parametrize("each", ["images", "identities"])
@pytest.mark.parametrize("count", [1, 5, 40])
def test_an_epoch_of_a_given_length(each: str, count: int) -> None:
    drawn = batches(build({"identities": 4, "images": 3, "each": each, "batches": count}, UNEQUAL))
    assert drawn.shape == (count, 12)
    groups = UNEQUAL[drawn].reshape(-1, 3)
    assert (groups == groups[:, :1]).all()
    if each == "identities":
        shown = np.bincount(groups[:, 0], minlength=12)
        assert shown.max() - shown.min() <= 1  # in rounds
    if count == 40:
        assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 100  # each with images drawn anew


def test_fewer_identities_than_a_batch_shows_come_several_times() -> None:
    drawn = batches(build({"identities": 6, "images": 2, "batches": 3}, np.array([0, 0, 0, 1, 1])))
    assert drawn.shape == (3, 12)
    for batch in drawn:
        assert set(batch) <= set(range(5))


@pytest.mark.parametrize("each", ["images", "identities"])
def test_groups_are_spread_over_cameras(each: str) -> None:
    labels, cameras = np.repeat([0, 1, 2], [24, 24, 8]), np.tile([1, 1, 2, 2, 3, 3, 4, 4], 7)
    cameras[48:] = [-1, -1, -1, -1, -1, -1, 5, 5]  # known of two images only: two cameras
    options = {"identities": 3, "images": 4, "each": each}
    spread = batches(build(options | {"spread_cameras": True}, labels, cameras)).reshape(-1, 4)
    assert all(len(set(cameras[group])) == 4 for group in spread if labels[group[0]] < 2)
    assert all(len(set(group)) == 4 for group in spread)
    by_chance = batches(build(options, labels, cameras)).reshape(-1, 4)
    if each == "images":
        assert set(spread.ravel()) == set(range(len(labels)))
        assert not all(len(set(cameras[group])) == 4 for group in by_chance if labels[group[0]] < 2)
    else:
        assert [set(cameras[group]) for group in spread if labels[group[0]] == 2] == [{-1, 5}]


def test_random_batches_show_every_image_and_have_one_size() -> None:
    sampler = build({"batch": 32}, UNEQUAL)
    assert isinstance(sampler, RandomSampler)
    assert sampler.batches == 4  # 125 images
    flat = batches(sampler).ravel()
    assert sorted(flat[:125]) == list(range(125))
    assert (flat[125:] == flat[:3]).all()
    assert (batches(sampler, 1) != batches(sampler, 2)).any()


@pytest.mark.parametrize("options", [{"identities": 4, "images": 4}, {"batch": 16}])
def test_unlabelled_images_stand_at_the_end_of_a_batch(options: dict[str, Any]) -> None:
    labels = np.random.default_rng(0).permutation(np.concatenate([UNEQUAL, np.full(20, -1)]))
    without = batches(build(options, labels))
    assert (labels[without] >= 0).all()
    sampler = build(options | {"unlabelled": 6}, labels)
    assert sampler.batch_size == 22
    drawn = batches(sampler)
    assert (labels[drawn[:, :16]] >= 0).all()
    assert (labels[drawn[:, 16:]] == -1).all()
    counts = np.bincount(drawn[:, 16:].ravel(), minlength=len(labels))[labels == -1]
    assert counts.max() - counts.min() <= 1  # in turn


@pytest.mark.parametrize(
    ("options", "group"), [({"identities": 4, "images": 3, "unlabelled": 4}, 3), ({"batch": 12}, 1)]
)
def test_a_batch_is_shared_out_in_whole_groups(options: dict[str, Any], group: int) -> None:
    labels = np.concatenate([UNEQUAL, np.full(20, -1)])
    sampler = build(options, labels)
    batch = batches(sampler)[0]
    parts = [split(batch, sampler, 2, rank) for rank in (0, 1)]
    assert sorted(np.concatenate(parts)) == sorted(batch)
    for part in parts:
        assert len(part) == sampler.batch_size // 2
        groups = labels[part[:6]].reshape(-1, group)
        assert (groups == groups[:, :1]).all()
        assert (labels[part[6:]] == -1).all()
    as_tensor = split(torch.from_numpy(batch), sampler, 2, 1)
    assert torch.equal(as_tensor, torch.from_numpy(parts[1]))
    assert split(batch, sampler, 1, 0) is batch


@pytest.mark.parametrize(
    ("options", "world", "message"),
    [
        ({"identities": 4, "images": 3}, 3, "a batch of 4 identities cannot be shared out equally among 3 processes"),
        ({"identities": 4, "images": 3, "unlabelled": 5}, 2, "4 identities and 5 unlabelled images cannot"),
        ({"batch": 9}, 2, "a batch of 9 images cannot"),
    ],
)
def test_a_batch_that_cannot_be_shared_out(options: dict[str, Any], world: int, message: str) -> None:
    sampler = build(options, np.concatenate([UNEQUAL, [-1]]))
    with pytest.raises(UserError, match=message):
        split(batches(sampler)[0], sampler, world, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"identities": 0}, "identities is 0; a whole number of at least 1 expected"),
        ({"identities": 1, "images": 1}, "no batch"),
        ({"identities": 13}, "13 identities a batch, but there are 12; set sampler.identities=12"),
        ({"batch": 1}, "batch is 1; a whole number of at least 2"),
        ({"image": 4}, 'recipe x.yaml, sampler: unknown key "image"; did you mean "images"'),
        ({"batch": 8, "images": 4}, 'unknown key "images"; known: batch, unlabelled'),
        ({"each": "id"}, 'each is "id"; images or identities expected'),
        ({"unlabelled": 4}, "4 unlabelled images a batch, but all images have an identity"),
        ({"unlabelled": -1}, "unlabelled is -1; a whole number of at least 0"),
        ({"images": 2.5}, "images: input should be a valid integer"),
    ],
)
def test_nonsense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(options, UNEQUAL)


@pytest.mark.parametrize("options", [{}, {"batch": 4}])
def test_nobody_is_no_identity(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="no image has an identity"):
        build(options, np.full(9, -1))


def filmed(*sizes: int, camera: int = 1, begin: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Cameras and times of the images of frames of so many people, one a second."""
    times = np.repeat(begin + np.arange(len(sizes), dtype=float), sizes)
    return np.full(len(times), camera), times


def joined(*parts: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """In an order that says nothing."""
    cameras, times = (np.concatenate(own) for own in zip(*parts, strict=True))
    order = np.random.default_rng(0).permutation(len(cameras))
    return cameras[order], times[order]


TWO_CAMERAS = joined(filmed(3, 5, 2, 1, 4, 6, 3), filmed(4, 4, 2, camera=7, begin=0.5), filmed(9, 9, camera=-1))


def test_pairs_are_whole_frames_of_one_camera_soon_after_each_other() -> None:
    cameras, times = TWO_CAMERAS
    sampler = FramePairSampler(cameras, times, batch=16, gap=1.5)
    drawn = list(sampler.epoch(np.random.default_rng(0)))
    assert len(drawn) == sampler.batches
    for pairs in drawn:
        assert sum(len(few) + len(many) for few, many in pairs) == sampler.batch_size == 16
        real = [(few, many) for few, many in pairs if len(few)]
        assert real
        assert all(not len(few) for few, _ in pairs[len(real) :])
        for number, (few, many) in enumerate(real):
            assert 2 <= len(few) <= len(many)
            both = np.concatenate([few, many])
            assert set(cameras[both]) in ({1}, {7})
            assert 0 < abs(times[few[0]] - times[many[0]]) <= 1.5
            for part in (few, many):
                frame = np.flatnonzero((times == times[part[0]]) & (cameras == cameras[part[0]]))
                cut = part is few and number == len(real) - 1
                assert set(part) <= set(frame) if cut else sorted(part) == frame.tolist()


def test_a_later_frame_is_any_one_within_the_gap() -> None:
    cameras, times = filmed(2, 2, 2, 2)
    sampler = FramePairSampler(cameras, times, batch=4, gap=2.0, batches=60)
    distances = {
        abs(times[few[0]] - times[many[0]]) for pairs in sampler.epoch(np.random.default_rng(0)) for few, many in pairs
    }
    assert distances == {1.0, 2.0}


def test_every_pair_has_its_turn() -> None:
    cameras, times = filmed(*[2] * 20)
    sampler = FramePairSampler(cameras, times, batch=4, gap=1.0)
    seen = [
        min(times[few[0]], times[many[0]]) for pairs in sampler.epoch(np.random.default_rng(0)) for few, many in pairs
    ]
    assert sorted(seen) == list(range(19))


def test_the_last_pair_of_a_batch_is_cut_in_its_smaller_frame() -> None:
    cameras, times = filmed(4, 5)
    for batch, sizes in ((9, [4, 5]), (7, [2, 5]), (10, [4, 5, 0, 1]), (17, [4, 5, 3, 5])):
        pairs = next(FramePairSampler(cameras, times, batch=batch).epoch(np.random.default_rng(0)))
        assert [len(frame) for pair in pairs for frame in pair] == sizes


def test_frame_pairs_repeat_with_the_seed_and_are_shared_out_among_processes() -> None:
    sampler = FramePairSampler(*TWO_CAMERAS, batch=16, batches=3)
    one, again, other = (
        [np.concatenate([f for pair in pairs for f in pair]) for pairs in sampler.epoch(np.random.default_rng(seed))]
        for seed in (1, 1, 2)
    )
    assert (np.array(one) == np.array(again)).all()
    assert (np.array(one) != np.array(other)).any()
    assert (np.concatenate([split(one[0], sampler, 2, rank) for rank in (0, 1)]) == one[0]).all()
    with pytest.raises(UserError, match="a batch of 16 images cannot be shared out equally among 3 processes"):
        split(one[0], sampler, 3, 0)


@pytest.mark.parametrize(
    ("filmed_", "options", "message"),
    [
        ((np.array([1, 1]), np.array([np.nan, np.nan])), {}, "no image has a camera and a time"),
        ((np.array([-1, -1]), np.array([0.0, 1.0])), {}, "no image has a camera and a time"),
        (filmed(1, 1, 1), {}, "no frame shows two people"),
        (filmed(2, 1, 1, 2), {}, "no two frames with two people each within 2 s; raise sampler.gap"),
        (joined(filmed(2), filmed(2, camera=2, begin=1.0)), {}, "no two frames with two people each"),
        (filmed(30, 4), {"batch": 31}, "a frame shows 30 people, too many for batches of 31; set sampler.batch=60"),
        (filmed(2, 2), {"batch": 2}, "batch is 2; a whole number of at least 4 expected"),
    ],
)
def test_no_pairs_of_frames(filmed_: tuple[np.ndarray, np.ndarray], options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        FramePairSampler(*filmed_, **options)
