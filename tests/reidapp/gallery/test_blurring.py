"""Who was not found is blurred because he moves, who was found only at the head."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from reidapp.box import Box
from reidapp.gallery import schema
from reidapp.gallery.blurring import Blurring
from reidapp.gallery.facts import PathPoint, VideoInfo
from reidapp.gallery.heads import Heads, blurred
from reidapp.gallery.store import Gallery
from reidapp.gallery.writer import NewChunk, NewTracklet
from reidapp.imaging import encode_crop
from tests.small_gallery import make_gallery

WIDTH, HEIGHT, FPS, SECONDS = 320, 180, 2, 20
FOUND, STRANGER = 70, 95  # where their heads begin, in pixels from above
WALL = np.random.default_rng(3).integers(60, 180, (9, 16, 3)).repeat(20, 0).repeat(20, 1).astype(np.uint8)
CLOTHES = np.random.default_rng(4).integers(0, 256, (80, 24, 3), np.uint8)


def frame(time_s: float) -> np.ndarray:
    """One person walks to the right, and one, lower down, to the left; they meet at ten seconds."""
    picture = WALL.copy()
    for left, top in ((10 + 13 * time_s, FOUND), (280 - 13 * time_s, STRANGER)):
        picture[top : top + 80, int(left) : int(left) + 24] = CLOTHES
    return picture


def upper(time_s: float, high: int = 0) -> Box:
    left, top = int(10 + 13 * time_s), FOUND - high
    return Box(left / WIDTH, top / HEIGHT, (left + 24) / WIDTH, (top + 80) / HEIGHT).clipped()


def gallery_of(folder: Path, high: int = 0) -> tuple[Gallery, VideoInfo]:
    """Of the two only the upper one was found, by a box that sits so many pixels too high."""
    path = folder / "walk.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FPS, options={"crf": "10"})
        video.width, video.height, video.pix_fmt, video.gop_size = WIDTH, HEIGHT, "yuv444p", 2
        for number in range(SECONDS * FPS):
            picture = av.VideoFrame.from_ndarray(frame(number / FPS), "rgb24")
            picture.pts, picture.time_base = number, Fraction(1, FPS)
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
    gallery = make_gallery(folder, empty=True)
    row = schema.Video(
        id="ab" * 8, path=str(path), size=1, mtime_ns=1, start_ms=0, start_source="name", duration_s=20.0, width=WIDTH,
        height=HEIGHT, settings={"chunk_s": 60.0}, done=False, note=None,
    )  # fmt: skip
    with gallery.writing() as writer:
        writer.add_video("Gate", "UTC", row)
        found = NewTracklet([PathPoint(k / 2, upper(k / 2, high)) for k in range(SECONDS * FPS)], [])
        writer.add_chunk("ab" * 8, NewChunk(0, 0.0, 40, 40, 19.5, [found], np.zeros((0, 64), np.float32)))
    return gallery, next(tracklet.video for tracklet in gallery.tracklets())


def rows(left: float, top: int, first: float, last: float) -> tuple[slice, slice]:
    """A part of the height of somebody of 80 pixels."""
    x = int(left)
    return slice(top + int(80 * first), top + int(80 * last)), slice(x, x + 24)


def detail(image: np.ndarray) -> float:
    return float((np.diff(image.mean(axis=2), axis=0) ** 2).mean())


@pytest.mark.slow
@pytest.mark.parametrize("time_s", [3.0, 5.25, 15.0])
def test_who_was_not_found_is_blurred_whole_and_who_was_only_at_the_head(tmp_path: Path, time_s: float) -> None:
    gallery, video = gallery_of(tmp_path)
    clear = frame(time_s)
    shown = Blurring(gallery, video, 0, SECONDS)(clear, time_s)
    found, stranger = 10 + 13 * time_s, 280 - 13 * time_s
    for part in (
        rows(stranger, STRANGER, 0, 0.2),
        rows(stranger, STRANGER, 0.2, 1),
        rows(found, FOUND, 0, 0.2),
    ):
        assert detail(shown[part]) < 0.05 * detail(clear[part])
    legs = rows(found, FOUND, 0.5, 0.95)
    assert np.array_equal(shown[legs], clear[legs])
    only_boxes = blurred(clear, Heads(gallery, video.id, 0, SECONDS).at(time_s))
    assert detail(only_boxes[rows(stranger, STRANGER, 0, 0.2)]) > 0.9 * detail(clear[rows(stranger, STRANGER, 0, 0.2)])


@pytest.mark.slow
def test_a_box_that_sits_too_high_hides_no_head_from_what_moves(tmp_path: Path) -> None:
    """Its upper part is on the wall; were it believed, the head in the middle of it would be taken for a body."""
    gallery, video = gallery_of(tmp_path, high=40)
    clear = frame(3.0)
    shown = Blurring(gallery, video, 0, SECONDS)(clear, 3.0)
    head = rows(10 + 13 * 3.0, FOUND, 0, 0.2)
    assert detail(shown[head]) < 0.05 * detail(clear[head])


def test_the_place_stays_as_it_is(tmp_path: Path) -> None:
    gallery, video = gallery_of(tmp_path)
    clear = frame(3.0)
    shown = Blurring(gallery, video, 0, SECONDS)(clear, 3.0)
    assert np.array_equal(shown[:, 120:220], clear[:, 120:220])
    assert np.array_equal(clear, frame(3.0))


def test_a_still_has_no_movement(tmp_path: Path) -> None:
    gallery, video = gallery_of(tmp_path)
    still = tmp_path / "still.webp"
    still.write_bytes(encode_crop(frame(3.0)))
    pictured = VideoInfo(**{**vars(video), "path": still})
    blurring = Blurring(gallery, pictured, 3.0, 3.0)
    assert not blurring.strangers(frame(3.0), 3.0).any()
    assert blurring.key == Blurring(gallery, video, 3.0, 3.0).key != Heads(gallery, video.id, 3.0, 3.0).key
