"""The web page on a large gallery, in a real browser: from a click to what it asked for on the screen, and scrolling.

    python -m benchmarks.page [--tracklets 200000] [--repeats 5] [--folder DIR] > docs/results/page.json

A gallery of the shipped model is filled with made-up tracklets, five best shots each, every shot with a picture of a
generated person: 20 cameras, ten days, of which every minute is indexed. `reidapp serve` runs as users start it, and
the system's Chromium, without a graphics card, opens it at 1280 × 900. Medians, in milliseconds:

    hits          from the click on Search until the pictures of the first hits are on the screen; the query is found,
                  embedded and compared in that time. By default (40 hits), and with the most there can be (1,000)
    timeline      from the click until the bars of 1,000 hits are on the screen; ``hover`` is the longest frame while
                  the pointer crosses it
    browse        from the address to the pictures of the first people; ``map`` is when it has all cameras' days
    cell          from the click on a day of a camera, or on an hour of it, to the pictures of who was seen then

``scrolling`` is a wheel turned for some thousand pixels at 3,000 px/s, through 1,000 hits and through the wall of
everybody, which asks for more on its way: frames per second, the longest frame, the share of frames above 50 ms, and
how long pictures take to come once it stands still. ``pictures`` is the most there were in the page at any frame.
Goals: a second to the first hits and for the timeline, at most 200 pictures.
"""

import argparse
import io
import json
import os
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Page, sync_playwright

from benchmarks.galleries import new_gallery
from benchmarks.machine import machine
from benchmarks.made_up import TRACKLET, MadeUp, fill
from benchmarks.served import give_pictures, note, serving
from reidapp.gallery.snapshot import Snapshots
from reidapp.gallery.store import Gallery
from reidapp.imaging import encode_crop, read_image
from training.data.synthetic.footage import write_footage
from training.data.synthetic.people import render_people

PEOPLE = 60  # that are drawn; all have pictures of theirs
WINDOW = {"width": 1280, "height": 900}
MOST = 1000  # hits that a search can give
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
SPEED, FAR = 3000, 24_000  # of scrolling, pixels

# The 100 minutes of a day that `fill` fills are spread over it, and the day's other minutes are indexed, too.
SPREAD = """
DELETE FROM video WHERE id NOT IN (SELECT video_id FROM chunk);
UPDATE chunk SET number = -14 * number;
UPDATE chunk SET number = -number;
UPDATE tracklet SET start_s = 14 * start_s + rowid % 50, end_s = 14 * start_s + rowid % 50 + 5;
UPDATE tracklet SET path = json_array(json_array(start_s, 0.1, 0.1, 0.2, 0.5), json_array(end_s, 0.7, 0.1, 0.8, 0.5));
UPDATE crop SET time_s = (SELECT start_s + 1 FROM tracklet WHERE tracklet.id = crop.tracklet_id);
WITH RECURSIVE minute(number) AS (SELECT 0 UNION ALL SELECT number + 1 FROM minute WHERE number < 1439)
INSERT OR IGNORE INTO chunk (id, video_id, number, frames, detections)
SELECT lower(hex(randomblob(8))), video.id, minute.number, 120, 0 FROM video, minute
"""

# What a user would wait for: cards, and pictures in those of them that are in view.
PAINTED = """
window.painted = async (selector) => {
  const frame = () => new Promise(requestAnimationFrame);
  const inView = (image) => image.getBoundingClientRect().bottom > 0 && image.getBoundingClientRect().top < innerHeight;
  while (!document.querySelector(selector)) await frame();
  for (let missing = true; missing; ) {
    await frame();
    const images = [...document.querySelectorAll(`${selector} img`)].filter(inView);
    missing = images.some((image) => !image.complete);
    if (!missing) await Promise.all(images.map((image) => image.decode().catch(() => {})));
  }
  await frame(); await frame();
  return performance.now();
};
window.after = async (button, selector) => {
  for (const old of document.querySelectorAll(selector)) old.dataset.old = "";
  const start = performance.now();
  document.querySelector(button).click();
  return await painted(`${selector}:not([data-old])`) - start;
};
window.seen = {times: [], pictures: 0};
const look = (time) => {
  seen.times.push(time);
  seen.pictures = Math.max(seen.pictures, document.images.length);
  requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""
SETTLED = "((start) => painted('.card').then((end) => end - start))(performance.now())"
TIMELINE = """(async () => {
  const start = performance.now();
  document.querySelector("[data-view=timeline]").click();
  return await painted(".timeline canvas") - start;
})()"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracklets", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="for the gallery, 3 GB; one that is there is used again")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        folder = arguments.folder or Path(temporary)
        gallery, crop = made(folder, arguments.tracklets)
        result = measured(gallery, crop, arguments.repeats)
    facts = {"tracklets": arguments.tracklets, "window": WINDOW}
    print(json.dumps({"benchmark": "page"} | facts | result | {"machine": machine()}, indent=1))


def made(folder: Path, tracklets: int) -> tuple[Path, Path]:
    """A filled gallery, and a crop of somebody to search for."""
    gallery, pictures = folder / "gallery", folder / "pictures"
    if not pictures.is_dir():
        note("drawing people, filling the gallery")
        write_footage(folder / "footage", cameras=1, people=2, seconds=10, seed=900)
        filled = _fill(gallery, tracklets, next(folder.glob("footage/*/*.mp4")))
        pictures.mkdir()
        for number, crop in enumerate(render_people(identities=PEOPLE, images_per_identity=1, seed=902)):
            picture = encode_crop(read_image(io.BytesIO(crop.jpeg), "crop"))
            (pictures / f"{number:03}.webp").write_bytes(picture)
        give_pictures(filled, sorted(pictures.iterdir()))
    return gallery, pictures / "000.webp"


def _fill(folder: Path, tracklets: int, recording: Path) -> Gallery:
    gallery, embedder = new_gallery(folder)
    fill(gallery, MadeUp.of_kind("people", embedder.card.dim, tracklets * TRACKLET))
    stat = recording.stat()
    with gallery.engine.begin() as connection:
        for statement in SPREAD.split(";"):
            connection.exec_driver_sql(statement)
        same = (str(recording), stat.st_size, stat.st_mtime_ns)
        connection.exec_driver_sql("UPDATE video SET path = ?, size = ?, mtime_ns = ?", same)
    Snapshots(gallery, gallery.model_id).derive()
    return gallery


def measured(gallery: Path, crop: Path, repeats: int, far: int = FAR, warm_up: bool = True) -> dict[str, Any]:
    with serving(gallery) as link, opened(link) as page:
        user = User(page, link.partition("?")[0], far)
        for turn in range(0 if warm_up else 1, repeats + 1):
            note(f"{turn} of {repeats}")
            user.searches(crop)
            user.browses()
            if turn == 0:
                user.took.clear()
        return {
            "milliseconds": {name: round(statistics.median(each), 1) for name, each in user.took.items()},
            "scrolling": user.scrolled,
            "pictures": user.pictures,
        }


@contextmanager
def opened(link: str) -> Iterator[Page]:
    chromium = shutil.which(os.environ.get("REIDAPP_CHROMIUM", "chromium"))
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_context(viewport=WINDOW).new_page()  # type: ignore[arg-type]
        page.set_default_timeout(120_000)
        page.add_init_script(PAINTED)
        page.goto(link)
        page.wait_for_selector(".ready")
        yield page
        browser.close()


@dataclass
class User:
    """Somebody at the page.

    Attributes:
        far: how far he scrolls, pixels.
        took: milliseconds, each time.
        scrolled: frames, of the last time.
    """

    page: Page
    address: str
    far: int
    took: dict[str, list[float]] = field(default_factory=dict)
    scrolled: dict[str, dict[str, float]] = field(default_factory=dict)
    pictures: int = 0

    def searches(self, crop: Path) -> None:
        self._forget()
        self._go("")
        self.page.evaluate("sessionStorage.clear()")
        self._go("")
        self.page.set_input_files(".picker input", crop)
        self.page.wait_for_selector(".actions:not([hidden])")
        self._clicks("hits", "#search", ".card")
        self.page.click("summary:has-text('More options')")
        self.page.select_option(".most", str(MOST))
        self._clicks(f"{MOST} hits", "#search", ".card")
        self._scrolls("hits")
        self._keep("timeline", self.page.evaluate(TIMELINE))
        self._keep("timeline, hover", max(self._frames(self._hover)))

    def browses(self) -> None:
        self._forget()
        self._go("browse")
        self._keep("browse", self.page.evaluate("painted('.card')"))
        self.page.wait_for_selector(".browse.ready")
        self._keep("browse, map", self.page.evaluate("performance.now()"))
        self._scrolls("wall")
        self.page.evaluate("scrollTo(0, 0)")
        for name in ("a day", "an hour"):  # the first click on a day shows its hours
            self.page.wait_for_selector(".cell:enabled")
            self._clicks(f"cell, {name}", ".cell:enabled", ".card")

    def _forget(self) -> None:
        """What the browser has kept of the pictures."""
        self.page.context.new_cdp_session(self.page).send("Network.clearBrowserCache")

    def _go(self, path: str) -> None:
        self._count()
        self.page.goto(self.address + path, wait_until="commit")
        if not path:
            self.page.wait_for_selector(".ready")

    def _clicks(self, name: str, button: str, shown: str) -> None:
        self._keep(name, self.page.evaluate("([button, shown]) => after(button, shown)", [button, shown]))

    def _keep(self, name: str, milliseconds: float) -> None:
        self.took.setdefault(name, []).append(milliseconds)

    def _scrolls(self, name: str) -> None:
        frames = self._frames(self._wheel)
        settled = self.page.evaluate(SETTLED)
        self.scrolled[name] = {
            "frames_per_second": round(1000 * len(frames) / sum(frames), 1),
            "longest_frame_ms": round(max(frames), 1),
            "frames_above_50_ms": round(sum(frame > 50 for frame in frames) / len(frames), 4),
            "pictures_there_after_ms": round(settled, 1),
        }

    def _wheel(self) -> None:
        at = {"x": WINDOW["width"] * 3 // 4, "y": WINDOW["height"] - 40}  # below the map, which scrolls by itself
        gesture = {**at, "yDistance": -self.far, "speed": SPEED, "gestureSourceType": "mouse"}
        self.page.context.new_cdp_session(self.page).send("Input.synthesizeScrollGesture", gesture)

    def _hover(self) -> None:
        box = self.page.locator(".timeline canvas").bounding_box()
        assert box is not None
        middle = box["y"] + box["height"] / 2
        self.page.mouse.move(box["x"] + 150, middle)
        self.page.mouse.move(box["x"] + box["width"] - 20, middle, steps=60)

    def _frames(self, act: Callable[[], None]) -> Sequence[float]:
        """Milliseconds of each frame while something is done."""
        self._count()
        self.page.evaluate("seen.times = []")
        act()
        times = self.page.evaluate("seen.times")
        return [later - earlier for earlier, later in pairwise(times)]

    def _count(self) -> None:
        if urlsplit(self.page.url).scheme.startswith("http"):
            self.pictures = max(self.pictures, self.page.evaluate("seen.pictures"))


if __name__ == "__main__":
    main()
