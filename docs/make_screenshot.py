"""The README's picture of the page: ``python docs/make_screenshot.py --gallery G --image QUERY``.

Use a gallery of generated people only (``reidapp demo`` makes one): no picture of a real person belongs in this
repository. Needs playwright and the system's chromium.
"""

import argparse
import shutil
import threading
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gallery", type=Path, required=True)
    parser.add_argument("--image", type=Path, required=True, help="a crop, or a frame: --person then says who is meant")
    parser.add_argument("--person", type=int, default=1)
    parser.add_argument("--detector", help="default: the one that indexed the gallery")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("page.png"))
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=1000)
    parser.add_argument("--dark", action="store_true")
    options = parser.parse_args()

    gallery = Gallery.open(options.gallery)
    address = serve(
        SearchService(gallery, Embedder(gallery.model_file), open_detector(options.detector or gallery.detector))
    )
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
        )
        page = browser.new_page(
            viewport={"width": options.width, "height": options.height},
            color_scheme="dark" if options.dark else "light",
        )
        page.goto(address)
        take(page, options.image, options.person, options.out)
        browser.close()
    print(options.out)


def serve(service: SearchService) -> str:
    """Start a server in a thread; its address."""
    said: Queue[str] = Queue()
    app = mount(build_app(service), service)
    threading.Thread(target=run, args=(app, 0), kwargs={"say": said.put}, daemon=True).start()
    return said.get(timeout=60).split()[1]


def take(page: Page, image: Path, person: int, out: Path) -> None:
    """Search, open the best hit, stop at its moment, and take the picture."""
    page.set_input_files(".picker input", image)
    page.wait_for_selector(".actions:not([hidden])")
    if page.locator(".box").count() > 1:
        page.get_by_label(f"Person {person}", exact=True).click()
    page.click("#search")
    page.locator(".card").first.click()
    page.wait_for_selector(".clock:not(:empty)")
    page.wait_for_function("document.querySelector('video').readyState >= 2")
    page.wait_for_timeout(1500)  # the clip starts shortly before the hit's moment
    page.evaluate("document.querySelector('video').pause()")
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
    page.wait_for_timeout(3500)  # the browser's own controls fade
    page.screenshot(path=out)


if __name__ == "__main__":
    main()
