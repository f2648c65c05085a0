"""Browse and Identities: each page's main job."""

from reidapp.gallery.identities import Identities
from tests.small_gallery import FOOTAGE, HOSTILE
from tests.ui.conftest import Site
from tests.ui.test_page import Visit, playing


def test_browse_shows_what_is_indexed_and_who_was_seen(small: Site, visit: Visit) -> None:
    page = visit(small)
    page.get_by_role("link", name="Browse").click()
    page.wait_for_selector(".browse.ready")
    assert page.locator(".coverage tbody th").all_inner_texts() == sorted(camera for camera, _ in FOOTAGE)
    assert page.locator(".cell:enabled").count() == 3
    page.wait_for_function("document.querySelectorAll('.card').length === 6")
    page.get_by_label("Gate, 2 Mar 2026, 10:00 – 11:00").click()
    page.wait_for_function("document.querySelectorAll('.card').length === 2")
    assert set(page.locator(".card .camera").all_inner_texts()) == {"Gate"}
    page.locator(".card").first.click()
    time_s, _ = playing(page)
    assert 1.5 < time_s < 6  # red walks from 1 to 6
    page.locator("[data-action='browse.search']").first.click()
    page.wait_for_selector("text=Seen by Gate")
    page.wait_for_function("document.querySelectorAll('.card').length === 5")


def test_people_are_merged_taken_apart_and_actions_undone(small: Site, visit: Visit) -> None:
    gallery = small.service.gallery
    ids = [tracklet.id for tracklet in gallery.tracklets()]
    people = Identities(gallery, "test")
    people.new(HOSTILE, ids[:2])
    people.new("Bea", ids[2:3])
    page = visit(small)
    page.get_by_role("link", name="Identities").click()
    page.wait_for_selector(".identities.ready")
    page.locator(".people .open", has_text="Bea").click()
    page.wait_for_selector(".person h2:text-is('Bea')")
    page.wait_for_function("document.querySelectorAll('.card').length === 1")
    page.select_option(".into", HOSTILE)
    page.wait_for_function("document.querySelectorAll('.card').length === 3")
    assert page.locator(".page b, .page i").count() == 0
    page.get_by_role("button", name="Take the last merge apart").click()
    page.locator(".people .open", has_text="Bea").wait_for()
    page.click(".log summary")
    page.locator(".people .open", has_text="Bea").click()
    page.wait_for_function("document.querySelectorAll('.card').length === 1")
    page.click("[data-action='identities.remove']")
    page.wait_for_function("document.querySelectorAll('.card').length === 0")
    page.get_by_role("button", name="Undo").click()
    page.wait_for_function("document.querySelectorAll('.card').length === 1")
    page.get_by_role("link", name="Search for more of this person").click()
    page.wait_for_selector("text=All tracklets of Bea")
    page.wait_for_selector(".card")
    for name in (HOSTILE, "Bea"):
        people.delete(name)
