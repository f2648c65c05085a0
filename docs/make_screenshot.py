"""Pictures of every page for the docs: ``python docs/make_screenshot.py --gallery G --image QUERY``.

Use a copy of a gallery of generated people only (``reidapp demo`` makes one): no picture of a real person belongs in
this repository, and the script names a person in it. Needs playwright and the system's chromium.
"""

import argparse
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Queue

from playwright.sync_api import Page, sync_playwright

from reidapp.embedding import Embedder
from reidapp.footage.detection import open_detector
from reidapp.gallery.store import Gallery
from reidapp.server.app import build_app
from reidapp.server.run import run
from reidapp.server.service import SearchService
from ui.page import mount

NAME = "Person A"
SIZES = {"wide": (1280, 1000), "narrow": (390, 844)}
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
    options = parser.parse_args()

    gallery = Gallery.open(options.gallery)
    address = serve(SearchService(gallery, Embedder(gallery.model_file), open_detector(gallery.detector)))
    options.out.mkdir(exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for size, (width, height) in SIZES.items():
            for scheme in ("light", "dark"):
                look = f"{size}-{scheme}"
                if options.only not in (None, look):
                    continue
                viewport, colours = {"width": width, "height": height}, scheme
                page = browser.new_context(viewport=viewport, color_scheme=colours).new_page()  # type: ignore[arg-type]
                page.set_default_timeout(120_000)

                def take(name: str, page: Page = page, look: str = look) -> None:
                    page.mouse.move(0, 0)
                    page.wait_for_timeout(800)
                    page.screenshot(path=options.out / f"{name}-{look}.jpg", type="jpeg", quality=82)
                    print(options.out / f"{name}-{look}.jpg", flush=True)

                visit(page, address, options.image, options.person, take)
                page.context.close()
        browser.close()


def serve(service: SearchService) -> str:
    """Start a server in a thread; its address."""
    said: Queue[str] = Queue()
    app = mount(build_app(service), service)
    threading.Thread(target=run, args=(app, 0), kwargs={"say": said.put}, daemon=True).start()
    return said.get(timeout=60).split()[1]


def visit(page: Page, address: str, image: Path, person: int, take: Callable[[str], None]) -> None:
    """Each page at its main job."""
    page.request.delete(f"{address}api/v1/identities/{NAME}")  # as it was named for the pictures before
    page.goto(address)
    page.wait_for_selector(".ready")
    page.set_input_files(".picker input", image)
    page.wait_for_selector(".actions:not([hidden])")
    if page.locator(".box").count() > 1:
        page.get_by_label(f"Person {person}", exact=True).click()
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

    for name in ("browse", "identities"):
        page.goto(address + name)
        page.wait_for_selector(".ready")
        page.wait_for_selector(".card")
        take(name)


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
