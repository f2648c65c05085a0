import base64
import io
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from reidapp.gallery.case_export import export_case
from reidapp.gallery.cases import Cases, NewCaseHit
from reidapp.settings import CameraSettings
from tests.small_gallery import HOSTILE, make_gallery

CHINESE, ARABIC, CASE = "东门 三号", "بوابة ٣", "案件 🕵️ <b>12</b>"


class Sheet(HTMLParser):
    """What is on a page: its elements, the texts in them, and its pictures."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.texts: list[str] = []
        self.pictures: list[bytes] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        for name, value in attributes:
            assert not name.startswith("on")
            if name == "src":
                assert value
                kind, _, data = value.partition(",")
                assert kind == "data:image/jpeg;base64"
                self.pictures.append(base64.b64decode(data))

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


@pytest.mark.slow
def test_names_in_any_script_are_on_it_and_nothing_else_is(tmp_path: Path) -> None:
    gallery = make_gallery(tmp_path)
    with gallery.writing() as writer:
        writer.change_camera("Gate", CameraSettings(name=CHINESE))
        writer.change_camera("Hall", CameraSettings(name=ARABIC))
    cases, hits = Cases(gallery, "小王"), sorted(gallery.tracklets(), key=lambda each: each.start)
    cases.new(CASE, "من؟ & <script>")
    cases.add(CASE, [NewCaseHit(each.id, verdict="yes", note=f"👀 {each.camera}") for each in hits])
    export_case(gallery, CASE, tmp_path / "case.zip", "小王")
    archive = zipfile.ZipFile(tmp_path / "case.zip")
    sheet = Sheet(archive.read("contact-sheet.html").decode())
    assert {CASE, "من؟ & <script>"} <= set(sheet.texts)
    assert {f"👀 {camera}" for camera in (CHINESE, ARABIC, HOSTILE)} <= set(sheet.texts)
    headings = [text for text in sheet.texts if " · " in text]
    assert sorted(text.partition(" · ")[2] for text in headings) == sorted(each.camera for each in hits)
    assert any("by 小王" in text and "heads are blurred" in text for text in sheet.texts)
    assert not {"script", "b", "i", "a", "link", "iframe"} & set(sheet.elements)
    shots = [archive.read(name) for name in sorted(archive.namelist()) if name.startswith("shots/")]
    assert sheet.pictures == shots
    assert all(Image.open(io.BytesIO(picture)).height > 20 for picture in sheet.pictures)
