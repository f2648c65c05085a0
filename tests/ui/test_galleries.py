"""Several galleries of one server: the page shows the one that its address names."""

import re
from collections.abc import Callable

import pytest

from reidapp.gallery.cases import Cases
from reidapp.server.galleries import Galleries
from reidapp.settings import CameraSettings
from tests.small_gallery import make_service, query_crop
from tests.ui.conftest import Site
from tests.ui.test_page import Visit, give, playing, search
from ui.page import PAGES


@pytest.fixture(scope="module")
def two(small: Site, serve: Callable[..., Site], tmp_path_factory: pytest.TempPathFactory) -> Site:
    other = make_service(tmp_path_factory.mktemp("other"))
    with other.gallery.writing() as writer:
        writer.change_camera("Gate", CameraSettings(name="Garden"))
    Cases(other.gallery, "test").new("theirs")
    return serve(Galleries([small.service, other]))


def test_a_gallery_is_chosen_and_kept_in_the_address(two: Site, visit: Visit) -> None:
    page = visit(two)
    assert page.url == f"{two.address}?gallery=gallery"
    page.wait_for_selector("#cameras label:has-text('Gate')")
    page.select_option(".top .gallery", "gallery-2")
    page.wait_for_selector("#cameras label:has-text('Garden')")
    give(page, query_crop("red"))
    assert "Garden" in search(page)
    page.locator(".card", has_text="Garden").first.click()
    playing(page)
    page.locator("[data-action='browse.search'], [data-action='hits.similar']").first.click()
    page.wait_for_selector(".search:not([aria-busy])")
    address = page.url
    assert "gallery=gallery-2" in address

    fresh = page.context.new_page()  # a link that was sent to somebody
    fresh.goto(address)
    fresh.wait_for_selector("#cameras label:has-text('Garden')")
    assert fresh.input_value(".top .gallery") == "gallery-2"
    page.select_option(".top .gallery", "gallery")
    page.wait_for_selector("#cameras label:has-text('Gate')")
    assert page.locator(".items li").count() == 0  # what is asked of one gallery is not asked of the other


@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_of_the_gallery_that_is_shown(two: Site, visit: Visit, name: str) -> None:
    page = visit(two)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{two.address}{PAGES[name]}?gallery=gallery-2")
    page.wait_for_selector(".ready")
    ours = [url for url in asked if "/api/v1/" in url and not re.search("/api/v1/(me|users|keys|audit)", url)]
    assert ours
    assert [url for url in ours if "/api/v1/galleries/gallery-2/" not in url] == []
    assert {"gallery=gallery-2"} == {
        link.partition("?")[2] for link in page.eval_on_selector_all(".top nav a", "all => all.map((a) => a.href)")
    }


def test_a_hit_goes_into_a_case_of_its_own_gallery(two: Site, visit: Visit) -> None:
    page = visit(two)
    page.goto(f"{two.address}browse?gallery=gallery-2")
    page.click("[data-action='into.this'] >> nth=0")
    page.locator(".dialog .open", has_text="theirs").click()
    page.click(".toast a")
    page.wait_for_selector(".cases.ready .entry")
    assert "case=theirs" in page.url
    page.click(".entry .shot")
    playing(page)


def test_a_gallery_that_is_not_served_is_said(two: Site, visit: Visit) -> None:
    page = visit(two, allow="404")
    page.goto(f"{two.address}browse?gallery=nowhere")
    page.wait_for_selector(".problem:has-text('not served here')")
    page.select_option(".top .gallery", "gallery-2")
    page.wait_for_selector(".coverage tbody th:has-text('Garden')")
