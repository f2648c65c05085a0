import asyncio
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from reidapp.asking import Question
from reidapp.footage.indexing import find_footage, index_footage
from reidapp.imaging import cut
from reidapp.server import service as service_module
from reidapp.server.access import API
from reidapp.server.app import build_app
from reidapp.server.service import Part, SearchService, Wanted
from reidapp.settings import IndexSettings
from tests.small_gallery import FOOTAGE, SHIRTS, WIDTH, ShirtDetector, Walk, frame_at, make_service, png, query_crop


@pytest.fixture
def client(service: SearchService) -> Iterator[TestClient]:
    with TestClient(build_app(service), base_url="http://127.0.0.1:7860") as client:
        yield client


def first_hit(service: SearchService):
    query = service.take_query(png(query_crop("red")), "red.png")
    return service.find(Wanted(Question(crops=service.crops([Part(query.id)]))), "test").result.hits[0]


def test_crop_is_the_stored_webp(client: TestClient, service: SearchService) -> None:
    hit = first_hit(service)
    answer = client.get(f"{API}/crops/{hit.crop}")
    assert answer.headers["content-type"] == "image/webp"
    assert answer.content == hit.thumbnail.read_bytes()


def test_video_is_sent_in_ranges(client: TestClient, service: SearchService) -> None:
    hit = first_hit(service)
    whole = hit.video.read_bytes()
    answer = client.get(f"{API}/videos/{hit.video_id}/file", headers={"Range": "bytes=100-199"})
    assert answer.status_code == 206
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["content-range"] == f"bytes 100-199/{len(whole)}"
    assert answer.content == whole[100:200]


def test_tracklet_has_the_path_of_the_box(client: TestClient, service: SearchService) -> None:
    hit = first_hit(service)
    told = client.get(f"{API}/tracklets/{hit.tracklet}").json()
    assert told["zone"] == hit.zone
    walk = next(w for walks in FOOTAGE.values() for w in walks if w.shirt == "red" and w.start_s == told["start_s"])
    for point in told["path"]:
        np.testing.assert_allclose(point["box"], walk.box(point["time_s"]), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["crops", "videos", "tracklets", "queries"])
@pytest.mark.parametrize("name", ["0123456789abcdef", "..%2f..%2fgallery.db", "%2Fetc%2Fpasswd"])
def test_what_is_not_there_is_404(client: TestClient, kind: str, name: str) -> None:
    answer = client.get(f"{API}/{kind}/{name}")
    assert answer.status_code == 404
    assert "passwd:" not in answer.text
    assert "Traceback" not in answer.text


@pytest.mark.slow
def test_a_recording_that_is_gone_is_said(tmp_path: Path) -> None:
    service = make_service(tmp_path)
    hit = first_hit(service)
    hit.video.unlink()
    with TestClient(build_app(service), base_url="http://127.0.0.1") as client:
        answer = client.get(f"{API}/videos/{hit.video_id}/file")
    assert answer.status_code == 404
    assert "no longer where it was" in answer.json()["error"]


@pytest.mark.slow
def test_another_recording_under_the_same_name_is_not_shown(tmp_path: Path) -> None:
    service = make_service(tmp_path)
    hit = first_hit(service)
    hit.video.write_bytes(b"what the camera recorded later")
    with TestClient(build_app(service), base_url="http://127.0.0.1") as client:
        answer = client.get(f"{API}/videos/{hit.video_id}/file")
    assert answer.status_code == 404
    assert "another one than when it was indexed" in answer.json()["error"]


def test_frame_query_finds_the_people(client: TestClient) -> None:
    walks = FOOTAGE["Gate", "Europe/Berlin"]
    told = client.post(f"{API}/queries?name=frame.png", content=png(frame_at(walks, 5.2))).json()
    assert not told["is_crop"]
    assert len(told["people"]) == 2
    lefts = [person["box"][0] for person in told["people"]]
    assert lefts == sorted(lefts)
    shown = Image.open(BytesIO(client.get(told["url"]).content))
    assert shown.width == WIDTH


def test_crop_query_is_used_whole(client: TestClient) -> None:
    told = client.post(f"{API}/queries", content=png(query_crop("blue"))).json()
    assert told["is_crop"]
    assert told["people"] == []


@pytest.mark.slow
def test_large_picture_is_shown_smaller(client: TestClient) -> None:
    told = client.post(f"{API}/queries", content=png(np.zeros((1500, 3000, 3), np.uint8))).json()
    assert Image.open(BytesIO(client.get(told["url"]).content)).size == (1280, 640)


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"", "not an image"), (b"hello", "not an image"), (png(query_crop("red"))[:300], "damaged")],
)
def test_bad_picture_is_one_clear_line(client: TestClient, data: bytes, words: str) -> None:
    answer = client.post(f"{API}/queries?name=a%3Cb%3E.png", content=data)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error.startswith("a<b>.png: ")
    assert words in error
    assert "\n" not in error


def test_too_large_a_file_is_refused_before_it_is_all_read(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reidapp.server.media.MAX_QUERY_BYTES", 1000)
    monkeypatch.setattr(service_module, "MAX_QUERY_BYTES", 1000)
    answer = client.post(f"{API}/queries", content=b"x" * 50_000)
    assert answer.status_code == 422
    assert "make it smaller" in answer.json()["error"]

    read, sent = 0, []

    async def receive() -> dict:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": b"x" * 500, "more_body": read < 100}

    async def send(message: dict) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": f"{API}/queries", "query_string": b"", "http_version": "1.1"}
    scope |= {"scheme": "http", "headers": [(b"host", b"127.0.0.1")]}
    asyncio.run(client.app(scope, receive, send))  # the test client would send all of it first
    assert sent[0]["status"] == 422
    assert read == 3


def test_health(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}


@pytest.mark.slow
def test_a_still_is_sent_upright_as_browsers_know_it(tmp_path: Path) -> None:
    service = make_service(tmp_path, empty=True)
    exif = Image.Exif()
    exif[0x0112] = 6  # lying: to be turned by 90°
    picture = np.rot90(frame_at([Walk("red", 0, 1, 0.3, 0.3)], 0.5))
    (tmp_path / "stills").mkdir()
    Image.fromarray(np.ascontiguousarray(picture)).save(tmp_path / "stills/a.tif", exif=exif)
    settings = IndexSettings(zone="UTC", kind="stills")
    index_footage(
        find_footage(tmp_path / "stills", settings), service.gallery, service.embedder, ShirtDetector(), settings
    )
    hit = first_hit(service)
    with TestClient(build_app(service), base_url="http://127.0.0.1") as client:
        answer = client.get(f"{API}/videos/{hit.video_id}/frame")
        assert answer.headers["content-type"] == "image/jpeg"
        shown = np.asarray(Image.open(BytesIO(answer.content)))
        assert shown.shape == (270, 480, 3)
        shirt = cut(shown, hit.box)
        assert np.abs(shirt[shirt.shape[0] // 3, shirt.shape[1] // 2].astype(int) - SHIRTS["red"]).max() < 20
        hit.video.unlink()
        assert client.get(f"{API}/videos/{hit.video_id}/frame").status_code == 404


@pytest.mark.slow
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_where_an_uploaded_picture_was_taken_is_nowhere_afterwards(form: str, tmp_path: Path) -> None:
    exif, said = Image.Exif(), b"taken at home by Ann"
    exif[0x010E] = said.decode()  # ImageDescription
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0), 29: "1999:12:31"})  # GPS: where and when
    buffer = BytesIO()
    Image.fromarray(query_crop("red")).save(buffer, form, exif=exif)
    assert said in buffer.getvalue()
    with TestClient(build_app(make_service(tmp_path)), base_url="http://127.0.0.1:7860") as client:
        picture = client.post(f"{API}/queries", content=buffer.getvalue()).json()
        search = client.post(f"{API}/search", json={"pictures": [{"id": picture["id"]}]})
        saved = client.post(f"{API}/saved-searches", json={"name": f"who in {form}", "search": search.json()["search"]})
        (kept,) = saved.json()["pictures"]
        answers = [search, saved, client.get(f"{API}/queries/{picture['id']}"), client.get(kept)]
        assert [answer.status_code for answer in answers] == [200, 201, 200, 200]
        for answer in answers[2:]:
            assert dict(Image.open(BytesIO(answer.content)).getexif()) == {}
    stored = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    assert len(stored) > 5
    for each in [*stored, *(answer.content for answer in answers)]:
        assert said not in each
        assert b"1999:12:31" not in each
