"""Indexing: a folder is tried, indexed by a real job, and its people are found afterwards."""

from collections.abc import Callable
from pathlib import Path

import pytest

from reidapp.server.jobs import Jobs
from tests.ui.conftest import Site, opened
from tests.ui.test_page import Visit
from training.data.synthetic.footage import write_footage

pytestmark = pytest.mark.slow

JOB_MS = 240_000


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(tmp_path_factory.mktemp("footage"))
    write_footage(folder / "world", cameras=2, people=2, seconds=16, fps=4, seed=5, workers=1)
    (folder / "world" / "gate" / "2026-03-02T11-00-00Z.mp4").write_bytes(b"no video at all")
    (folder / "world" / "leftover.mp4").write_bytes(b"nor this")
    return folder


@pytest.fixture
def site(footage: Path, serve_crowd: Callable[[Jobs], Site]) -> Site:
    return serve_crowd(Jobs([footage]))


def test_a_folder_is_tried_indexed_and_searched(site: Site, footage: Path, visit: Visit) -> None:
    page = opened(visit(site), "Indexing")
    assert str(footage) in page.inner_text(".limits")
    page.fill("[name=folder]", str(footage / "world"))
    page.press("[name=folder]", "Tab")
    page.wait_for_selector("text=4 files")  # guessed, every one of them fits
    page.locator("[name=template]").press_sequentially("{camera}/{start}")
    page.wait_for_selector("text=1 file does not fit")
    assert page.locator(".job").count() == 0  # nothing was begun by typing
    assert page.locator(".table.bad td").first.inner_text() == "leftover.mp4"
    assert page.locator(".found-cameras strong").all_inner_texts() == ["gate", "hall"]
    row = page.locator(".found tr", has_text="hall/2026-03-02T10-00-00Z.mp4")
    assert row.locator("td").nth(1).inner_text() == "hall"
    page.fill("[name=zone]", "UTC")
    page.press("[name=zone]", "Enter")
    page.wait_for_function("document.querySelector('.found').innerText.includes('10:00:00 UTC')")
    page.check(".probe")
    page.wait_for_selector(".found small:has-text('640×360')")
    assert page.locator(".table.bad td:has-text('2026-03-02T11-00-00Z.mp4')").count() == 1

    page.get_by_role("button", name="Index").click()
    page.wait_for_selector(".job[data-state=running]", timeout=JOB_MS)
    page.wait_for_function("document.querySelector('.job[data-state=running] progress')?.value > 0", timeout=JOB_MS)
    assert "left" in page.inner_text(".job .far") or "of" in page.inner_text(".job .far")
    page.wait_for_selector(".job[data-state=done]", timeout=JOB_MS)
    assert "2 files indexed" in page.inner_text(".job .came")
    assert page.locator(".job .table.bad tbody tr").count() == 2
    page.get_by_role("button", name="Try again").click()
    page.wait_for_selector(".job[data-state=done] >> text=2 were indexed before", timeout=JOB_MS)
    assert page.locator(".job").count() == 2
    assert "An hour of footage" in page.inner_text(".disk")
    page.uncheck(".probe")
    page.wait_for_selector(".trial .told:has-text('2 of them are in the gallery already')")
    assert page.get_by_role("button", name="Dismiss").count() == 0  # what was done stays, with what came of it

    page.locator(".job").last.get_by_role("link", name="See who was seen").click()
    page.wait_for_selector(".browse.ready")
    page.wait_for_selector(".card")
    page.locator(".coverage tr:has(th:text-is('gate')) .cell:enabled").first.click()
    page.wait_for_function(
        "new Set([...document.querySelectorAll('.card .camera')].map((c) => c.textContent)).size === 1"
    )
    assert page.locator(".card .camera").first.inner_text() == "gate"
    page.locator("[data-action='browse.search']").first.click()
    page.wait_for_selector("text=Seen by gate")
    page.wait_for_selector(".card .camera:text-is('hall')")


def test_what_is_wrong_is_said_where_it_is_asked(site: Site, tmp_path: Path, footage: Path, visit: Visit) -> None:
    page = opened(visit(site, allow="422"), "Indexing")
    page.fill("[name=folder]", str(tmp_path))
    page.press("[name=folder]", "Enter")
    page.wait_for_selector(".trial .problem:has-text('--footage')")
    page.get_by_role("button", name="Index").click()
    page.wait_for_selector(".refused:has-text('--footage')")
    page.fill("[name=folder]", str(footage / "world"))
    page.press("[name=folder]", "Tab")
    page.wait_for_selector(".trial .problem:empty", state="attached")
    page.fill("[name=template]", "{kamera}/{start}")
    page.wait_for_selector(".trial .problem:has-text('unknown field {kamera}')")
    assert "--template" not in page.inner_text(".trial .problem")
    page.fill("[name=template]", "frigate")
    page.wait_for_selector("text=4 files do not fit")
    assert page.locator(".job").count() == 0


def test_what_failed_is_dismissed(site: Site, footage: Path, visit: Visit) -> None:
    (footage / "broken" / "gate").mkdir(parents=True)
    (footage / "broken" / "gate" / "2026-03-02T10-00-00Z.mp4").write_bytes(b"no video at all")
    page = opened(visit(site), "Indexing")
    page.fill("[name=folder]", str(footage / "broken"))
    page.press("[name=folder]", "Tab")
    page.get_by_role("button", name="Index").click()
    page.wait_for_selector(".job[data-state=failed]", timeout=JOB_MS)
    page.get_by_role("button", name="Dismiss").click()
    page.wait_for_selector(".job", state="detached")
    page.reload()
    page.wait_for_selector(".ready")
    assert page.locator(".job").count() == 0
