"""Models: one is adapted, switched to, searched with, and switched back; P(match) is calibrated and drawn."""

from collections.abc import Callable

import pytest

from models import zoo
from reidapp.embedding import Embedder
from reidapp.server.jobs import Jobs
from tests.ui.conftest import Site, opened
from tests.ui.test_page import Page, Visit

pytestmark = pytest.mark.slow

JOB_MS = 240_000


@pytest.fixture
def site(serve_crowd: Callable[[Jobs], Site]) -> Site:
    return serve_crowd(Jobs(shipped={name: zoo.path_of(name) for name in zoo.names()}))


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
    page, gallery = opened(visit(site), "Models"), site.service.gallery
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

    opened(page, "Models")
    page.locator(f".model[data-model='{new}'] .switch").click()
    in_use(page, new)
    assert similar(page, site, tracklet)
    embedder = site.service.embedder
    assert isinstance(embedder, Embedder)
    assert f"small/{embedder.card.version}" == new

    opened(page, "Models")
    page.locator(f".model[data-model='{old}'] .switch").click()
    in_use(page, old)
    assert "0 best shots embedded; 128 had been before" in page.locator(".job").first.inner_text()
    assert similar(page, site, tracklet) == before

    opened(page, "Models")
    page.click(".prune button")
    page.click(".dialog .danger")
    page.wait_for_selector("text=1 model was deleted", timeout=JOB_MS)
    page.wait_for_selector(f".model[data-model='{new}'] .tag:text-is('adapted')")
    assert [model.active for model in gallery.models()] == [True]


def test_calibrated_by_tracklets_and_drawn(site: Site, visit: Visit) -> None:
    page = opened(visit(site), "Models")
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


def test_a_job_that_cannot_be_cancelled_says_why_and_goes_on_being_shown(site: Site, visit: Visit) -> None:
    page = opened(visit(site, allow="422"), "Models")
    refused = {"status": 422, "json": {"error": "it is over already"}}
    page.route("**/cancel", lambda route: route.fulfill(**refused))  # type: ignore[arg-type]
    page.get_by_role("button", name="Adapt", exact=True).click()
    with page.expect_response("**/api/v1/jobs"):
        page.locator(".job .cancel").click(timeout=JOB_MS)
    page.locator(".jobs > .problem", has_text="it is over already").wait_for()
    assert page.locator(".job").count() == 1
