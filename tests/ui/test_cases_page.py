"""Cases: hits are put into one, judged, annotated, and handed on as an archive."""

import csv
import hashlib
import io
import json
import zipfile
from pathlib import Path

import pytest

from reidapp.gallery.cases import Cases, NewCaseHit
from tests.small_gallery import HOSTILE, query_crop
from tests.ui.conftest import Site
from tests.ui.test_page import Page, Visit, give, playing, search
from tests.ui.test_search_page import settle

NAME = 'Coat <b>1</b> / "12"'


@pytest.fixture
def coat(small: Site, cases: Cases) -> list[str]:
    """A case of four hits, in order of time; their ids."""
    found = sorted(small.service.gallery.tracklets(), key=lambda each: each.start)[:4]
    cases.new("coat", "whose?")
    cases.add("coat", [NewCaseHit(each.id, score=0.8, p_match=0.9) for each in found])
    return [each.id for each in found]


def open_page(small: Site, visit: Visit, **options: object) -> Page:
    page = visit(small, **{"viewport": {"width": 1280, "height": 1500}, **options})
    page.get_by_role("link", name="Cases").click()
    page.wait_for_selector(".cases.ready")
    return page


def saved(page: Page) -> None:
    page.wait_for_selector(".case > .say:has-text('Saved.')")


def verdicts(page: Page) -> list[str]:
    return page.eval_on_selector_all(".entry", "all => all.map((each) => each.dataset.said)")


def test_hits_of_a_search_are_judged_and_annotated_in_a_case(small: Site, visit: Visit, cases: Cases) -> None:
    page = visit(small)
    give(page, query_crop("red"))
    search(page)
    page.locator(".card").first.focus()
    page.keyboard.press("c")
    page.fill(".dialog input", NAME)
    page.keyboard.press("Enter")
    page.wait_for_selector(".toast:has-text('1 hit is in the case')")
    assert page.evaluate("document.activeElement.classList.contains('card')")
    for _ in range(2):
        page.locator(".card").first.focus()
        page.keyboard.press("y")
        settle(page)
    page.click(".journey >> text=Into a case")
    page.locator(".dialog .open", has_text=NAME).click()
    page.wait_for_selector(".toast:has-text('2 hits are in the case')")
    page.click("[data-action='into.this'] >> nth=0")
    page.wait_for_selector(".dialog .open:focus")
    page.keyboard.press("Enter")  # the case that was filled last
    page.wait_for_selector(".toast:has-text('1 hit is in the case')")
    page.click(".toast a")
    page.wait_for_selector(".cases.ready")
    assert page.inner_text(".case h2") == NAME
    assert sorted(verdicts(page)) == ["", "yes", "yes"]
    assert "Similarity" in page.locator(".entry .worth").first.inner_text()

    entry = page.locator(".entry").first
    entry.locator("textarea").fill("red coat,\nno bag")  # typing alone keeps it
    saved(page)
    entry.locator("[data-verdict=no]").click()
    page.wait_for_selector(".entry >> nth=0 >> [data-verdict=no][aria-pressed=true]")
    saved(page)
    page.locator(".entry .shot").nth(1).focus()
    page.keyboard.press("?")
    saved(page)
    page.fill(".case > .note", "lost child")
    page.keyboard.press("Tab")
    saved(page)
    page.reload()
    page.wait_for_selector(".cases.ready")
    assert verdicts(page)[:2] == ["no", "unsure"]
    assert page.locator(".entry textarea").first.input_value() == "red coat,\nno bag"
    assert page.input_value(".case > .note") == "lost child"
    (hit, *_) = cases.hits(NAME)
    assert (hit.verdict, hit.note) == ("no", "red coat,\nno bag")
    assert page.locator(".page b, .page i").count() == 0


def test_a_hit_is_played_judged_there_and_searched_with(small: Site, visit: Visit, coat: list[str]) -> None:
    page = open_page(small, visit)
    page.locator(".entry .shot").nth(1).click()
    time_s, _ = playing(page)
    assert 3 <= time_s < 7  # green walks from 5 to 13
    page.locator(".entry .shot").first.click()
    playing(page)
    page.keyboard.press("y")
    page.wait_for_selector(".player [data-say=yes][aria-pressed=true]")
    page.keyboard.press("j")
    page.wait_for_selector(".player [data-say=yes][aria-pressed=false]")
    page.click(".player [data-say=unsure]")
    saved(page)
    assert verdicts(page) == ["yes", "unsure", "", ""]
    page.click("[data-filter=unsure]")
    assert verdicts(page) == ["unsure"]
    assert (
        page.get_attribute(".entry .shot", "aria-label")
        == "Hit 1: camera Gate, 2 Mar 2026 10:30:05. Play the recording."
    )
    page.click("[data-filter=all]")
    page.locator(".entry").nth(2).get_by_label("Search for this person").click()
    page.wait_for_selector(".search.ready")
    page.wait_for_selector(f"text=Seen by {HOSTILE}")
    page.get_by_role("link", name="Cases").click()
    page.click("text=Search for more of what is confirmed")
    page.wait_for_selector("text=Seen by Gate")
    page.wait_for_function("document.querySelectorAll('.card').length === 5")


def test_a_hit_taken_out_is_put_back_and_a_closed_case_stays_as_it_is(
    small: Site, visit: Visit, cases: Cases, coat: list[str]
) -> None:
    cases.judge("coat", coat[0], verdict="yes", note="hers")
    page = open_page(small, visit)
    page.locator(".entry").first.get_by_label("Take it out").click()
    page.wait_for_function("document.querySelectorAll('.entry').length === 3")
    page.click(".toast >> text=Put it back")
    page.wait_for_function("document.querySelectorAll('.entry').length === 4")
    (hit, *_) = cases.hits("coat")
    assert (hit.verdict, hit.note, hit.p_match) == ("yes", "hers", 0.9)

    page.click("text=Close the case")
    page.wait_for_selector(".case .tag:has-text('closed')")
    assert page.locator(".entry [data-verdict]:enabled").count() == 0
    assert page.locator(".entry textarea").first.get_attribute("readonly") is not None
    page.locator(".entry .shot").first.focus()
    page.keyboard.press("n")
    assert cases.hits("coat")[0].verdict == "yes"
    page.get_by_role("link", name="Browse").click()
    page.click("[data-action='into.this'] >> nth=0")
    page.wait_for_selector(".dialog input:focus")  # no case is open
    page.keyboard.press("Escape")
    page.go_back()
    page.click("text=Open it again")
    page.wait_for_selector(".entry [data-verdict]:enabled")

    page.click("text=Rename")
    page.fill(".rename input", "hat")
    page.keyboard.press("Enter")
    page.wait_for_selector(".case h2:text-is('hat')")
    page.click("text=Delete the case")
    page.click(".dialog .danger")
    page.wait_for_selector("text=A case keeps hits together")
    assert cases.all() == []


def test_a_case_is_exported_by_the_button_and_its_manifest_holds(
    small: Site, visit: Visit, cases: Cases, coat: list[str], tmp_path: Path
) -> None:
    cases.judge("coat", coat[1], verdict="unsure", note="<b>hat</b>")
    page = open_page(small, visit)
    page.click(".export summary")
    assert page.is_checked("[name=heads][value=blurred]")
    page.click(".export .primary")
    page.wait_for_selector(".export .download", timeout=60_000)
    with page.expect_download() as download:
        page.click(".export .download")
    assert download.value.suggested_filename.startswith("coat-")
    file = tmp_path / "case.zip"
    download.value.save_as(file)
    assert hashlib.sha256(file.read_bytes()).hexdigest() in page.inner_text(".digest")
    with zipfile.ZipFile(file) as archive:
        manifest = dict(reversed(line.split("  ", 1)) for line in archive.read("manifest.sha256").decode().splitlines())
        assert sorted([*manifest, "manifest.sha256"]) == sorted(archive.namelist())
        assert {name: hashlib.sha256(archive.read(name)).hexdigest() for name in manifest} == manifest
        assert sum(name.startswith("clips/") for name in manifest) == 4
        assert json.loads(archive.read("case.json"))["heads_blurred"]
        rows = list(csv.DictReader(io.StringIO(archive.read("hits.csv").decode("utf-8-sig"))))
    assert [row["tracklet"] for row in rows] == coat
    assert (rows[1]["verdict"], rows[1]["note"]) == ("unsure", "<b>hat</b>")
    page.reload()  # what was made is still there
    page.wait_for_selector(".cases.ready")
    page.click(".export summary")
    page.wait_for_selector(".export .download")
    cases.change("coat", "hat")  # and also under another name
    page.goto(page.url.replace("case=coat", "case=hat"))
    page.wait_for_selector(".cases.ready")
    assert page.inner_text(".case h2") == "hat"
    page.click(".export summary")
    page.wait_for_selector(".export .download")


def test_cases_on_a_narrow_screen(small: Site, visit: Visit, coat: list[str]) -> None:
    page = open_page(small, visit, viewport={"width": 390, "height": 844})
    page.click(".export summary")
    page.locator(".entry .shot").first.click()
    playing(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_case_that_is_not_there_is_said(small: Site, visit: Visit, coat: list[str]) -> None:
    page = visit(small)
    page.goto(f"{small.address}cases?case=hat")
    page.wait_for_selector(".problem:has-text('There is no case hat here')")
    assert page.inner_text(".case h2") == "coat"
