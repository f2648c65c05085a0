"""Words can be read: the contrast of every text with what it stands on, in light and dark, as WCAG 2 counts it."""

from typing import Any

import pytest

from tests.small_gallery import query_crop
from tests.ui.conftest import Site
from tests.ui.test_page import Page, Visit, give, playing, search
from ui.page import PAGES

# Every visible text below 4.5 to 1 (3 to 1 where it is large), with its ratio. Colours that let others through are laid
# on those below; a picture may have any.
TOO_PALE = """() => {
  const canvas = Object.assign(document.createElement('canvas'), {width: 1, height: 1});
  const pen = canvas.getContext('2d', {willReadFrequently: true});
  const read = (colour) => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], ground) => [r, g, b].map((value, i) => a * value + (1 - a) * ground[i]);
  const linear = (value) => (value <= 10.31 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
  const light = (colour) => {
    const [r, g, b] = colour.map(linear);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (one, other) => {
    const [high, low] = [light(one), light(other)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  const ofPage = (element) => {
    const layers = [];
    for (let at = element; at && layers[0]?.[3] !== 1; at = at.parentElement)
      layers.unshift(read(getComputedStyle(at).backgroundColor));
    return layers.reduce((under, colour) => over(colour, under), [255, 255, 255]);
  };
  const grounds = (element) => {
    if (!element.matches('.rank, .clock, .number, .badge')) return [ofPage(element)];
    const own = read(getComputedStyle(element).backgroundColor);
    return [over(own, [0, 0, 0]), over(own, [255, 255, 255])];
  };
  const found = [];
  const walk = document.createTreeWalker(document.querySelector('.page'), NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const element = node.parentElement, style = getComputedStyle(element);
    if (!node.data.trim() || !element.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
    if (element.closest(':disabled, .visually-hidden, datalist, option, svg')) continue;
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const worst = Math.min(...grounds(element).map((under) => ratio(over(read(style.color), under), under)));
    const told = `${node.data.trim().slice(0, 30)} (${element.className}): ${worst.toFixed(2)}`;
    if (worst < (large ? 3 : 4.5)) found.push(told);
  }
  return found;
}"""


def a_hit(page: Page) -> None:
    give(page, query_crop("red"))
    search(page)
    page.locator(".card").first.focus()
    page.keyboard.press("y")
    page.wait_for_selector(".journey .stop")
    page.wait_for_selector(".search:not([aria-busy])")
    page.locator(".card").first.click()
    playing(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(small: Site, visit: Visit, scheme: str) -> None:
    page = visit(small, color_scheme=scheme)
    assert page.evaluate("document.body.classList.contains('dark')") == (scheme == "dark")
    pale: dict[str, Any] = {"start": page.evaluate(TOO_PALE)}
    a_hit(page)
    pale["hits"] = page.evaluate(TOO_PALE)
    for name in (each for each in PAGES.values() if each):
        page.goto(f"{small.address}{name}")
        page.wait_for_selector(".ready")
        pale[name] = page.evaluate(TOO_PALE)
    assert {name: found for name, found in pale.items() if found} == {}


def test_a_text_that_is_too_pale_is_found(small: Site, visit: Visit) -> None:
    page = visit(small)
    page.add_style_tag(content=".page h1 { color: #aaa !important; }")
    assert any(line.startswith("Find a person") for line in page.evaluate(TOO_PALE))
