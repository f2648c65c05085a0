"""The box that is drawn on a recording lies on the person, and the frame is the one that was indexed.

A red patch walks through small videos in which every frame carries its number. They are indexed as a user's are, and a
hit is opened in a real browser; what a screenshot shows is compared with what is stored.
"""

import itertools
import os
import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from reidapp.box import Box
from reidapp.footage.detection import Detection
from reidapp.footage.indexing import find_footage, index_footage
from reidapp.gallery.store import Gallery
from reidapp.server.service import SearchService
from reidapp.settings import IndexSettings
from tests.reidapp.footage.numbered import write_silence
from tests.small_gallery import ColourEmbedder
from tests.ui.conftest import Site
from tests.ui.test_page import Page, Visit, give, go_to, playing, search

HEIGHT, WIDTH, STRIP = 240, 320, 24
STEADY = [number / 10 for number in range(60)]
UNSTEADY = [0.0, *np.cumsum(np.random.default_rng(0).integers(40, 201, 59) / 1000).round(3).tolist()]
QUARTER_TURN = (0, 1, -1, 0)


def patch(time_s: float) -> Box:
    x = 0.1 + 0.08 * time_s
    return Box(x, 0.25, x + 0.15, 0.85)


def picture(number: int, time_s: float) -> np.ndarray:
    """RGB uint8 ``[240, 320, 3]``: on top the number, eight bits as black and white blocks; below, the patch."""
    image = np.full((HEIGHT, WIDTH, 3), 140, np.uint8)
    bits = np.unpackbits(np.array([number], np.uint8))
    image[:STRIP] = (30 + 190 * bits).repeat(WIDTH // 8)[None, :, None]
    x1, y1, x2, y2 = patch(time_s).pixels(HEIGHT, WIDTH)
    image[y1:y2, x1:x2] = (210, 30, 30)
    return image


def red(image: np.ndarray) -> Box | None:
    """Where a picture is red."""
    r, g, b = image.astype(int).transpose(2, 0, 1)
    rows, columns = np.nonzero((r > 150) & (g < 90) & (b < 90))
    height, width = image.shape[:2]
    return Box(*box_of(rows, columns, height, width)) if len(rows) > 50 else None


def box_of(rows: np.ndarray, columns: np.ndarray, height: int, width: int) -> Sequence[float]:
    return columns.min() / width, rows.min() / height, (columns.max() + 1) / width, (rows.max() + 1) / height


class RedDetector:
    """Finds the patch in the pixels that it is given."""

    provider = "numpy"

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Detection]]:
        return [[Detection(box, 0.9)] if (box := red(frame)) else [] for frame in frames]


def write(
    path: Path, times_s: Sequence[float], turned: bool, pixel: int, sound: bool = False, codec: str = "libx264"
) -> None:
    """A recording that looks upright and in proportion only if its header is heeded.

    Args:
        turned: stored lying, with a matrix that turns it upright, as telephones do.
        pixel: width of a pixel by its height.
        sound: from time 0 on.
        codec: libx265's browsers refuse, and are given a clip.
    """
    with av.open(str(path), "w") as container:
        options = {"g": "10", "crf": "16"} | ({"x265-params": "log-level=none"} if codec == "libx265" else {})
        stream: Any = container.add_stream(codec, rate=10, options=options)
        stream.width, stream.height = (HEIGHT, WIDTH) if turned else (WIDTH // pixel, HEIGHT)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.codec_context.sample_aspect_ratio = Fraction(pixel, 1)
        if sound:
            write_silence(container, times_s[-1])
        for number, time_s in enumerate(times_s):
            image = picture(number, time_s)[:, pixel // 2 :: pixel]
            stored = np.ascontiguousarray(np.rot90(image) if turned else image)
            frame = av.VideoFrame.from_ndarray(stored, format="rgb24")
            frame.pts, frame.time_base = round(time_s * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    if turned:
        data = bytearray(path.read_bytes())
        at = data.index(b"tkhd") + 44
        a, b, c, d = (value << 16 for value in QUARTER_TURN)
        data[at : at + 20] = struct.pack(">5i", a, b, 0, c, d)
        path.write_bytes(data)
    os.utime(path, (1e9, 1e9))  # not so young that it may still be growing


# Camera: times, turned, width of a pixel, sound, codec.
CAMERAS = {
    "steady": (STEADY, False, 1),
    "unsteady": (UNSTEADY, False, 1),
    "turned": (UNSTEADY, True, 1),
    "wide": (STEADY, False, 2),
    "sound first": ([round(1.5 + time_s, 3) for time_s in STEADY], False, 1, True),
    "hevc": (STEADY, False, 1, False, "libx265"),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, serve: Callable[[SearchService], Site]) -> Site:
    folder = tmp_path_factory.mktemp("boxes")
    for camera, recording in CAMERAS.items():
        (folder / "footage" / camera).mkdir(parents=True)
        write(folder / "footage" / camera / "2026-03-02T10-00-00Z.mp4", *recording)
    model, embedder, settings = folder / "colours.onnx", ColourEmbedder(), IndexSettings(zone="UTC", sampling="2fps")
    model.write_bytes(b"stands for a model")
    gallery = Gallery.create(folder / "gallery", model, embedder.card, embedder.identity)
    index_footage(find_footage(folder / "footage", settings), gallery, embedder, RedDetector(), settings)
    return serve(SearchService(gallery, embedder, RedDetector()))


# Where the picture lies in the window: it keeps its shape, and bars fill the rest of the video element.
PICTURE = """(video) => {
  const {left, top, width, height} = video.getBoundingClientRect();
  const scale = Math.min(width / video.videoWidth, height / video.videoHeight);
  const shown = {width: video.videoWidth * scale, height: video.videoHeight * scale};
  return {x: left + (width - shown.width) / 2, y: top + (height - shown.height) / 2, ...shown};
}"""


def shown(page: Page, hide: str) -> np.ndarray:
    """The picture as a user sees it, without some of what is on it: RGB uint8 ``[H, W, 3]``."""
    page.locator(".stage").scroll_into_view_if_needed()
    style = page.add_style_tag(content=f".stage :is({hide}) {{ opacity: 0 }}")
    data = page.screenshot(clip=page.locator("video").evaluate(PICTURE))
    style.evaluate("(tag) => tag.remove()")
    return np.array(Image.open(BytesIO(data)).convert("RGB"))


def drawn(page: Page) -> Box:
    """The box on the canvas, without half of its line's width."""
    image = shown(page, "video, .clock").astype(int)
    rows, columns = np.nonzero((image[..., 0] > 200) & (image[..., 2] < 120))
    x1, y1, x2, y2 = box_of(rows, columns, *image.shape[:2])
    x, y = 1.25 / image.shape[1], 1.25 / image.shape[0]
    return Box(x1 + x, y1 + y, x2 - x, y2 - y)


def number_in(image: np.ndarray) -> int:
    height, width = image.shape[:2]
    strip = image[: round(height * STRIP / HEIGHT)].mean(2)
    middles = strip[len(strip) // 2, (width * (np.arange(8) + 0.5) / 8).astype(int)]
    assert np.all((middles < 70) | (middles > 180)), f"no clear number: {middles}"
    return int(np.packbits(middles > 125)[0])


@pytest.mark.parametrize("camera", CAMERAS)
def test_box_and_frame_are_those_that_were_indexed(site: Site, visit: Visit, camera: str) -> None:
    times_s, *_ = CAMERAS[camera]
    (tracklet,) = [one for one in site.service.gallery.tracklets() if one.camera == camera]
    assert len(tracklet.path) >= 8
    for point in tracklet.path:  # the frame's own time, and the place that the patch has in it
        assert round(point.time_s, 3) in times_s
        assert point.box.iou(patch(point.time_s)) >= 0.9

    page = visit(site)
    give(page, picture(0, 0.0))
    search(page)
    page.locator(".card").filter(has=page.get_by_text(camera, exact=True)).click()
    playing(page)
    page.evaluate("document.querySelector('video').pause()")
    between = [(a.time_s + b.time_s) / 2 for a, b in itertools.pairwise(tracklet.path)]
    for time_s in (tracklet.path[1].time_s, tracklet.path[-2].time_s, between[3]):
        go_to(page, time_s)
        page.wait_for_timeout(300)  # until the frame that was sought is on the screen
        frame = shown(page, "canvas, .clock")
        there = max(number for number, at in enumerate(times_s) if at <= time_s + 1e-3)
        assert abs(number_in(frame) - there) <= 1
        person = red(frame)
        assert person is not None
        assert drawn(page).iou(person) >= 0.9
