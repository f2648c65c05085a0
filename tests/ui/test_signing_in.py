"""Signing in, what each role is offered, and the Admin page, in a real browser."""

import threading
from collections.abc import Callable
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from reidapp.server.access_folder import AccessFolder
from reidapp.server.app import build_app
from reidapp.server.audit import Audit
from reidapp.server.run import run
from reidapp.server.sign_in import Sessions, UserDoor
from reidapp.server.users import Users
from tests.small_gallery import make_service

WORDS = "seven green bottles"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    from ui.page import mount

    folder = Path(tmp_path_factory.mktemp("team"))
    users, service = Users(AccessFolder(folder / "access")), make_service(folder)
    users.add("ann", WORDS, role="admin")
    users.add("cat", WORDS, role="viewer", cameras=["Hall"])
    audit = Audit(users.folder)
    door = UserDoor(users, Sessions(users, users.folder.secret("session.key")), audit)
    app = mount(build_app(service, door=door, users=users, audit=audit), service)
    said: Queue[str] = Queue()
    threading.Thread(target=run, args=(app, 0), kwargs={"say": said.put}, daemon=True).start()
    return said.get(timeout=60).split()[1]


@pytest.fixture
def sign_in(browser: Any, address: str) -> Callable[[str], Any]:
    """``sign_in(name)`` → the page, in a fresh profile."""

    def go(name: str) -> Any:
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.goto(address)
        page.fill("#name", name)
        page.fill("#password", WORDS)
        page.click("form button")
        page.wait_for_selector(".ready")
        return page

    return go


def pages(page: Any) -> list[str]:
    page.wait_for_selector(".who")
    return page.locator(".top nav a:visible").all_inner_texts()


def test_a_viewer_is_offered_what_viewers_may_and_signs_out(sign_in: Callable[[str], Any], address: str) -> None:
    page = sign_in("cat")
    assert pages(page) == ["Search", "Browse", "Identities"]
    assert page.locator(".ticks label").all_inner_texts() == ["Hall"]
    page.locator(".who button").click()
    page.wait_for_selector("#password")
    page.goto(f"{address}browse")
    assert page.locator("#password").count() == 1
    page.fill("#name", "cat")
    page.fill("#password", WORDS)
    page.click("form button")
    page.wait_for_selector(".browse.ready")  # where it was to lead
    page.context.close()


def test_an_admin_lets_people_in_and_verifies_the_log(sign_in: Callable[[str], Any]) -> None:
    page = sign_in("ann")
    assert "Admin" in pages(page)
    page.get_by_role("link", name="Admin").click()
    page.wait_for_selector(".admin.ready")
    form = page.locator(".rights")
    form.locator("[name=name]").fill('<b>"dora"</b>')
    form.locator("[name=password]").fill(WORDS)
    form.locator("[name=role]").select_option("investigator")
    form.locator("label", has_text="Gate").locator("input").check()
    form.locator(".primary").click()
    row = page.locator(".users tbody tr", has_text="dora")
    row.wait_for()
    assert row.locator("td").all_inner_texts()[:2] == ["investigator", "Gate"]
    assert page.locator(".page b").count() == 0
    page.get_by_role("button", name="An API key").click()
    form.locator("[name=name]").fill("recorder")
    form.locator(".primary").click()
    page.wait_for_selector(".fresh:visible")
    assert page.inner_text(".fresh").startswith("reidapp_")
    page.click(".verify")
    page.locator(".audit .say", has_text="as they were written").wait_for()
    assert page.locator(".audit tbody tr").count() >= 3
    page.context.close()
