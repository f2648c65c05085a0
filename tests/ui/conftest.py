"""A real browser on pages that are served from this process."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from urllib.parse import urlsplit

import pytest

from reidapp.embedding import Embedder
from reidapp.gallery.cases import Cases
from reidapp.server.access_folder import AccessFolder
from reidapp.server.app import build_app
from reidapp.server.audit import Audit
from reidapp.server.galleries import Galleries
from reidapp.server.jobs import Jobs
from reidapp.server.run import run
from reidapp.server.security import OneTimeLink
from reidapp.server.service import SearchService
from reidapp.server.users import Users
from tests.small_gallery import ShirtDetector, make_crowd, make_service

playwright = pytest.importorskip("playwright.sync_api")

# No sandbox: tests may run as root. The others keep Chromium from calling home.
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]


@dataclass(frozen=True)
class Site:
    """A page that is being served. ``behind`` is the port that a proxy asks, where one stands before it."""

    service: SearchService
    address: str
    link: OneTimeLink
    behind: int | None = None

    @property
    def way_in(self) -> str:
        return f"{self.address}?token={self.link.token}"


@pytest.fixture(scope="session")
def serve() -> Callable[..., Site]:
    """``serve(what, public, jobs)`` serves in a thread, until the tests end, just as ``reidapp serve`` does."""
    from ui.page import mount

    def start(served: SearchService | Galleries, public: str | None = None, jobs: Jobs | None = None) -> Site:
        said: Queue[str] = Queue()
        link = OneTimeLink()
        service = served.default if isinstance(served, Galleries) else served
        users = Users(AccessFolder.of(service.gallery.path, environment={}))
        audit = Audit(users.folder)
        app = mount(build_app(served, link, public=public, jobs=jobs, users=users, audit=audit), served)
        how = {"link": link, "public": public, "say": said.put}
        threading.Thread(target=run, args=(app, 0), kwargs=how, daemon=True).start()
        behind = urlsplit(said.get(timeout=60).split()[2].rstrip(",")).port if public else None
        return Site(service, said.get(timeout=60).split()[1].partition("?")[0], link, behind)

    return start


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, serve: Callable[..., Site]) -> Site:
    return serve(make_service(tmp_path_factory.mktemp("small")))


@pytest.fixture
def serve_crowd(tmp_path: Path, serve: Callable[..., Site]) -> Iterator[Callable[[Jobs], Site]]:
    """``serve_crowd(jobs)`` serves a gallery of the shipped model, with jobs that end when the test does."""
    begun: list[Jobs] = []

    def start(jobs: Jobs) -> Site:
        begun.append(jobs)
        gallery = make_crowd(tmp_path)
        return serve(SearchService(gallery, Embedder(gallery.model_file), ShirtDetector()), jobs=jobs)

    yield start
    for jobs in begun:
        jobs.close()


@pytest.fixture(scope="module")  # Playwright keeps an event loop running, in which other tests' asyncio.run would fail
def browser(chromium: Path) -> Iterator["playwright.Browser"]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(chromium), args=FLAGS)
        yield browser
        browser.close()


def opened(page: "playwright.Page", name: str) -> "playwright.Page":
    """Another page, by its link."""
    page.get_by_role("link", name=name).click()
    page.wait_for_selector(f".{name.lower()}.ready")
    return page


@pytest.fixture
def cases(small: Site) -> Iterator[Cases]:
    """Of the small gallery; nothing is left of them after the test."""
    cases = Cases(small.service.gallery, "test")
    yield cases
    for case in cases.all():
        cases.delete(case.name)


@pytest.fixture
def visit(browser: "playwright.Browser") -> Iterator[Callable[..., "playwright.Page"]]:
    """``visit(site)`` opens the page in a fresh profile; at the end nothing may have gone elsewhere or wrong."""
    contexts, complaints = [], []
    expected: list[str] = []

    def go(site: Site, allow: str = "", **options: object) -> "playwright.Page":
        expected.extend([allow] if allow else [])
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)

        def check(request: "playwright.Request") -> None:
            if not request.url.startswith((site.address, "data:", "blob:")):
                complaints.append(f"left the machine: {request.url}")

        context.on("request", check)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on(
            "console", lambda m: complaints.append(f"console: {m.text} {m.location}") if m.type == "error" else None
        )
        page.goto(site.way_in)
        page.wait_for_selector(".ready")
        return page

    yield go
    for context in contexts:
        context.close()
    assert [c for c in complaints if not any(part in c for part in expected)] == []
