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
    users.add("zoe", WORDS, role="viewer", cameras=[])
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


def test_who_may_see_no_camera_sees_none_when_something_else_changes(sign_in: Callable[[str], Any]) -> None:
    page = sign_in("ann")
    page.get_by_role("link", name="Admin").click()
    page.wait_for_selector(".admin.ready")
    row = page.locator(".users tbody tr", has_text="zoe")
    row.get_by_role("button", name="Change").click()
    page.locator(".rights [name=role]").select_option("investigator")
    page.locator(".rights .primary").click()
    row.locator("td", has_text="investigator").wait_for()
    assert row.locator("td").nth(1).inner_text() == "no camera"
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


def test_a_viewer_plays_clips_with_heads_blurred_and_is_offered_no_case(sign_in: Callable[[str], Any]) -> None:
    page = sign_in("cat")
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("response", lambda answer: wrong.append(answer.url) if answer.status >= 400 else None)
    page.get_by_role("link", name="Browse").click()
    page.wait_for_selector(".hit")
    page.wait_for_selector(".page[data-may]")
    assert not page.locator('.hit [data-action="into.this"]').first.is_visible()
    assert page.locator('.hit [data-action="browse.search"]').first.is_visible()
    page.locator(".hit .main, .hit button").first.click()
    page.wait_for_function("() => document.querySelector('.player video').readyState > 1")
    assert "/clip" in page.evaluate("() => document.querySelector('.player video').src")
    assert "heads blurred" in page.locator(".player .say").inner_text()
    page.get_by_role("link", name="Search").click()
    page.wait_for_selector(".search.ready")
    assert not page.locator(".keys").get_by_text("into a case").is_visible()
    assert wrong == []
    page.context.close()
