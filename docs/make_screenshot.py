"""Pictures of every page for the docs: ``python docs/make_screenshot.py --gallery G --image QUERY``.

Each is taken wide and narrow, light and dark; with ``--language zh``, in Chinese. ``--only wide-light`` and ``--pages
search models`` take some of them. Use a copy of a gallery of generated people only (``reidapp demo`` makes one): no
picture of a real person belongs in this repository, and the script names a person in it. Needs playwright, the
system's chromium and, for pictures in Chinese, a font that has its characters.
"""

import argparse
import io
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from queue import Queue
from tempfile import TemporaryDirectory
from typing import Any

import av
from fastapi import FastAPI
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from models import zoo
from reidapp.embedding import Embedder
from reidapp.footage.detection import open_detector
from reidapp.gallery.facts import VideoInfo
from reidapp.gallery.store import Gallery
from reidapp.server.access_folder import AccessFolder
from reidapp.server.app import build_app
from reidapp.server.audit import Audit
from reidapp.server.jobs import Jobs
from reidapp.server.run import run
from reidapp.server.service import SearchService
from reidapp.server.sign_in import Sessions, UserDoor
from reidapp.server.users import Users
from ui.page import mount

NAME, CASE = "Person A", "Case 12"
ADMIN, PASSWORD = "ann", "seven green bottles"
SIZES = {"wide": (1280, 1000), "narrow": (390, 844)}
LOOKS = [f"{size}-{scheme}" for size in SIZES for scheme in ("light", "dark")]
LOCALES = {"en": "en-GB", "zh": "zh-CN"}
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
QUALITY = 80  # of WebP; text stays sharp

# The recording opens before the person appears; at the hit's moment it is to stand still.
AT_MOMENT = """() => {
  const video = document.querySelector('video');
  video.addEventListener('seeked', () => video.pause(), {once: true});
  document.querySelector('.moment').click();
}"""


@dataclass(frozen=True)
class Scene:
    """What the pictures show.

    Attributes:
        address: of the gallery's pages.
        team: of the same pages, where users sign in.
        empty: of the pages of a gallery in which nothing is.
        image, person: whom to search for.
        footage: recordings that are not indexed yet.
        take: takes a picture of the page, of its whole length where it is said so.
    """

    address: str
    team: str
    empty: str
    image: Path
    person: int
    footage: Path
    take: Callable[..., None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gallery", type=Path, required=True)
    parser.add_argument("--image", type=Path, required=True, help="a crop, or a frame: --person then says who is meant")
    parser.add_argument("--person", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("pages"))
    parser.add_argument("--only", nargs="+", choices=LOOKS, default=LOOKS)
    parser.add_argument("--pages", nargs="+", choices=PAGES, default=list(PAGES))
    parser.add_argument("--language", choices=LOCALES, default="en")
    options = parser.parse_args()
    if options.language == "zh" and not subprocess.check_output(["fc-list", ":lang=zh"]):
        parser.error("no font here has Chinese characters (Debian: apt-get install fonts-noto-cjk)")

    gallery = Gallery.open(options.gallery)
    options.out.mkdir(exist_ok=True)
    with TemporaryDirectory() as name, sync_playwright() as driver:
        folder = Path(name)
        addresses = serve_all(gallery, folder)
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for day, (page, take) in enumerate(looks(browser, options.out, options.only, options.language), start=1):
            footage = folder / f"recorder-{day}"
            if "indexing" in options.pages:
                later(recordings(gallery), footage, day)
            scene = Scene(*addresses, options.image, options.person, footage, take)
            for each in options.pages:
                PAGES[each](page, scene)
        browser.close()


def looks(
    browser: Browser, out: Path, wanted: Sequence[str], language: str
) -> Iterator[tuple[Page, Callable[..., None]]]:
    """A page of each size and scheme, and what takes a picture of it."""
    for look in wanted:
        size, _, scheme = look.partition("-")
        width, height = SIZES[size]
        window: Any = {"viewport": {"width": width, "height": height}, "color_scheme": scheme}
        page = browser.new_context(**window, locale=LOCALES[language], timezone_id="Europe/Berlin").new_page()
        page.set_default_timeout(300_000)
        suffix = look if language == "en" else f"{look}-{language}"

        def take(name: str, whole: bool = False, page: Page = page, suffix: str = suffix) -> None:
            page.mouse.move(0, 0)
            page.wait_for_timeout(800)
            file = out / f"{name}-{suffix}.webp"
            Image.open(io.BytesIO(page.screenshot(full_page=whole))).convert("RGB").save(
                file, quality=QUALITY, method=6
            )
            print(file, flush=True)

        yield page, take
        page.context.close()


def serve_all(gallery: Gallery, folder: Path) -> tuple[str, str, str]:
    """Serve the gallery to whoever comes, the same to users who sign in, and an empty one; their addresses."""
    service = SearchService(gallery, Embedder(gallery.model_file), open_detector(gallery.detector))
    jobs = Jobs(shipped={name: zoo.path_of(name) for name in zoo.names()})
    open_to_all = serve(build_app(service, jobs=jobs), service)

    users = Users(AccessFolder(folder / "access"))
    users.add(ADMIN, PASSWORD, role="admin")
    users.add("bob", PASSWORD, role="investigator")
    users.add("cat", PASSWORD, role="viewer", cameras=[gallery.tracklets()[0].camera])
    users.add_key("recorder", role="admin")
    audit = Audit(users.folder)
    door = UserDoor(users, Sessions(users, users.folder.secret("session.key")), audit)
    team = serve(build_app(service, door=door, users=users, audit=audit), service)

    model = Embedder(gallery.model_file)
    fresh = Gallery.create(folder / "gallery", gallery.model_file, model.card, model.identity)
    nothing = SearchService(fresh, model, open_detector(gallery.detector))
    return open_to_all, team, serve(build_app(nothing), nothing)


def serve(app: FastAPI, service: SearchService) -> str:
    """Start a server in a thread; its address."""
    said: Queue[str] = Queue()
    threading.Thread(target=run, args=(mount(app, service), 0), kwargs={"say": said.put}, daemon=True).start()
    return said.get(timeout=60).split()[1]


def recordings(gallery: Gallery) -> list[VideoInfo]:
    """Two of the gallery's: enough to see them indexed."""
    return list({tracklet.video.id: tracklet.video for tracklet in gallery.tracklets()}.values())[:2]


def later(videos: Iterable[VideoInfo], folder: Path, day: int) -> None:
    """Recordings as if of a later day. Each is another file, since the same one would not be indexed."""
    for video in videos:
        path = folder / video.camera / f"{video.start + timedelta(days=day):%Y-%m-%d_%H-%M-%SZ}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(video.path)) as read, av.open(str(path), "w") as written:
            written.metadata["title"] = path.stem
            stream = written.add_stream_from_template(read.streams.video[0])
            for packet in read.demux(read.streams.video[0]):
                if packet.dts is not None:
                    packet.stream = stream
                    written.mux(packet)


def searching(page: Page, scene: Scene) -> None:
    """The search page from its beginning to a case: what the pages of identities and cases show comes of it."""
    for kept in (f"identities/{NAME}", f"cases/{CASE}"):  # of the pictures before
        page.request.delete(f"{scene.address}api/v1/{kept}")
    page.goto(scene.address)
    page.wait_for_selector(".ready")
    scene.take("start")
    page.set_input_files(".picker input", scene.image)
    page.wait_for_selector(".actions:not([hidden])")
    if page.locator(".box").count() > 1:
        page.locator(".box").nth(scene.person - 1).click()
    page.click("#search")
    page.wait_for_selector(".card")
    show(page, ".tools")
    scene.take("search")
    page.click("[data-view=cameras]")
    show(page, ".tools")
    scene.take("cameras")
    page.click("[data-view=grid]")

    page.locator(".card").first.click()
    page.wait_for_selector(".clock:not(:empty)")
    page.wait_for_function("document.querySelector('video').readyState >= 2")
    page.evaluate(AT_MOMENT)
    page.wait_for_timeout(3500)  # the browser's own controls fade
    show(page, ".player")
    scene.take("player")
    page.click(".player .close")

    for _ in range(4):  # the first hits are taken to be right
        page.locator(".card").first.focus()
        page.keyboard.press("y")
        page.wait_for_timeout(600)
        page.wait_for_selector(".search:not([aria-busy])")
    show(page, ".tools")
    scene.take("path")
    page.click("[data-view=timeline]")
    show(page, ".timeline" if page.viewport_size == {"width": 390, "height": 844} else ".tools")
    scene.take("timeline")
    keep(page)


def keep(page: Page) -> None:
    """The confirmed hits, under a name and in a case."""
    page.fill(".journey input", NAME)
    page.click(".journey form button")
    page.wait_for_selector(".journey .say:not(:empty)")
    page.click(".journey form + button")
    page.fill(".dialog input", CASE)
    page.keyboard.press("Enter")
    page.wait_for_selector(".toast")


def cases(page: Page, scene: Scene) -> None:
    page.goto(f"{scene.address}cases?case={CASE}")
    page.wait_for_selector(".ready")
    page.fill(".case > .note", "Lost child, reported at the main entrance. Where was she last?")
    for number, note in enumerate(("Red coat, no bag.", "The same coat; now with a bag.")):
        page.locator(".entry textarea").nth(number).fill(note)
    page.locator(".entry").nth(2).locator("[data-verdict=unsure]").click()
    page.wait_for_timeout(1000)  # notes are kept by themselves
    show(page, "h1")
    scene.take("cases")
    page.click(".export summary")
    page.click(".export .primary")
    page.wait_for_selector(".export .download")
    show(page, ".export")
    scene.take("export")


def browse(page: Page, scene: Scene) -> None:
    page.goto(f"{scene.address}browse")
    page.wait_for_selector(".browse.ready")
    page.wait_for_selector(".card")
    scene.take("browse")


def identities(page: Page, scene: Scene) -> None:
    page.goto(f"{scene.address}identities")
    page.wait_for_selector(".identities.ready")
    page.wait_for_selector(".card")
    scene.take("identities")


def indexing(page: Page, scene: Scene) -> None:
    page.goto(f"{scene.address}indexing")
    page.wait_for_selector(".ready")
    page.fill("[name=folder]", str(scene.footage))
    page.fill("[name=template]", "{camera}/{start}")
    page.press("[name=template]", "Tab")
    page.wait_for_selector(".found table")
    page.click(".side .primary")
    page.wait_for_function("document.querySelector('.job[data-state=running] progress')?.position > 0.3")
    show(page, "h1")
    scene.take("indexing", whole=True)
    page.locator(".job[data-state=running] button").first.click()  # the rest of it shows nothing new
    page.wait_for_selector(".job[data-state=running]", state="detached")


def models(page: Page, scene: Scene) -> None:
    page.goto(f"{scene.address}models")
    page.wait_for_selector(".ready")
    if not page.locator(".job[data-state=done] .table").count():
        page.click(".adapting .primary")
    page.wait_for_selector(".job[data-state=done] .table")
    show(page, "h1")
    scene.take("models", whole=True)


def team(page: Page, scene: Scene) -> None:
    page.goto(scene.team)
    page.wait_for_selector("#password")
    page.fill("#name", ADMIN)
    scene.take("sign-in")
    page.fill("#password", PASSWORD)
    page.click("form button")
    page.wait_for_selector(".ready")
    page.goto(f"{scene.team}admin")
    page.wait_for_selector(".admin.ready")
    page.click(".verify")
    page.wait_for_selector(".audit .say:not(:empty)")
    show(page, "h1")
    scene.take("admin", whole=True)


def first_use(page: Page, scene: Scene) -> None:
    page.goto(scene.empty)
    page.wait_for_selector(".ready")
    scene.take("empty")


def show(page: Page, selector: str) -> None:
    """Scroll so that an element is at the top, where it does not fit in beside what is above it."""
    page.evaluate("window.scrollTo(0, 0)")
    box, view = page.locator(selector).first.bounding_box(), page.viewport_size
    assert box is not None
    assert view is not None
    if box["y"] + box["height"] > view["height"] / 2:
        page.evaluate("(top) => window.scrollTo(0, top)", box["y"] - 12)
    page.evaluate("document.activeElement.blur()")


# In this order: what is kept of the search is shown by those after it, and indexing adds days to Browse.
PAGES = {
    "search": searching, "cases": cases, "identities": identities, "browse": browse, "indexing": indexing,
    "models": models, "team": team, "empty": first_use,
}  # fmt: skip


if __name__ == "__main__":
    main()
