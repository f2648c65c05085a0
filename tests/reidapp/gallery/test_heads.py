from pathlib import Path

import numpy as np
import pytest

from reidapp.box import Box
from reidapp.errors import UnknownError
from reidapp.gallery import schema
from reidapp.gallery.facts import PathPoint
from reidapp.gallery.heads import Heads, blurred, blurred_shot, head_of, within
from reidapp.gallery.store import Gallery
from reidapp.gallery.writer import NewChunk, NewTracklet
from reidapp.imaging import read_image
from tests.small_gallery import FOOTAGE, make_gallery

EVERYWHERE = Box(0.0, 0.0, 1.0, 1.0)


def detail(image: np.ndarray) -> float:
    """Mean square of the difference between neighbouring pixels: what a face is known by, and blurring takes."""
    grey = image.mean(axis=2)
    return float((np.diff(grey, axis=0) ** 2).mean() + (np.diff(grey, axis=1) ** 2).mean())


def of_camera(gallery: Gallery, camera: str) -> str:
    return next(each.video.id for each in gallery.tracklets() if each.camera == camera)


def walking(folder: Path, *tracklets: list[PathPoint]) -> tuple[Gallery, str]:
    """A gallery with one recording, whose first chunk has these tracklets."""
    gallery = make_gallery(folder, empty=True)
    row = schema.Video(
        id="ab" * 8, path="/none.mp4", size=1, mtime_ns=1, start_ms=0, start_source="name", duration_s=120.0, width=640,
        height=360, settings={"chunk_s": 60.0}, done=False, note=None,
    )  # fmt: skip
    with gallery.writing() as writer:
        writer.add_video("Gate", "UTC", row)
        made = [NewTracklet(path, []) for path in tracklets]
        writer.add_chunk("ab" * 8, NewChunk(0, 0.0, 120, 9, 59.5, made, np.zeros((0, 64), np.float32)))
    return gallery, "ab" * 8


def test_heads_are_followed_between_stored_boxes(tmp_path: Path) -> None:
    gallery = make_gallery(tmp_path)
    walks = FOOTAGE["Gate", "Europe/Berlin"]
    heads = Heads(gallery, of_camera(gallery, "Gate"), 0, 20)
    for time_s in np.arange(1, 13, 0.13):
        for walk in walks:
            if walk.start_s <= time_s <= walk.end_s:
                box = walk.box(time_s)
                head = Box(box.x1, box.y1, box.x2, box.y1 + 0.2 * box.height)
                over = [other for other in heads.at(time_s) if head.covered_by(other) > 0.999]
                assert over
                assert min(other.area for other in over) < 5.5 * head.area
    assert heads.at(18.5) == []
    assert Heads(gallery, of_camera(gallery, "Gate"), 11, 12).at(1.5) == []  # was not asked for


def test_who_comes_and_goes_is_taken_to_walk_on(tmp_path: Path) -> None:
    path = [PathPoint(10 + k / 2, Box(0.3 + 0.04 * k, 0.3, 0.4 + 0.04 * k, 0.8)) for k in range(5)]
    gallery, video = walking(tmp_path, path)
    heads = Heads(gallery, video, 0, 59)
    for time_s in (8.0, 9.0, 13.0, 14.0):
        middle = 0.35 + 0.08 * (time_s - 10)
        (head,) = heads.at(time_s)
        assert head.centre[0] == pytest.approx(middle, abs=1e-6)
        assert head.width > heads.at(11.0)[0].width  # the longer ago, the less certain
    assert heads.at(7.0) == heads.at(15.0) == []


def test_nobody_is_guessed_into_a_still_of_somebody_else(tmp_path: Path) -> None:
    path = [PathPoint(10 + k / 2, Box(0.3, 0.3, 0.4, 0.8)) for k in range(5)]
    gallery, video = walking(tmp_path, path)
    heads = Heads(gallery, video, 0, 59)
    assert heads.at(9.9, guessed=False) == heads.at(12.1, guessed=False) == []
    assert heads.at(11.1, guessed=False) == heads.at(11.1) != []


def test_what_was_not_indexed_is_blurred_all_over(tmp_path: Path) -> None:
    gallery, video = walking(
        tmp_path, [PathPoint(50.0, Box(0.3, 0.3, 0.4, 0.8)), PathPoint(59.0, Box(0.3, 0.3, 0.4, 0.8))]
    )
    heads = Heads(gallery, video, 50, 70)
    assert heads.at(55.0) != [EVERYWHERE]
    assert heads.at(60.5) == [EVERYWHERE]
    key = heads.key
    assert Heads(gallery, video, 50, 70).key == key
    with gallery.writing() as writer:
        writer.add_chunk(video, NewChunk(1, 60.0, 120, 0, 119.5, [], np.zeros((0, 64), np.float32)))
    heads = Heads(gallery, video, 50, 70)
    assert heads.at(60.5) != [EVERYWHERE]
    assert heads.key != key  # a clip that was made before is made again
    with pytest.raises(UnknownError):
        Heads(gallery, "00" * 8, 0, 1)


def test_a_head_has_room() -> None:
    head = head_of(Box(0.4, 0.2, 0.6, 1.0))
    assert head.y1 < 0.2 - 0.1 * 0.8
    assert 0.2 + 0.25 * 0.8 < head.y2 < 0.2 + 0.4 * 0.8
    assert head.x1 < 0.36
    assert head.x2 > 0.64
    wider = head_of(Box(0.4, 0.2, 0.6, 1.0), room=0.1)
    assert head.covered_by(wider) == pytest.approx(1)
    assert wider.width > head.width
    assert head_of(Box(0.0, 0.0, 0.1, 0.5)) >= Box(0.0, 0.0, 0.0, 0.0)


def test_within_a_crop() -> None:
    assert within(Box(0.4, 0.2, 0.6, 0.4), Box(0.4, 0.2, 0.6, 1.0)) == pytest.approx((0, 0, 1, 0.25))
    assert within(Box(0.0, 0.0, 0.1, 0.1), Box(0.4, 0.2, 0.6, 1.0)).area == 0


def test_of_what_is_blurred_sixteen_colours_are_left_and_the_rest_stays() -> None:
    image = np.random.default_rng(0).integers(0, 256, (80, 80, 3), np.uint8)
    box = Box(0.25, 0.1, 0.75, 0.6)
    x1, y1, x2, y2 = box.pixels(80, 80)
    patches = image.copy()
    means = image[y1:y2, x1:x2].reshape(4, 10, 4, 10, 3).mean((1, 3))
    patches[y1:y2, x1:x2] = np.round(means).astype(np.uint8).repeat(10, 0).repeat(10, 1)
    shown = blurred(image, [box, Box(0.5, 0.5, 0.5, 0.5)])
    assert np.abs(shown.astype(int) - blurred(patches, [box])).max() <= 1  # as if nothing else had been there
    assert detail(shown[y1:y2, x1:x2]) < 0.01 * detail(image[y1:y2, x1:x2])
    outside = np.ones((80, 80), bool)
    outside[y1:y2, x1:x2] = False
    assert np.array_equal(shown[outside], image[outside])


def test_a_blurred_shot_has_lost_the_head_and_kept_the_shoes(tmp_path: Path) -> None:
    gallery = make_gallery(tmp_path)
    for tracklet in gallery.tracklets():
        crop = tracklet.crops[0]
        clear, shown = read_image(crop.file), blurred_shot(gallery, crop.id)
        head, below = slice(0, clear.shape[0] // 5), slice(clear.shape[0] // 2, None)
        assert detail(shown[head]) < 0.15 * detail(clear[head])
        assert np.array_equal(shown[below], clear[below])
    with pytest.raises(UnknownError):
        blurred_shot(gallery, "00" * 8)
