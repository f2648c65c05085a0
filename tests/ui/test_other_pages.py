"""Browse and Identities: each page's main job."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from reidapp.box import Box
from reidapp.gallery import schema
from reidapp.gallery.facts import PathPoint
from reidapp.gallery.identities import Identities
from reidapp.gallery.saved_searches import SavedSearches
from reidapp.gallery.store import Gallery
from reidapp.gallery.writer import NewChunk, NewCrop, NewTracklet
from reidapp.imaging import encode_crop
from reidapp.server.service import SearchService
from tests.small_gallery import FOOTAGE, HOSTILE, START, ColourEmbedder, make_service
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
    page.locator(".card").last.click()
    time_s, _ = playing(page)
    assert 3 <= time_s < 7  # green walks from 5 to 13
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


def test_an_admin_erases_a_person_and_sees_that_nothing_is_left(
    serve: Callable[..., Site], tmp_path: Path, visit: Visit
) -> None:
    site = serve(make_service(tmp_path))
    gallery = site.service.gallery
    mine = [tracklet.id for tracklet in gallery.tracklets() if tracklet.camera == "Gate"]
    Identities(gallery, "test").new("Bea", mine)
    page = visit(site)
    page.get_by_role("link", name="Identities").click()
    page.wait_for_selector(".identities.ready")
    page.get_by_role("button", name="Erase the person").click()
    page.wait_for_selector("dialog:has-text('Erase Bea for good: 2 tracklets')")
    page.locator("dialog").get_by_role("button", name="Cancel").click()
    assert len(gallery.tracklets()) == 6
    page.get_by_role("button", name="Erase the person").click()
    page.locator("dialog").get_by_role("button", name="Erase the person").click()
    page.wait_for_selector(".toast:has-text('Erased: 2 tracklets. Nothing of them is left')", timeout=120_000)
    page.wait_for_selector(".people .open", state="detached")
    assert {tracklet.id for tracklet in gallery.tracklets()}.isdisjoint(mine)
    page.get_by_role("link", name="Admin").click()
    page.wait_for_selector(".admin .job:has-text('2 tracklets were deleted.')")


def test_a_person_without_best_shots_is_shown(small: Site, visit: Visit) -> None:
    tracklet = small.service.gallery.tracklets()[0].id
    (people := Identities(small.service.gallery, "test")).new("Cleo", [tracklet])
    page = visit(small)

    def without(route: Any) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json=answer.json() | {"crops": []})

    page.route(f"**/api/v1/tracklets/{tracklet}", without)
    page.get_by_role("link", name="Identities").click()
    page.wait_for_selector(".identities.ready")
    page.wait_for_function("document.querySelectorAll('.card').length === 1")
    page.locator(".card").click()
    playing(page)
    people.delete("Cleo")


def test_no_more_than_200_pictures_are_in_the_page(
    tmp_path: Path, serve: Callable[[SearchService], Site], visit: Visit
) -> None:
    service = make_service(tmp_path)
    add_many(service.gallery, 1200)
    page = visit(serve(service))
    page.get_by_role("link", name="Browse").click()
    page.wait_for_selector(".browse.ready")
    page.wait_for_selector("text=500 so far")
    page.mouse.move(640, 600)
    for _ in range(40):
        assert 0 < page.locator(".page img").count() <= 200
        if "1,206 tracklets" in page.inner_text(".told"):
            break
        page.mouse.wheel(0, 6000)
        page.wait_for_timeout(250)
    assert "1,206 tracklets" in page.inner_text(".told")
    page.locator(".card").last.focus()
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.dataset.index") == "1205"


def add_many(gallery: Gallery, count: int) -> None:
    """Tracklets of one recording more, of random likeness."""
    rng, box = np.random.default_rng(0), Box(0.1, 0.2, 0.2, 0.9)
    crop = encode_crop(rng.integers(0, 255, (32, 16, 3), np.uint8))
    embeddings = rng.random((count, ColourEmbedder.card.dim), np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    tracklets = [
        NewTracklet([PathPoint(float(i), box), PathPoint(i + 1.0, box)], [NewCrop(i + 0.5, box, 0.9, crop)])
        for i in range(count)
    ]
    with gallery.writing() as writer:
        row = schema.Video(
            id=schema.identifier("many"), path="many.mp4", size=1, mtime_ns=1, start_ms=int(START.timestamp() * 1000),
            start_source="name", duration_s=count, width=480, height=270, settings={}, done=True, note=None,
        )  # fmt: skip
        writer.add_video("Many", "Europe/Berlin", row)
        writer.add_chunk(row.id, NewChunk(0, 0.0, count, count, float(count), tracklets, embeddings))


def test_many_tracklets_of_a_person_and_many_confirmed_hits(
    tmp_path: Path, serve: Callable[..., Site], visit: Visit
) -> None:
    service = make_service(tmp_path)
    add_many(service.gallery, 400)
    ids = [each.id for each in service.gallery.tracklets() if each.camera == "Many"]
    Identities(service.gallery, "test").new("Dan", ids)
    searches = SavedSearches(service.gallery, "test")
    searches.save("Dan", [], ids[:1])
    searches.answer("Dan", ids[1:231], [])
    page = visit(serve(service))
    page.click(".saved summary")
    page.click(".saved .open")
    page.wait_for_selector(".stop >> nth=229")
    page.wait_for_selector(".stop img")
    page.wait_for_selector(".search:not([aria-busy])")
    assert 0 < page.locator(".stop img").count() < 30
    page.locator(".stop").last.scroll_into_view_if_needed()
    page.wait_for_selector(".stop >> nth=229 >> img")
    assert 0 < page.locator(".page img").count() <= 200

    page.get_by_role("link", name="Identities").click()
    page.wait_for_selector(".person h2:text-is('Dan')")
    for scrolled in (0, 5000, 10**6):
        page.evaluate("(top) => scrollTo(0, top)", scrolled)
        page.wait_for_selector(".card img")
        page.wait_for_timeout(200)
        assert 0 < page.locator(".page img").count() <= 200
