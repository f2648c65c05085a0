import itertools
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import pytest

from reidapp.box import Box
from reidapp.footage.detection import Detection
from reidapp.footage.tracking import AppearanceTracker, MotionTracker, Tracker, continuations, is_sparse, open_tracker
from tests.reidapp.footage.walkers import ASPECT, Looks, Sample, Walker, film

Path = list[tuple[float, int]]  # (time, who it is)


def track(tracker: Tracker, samples: Sequence[Sample]) -> list[Path]:
    """The tracklets as they are kept: of two detections or more."""
    paths: defaultdict[int, Path] = defaultdict(list)
    for time_s, seen in samples:
        embeddings = np.array([s.embedding for s in seen], np.float32).reshape(len(seen), -1 if seen else 1)
        numbers = tracker.update(time_s, ASPECT, [s.detection for s in seen], embeddings)
        assert len(numbers) == len(seen)
        believed = [number for number in numbers if number is not None]
        assert len(set(believed)) == len(believed)  # nobody is in two places at once
        for one, number in zip(seen, numbers, strict=True):
            if number is not None:
                paths[number].append((time_s, one.person))
    return [path for path in paths.values() if len(path) >= 2]


def walk(*walkers: Walker, seed: int = 0, fps: float = 2.0, alike: bool = False) -> list[Sample]:
    looks = Looks(np.random.default_rng(seed))
    first = looks.person()
    return film(walkers, [first, looks.look_alike(first) if alike else looks.person()], looks, fps)


def crossing(seed: int, alike: bool) -> list[Sample]:
    """Two people meet, or one overtakes the other, somewhere in the picture."""
    rng = np.random.default_rng(seed)
    looks = Looks(rng)
    first = looks.person()
    people = [first, looks.look_alike(first) if alike else looks.person()]
    height = rng.uniform(0.35, 0.6)
    heights = height * np.array([1, rng.uniform(0.85, 1.18)])
    speeds = heights * rng.uniform(0.6, 1.0, 2)
    feet = 0.85 + rng.normal(0, 0.03, 2)
    if rng.random() < 0.3:
        starts = [0.1, 0.1 + rng.uniform(0.2, 0.5)]
        speeds[0] *= 1.5
    else:
        starts = [0.1, ASPECT - 0.1]
        speeds[1] *= -1
    walkers = [Walker(i, starts[i], speeds[i], heights[i], feet[i]) for i in range(2)]
    return film(walkers, people, looks, 2.0, missed=0.05)


def total(paths: Sequence[Path]) -> int:
    return sum(len(path) for path in paths)


def purity(paths: Sequence[Path]) -> float:
    return sum(max(Counter(person for _, person in path).values()) for path in paths) / total(paths)


def test_looks_scatter_as_real_embeddings_do() -> None:
    cosines = []
    for seed in range(500):
        looks = Looks(np.random.default_rng(seed))
        one = looks.person()
        others = one, looks.person(), looks.look_alike(one)
        cosines.append([looks.embedding(one) @ looks.embedding(other) for other in others])
    np.testing.assert_allclose(np.mean(cosines, 0), [0.84, 0.13, 0.78], atol=0.04)
    np.testing.assert_allclose(np.std(cosines, 0), [0.08, 0.24, 0.09], atol=0.03)


def test_walker_whose_boxes_do_not_overlap() -> None:
    whole = 0
    for seed in range(40):
        samples = walk(Walker(0, 0.1, 0.45, 0.45), seed=seed)
        boxes = [seen.detection.box for _, (seen,) in samples]
        assert max(a.iou(b) for a, b in itertools.pairwise(boxes)) < 0.15
        paths = track(AppearanceTracker(), samples)
        whole += [len(path) for path in paths] == [len(samples)]
    assert whole >= 36  # in the others an embedding was far off


@pytest.mark.slow
def test_different_looks_crossing_stay_pure_and_whole() -> None:
    runs = [crossing(seed, alike=False) for seed in range(200)]
    paths = [path for samples in runs for path in track(AppearanceTracker(), samples)]
    assert purity(paths) >= 0.995
    assert total(paths) >= 0.9 * sum(len(seen) for samples in runs for _, seen in samples)
    assert len(paths) <= 1.2 * 2 * len(runs)


@pytest.mark.slow
def test_same_clothes_crossing_purity_before_length() -> None:
    runs = [crossing(seed, alike=True) for seed in range(200)]
    paths = [path for samples in runs for path in track(AppearanceTracker(), samples)]
    assert purity(paths) >= 0.985
    # Hardly ever does a tracklet begin as one and end as the other for longer than a glimpse.
    swapped = [
        path for path in paths if min(Counter(p for _, p in path).values()) >= 2 and len({p for _, p in path}) > 1
    ]
    assert len(swapped) <= 1
    # And the doubt ends with the meeting: most of what was seen is in some tracklet.
    assert total(paths) >= 0.7 * sum(len(seen) for samples in runs for _, seen in samples)


def test_two_apart_in_the_same_clothes_keep_their_tracklets() -> None:
    samples = walk(Walker(0, 0.1, 0.15, 0.3), Walker(1, 1.1, 0.15, 0.3), alike=True)
    both = [sample for sample in samples if len(sample[1]) == 2]
    paths = track(AppearanceTracker(), both)
    assert [len(path) for path in paths] == [len(both)] * 2
    assert purity(paths) == 1.0


@pytest.mark.parametrize(("hidden_s", "tracklets"), [(1.1, 1), (2.1, 1), (3.6, 2), (5.0, 2)])
def test_gap(hidden_s: float, tracklets: int) -> None:
    counts = Counter(
        len(track(AppearanceTracker(), walk(Walker(0, 0.1, 0.12, 0.5, hidden=(5.1, 5.1 + hidden_s)), seed=seed)))
        for seed in range(20)
    )
    assert counts[tracklets] >= 18


def test_gap_of_more_than_three_seconds_always_ends_a_tracklet() -> None:
    box, look = Box(0.4, 0.2, 0.5, 0.8), np.array([1.0, 0.0], np.float32)
    for gap_s, goes_on in ((0.5, True), (3.0, True), (3.1, False)):
        tracker = AppearanceTracker()
        (first,) = tracker.update(10.0, ASPECT, [Detection(box, 0.9)], look[None])
        (second,) = tracker.update(10.0 + gap_s, ASPECT, [Detection(box, 0.9)], look[None])
        assert (first == second) == goes_on


def test_somebody_else_on_the_same_spot_is_another_tracklet() -> None:
    box, looks = Box(0.4, 0.2, 0.5, 0.8), np.array([[1.0, 0.0], [0.3, 0.954]], np.float32)
    tracker = AppearanceTracker()
    (first,) = tracker.update(0.0, ASPECT, [Detection(box, 0.9)], looks[:1])
    (second,) = tracker.update(0.5, ASPECT, [Detection(box, 0.9)], looks[1:])
    assert first != second


def test_nobody_walks_across_the_picture_in_half_a_second() -> None:
    look = np.array([[1.0, 0.0]], np.float32)
    tracker = AppearanceTracker()
    (first,) = tracker.update(0.0, ASPECT, [Detection(Box(0.0, 0.4, 0.05, 0.6), 0.9)], look)
    (second,) = tracker.update(0.5, ASPECT, [Detection(Box(0.9, 0.4, 0.95, 0.6), 0.9)], look)
    assert first != second


def test_who_is_hidden_behind_somebody_is_not_believed() -> None:
    """Most of what the crop shows is the other, whose feet are lower in the picture."""
    front, looks = Box(0.4, 0.2, 0.5, 0.8), np.eye(2, dtype=np.float32)
    for behind, believed in ((Box(0.42, 0.15, 0.51, 0.75), False), (Box(0.46, 0.15, 0.56, 0.75), True)):
        found = [Detection(front, 0.9), Detection(behind, 0.9)]
        numbers = AppearanceTracker().update(0.0, ASPECT, found, looks)
        assert [number is not None for number in numbers] == [True, believed]


@pytest.mark.parametrize("tracker", [AppearanceTracker(), MotionTracker(10)])
def test_empty_samples(tracker: Tracker) -> None:
    for time_s in (0.0, 0.1, 0.2):
        assert tracker.update(time_s, ASPECT, [], np.empty((0, 8), np.float32)) == []


def test_rate_chooses_the_tracker() -> None:
    assert isinstance(open_tracker(2.0, 25.0), AppearanceTracker)
    assert isinstance(open_tracker(None, 5.0), AppearanceTracker)
    assert isinstance(open_tracker(8.0, 25.0), MotionTracker)
    assert isinstance(open_tracker(None, 25.0), MotionTracker)
    assert isinstance(open_tracker(10.0, 5.0), AppearanceTracker)  # no more samples than there are frames


@pytest.mark.parametrize(
    ("fps", "frame_rate", "keyframes", "sparse"),
    [
        (2.0, 25.0, False, False),
        (0.5, 25.0, False, False),
        (0.3, 25.0, False, True),
        (2.0, 0.2, False, True),  # a time-lapse
        (None, 0.2, False, True),
        (2.0, 25.0, True, True),
    ],
)
def test_who_is_seen_once_counts_where_samples_are_far_apart(
    fps: float | None, frame_rate: float, keyframes: bool, sparse: bool
) -> None:
    assert is_sparse(fps, frame_rate, keyframes) == sparse


def test_motion_at_ten_frames_a_second() -> None:
    samples = walk(Walker(0, 0.1, 0.25, 0.5), Walker(1, 1.7, -0.2, 0.25, foot=0.4), fps=10)
    paths = track(MotionTracker(10), samples)
    assert len(paths) == 2
    assert purity(paths) == 1.0
    assert total(paths) >= sum(len(seen) for _, seen in samples) - 4


def test_motion_tracker_forgets_a_scene_of_long_ago() -> None:
    box, look = Box(0.4, 0.2, 0.5, 0.8), np.zeros((1, 4), np.float32)
    tracker = MotionTracker(10)
    numbers = [tracker.update(time_s, ASPECT, [Detection(box, 0.9)], look)[0] for time_s in (0, 0.1, 0.2, 9, 9.1, 9.2)]
    assert numbers[1] is not None
    assert numbers[5] is not None
    assert numbers[1] == numbers[2] != numbers[5]


def crowd(seed: int, gap_s: float) -> list[Sample]:
    """Six people who cross the picture both ways, some of them past each other, seen every few seconds."""
    rng = np.random.default_rng(seed)
    looks = Looks(rng)
    people = [looks.person() for _ in range(6)]
    walkers = [
        Walker(i, rng.uniform(0, ASPECT), h * rng.uniform(0.25, 1) * rng.choice([-1, 1]), h, 0.85 + rng.normal(0, 0.05))
        for i, h in enumerate(rng.uniform(0.3, 0.55, 6))
    ]
    return film(walkers, people, looks, 1 / gap_s, missed=0.05)


@pytest.mark.parametrize("gap_s", [1, 2, 4, 5, 10])
def test_keyframes_far_apart_stay_pure(gap_s: float) -> None:
    paths: list[Path] = []
    for seed in range(100):
        tracker, grown = open_tracker(2.0, 25.0, keyframes=True), defaultdict(list)
        for time_s, seen in crowd(seed, gap_s):
            embeddings = np.array([s.embedding for s in seen], np.float32).reshape(len(seen), -1 if seen else 1)
            numbers = tracker.update(time_s, ASPECT, [s.detection for s in seen], embeddings)
            for one, number in zip(seen, numbers, strict=True):
                grown[number].append((time_s, one.person))
        paths += grown.values()
    assert purity(paths) >= 0.97
    assert any(len(path) > 1 for path in paths)


def test_a_sample_between_keyframes_ends_what_is_not_in_it() -> None:
    box, look = Box(0.4, 0.2, 0.5, 0.8), np.array([[1.0, 0.0]], np.float32)
    for between, goes_on in (([], True), ([4.0], False)):
        tracker = AppearanceTracker(sparse=True)
        (first,) = tracker.update(0.0, ASPECT, [Detection(box, 0.9)], look)
        for time_s in between:
            tracker.update(time_s, ASPECT, [], look[:0])
        (second,) = tracker.update(8.0, ASPECT, [Detection(box, 0.9)], look)
        assert (first == second) == goes_on


HERE, NEAR, FAR = Box(0.40, 0.3, 0.48, 0.8), Box(0.46, 0.3, 0.54, 0.8), Box(0.85, 0.3, 0.93, 0.8)
RED, BLUE = np.eye(2, dtype=np.float32)
REDDISH = np.array([0.8, 0.6], np.float32)


@pytest.mark.parametrize(
    ("begun", "joined"),
    [
        ((60.0, NEAR, RED), "a"),
        ((60.0, NEAR, REDDISH), "a"),
        ((62.4, HERE, RED), "a"),
        ((62.6, HERE, RED), None),  # more than three seconds later
        ((60.0, NEAR, BLUE), None),
        ((60.0, FAR, RED), None),
        ((59.5, HERE, RED), None),  # not later
        ((60.0, Box(0.43, 0.6, 0.46, 0.8), RED), None),  # less than half as high
    ],
)
def test_continuation(begun: tuple[float, Box, np.ndarray], joined: str | None) -> None:
    assert continuations([("a", 59.5, HERE, RED)], [begun], ASPECT) == [joined]


def test_continuations_pair_off() -> None:
    ended = [("red", 59.5, HERE, RED), ("blue", 59.0, FAR, BLUE), ("gone", 58.0, FAR, REDDISH)]
    begun = [(60.0, FAR, BLUE), (61.0, Box(0.1, 0.3, 0.18, 0.8), BLUE), (60.0, NEAR, RED)]
    assert continuations(ended, begun, ASPECT) == ["blue", None, "red"]
    assert continuations([], begun, ASPECT) == [None] * 3
    assert continuations(ended, [], ASPECT) == []


def test_continuation_that_could_be_of_two_is_of_none() -> None:
    ended = [("a", 59.5, HERE, RED), ("b", 59.5, NEAR, RED)]
    assert continuations(ended, [(60.0, Box(0.43, 0.3, 0.51, 0.8), RED)], ASPECT) == [None]
