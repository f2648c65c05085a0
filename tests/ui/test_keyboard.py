"""The way from a picture to a case with the keyboard alone, and where one is on it is always seen."""

from pathlib import Path

from reidapp.gallery.cases import Cases
from tests.small_gallery import FOOTAGE, frame_at, png
from tests.ui.conftest import Site
from tests.ui.test_page import Page, Visit, playing

# The element with the focus, in words; and whether a ring is drawn around it.
FOCUS = """() => {
  const at = document.activeElement, ringed = at.closest('.drop') ?? at, style = getComputedStyle(ringed);
  const words = at.getAttribute('aria-label') || at.textContent.trim() || at.type;
  return [at === document.body ? '' : words, style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2];
}"""


def tab_to(page: Page, words: str, back: bool = False) -> None:
    """Press Tab until something that is called so has the focus; all on the way show that they have it."""
    passed = []
    for _ in range(60):
        page.keyboard.press("Shift+Tab" if back else "Tab")
        name, ringed = page.evaluate(FOCUS)
        if name:
            assert ringed, f"no focus is seen on {name!r}"
        passed.append(name)
        if words in name:
            return
    raise AssertionError(f"{words!r} is not reached: {passed}")


def test_from_a_picture_to_a_case_with_the_keyboard_alone(
    small: Site, visit: Visit, cases: Cases, tmp_path: Path
) -> None:
    page = visit(small)
    query = tmp_path / "frame.png"
    query.write_bytes(png(frame_at(FOOTAGE["Gate", "Europe/Berlin"], 5.2)))
    with page.expect_file_chooser() as chooser:  # from here on, so that the browser surely knows before Enter
        tab_to(page, "file")
        page.keyboard.press("Enter")
    chooser.value.set_files(query)
    page.wait_for_selector("text=2 people were found")
    tab_to(page, "Person 1")
    page.keyboard.press("Enter")
    assert page.evaluate(FOCUS)[0] == "Person 1"
    tab_to(page, "Search")
    page.keyboard.press("Enter")
    page.wait_for_selector(".card")
    page.wait_for_selector(".search:not([aria-busy])")
    tab_to(page, "Hit 1")
    page.keyboard.press("Enter")
    playing(page)

    paused = "document.querySelector('video').paused"
    before = page.evaluate(paused)
    page.keyboard.press("Space")
    page.wait_for_function(f"{paused} !== {str(before).lower()}")
    page.evaluate("document.querySelector('video').pause()")
    tab_to(page, "Time in the recording")
    time_s, _ = playing(page)
    page.keyboard.press("ArrowRight")
    assert time_s < playing(page)[0] < time_s + 0.5
    tab_to(page, "✓")
    page.keyboard.press("Enter")
    page.wait_for_selector(".journey .stop")
    page.wait_for_selector(".search:not([aria-busy])")
    page.wait_for_selector(".card:focus")

    page.keyboard.press("c")
    page.wait_for_selector(".dialog input:focus")
    page.keyboard.type("Coat")
    page.keyboard.press("Enter")
    page.wait_for_selector(".toast:has-text('1 hit is in the case Coat')")
    assert page.evaluate("document.activeElement.classList.contains('card')")
    tab_to(page, "Cases", back=True)
    page.keyboard.press("Enter")
    page.wait_for_selector(".cases.ready")
    assert page.inner_text(".case h2") == "Coat"
    tab_to(page, "Hit 1")
    with page.expect_response(lambda answer: "/hits" in answer.url and answer.request.method != "GET"):
        page.keyboard.press("y")
    page.wait_for_selector(".entry [data-verdict=yes][aria-pressed=true]")
    assert [hit.verdict for hit in cases.hits("Coat")] == ["yes"]
