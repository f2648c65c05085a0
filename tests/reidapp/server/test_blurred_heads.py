"""Who sees heads: nobody without the right gets a picture, clip, recording or archive in which they are clear."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import delete
from sqlalchemy.orm import Session

from reidapp.box import Box
from reidapp.footage.decoding import frames
from reidapp.gallery import schema
from reidapp.gallery.case_export import AROUND_S, export_case
from reidapp.gallery.cases import Cases, NewCaseHit
from reidapp.imaging import cut
from reidapp.server.app import build_app
from reidapp.server.askers import Asker
from reidapp.server.job_commands import export_file
from reidapp.server.jobs import Jobs
from reidapp.server.service import SearchService
from tests.small_gallery import FOOTAGE, make_service, png, query_crop

BASE, API = "http://127.0.0.1:7860", "/api/v1"
RED = FOOTAGE["Gate", "Europe/Berlin"][0]
AT_S = 3.5  # when RED is alone before that camera
CLEAR = [Asker("ann", "viewer", heads="shown"), Asker("bob", "investigator"), Asker("cid", "admin")]
BLURRED = [
    Asker("dan", "viewer"),
    Asker("eve", "investigator", heads="blurred"),
    Asker("fay", "admin", heads="blurred"),
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SearchService, Jobs]]:
    jobs = Jobs(command=("true",))
    yield make_service(tmp_path_factory.mktemp("heads")), jobs
    jobs.close()


def client_of(shared: tuple[SearchService, Jobs], asker: Asker) -> TestClient:
    return TestClient(build_app(shared[0], asker=asker, jobs=shared[1]), base_url=BASE)


def picture(content: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(content)).convert("RGB"))


def detail(image: np.ndarray) -> float:
    """Mean square of the difference between neighbouring pixels."""
    grey = image.mean(axis=2)
    return float((np.diff(grey, axis=0) ** 2).mean() + (np.diff(grey, axis=1) ** 2).mean())


def head_and_shoes(image: np.ndarray, time_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Of RED in a frame; a ring around the head too, where its outline is."""
    box = RED.box(time_s)
    high = box.height
    head = cut(image, Box(box.x1, box.y1 - 0.02 * high, box.x2, box.y1 + 0.19 * high))
    return head, cut(image, Box(box.x1, box.y1 + 0.85 * high, box.x2, box.y2))


def gate(shared: tuple[SearchService, Jobs]) -> tuple[str, str, str]:
    """RED's tracklet, recording and best shot."""
    found = [t for t in shared[0].gallery.tracklets() if t.camera == "Gate"]
    first = min(found, key=lambda tracklet: tracklet.start)
    return first.id, first.video.id, first.crops[0].id


@pytest.mark.slow
@pytest.mark.parametrize("asker", BLURRED, ids=lambda asker: asker.role)
def test_heads_are_blurred_in_crops_frames_and_clips(
    shared: tuple[SearchService, Jobs], asker: Asker, tmp_path: Path
) -> None:
    clear, client, (tracklet, video, crop) = client_of(shared, CLEAR[1]), client_of(shared, asker), gate(shared)
    assert clear.get(f"{API}/me").json()["heads"] == "shown"
    assert client.get(f"{API}/me").json()["heads"] == "blurred"

    url = f"{API}/crops/{crop}"
    shown, hidden = picture(clear.get(url).content), picture(client.get(url).content)
    assert shown.shape == hidden.shape
    fifth, half = shown.shape[0] // 5, shown.shape[0] // 2
    assert detail(hidden[:fifth]) < 0.4 * detail(shown[:fifth])
    assert np.abs(shown[half:].astype(int) - hidden[half:]).mean() < 3  # but for being packed again

    url = f"{API}/videos/{video}/frame?at_s={AT_S}"
    shown, hidden = picture(clear.get(url).content), picture(client.get(url).content)
    (head, shoes), (no_head, same) = head_and_shoes(shown, AT_S), head_and_shoes(hidden, AT_S)
    assert detail(no_head) < 0.4 * detail(head)
    assert np.abs(shoes.astype(int) - same).mean() < 3

    url = f"{API}/tracklets/{tracklet}/clip?around_s=0"
    made = {"shown.mp4": clear.get(url), "hidden.mp4": client.get(url)}
    for name, answer in made.items():
        (tmp_path / name).write_bytes(answer.content)
    begins = float(made["hidden.mp4"].headers["clip-start"])
    pairs = zip(*(frames(tmp_path / name, 0, 4, None) for name in made), strict=True)
    looked = [
        (head_and_shoes(one.image, one.time_s + begins), head_and_shoes(other.image, one.time_s + begins))
        for one, other in pairs
        if one.time_s + begins < 4.9  # then somebody else comes
    ]
    assert len(looked) > 30
    for (head, shoes), (no_head, same) in looked:
        assert detail(no_head) < 0.5 * detail(head)
        assert np.abs(shoes.astype(int) - same).mean() < 6


def details_of_red(clip: Path, begins_s: float) -> list[float]:
    """Of RED's shoes in each frame of a clip, until somebody else comes."""
    pictures = [(each.time_s + begins_s, each.image) for each in frames(clip, 0, 4.8 - begins_s, None)]
    return [detail(head_and_shoes(image, time_s)[1]) for time_s, image in pictures]


@pytest.mark.slow
def test_who_was_not_found_is_blurred_in_frames_clips_and_archives(tmp_path: Path) -> None:
    """RED's rows are taken away: what is left to tell of him is that he moves."""
    service = make_service(tmp_path)
    gallery, jobs = service.gallery, Jobs(command=("true",))
    found = [t for t in gallery.tracklets() if t.camera == "Gate"]
    red, green = sorted(found, key=lambda tracklet: tracklet.start)
    with Session(gallery.engine) as session:
        session.execute(delete(schema.Crop).where(schema.Crop.tracklet_id == red.id))
        session.execute(delete(schema.Tracklet).where(schema.Tracklet.id == red.id))
        session.commit()
    clear, client = (
        TestClient(build_app(service, asker=asker, jobs=jobs), base_url=BASE) for asker in (CLEAR[1], BLURRED[0])
    )

    url = f"{API}/videos/{red.video.id}/frame?at_s={AT_S}"
    shown, hidden = (head_and_shoes(picture(each.get(url).content), AT_S)[1] for each in (clear, client))
    assert detail(hidden) < 0.3 * detail(shown)

    url = f"{API}/tracklets/{green.id}/clip?around_s=3"
    for name, each in (("shown.mp4", clear), ("hidden.mp4", client)):
        (tmp_path / name).write_bytes(each.get(url).content)
    looked = [details_of_red(tmp_path / name, green.start_s - 3) for name in ("shown.mp4", "hidden.mp4")]
    assert len(looked[0]) > 20
    assert all(hidden < 0.3 * shown for shown, hidden in zip(*looked, strict=True))

    cases = Cases(gallery, "bob")
    cases.new("green")
    cases.add("green", [NewCaseHit(green.id)])
    looked = []
    for folder, show_heads in ((tmp_path / "shown", True), (tmp_path / "hidden", False)):
        export_case(gallery, "green", folder.with_suffix(".zip"), "bob", show_heads=show_heads)
        shutil.unpack_archive(folder.with_suffix(".zip"), folder)
        (clip,) = folder.rglob("*.mp4")
        looked.append(details_of_red(clip, green.start_s - AROUND_S))
    assert len(looked[0]) > 20
    assert all(hidden < 0.3 * shown for shown, hidden in zip(*looked, strict=True))
    jobs.close()


@pytest.mark.slow
def test_nothing_that_is_cached_for_one_is_sent_to_another(shared: tuple[SearchService, Jobs]) -> None:
    clear, client, (tracklet, _, crop) = client_of(shared, CLEAR[1]), client_of(shared, BLURRED[0]), gate(shared)
    for url in (f"{API}/tracklets/{tracklet}/clip?around_s=1", f"{API}/crops/{crop}"):
        shown, hidden = clear.get(url), client.get(url)
        assert hidden.content != shown.content
        assert shown.headers.get("etag") != hidden.headers.get("etag")
        for answer in (shown, hidden):
            assert "private" in answer.headers["cache-control"]
            assert answer.headers["vary"] == "Cookie, Authorization"
        asked = {"Range": "bytes=0-", "If-Range": shown.headers["etag"], "If-None-Match": shown.headers["etag"]}
        assert client.get(url, headers=asked).content == hidden.content
        assert clear.get(url).content == shown.content  # now that both are kept


@pytest.mark.slow
@pytest.mark.parametrize("asker", CLEAR, ids=lambda asker: asker.role)
def test_who_may_see_heads_gets_what_is_stored(shared: tuple[SearchService, Jobs], asker: Asker) -> None:
    client, (_, video, crop) = client_of(shared, asker), gate(shared)
    assert client.get(f"{API}/crops/{crop}").content == shared[0].gallery.crop_file(crop).read_bytes()
    path = shared[0].gallery.video(video).path
    assert client.get(f"{API}/videos/{video}/file").content == path.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("asker", BLURRED, ids=lambda asker: asker.role)
def test_whole_recordings_and_clear_archives_are_refused(shared: tuple[SearchService, Jobs], asker: Asker) -> None:
    (service, jobs), client, (tracklet, video, _) = shared, client_of(shared, asker), gate(shared)
    answer = client.get(f"{API}/videos/{video}/file", headers={"Range": "bytes=0-99"})
    assert (answer.status_code, "clips" in answer.json()["error"]) == (403, True)
    if asker.role == "viewer":
        return
    cases, name = Cases(service.gallery, asker.name), f"case of {asker.name}"
    cases.new(name)
    cases.add(name, [NewCaseHit(tracklet)])
    assert client.post(f"{API}/cases/{name}/exports", json={"heads": "shown"}).status_code == 403
    job = client.post(f"{API}/cases/{name}/exports", json={"heads": "blurred"}).json()
    assert "--show-heads" not in jobs.get(job["id"]).command

    before = client_of(shared, Asker(asker.name, asker.role))  # as long as they had the right
    job = before.post(f"{API}/cases/{name}/exports", json={"heads": "shown"}).json()
    export_file(service.gallery, job["id"]).write_bytes(b"PK")
    assert before.get(f"{API}/exports/{job['id']}").status_code == 200
    assert client.get(f"{API}/exports/{job['id']}").status_code == 403
    assert client.post(f"{API}/jobs/{job['id']}/retry").status_code == 403


@pytest.mark.slow
def test_pictures_of_saved_searches_are_blurred_too(shared: tuple[SearchService, Jobs]) -> None:
    clear, client = client_of(shared, CLEAR[1]), client_of(shared, BLURRED[0])
    given = clear.post(f"{API}/queries", content=png(query_crop("red"))).json()["id"]
    search = clear.post(f"{API}/search", json={"pictures": [{"id": given}]}).json()["search"]
    told = clear.post(f"{API}/saved-searches", json={"name": "red", "search": search}).json()
    shown, hidden = (picture(each.get(told["pictures"][0]).content) for each in (clear, client))
    third, below = shown.shape[0] // 3, shown.shape[0] * 6 // 10
    assert detail(hidden[:third]) < 0.4 * detail(shown[:third])
    assert np.abs(shown[below:].astype(int) - hidden[below:]).mean() < 3
