"""Models: one is adapted, switched to, searched with, and switched back; P(match) is calibrated and drawn."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from models import zoo
from reidapp.embedding import Embedder
from reidapp.server.jobs import Jobs
from reidapp.server.service import SearchService
from tests.small_gallery import ShirtDetector, make_crowd
from tests.ui.conftest import Site
from tests.ui.test_page import Page, Visit

pytestmark = pytest.mark.slow

JOB_MS = 240_000


@pytest.fixture
def site(tmp_path: Path, serve: Callable[..., Site]) -> Iterator[Site]:
    gallery, jobs = make_crowd(tmp_path), Jobs(shipped={name: zoo.path_of(name) for name in zoo.names()})
    yield serve(SearchService(gallery, Embedder(gallery.model_file), ShirtDetector()), jobs=jobs)
    jobs.close()


def opened(page: Page) -> Page:
    page.get_by_role("link", name="Models").click()
    page.wait_for_selector(".models.ready")
    return page


def in_use(page: Page, name: str) -> None:
    page.wait_for_selector(f".model[data-model='{name}'] .tag.good", timeout=JOB_MS)
    assert page.locator(".model .tag.good").count() == 1


def similar(page: Page, site: Site, tracklet: str) -> list[str]:
    """Pictures of the hits of a search by a tracklet."""
    page.goto(f"{site.address}?tracklet={tracklet}")
    page.wait_for_selector(".card img")
    page.wait_for_selector(".search:not([aria-busy])")
    return [str(image.get_attribute("src")) for image in page.locator(".card img").all()]


def test_a_model_is_adapted_switched_to_and_back(site: Site, visit: Visit) -> None:
    page, gallery = opened(visit(site)), site.service.gallery
    old = f"small/{gallery.models()[0].card.version}"
    new = f"{old}+1"
    in_use(page, old)
    assert page.locator(".model").all_inner_texts()[1].startswith("base/")
    assert "mAP" in page.inner_text(f".model[data-model='{old}'] .terms")
    assert page.locator(".prune button").count() == 0

    page.get_by_role("button", name="Adapt", exact=True).click()
    page.wait_for_selector(".job[data-state=running]", timeout=JOB_MS)
    page.wait_for_selector(".job[data-state=done] .table", timeout=JOB_MS)
    assert page.locator(".job .table tbody tr").count() == 4
    page.wait_for_selector(f".model[data-model='{new}'] .tag:text-is('adapted')")
    in_use(page, old)
    tracklet = gallery.tracklets()[0].id
    before = similar(page, site, tracklet)

    opened(page)
    page.locator(f".model[data-model='{new}'] .switch").click()
    in_use(page, new)
    assert similar(page, site, tracklet)
    embedder = site.service.embedder
    assert isinstance(embedder, Embedder)
    assert f"small/{embedder.card.version}" == new

    opened(page)
    page.locator(f".model[data-model='{old}'] .switch").click()
    in_use(page, old)
    assert "0 best shots embedded; 128 had been before" in page.locator(".job").first.inner_text()
    assert similar(page, site, tracklet) == before

    opened(page)
    page.click(".prune button")
    page.click(".dialog .danger")
    page.wait_for_selector("text=1 model was deleted", timeout=JOB_MS)
    page.wait_for_selector(f".model[data-model='{new}'] .tag:text-is('adapted')")
    assert [model.active for model in gallery.models()] == [True]


def test_calibrated_by_tracklets_and_drawn(site: Site, visit: Visit) -> None:
    page = opened(visit(site))
    assert "scores only rank" in page.inner_text(".calibration .told")
    page.select_option(".calibration select", "identities")
    page.get_by_role("button", name="Calibrate").click()
    page.wait_for_selector(".job[data-state=failed] .problem:has-text('identities: 0 people')", timeout=JOB_MS)
    page.select_option(".calibration select", "label-free")
    page.get_by_role("button", name="Calibrate").click()
    page.wait_for_selector(".reliability .point", timeout=JOB_MS)
    label = page.locator(".reliability").get_attribute("aria-label")
    assert label
    assert label.count("told") == page.locator(".reliability .point").count()
    assert "tracklets alone" in page.inner_text(".calibration .terms")
