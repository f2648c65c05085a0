"""What the search page does beyond one picture and its hits: several pictures, views, answers, saved searches."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from reidapp.gallery import calibration
from reidapp.gallery.identities import Identities
from reidapp.gallery.saved_searches import SavedSearches
from reidapp.server.service import SearchService
from tests.small_gallery import FOOTAGE, frame_at, make_service, query_crop
from tests.ui.conftest import Site
from tests.ui.test_page import Page, Visit, give, playing, search, shirt_of_first_hit

GATE = FOOTAGE["Gate", "Europe/Berlin"]


def settle(page: Page) -> None:
    """Wait for a search that has begun, as an answer's refined one does at once."""
    page.wait_for_selector(".search:not([aria-busy])")


def drag(page: Page, selector: str, *points: tuple[float, float]) -> None:
    """Across an element, at fractions of its size."""
    page.locator(selector).scroll_into_view_if_needed()
    box = page.locator(selector).bounding_box()
    assert box is not None
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=5)
    page.mouse.up()


def test_pictures_together_make_a_query_and_one_goes_again(small: Site, visit: Visit) -> None:
    page = visit(small)
    give(page, query_crop("red"))
    page.wait_for_selector("text=used whole")
    give(page, frame_at(GATE, 5.2))
    page.wait_for_selector("text=2 people were found")
    assert page.locator(".items li").count() == 2
    x1, y1, x2, y2 = GATE[1].box(5.2)
    drag(page, ".frame img", (x1 - 0.03, y1 - 0.03), (x2, y2), (x2 + 0.03, y2 + 0.03))
    page.wait_for_selector("text=The box you drew is used")
    page.get_by_label("Take query picture 1 out").click()
    search(page)
    assert shirt_of_first_hit(page) == "green"  # whom the box is around
    assert page.locator(".items li").count() == 1


def test_the_query_and_its_button_stay_in_a_small_window(small: Site, visit: Visit) -> None:
    page = visit(small)
    page.set_viewport_size({"width": 1280, "height": 720})
    give(page, frame_at(GATE, 5.2))
    page.wait_for_selector("text=2 people were found")
    assert _edges(page, ".side")[1] <= 720
    assert _edges(page, "#search")[1] <= 720
    x1, y1, x2, y2 = GATE[1].box(5.2)
    drag(page, ".frame img", (x1 - 0.03, y1 - 0.03), (x2, y2), (x2 + 0.03, y2 + 0.03))
    search(page)
    page.mouse.move(900, 500)
    page.mouse.wheel(0, 900)
    page.wait_for_function("window.scrollY > 100")
    assert _edges(page, ".side")[0] >= 0
    assert 0 < _edges(page, "#search")[1] <= 720


def _edges(page: Page, selector: str) -> tuple[float, float]:
    """Top and bottom in the window, pixels."""
    box = page.locator(selector).bounding_box()
    assert box is not None
    return box["y"], box["y"] + box["height"]


def test_hits_of_before_a_change_are_told_from_those_of_the_query(small: Site, visit: Visit) -> None:
    page = visit(small)
    give(page, query_crop("red"))
    search(page)
    assert page.locator(".search.old").count() == 0
    assert not page.locator(".together").is_visible()
    give(page, query_crop("green"))
    page.wait_for_selector(".search.old")
    assert page.locator(".changed").inner_text().startswith("The query has changed since")
    assert page.locator(".together").inner_text() == "All of them are taken for one person."
    page.get_by_label("Take query picture 2 out").click()
    page.wait_for_selector(".search:not(.old)")  # they are its hits again
    give(page, query_crop("green"))
    page.wait_for_selector(".search.old")
    search(page)
    page.wait_for_selector(".search:not(.old)")
    assert page.locator(".changed").inner_text() == ""


def test_by_camera_and_on_a_timeline_that_is_dragged_to_filter(small: Site, visit: Visit) -> None:
    page = visit(small)
    give(page, query_crop("red"))
    search(page)
    page.click("[data-view=cameras]")
    assert sorted(page.locator(".row.head strong").all_inner_texts()) == sorted({camera for camera, _ in FOOTAGE})
    page.click("[data-view=timeline]")
    canvas = page.locator(".timeline canvas")
    assert canvas.get_attribute("aria-label") == "6 hits on 3 cameras over time"
    drag(page, ".timeline canvas", (0.16, 0.5), (0.25, 0.5), (0.34, 0.5))  # the first minute is Gate's
    page.wait_for_selector(".search:not([aria-busy])")
    page.wait_for_function("document.querySelectorAll('.card').length === 2")
    assert set(page.locator(".card .camera").all_inner_texts()) == {"Gate"}
    assert page.input_value(".times .after").startswith("2026-03-02T10:30")
    page.click(".times .all")
    assert len(search(page)) == 6


def test_answers_by_keys_refine_at_once_and_show_the_way(small: Site, visit: Visit) -> None:
    page = visit(small)
    give(page, query_crop("red"))
    search(page)
    for verdict in ("y", "y", "n"):
        page.locator(".card").first.focus()
        page.keyboard.press(verdict)
        settle(page)
    assert page.inner_text(".counts") == "2 confirmed, 1 ruled out"
    assert page.locator(".card").count() == 3
    assert page.evaluate("document.activeElement.classList.contains('card')")
    times = page.locator(".stop .time").all_inner_texts()
    assert len(times) == 2
    page.click("[data-view=timeline]")
    page.keyboard.press("u")
    settle(page)
    assert page.inner_text(".counts") == "2 confirmed, 0 ruled out"
    assert page.locator(".card").count() == 4
    page.fill(".journey input", "Red <b>")
    page.click(".journey form button")
    page.wait_for_selector("text=2 tracklets are kept as Red <b>")
    assert len(Identities(small.service.gallery, "test").show("Red <b>").tracklets("yes")) == 2
    Identities(small.service.gallery, "test").delete("Red <b>")


def test_similar_to_a_hit_and_saved_searches(small: Site, visit: Visit) -> None:
    page = visit(small)
    give(page, query_crop("blue"))
    search(page)
    page.locator(".hit", has_text="Hall").first.locator("[data-action='hits.similar']").click()
    page.wait_for_selector("text=Seen by Hall")
    settle(page)
    assert page.locator(".card").count() == 5  # what asks is not shown

    give(page, query_crop("green"))
    page.click("[aria-label='Take query picture 1 out']")
    search(page)
    page.click(".saved summary")
    page.fill(".saved input", "Greens & <i>")
    page.click(".saved form button")
    page.locator(".saved .open", has_text="Greens & <i>").wait_for()
    page.reload()
    page.wait_for_selector(".ready")
    page.wait_for_selector(".card")  # the search is still there
    page.click(".items .away")
    page.click(".saved summary")
    page.click(".saved .open")
    page.wait_for_selector("text=The saved search")
    settle(page)
    assert shirt_of_first_hit(page) == "green"

    saved = SavedSearches(small.service.gallery, "test")
    page.locator(".card").first.focus()
    page.keyboard.press("y")
    settle(page)
    assert len(saved.get("Greens & <i>").yes) == 1
    with page.expect_response("**/api/v1/search"):
        page.click(".saved .open")
    settle(page)
    assert page.inner_text(".counts") == "1 confirmed, 0 ruled out"
    page.locator(".card").first.focus()
    page.keyboard.press("u")
    settle(page)
    page.wait_for_function("document.querySelectorAll('.card').length === 6")
    assert saved.get("Greens & <i>").yes == []
    page.click(".saved li .away")
    page.click(".dialog .danger")
    page.wait_for_selector("text=None yet")


def test_a_new_search_has_nothing_of_the_one_before(small: Site, visit: Visit) -> None:
    page = visit(small)
    assert not page.get_by_role("button", name="New search").is_visible()
    give(page, query_crop("red"))
    search(page)
    page.locator(".card").first.focus()
    page.keyboard.press("y")
    settle(page)
    assert page.is_visible(".journey")
    page.get_by_role("button", name="New search").click()
    page.wait_for_selector(".begin:not([hidden])")
    assert not page.is_visible(".journey")
    assert not page.locator(".card").first.is_visible()
    for _ in range(2):  # and after the page was loaded anew
        assert page.locator(".items li").count() == 0
        assert not page.get_by_role("button", name="New search").is_visible()
        page.reload()
        page.wait_for_selector(".search.ready")
    give(page, query_crop("green"))
    search(page)
    assert shirt_of_first_hit(page) == "green"
    assert page.locator(".items li").count() == 1


def test_an_answer_is_taken_back_though_the_search_failed(small: Site, visit: Visit) -> None:
    page = visit(small, "ERR_FAILED")
    give(page, query_crop("red"))
    search(page)
    page.locator(".card").first.focus()
    page.keyboard.press("y")
    settle(page)
    page.route("**/api/v1/search", lambda route: route.abort())
    page.reload()
    page.wait_for_selector("text=The server does not answer")
    page.keyboard.press("u")
    page.unroute("**/api/v1/search")
    assert len(search(page)) == 6


def test_a_server_that_has_too_much_to_do_is_asked_again(small: Site, visit: Visit) -> None:
    page = visit(small, "503 (Service Unavailable)")
    busy = [{"status": 503, "headers": {"Retry-After": "1"}, "json": {"error": "try again"}}] * 2

    def refuse_twice(route: Any) -> None:
        route.fulfill(**busy.pop()) if busy else route.continue_()

    page.route("**/api/v1/search", refuse_twice)
    give(page, query_crop("red"))
    assert len(search(page)) == 6
    assert busy == []


def test_p_match_has_a_cut_and_says_what_is_expected(
    tmp_path: Path, serve: Callable[[SearchService], Site], visit: Visit
) -> None:
    service = make_service(tmp_path)
    page = visit(serve(service))
    give(page, query_crop("red"))
    search(page)
    assert page.locator(".card .score").first.inner_text().startswith("Similarity")
    seen = (calibration.Point(0.9, 0.9, 10.0),)
    known = calibration.Calibration("identities", "2026-03-02T10:00:00Z", 6, 8, 30, 300, 3.0, 0.0, None, None, seen)
    calibration.keep(service.gallery, service.embedder.identity, known)
    search(page)
    shares = [int(text.split("%")[0]) for text in page.locator(".card .score").all_inner_texts()]
    assert shares == sorted(shares, reverse=True)
    above = page.evaluate("[...document.querySelectorAll('.row')].findIndex((row) => row.classList.contains('cut'))")
    assert above == 1  # one row of likely hits: the red ones
    assert "are expected to be wrong" in page.inner_text(".told")


def test_chinese_is_chosen_by_the_browser_and_by_hand(small: Site, visit: Visit) -> None:
    page = visit(small, locale="zh-CN")
    assert page.inner_text("#search") == "搜索"
    assert page.title().startswith("搜索")
    page.select_option(".language", "en")
    page.wait_for_selector("#search:text-is('Search')")
    give(page, query_crop("red"))
    search(page)
    playing_first(page)


def playing_first(page: Page) -> None:
    page.locator(".card").first.click()
    playing(page)
    page.select_option(".speed select", "2")
    assert page.evaluate("document.querySelector('video').playbackRate") == 2
