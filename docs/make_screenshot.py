"""Pictures of every page for the docs: ``python docs/make_screenshot.py --gallery G --image QUERY``.

Use a copy of a gallery of generated people only (``reidapp demo`` makes one): no picture of a real person belongs in
this repository, and the script names a person in it. Needs playwright, the system's chromium and, for pictures in
Chinese, a font that has its characters.
"""

import argparse
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from queue import Queue
from tempfile import TemporaryDirectory
from typing import Any

import av
from playwright.sync_api import Browser, Page, sync_playwright

from models import zoo
from reidapp.embedding import Embedder
from reidapp.footage.detection import open_detector
from reidapp.gallery.store import Gallery, VideoInfo
from reidapp.server.app import build_app
from reidapp.server.jobs import Jobs
from reidapp.server.run import run
from reidapp.server.service import SearchService
from ui.page import mount

NAME, CASE = "Person A", "Case 12"
SIZES = {"wide": (1280, 1000), "narrow": (390, 844)}
LOCALES = {"en": "en-GB", "zh": "zh-CN"}
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]

# The recording opens this long before the hit's moment; there it is to stand still.
AT_MOMENT = """() => {
  const video = document.querySelector('video');
  video.addEventListener('seeked', () => { video.pause(); video.currentTime += 1.5; }, {once: true});
  document.querySelector('.moment').click();
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gallery", type=Path, required=True)
    parser.add_argument("--image", type=Path, required=True, help="a crop, or a frame: --person then says who is meant")
    parser.add_argument("--person", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("pages"))
    parser.add_argument("--only", choices=[f"{size}-{scheme}" for size in SIZES for scheme in ("light", "dark")])
    parser.add_argument("--language", choices=LOCALES, default="en")
    options = parser.parse_args()
    if options.language == "zh" and not subprocess.check_output(["fc-list", ":lang=zh"]):
        parser.error("no font here has Chinese characters (Debian: apt-get install fonts-noto-cjk)")

    gallery = Gallery.open(options.gallery)
    address = serve(SearchService(gallery, Embedder(gallery.model_file), open_detector(gallery.detector)))
    options.out.mkdir(exist_ok=True)
    with sync_playwright() as driver, TemporaryDirectory() as folder:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for page, take in looks(browser, options.out, options.only, options.language):
            visit(page, address, options.image, options.person, take)
        recordings = {tracklet.video.id: tracklet.video for tracklet in gallery.tracklets()}
        for day, (page, take) in enumerate(looks(browser, options.out, options.only, options.language), start=1):
            work(page, address, later(recordings.values(), Path(folder), day), take)
        browser.close()


def looks(browser: Browser, out: Path, only: str | None, language: str) -> Iterator[tuple[Page, Callable[[str], None]]]:
    """A page of each size and scheme, and what takes a picture of it."""
    for size, (width, height) in SIZES.items():
        for scheme in ("light", "dark"):
            look = f"{size}-{scheme}"
            if only not in (None, look):
                continue
            window: Any = {"viewport": {"width": width, "height": height}, "color_scheme": scheme}
            page = browser.new_context(**window, locale=LOCALES[language]).new_page()
            page.set_default_timeout(300_000)

            file = look if language == "en" else f"{look}-{language}"

            def take(name: str, page: Page = page, file: str = file) -> None:
                page.mouse.move(0, 0)
                page.wait_for_timeout(800)
                page.screenshot(path=out / f"{name}-{file}.jpg", type="jpeg", quality=82)
                print(out / f"{name}-{file}.jpg", flush=True)

            yield page, take
            page.context.close()


def serve(service: SearchService) -> str:
    """Start a server in a thread; its address."""
    said: Queue[str] = Queue()
    jobs = Jobs(shipped={name: zoo.path_of(name) for name in zoo.names()})
    app = mount(build_app(service, jobs=jobs), service)
    threading.Thread(target=run, args=(app, 0), kwargs={"say": said.put}, daemon=True).start()
    return said.get(timeout=60).split()[1]


def visit(page: Page, address: str, image: Path, person: int, take: Callable[[str], None]) -> None:
    """Each page at its main job."""
    for kept in (f"identities/{NAME}", f"cases/{CASE}"):  # of the pictures before
        page.request.delete(f"{address}api/v1/{kept}")
    page.goto(address)
    page.wait_for_selector(".ready")
    page.set_input_files(".picker input", image)
    page.wait_for_selector(".actions:not([hidden])")
    if page.locator(".box").count() > 1:
        page.locator(".box").nth(person - 1).click()
    page.click("#search")
    page.wait_for_selector(".card")
    show(page, ".tools")
    take("search")

    page.locator(".card").first.click()
    page.wait_for_selector(".clock:not(:empty)")
    page.wait_for_function("document.querySelector('video').readyState >= 2")
    page.evaluate(AT_MOMENT)
    page.wait_for_timeout(3500)  # the browser's own controls fade
    show(page, ".player")
    take("player")

    page.click(".player .close")
    for _ in range(4):  # the first hits are taken to be right
        page.locator(".card").first.focus()
        page.keyboard.press("y")
        page.wait_for_timeout(600)
        page.wait_for_selector(".search:not([aria-busy])")
    page.click("[data-view=timeline]")
    show(page, ".tools")
    take("timeline")
    page.fill(".journey input", NAME)
    page.click(".journey form button")
    page.wait_for_selector(".journey .say:not(:empty)")

    page.click(".journey form + button")
    page.fill(".dialog input", CASE)
    page.keyboard.press("Enter")
    page.wait_for_selector(".toast")
    page.goto(f"{address}cases?case={CASE}")
    page.wait_for_selector(".ready")
    page.fill(".case > .note", "Lost child, reported at the main entrance. Where was she last?")
    for number, note in enumerate(("Red coat, no bag.", "The same coat; now with a bag.")):
        page.locator(".entry textarea").nth(number).fill(note)
    page.locator(".entry").nth(2).locator("[data-verdict=unsure]").click()
    page.wait_for_timeout(1000)  # notes are kept by themselves
    take("cases")
    page.click(".export summary")
    page.click(".export .primary")
    page.wait_for_selector(".export .download")
    take("export")

    for name in ("browse", "identities"):
        page.goto(address + name)
        page.wait_for_selector(".ready")
        page.wait_for_selector(".card")
        take(name)


def later(recordings: Iterable[VideoInfo], folder: Path, day: int) -> Path:
    """Recordings as if of a later day. Each is another file, since the same one would not be indexed."""
    for video in recordings:
        path = folder / f"recorder-{day}" / video.camera / f"{video.start + timedelta(days=day):%Y-%m-%d_%H-%M-%SZ}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(video.path)) as read, av.open(str(path), "w") as written:
            written.metadata["title"] = path.stem
            stream = written.add_stream_from_template(read.streams.video[0])
            for packet in read.demux(read.streams.video[0]):
                if packet.dts is not None:
                    packet.stream = stream
                    written.mux(packet)
    return folder / f"recorder-{day}"


def work(page: Page, address: str, footage: Path, take: Callable[[str], None]) -> None:
    """The pages on which jobs run."""
    page.goto(f"{address}indexing")
    page.wait_for_selector(".ready")
    page.fill("[name=folder]", str(footage))
    page.fill("[name=template]", "{camera}/{start}")
    page.press("[name=template]", "Tab")
    page.wait_for_selector(".found table")
    page.click(".side .primary")
    page.wait_for_function("document.querySelector('.job[data-state=running] progress')?.position > 0.3")
    show(page, "h1")
    take("indexing")
    page.wait_for_selector(".job[data-state=done]")

    page.goto(f"{address}models")
    page.wait_for_selector(".ready")
    if not page.locator(".job").count():
        page.click(".adapting .primary")
    page.wait_for_selector(".job[data-state=done] .table")
    show(page, "h1")
    take("models")
    show(page, ".doing")
    take("adapting")


def show(page: Page, selector: str) -> None:
    """Scroll so that an element is at the top, where it does not fit in beside what is above it."""
    page.evaluate("window.scrollTo(0, 0)")
    box, view = page.locator(selector).bounding_box(), page.viewport_size
    assert box is not None
    assert view is not None
    if box["y"] + box["height"] > view["height"] / 2:
        page.evaluate("(top) => window.scrollTo(0, top)", box["y"] - 12)
    page.evaluate("document.activeElement.blur()")


if __name__ == "__main__":
    main()
