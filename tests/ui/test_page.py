"""The page's main job, in a real browser, on footage whose truth is known."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reidapp.footage.indexing import find_footage, index_footage
from reidapp.gallery.store import Gallery
from reidapp.server.service import SearchService
from reidapp.settings import CameraSettings, IndexSettings
from tests.small_gallery import FOOTAGE, HOSTILE, ShirtDetector, Walk, fill, frame_at, make_service, png, query_crop
from tests.ui.conftest import Site

sync_api = pytest.importorskip("playwright.sync_api")
Page, Visit = sync_api.Page, Callable[..., sync_api.Page]
GATE = FOOTAGE["Gate", "Europe/Berlin"]


def give(page: Page, picture: np.ndarray | bytes, name: str = "query.png") -> None:
    data = picture if isinstance(picture, bytes) else png(picture)
    page.set_input_files(".picker input", {"name": name, "mimeType": "image/png", "buffer": data})


def search(page: Page) -> list[str]:
    """Press Search; the cameras of the hits, best first."""
    page.wait_for_selector(".picker:not([aria-busy])")
    page.click("#search")
    page.wait_for_selector(".search:not([aria-busy])")
    page.wait_for_selector(".card")
    return page.locator(".card .camera").all_inner_texts()


def playing(page: Page) -> tuple[float, int]:
    """The video's time and ready state, once it shows a picture and the box's path is there."""
    page.wait_for_function(
        "document.querySelector('video').readyState >= 2 && !document.querySelector('video').seeking"
    )
    page.wait_for_selector(".clock:not(:empty)")
    time_s, ready = page.evaluate(
        "(({currentTime, readyState: r}) => [currentTime, r])(document.querySelector('video'))"
    )
    return time_s, ready


def go_to(page: Page, time_s: float) -> None:
    page.evaluate("(time) => { document.querySelector('video').currentTime = time; }", time_s)
    playing(page)


# The extent of coloured pixels (x1, x2 as fractions of the stage): of the box on the canvas, and of the shirt below it.
BOX_AND_SHIRT = """async () => {
  const video = document.querySelector('video'), canvas = document.querySelector('.stage canvas');
  video.pause();
  await new Promise((done) => setTimeout(done, 400));
  const {width, height} = canvas;
  const copy = Object.assign(document.createElement('canvas'), {width, height}), pen = copy.getContext('2d');
  pen.drawImage(video, 0, 0, width, height);
  const extent = (context, is) => {
    const {data} = context.getImageData(0, 0, width, height);
    let x1 = width, x2 = -1, y1 = height, y2 = -1;
    for (let i = 0; i < data.length; i += 4)
      if (is(data[i], data[i + 1], data[i + 2], data[i + 3])) {
        const x = (i / 4) % width, y = Math.floor(i / 4 / width);
        [x1, x2, y1, y2] = [Math.min(x1, x), Math.max(x2, x), Math.min(y1, y), Math.max(y2, y)];
      }
    return [x1 / width, y1 / height, x2 / width, y2 / height];
  };
  return [
    extent(canvas.getContext('2d'), (r, g, b, a) => a > 200 && r > 200),
    extent(pen, (r, g, b) => r > 150 && g < 90 && b < 90),
  ];
}"""


def box_and_shirt(page: Page) -> tuple[list[float], list[float]]:
    box, shirt = page.evaluate(BOX_AND_SHIRT)
    return box, shirt


def test_from_a_crop_to_the_recording(small: Site, visit: Visit) -> None:
    page = visit(small)
    give(page, query_crop("red"))
    page.wait_for_selector("text=used whole")
    assert sorted(search(page)[:3]) == sorted(["Gate", HOSTILE, "Hall"])

    card = page.locator(".card", has_text="Gate").first
    assert "10:30:01 CET" in card.inner_text()
    card.click()
    time_s, ready = playing(page)
    walk = GATE[0]
    assert max(0, walk.start_s - 2) <= time_s <= walk.start_s + 2  # from before the person appears
    page.click(".moment")
    page.wait_for_function("!document.querySelector('video').seeking")
    best_s = (walk.start_s + walk.end_s) / 2
    assert abs(page.evaluate("document.querySelector('video').currentTime") - best_s) < 1.5
    assert ready >= 2

    box, shirt = box_and_shirt(page)
    assert (box[0], box[2]) == pytest.approx((shirt[0], shirt[2]), abs=0.02)  # the shirt is as wide as the person
    assert box[1] < shirt[1] < shirt[3] < box[3]
    assert "Europe/Berlin" in page.inner_text(".caption")
    assert "<i>0&.mp4" in page.inner_text(".caption")


def test_box_goes_with_the_person(small: Site, visit: Visit) -> None:
    page = visit(small)
    give(page, query_crop("red"))
    search(page)
    page.locator(".card", has_text="Gate").first.click()
    playing(page)
    page.evaluate("document.querySelector('video').pause()")
    seen = []
    for time_s in (2.0, 3.25, 4.75):  # the path has a point every half second
        go_to(page, time_s)
        box, shirt = box_and_shirt(page)
        assert (box[0] + box[2]) / 2 == pytest.approx((shirt[0] + shirt[2]) / 2, abs=0.02)
        seen.append(box[0])
    assert seen == sorted(seen)
    assert seen[-1] - seen[0] > 0.4
    go_to(page, 9.0)  # the person has left
    assert box_and_shirt(page)[0][2] < 0


def test_controls_of_the_recording(small: Site, visit: Visit) -> None:
    page = visit(small)
    give(page, query_crop("red"))
    search(page)
    page.locator(".card").first.click()
    playing(page)
    page.evaluate("document.querySelector('video').pause()")
    before, _ = playing(page)
    page.click("text=−5 s")
    assert playing(page)[0] == pytest.approx(max(before - 5, 0), abs=0.2)
    assert page.get_by_label("Previous hit").is_disabled()
    first = page.inner_text(".player h2")
    page.get_by_label("Next hit").click()
    page.wait_for_function("(old) => document.querySelector('.player h2').textContent !== old", arg=first)
    assert page.locator(".card[aria-current]").locator(".rank").inner_text() == "2"


def test_frame_with_a_click_on_the_person(small: Site, visit: Visit) -> None:
    page = visit(small)
    give(page, frame_at(GATE, 5.2))
    page.wait_for_selector("text=2 people were found")
    page.click("#search")
    page.wait_for_selector(".picker .problem:has-text('click the one you mean')")
    for number, shirt in ((2, "green"), (1, "red")):
        page.get_by_label(f"Person {number}").click()
        search(page)
        assert shirt_of_first_hit(page) == shirt
    box = page.get_by_label("Person 1").bounding_box()
    picture = page.locator(".frame img").bounding_box()
    assert (box["x"] + box["width"] / 2 - picture["x"]) / picture["width"] == pytest.approx(
        GATE[0].box(5.2).centre[0], abs=0.02
    )


def shirt_of_first_hit(page: Page) -> str:
    address = page.locator(".card img").first.get_attribute("src")
    assert address is not None
    crop = Image.open(BytesIO(page.request.get(address).body())).convert("RGB")
    red, green, _ = crop.getpixel((crop.width // 2, crop.height // 3))
    return "red" if red > green else "green"


def test_camera_filter(small: Site, visit: Visit) -> None:
    page = visit(small)
    give(page, query_crop("red"))
    page.locator("#cameras").get_by_label("Hall").check()
    assert set(search(page)) == {"Hall"}
    page.locator("#cameras").get_by_label(HOSTILE).check()
    assert set(search(page)) == {"Hall", HOSTILE}


def test_time_filter_on_the_cameras_clock(small: Site, visit: Visit) -> None:
    page = visit(small)
    give(page, query_crop("red"))
    assert "10:30:00 – 10:32:14, Europe/Berlin" in page.inner_text(".times .hint")
    page.fill(".times .before", "2026-03-02T10:30:30")
    assert set(search(page)) == {"Gate"}
    page.select_option(".times .zone", "Asia/Tokyo")
    page.click("#search")
    page.wait_for_selector("text=Nothing that was recorded lies within these filters")
    assert page.locator(".card").count() == 0
    page.fill(".times .before", "2026-03-02T18:30:30")
    assert set(search(page)) == {"Gate"}
    page.fill(".times .after", "2026-03-02T19:00:00")
    page.click("#search")
    page.wait_for_selector(".results .problem:has-text('ends before it begins')")


@pytest.mark.parametrize(
    ("picture", "words"),
    [(b"no picture at all", "holiday<b>.png: not an image"), (png(np.zeros((8000, 8000, 3), np.uint8)), "megapixels")],
)
def test_bad_picture_is_one_line(small: Site, visit: Visit, picture: bytes, words: str) -> None:
    page = visit(small, allow="422")
    give(page, picture, "holiday<b>.png")
    page.wait_for_selector(f".picker .problem:has-text('{words}')")
    assert "Traceback" not in page.inner_text("body")
    give(page, query_crop("red"))  # and the page goes on
    page.wait_for_selector("text=used whole")
    assert page.inner_text(".picker .problem") == ""


def test_search_without_a_picture(small: Site, visit: Visit) -> None:
    page = visit(small)
    page.click("#search")
    page.wait_for_selector(".picker .problem:has-text('Give a picture first')")


def test_nobody_in_the_frame(small: Site, visit: Visit) -> None:
    page = visit(small)
    give(page, frame_at([], 0))
    page.wait_for_selector("text=No person was found in the picture")
    assert len(search(page)) == 6


def test_pasted_picture(small: Site, visit: Visit) -> None:
    page = visit(small)
    page.evaluate(
        """(bytes) => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(bytes)], "image.png", {type: "image/png"}));
          document.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data}));
        }""",
        list(png(query_crop("red"))),
    )
    page.wait_for_selector("text=used whole")


def test_names_are_text_not_html(small: Site, visit: Visit) -> None:
    page = visit(small)
    give(page, query_crop("blue"))
    search(page)
    card = page.locator(".card").first
    assert card.locator(".camera").inner_text() == HOSTILE
    card.click()
    playing(page)
    assert HOSTILE in page.inner_text(".player h2")
    assert page.locator(".page b, .page i").count() == 0


def test_by_keyboard_alone(small: Site, visit: Visit) -> None:
    page = visit(small)
    give(page, frame_at(GATE, 5.2))
    page.wait_for_selector("text=2 people were found")
    page.get_by_label("Person 1").focus()
    page.keyboard.press("Enter")
    page.locator("#search").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".card")
    page.locator(".card").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.querySelector('.rank').textContent") == "2"
    page.keyboard.press("Enter")
    playing(page)
    page.keyboard.press("Escape")
    page.wait_for_selector(".player", state="hidden")
    assert page.evaluate("document.activeElement.querySelector('.rank').textContent") == "2"


def test_empty_gallery_says_what_to_do(tmp_path: Path, serve: Callable[[SearchService], Site], visit: Visit) -> None:
    page = visit(serve(make_service(tmp_path, empty=True)))
    assert "This gallery is empty" in page.inner_text(".empty")
    assert f"reidapp index FOLDER --gallery {tmp_path}" in page.inner_text(".empty")
    assert not page.is_visible("#search")


def test_what_is_indexed_later_is_found(tmp_path: Path, serve: Callable[[SearchService], Site], visit: Visit) -> None:
    site = serve(make_service(tmp_path, empty=True))
    page = visit(site)
    fill(Gallery.open(site.service.gallery.path), tmp_path)  # as another process would
    page.reload()
    page.wait_for_selector("text=3 cameras")
    give(page, query_crop("red"))
    assert len(search(page)) == 6


def test_a_recording_that_was_moved_is_said(
    tmp_path: Path, serve: Callable[[SearchService], Site], visit: Visit
) -> None:
    site = serve(make_service(tmp_path))
    page = visit(site, allow="404")
    give(page, query_crop("red"))
    search(page)
    for file in tmp_path.glob("*.mp4"):
        file.unlink()
    page.locator(".card").first.click()
    page.wait_for_selector(".player .problem:has-text('no longer where it was')")


def test_lost_recordings_and_uncertain_times_are_marked(
    tmp_path: Path, serve: Callable[[SearchService], Site], visit: Visit
) -> None:
    service = make_service(tmp_path)
    with service.gallery.writing() as writer:
        writer.change_camera("Gate", CameraSettings(group="Outside"))
    with service.gallery.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE video SET start_source = 'container'")
    for file in tmp_path.glob("*.mp4"):
        file.unlink()
    page = visit(serve(service))
    page.locator("#cameras label", has_text="Outside (1 camera)").click()
    give(page, query_crop("red"))
    search(page)
    assert {card.inner_text() for card in page.locator(".card .camera").all()} == {"Gate"}
    assert page.locator(".card").first.locator(".badge").all_inner_texts() == ["time uncertain", "recording gone"]
    page.locator(".card").first.click()
    page.wait_for_selector(".player .problem:has-text('recording gone')")  # and nothing was asked for


def test_narrow_screen(small: Site, visit: Visit) -> None:
    page = visit(small, viewport={"width": 390, "height": 844})
    give(page, query_crop("red"))
    search(page)
    page.locator(".card").first.click()
    playing(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_others_on_the_machine_stay_outside(small: Site, browser: sync_api.Browser) -> None:
    page = browser.new_context().new_page()
    answer = page.goto(small.address)
    assert answer is not None
    assert answer.status == 403
    for path in ("config", "gradio_api/info", "theme.css", "ui/pages/search.js", "api/v1/crops/x"):
        assert page.request.get(small.address + path).status == 403


def test_a_still_is_shown_with_its_box(visit: Visit, serve: Callable[[SearchService], Site], tmp_path: Path) -> None:
    service = make_service(tmp_path, empty=True)
    (tmp_path / "stills").mkdir()
    for shirt, x in (("red", 0.3), ("blue", 0.7)):
        picture = png(frame_at([Walk(shirt, 0, 1, x, x)], 0.5))
        (tmp_path / f"stills/{shirt} 2026-03-02_10-00-00.png").write_bytes(picture)
    settings = IndexSettings(zone="UTC", kind="stills")
    found = find_footage(tmp_path / "stills", settings)
    index_footage(found, service.gallery, service.embedder, ShirtDetector(), settings)
    page = visit(serve(service))
    give(page, query_crop("red"))
    assert search(page)[0] == "red"
    page.click(".card >> nth=0")
    for x, button in ((0.3, "[data-go='1']"), (0.7, "[data-go='-1']")):
        page.wait_for_function("document.querySelector('.stage img').naturalWidth > 0")
        page.wait_for_selector(".clock:not(:empty)")
        assert not page.is_visible(".stage video")
        assert not page.is_visible("[data-step='5']")
        assert page.inner_text(".player .problem") == ""
        x1, _, x2, _ = page.evaluate(BOX_AND_SHIRT)[0]
        assert (x1 + x2) / 2 == pytest.approx(x, abs=0.02)
        page.click(button)
