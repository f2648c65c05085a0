from pathlib import Path

import numpy as np
import pytest

from reidapp.box import Box
from reidapp.gallery.heads import Heads, blurred, head_of, within
from tests.small_gallery import FOOTAGE, make_gallery


def test_heads_are_followed_between_stored_boxes(tmp_path: Path) -> None:
    gallery = make_gallery(tmp_path)
    walks = FOOTAGE["Gate", "Europe/Berlin"]
    video = next(each.video.id for each in gallery.tracklets() if each.camera == "Gate")
    heads = Heads(gallery, video, 0, 14)
    for time_s in np.arange(1, 13, 0.13):
        expected = [head_of(walk.box(time_s)) for walk in walks if walk.start_s <= time_s <= walk.end_s]
        found = heads.at(time_s)
        for head in expected:
            assert max(head.iou(other) for other in found) > 0.98
    assert heads.at(0.5)  # just before the first box: somebody is coming
    assert heads.at(14.5) == []
    assert Heads(gallery, video, 11, 12).at(3) == []  # was not asked for


def test_a_head_has_room() -> None:
    head = head_of(Box(0.4, 0.2, 0.6, 1.0))
    assert head.y1 == pytest.approx(0.2 - 0.08 * 0.8)
    assert head.y2 == pytest.approx(0.2 + 0.26 * 0.8)
    assert (head.x1, head.x2) == pytest.approx((0.37, 0.63))
    assert head_of(Box(0.0, 0.0, 0.1, 0.5)) >= Box(0.0, 0.0, 0.0, 0.0)


def test_within_a_crop() -> None:
    assert within(Box(0.4, 0.2, 0.6, 0.4), Box(0.4, 0.2, 0.6, 1.0)) == pytest.approx((0, 0, 1, 0.25))
    assert within(Box(0.0, 0.0, 0.1, 0.1), Box(0.4, 0.2, 0.6, 1.0)).area == 0


def test_what_is_blurred_has_sixteen_colours_and_the_rest_stays() -> None:
    image = np.random.default_rng(0).integers(0, 256, (90, 60, 3), np.uint8)
    box = Box(0.25, 0.1, 0.75, 0.5)
    shown = blurred(image, [box, Box(0.5, 0.5, 0.5, 0.5)])
    x1, y1, x2, y2 = box.pixels(90, 60)
    assert len(np.unique(shown[y1:y2, x1:x2].reshape(-1, 3), axis=0)) <= 16
    outside = np.ones((90, 60), bool)
    outside[y1:y2, x1:x2] = False
    assert np.array_equal(shown[outside], image[outside])
