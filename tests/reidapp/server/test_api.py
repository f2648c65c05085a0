"""What users of the REST API rely on, over the running application."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from sqlalchemy.exc import OperationalError

from reidapp.errors import UserError
from reidapp.gallery.saved_searches import SavedSearches
from reidapp.server.access import Asker, Desk
from reidapp.server.app import build_app
from reidapp.server.galleries import Galleries
from reidapp.server.jobs import Jobs
from reidapp.server.routes import NOUNS
from reidapp.server.security import OneTimeLink
from reidapp.server.service import SearchService
from reidapp.settings import CameraSettings
from tests.reidapp.server.live import follow, live
from tests.small_gallery import FOOTAGE, HOSTILE, START, frame_at, make_service, png, query_crop

API = "/api/v1"
BASE = "http://127.0.0.1:7860"


@pytest.fixture
def client(service: SearchService) -> Iterator[TestClient]:
    with TestClient(build_app(service), base_url=BASE) as client:
        yield client


@pytest.fixture
def own(tmp_path: Path) -> Iterator[TestClient]:
    """Of a gallery that the test may change."""
    jobs = Jobs([tmp_path])
    with TestClient(build_app(make_service(tmp_path), jobs=jobs), base_url=BASE) as client:
        yield client
    jobs.close()


def found(client: TestClient, **asked: Any) -> dict[str, Any]:
    picture = client.post(f"{API}/queries", content=png(query_crop("red"))).json()["id"]
    answer = client.post(f"{API}/search", json={"pictures": [{"id": picture}], **asked})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_search_finds_the_person_and_says_where(client: TestClient) -> None:
    answer = found(client, top=3)
    assert {hit["camera"] for hit in answer["hits"]} == {"Gate", HOSTILE, "Hall"}
    for hit in answer["hits"]:
        assert client.get(hit["thumbnail"]).headers["content-type"] == "image/webp"
        assert hit["recording_token"] == hit["video"]
        assert hit["likelihood"] == hit["score"]  # nothing is calibrated
        assert hit["start_point"] == hit["start"]
        assert "/" not in hit["file"]


def test_filters_by_cameras_groups_and_times_under_either_name(own: TestClient) -> None:
    own.patch(f"{API}/cameras/Hall", json={"group": "inside"})
    for filters in ({"cameras": ["Hall"]}, {"groups": ["inside"]}, {"cameras": ["inside"]}):
        assert {hit["camera"] for hit in found(own, **filters)["hits"]} == {"Hall"}
    moment = (START + timedelta(seconds=30)).isoformat()
    for name in ("before", "end_point"):
        assert {hit["camera"] for hit in found(own, **{name: moment})["hits"]} == {"Gate"}
    for name in ("after", "start_point"):
        assert {hit["camera"] for hit in found(own, **{name: moment})["hits"]} == {HOSTILE, "Hall"}
    assert len(found(own, max_matches=2)["hits"]) == 2
    refused = own.post(f"{API}/search", json={"identity": "Ann", "after": "2026-03-02T10:00:00"})
    assert refused.status_code == 422  # a time without a zone would be somebody's guess


def test_feedback_refines_and_leaves_out_what_was_judged(client: TestClient) -> None:
    first = found(client)
    yes, no = first["hits"][0]["tracklet"], first["hits"][-1]["tracklet"]
    path = f"{API}/search/{first['search']}"
    second = client.post(f"{path}/feedback", json={"yes": [yes], "no": [no]}).json()
    assert second["refined"]
    assert sorted(second["left_out"]) == sorted([yes, no])
    assert not {yes, no} & {hit["tracklet"] for hit in second["hits"]}
    assert client.get(path).json()["left_out"] == second["left_out"]
    third = client.post(f"{path}/feedback", json={"clear": [yes, no]}).json()
    assert [hit["tracklet"] for hit in third["hits"]] == [hit["tracklet"] for hit in first["hits"]]
    assert client.post(f"{path}/feedback", json={"yes": [yes], "no": [yes]}).status_code == 422


def test_images_and_boxes_in_one_form(client: TestClient) -> None:
    frame = frame_at(FOOTAGE["Gate", "Europe/Berlin"], 5.2)
    red, green = client.post(f"{API}/queries", content=png(frame)).json()["people"]
    left, right = (person["box"] for person in (red, green))
    files = [("images", ("frame.png", png(frame), "image/png"))]
    answers = [
        client.post(f"{API}/search/images", files=files, data={"boxes": json.dumps([box]), "search": '{"top": 3}'})
        for box in (left, right)
    ]
    best = [answer.json()["hits"][0]["tracklet"] for answer in answers]
    assert best[0] != best[1]
    several = client.post(f"{API}/search/images", files=files)
    assert several.status_code == 422
    assert "2 people" in several.json()["error"]
    for data in ({"boxes": "[[0,0,2,1]]"}, {"search": '{"topp": 1}'}, {"boxes": "{"}):
        assert client.post(f"{API}/search/images", files=files, data=data).status_code == 422


def test_a_search_is_saved_with_its_answers_and_run_again(own: TestClient) -> None:
    first = found(own, cameras=["Hall", "Gate"])
    yes = first["hits"][0]["tracklet"]
    own.post(f"{API}/search/{first['search']}/feedback", json={"yes": [yes]})
    saved = own.post(f"{API}/saved-searches", json={"name": "red / coat", "search": first["search"]})
    assert saved.status_code == 201
    assert saved.json()["yes"] == [yes]
    assert own.get(saved.json()["pictures"][0]).headers["content-type"] == "image/webp"
    again = own.post(f"{API}/search", json={"saved": "red / coat"}).json()
    assert again["left_out"] == [yes]
    assert HOSTILE not in {hit["camera"] for hit in again["hits"]}
    assert own.delete(f"{API}/saved-searches/red%20%2F%20coat").status_code == 200
    assert own.get(f"{API}/saved-searches").json() == {"searches": []}


def save(client: TestClient, name: str) -> list[str]:
    """A saved search's hits, nothing said of them."""
    first = found(client)
    assert client.post(f"{API}/saved-searches", json={"name": name, "search": first["search"]}).status_code == 201
    return [hit["tracklet"] for hit in first["hits"]]


def test_answers_to_a_saved_search_are_kept_and_taken_back_by_feedback_alone(own: TestClient) -> None:
    hits, path = save(own, "coat"), f"{API}/saved-searches/coat"
    opened = own.post(f"{API}/search", json={"saved": "coat", "yes": hits[:1], "no": hits[1:2]}).json()
    assert sorted(opened["left_out"]) == sorted(hits[:2])
    own.get(f"{API}/search/{opened['search']}")
    assert own.get(path).json()["yes"] == []  # to ask is not to say
    feedback = f"{API}/search/{opened['search']}/feedback"
    own.post(feedback, json={"yes": hits[:1], "no": hits[1:3]})
    assert sorted(own.get(path).json()["no"]) == sorted(hits[1:3])
    refined = own.post(feedback, json={"clear": hits[1:3]}).json()
    assert refined["left_out"] == hits[:1]
    assert (own.get(path).json()["yes"], own.get(path).json()["no"]) == (hits[:1], [])
    assert own.post(f"{path}/answers", json={"no": hits[3:4], "clear": hits[:1]}).json()["yes"] == []
    assert own.get(path).json()["no"] == hits[3:4]


@pytest.mark.slow
def test_what_a_viewer_says_stays_in_their_search(tmp_path: Path) -> None:
    service = make_service(tmp_path)
    hits = save(TestClient(build_app(service), base_url=BASE), "coat")
    saved = SavedSearches(service.gallery, "me")
    saved.answer("coat", hits[:1], [])
    viewer = limited(service, Asker("guard", "viewer"))
    opened = viewer.post(f"{API}/search", json={"saved": "coat"}).json()
    assert opened["left_out"] == hits[:1]
    said = {"no": hits[1:2], "clear": hits[:1]}
    assert viewer.post(f"{API}/search/{opened['search']}/feedback", json=said).json()["left_out"] == hits[1:2]
    assert viewer.get(f"{API}/search/{opened['search']}").json()["left_out"] == hits[1:2]
    assert (saved.get("coat").yes, saved.get("coat").no) == (hits[:1], [])


def test_answers_that_come_together_all_count(own: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    first = found(own)
    hits, path = [hit["tracklet"] for hit in first["hits"]], f"{API}/search/{first['search']}"
    find, meanwhile = SearchService.find, [{"no": hits[5:6]}]

    def slow(service: SearchService, *given: Any) -> Any:
        if meanwhile:  # another answer comes while this one is searched with
            assert own.post(f"{path}/feedback", json=meanwhile.pop()).status_code == 200
        return find(service, *given)

    monkeypatch.setattr(SearchService, "find", slow)
    own.post(f"{path}/feedback", json={"yes": hits[:1]})
    assert sorted(own.get(path).json()["left_out"]) == sorted([hits[0], hits[5]])


@pytest.mark.slow
def test_a_case_hit_keeps_what_is_not_said_anew(own: TestClient) -> None:
    tracklet = own.get(f"{API}/tracklets").json()["tracklets"][0]["id"]
    own.post(f"{API}/cases", json={"name": "coat"})
    said = {"tracklet": tracklet, "verdict": "yes", "note": "certain", "score": 0.5}
    path = f"{API}/cases/coat/hits"
    first = own.post(path, json={"hits": [said, {"tracklet": tracklet}]}).json()["hits"]
    assert own.post(path, json={"hits": [{"tracklet": tracklet}]}).json()["hits"] == first
    (hit,) = own.patch(f"{path}/{tracklet}", json={"note": "nearly"}).json()["hits"]
    assert (hit["verdict"], hit["note"]) == ("yes", "nearly")
    (hit,) = own.patch(f"{path}/{tracklet}", json={"verdict": None}).json()["hits"]
    assert (hit["verdict"], hit["note"], hit["score"]) == (None, "nearly", 0.5)
    (hit,) = own.patch(f"{path}/{tracklet}", json={"verdict": "unsure"}).json()["hits"]
    assert (hit["verdict"], hit["recording"], hit["file"]) == ("unsure", "present", "<i>0&.mp4")
    assert own.patch(f"{API}/cases/coat", json={"closed": True}).json()["closed"]
    refused = own.patch(f"{path}/{tracklet}", json={"verdict": "yes"})
    assert (refused.status_code, "closed" in refused.json()["error"]) == (422, True)
    assert own.patch(f"{API}/cases/coat", json={"closed": False}).json()["closed"] is None


def test_people_are_named_merged_and_undone(own: TestClient) -> None:
    one, two, *_ = (entry["id"] for entry in own.get(f"{API}/tracklets").json()["tracklets"])
    own.post(f"{API}/identities", json={"name": "Ann", "tracklets": [one]})
    own.post(f"{API}/identities", json={"name": "Bo", "tracklets": [two]})
    assert own.get(f"{API}/tracklets/{one}").json()["identity"] == "Ann"
    assert own.post(f"{API}/identities/Bo/merge", json={"into": "Ann"}).json()["yes"] == 2
    assert own.post(f"{API}/identities/Ann/unmerge").status_code == 200
    assert {each["name"] for each in own.get(f"{API}/identities").json()["identities"]} == {"Ann", "Bo"}
    own.post(f"{API}/identity-actions/undo", json={"count": 4})
    assert own.get(f"{API}/identities").json() == {"identities": []}
    assert own.get(f"{API}/identities/Ann").status_code == 404


def test_a_tracklet_and_who_was_seen_about_that_time(client: TestClient) -> None:
    gate = client.get(f"{API}/tracklets?camera=Gate").json()["tracklets"]
    told = client.get(gate[0]["url"]).json()
    walk = FOOTAGE["Gate", "Europe/Berlin"][0]
    assert told["path"][0]["time_s"] == walk.start_s
    assert [shot["url"] for shot in told["crops"]] == [gate[0]["thumbnail"]]
    near = client.get(f"{gate[0]['url']}/neighbours?within_s=0&same_camera=true").json()["tracklets"]
    assert [entry["id"] for entry in near] == [gate[1]["id"]]  # they cross
    assert client.get(f"{gate[0]['url']}/neighbours?within_s=0").json()["tracklets"] == near


@pytest.mark.slow
def test_clips_come_in_ranges_and_begin_where_they_say(client: TestClient) -> None:
    entry = client.get(f"{API}/tracklets?camera=Hall").json()["tracklets"][1]
    whole = client.get(entry["clip_url"])
    assert whole.headers["content-type"] == "video/mp4"
    assert float(whole.headers["clip-start"]) == client.get(entry["url"]).json()["clip_start_s"] == 5.0
    part = client.get(entry["clip_url"], headers={"Range": "bytes=10-19"})
    assert part.status_code == 206
    assert part.content == whole.content[10:20]
    video = client.get(f"{API}/videos/{entry['video']}").json()
    assert client.get(f"{video['url']}/clip?start_s=1&length_s=1000").status_code == 422
    assert client.get(f"{video['url']}/clip?start_s=1000").status_code in (404, 422)
    assert client.get(f"{video['url']}/frame?at_s=3").headers["content-type"] == "image/jpeg"


def test_videos_by_camera_time_and_page(client: TestClient) -> None:
    seen, page = [], ""
    while page is not None:
        answer = client.get(f"{API}/videos?limit=1{page and f'&page={page}'}").json()
        seen += [video["camera"] for video in answer["videos"]]
        page = answer["next"]
    assert seen == ["Gate", HOSTILE, "Hall"]
    (video,) = client.get(f"{API}/videos", params={"camera": "Hall"}).json()["videos"]
    assert video["gaps"] == []
    assert video["indexed_minutes"] == pytest.approx(video["duration_s"] / 60, abs=0.01)
    assert client.get(f"{API}/videos?after=2027-01-01T00:00:00Z").json() == {"videos": [], "next": None}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("POST", "/cameras", 405),
        ("GET", "/cameras/Nowhere", 404),
        ("GET", "/tracklets/0123456789abcdef", 404),
        ("GET", "/tracklets/..%2F..%2Fgallery.db", 404),
        ("GET", "/videos?limit=0", 422),
        ("GET", "/videos?camera=Nowhere", 422),
        ("GET", "/tracklets?page=1_%00", 422),
        ("GET", "/galleries/other/cameras", 404),
        ("POST", "/search", 422),
    ],
)
def test_every_error_has_one_form(client: TestClient, method: str, path: str, status: int) -> None:
    answer = client.request(method, API + path)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}
    assert "\n" not in answer.json()["error"]


@pytest.mark.slow
def test_several_galleries_in_one_server(tmp_path: Path) -> None:
    services = [make_service(folder) for name in ("a", "b") if not (folder := tmp_path / name).mkdir()]
    with services[1].gallery.writing() as writer:
        writer.change_camera("Gate", CameraSettings(name="Garden"))
    with TestClient(build_app(Galleries(services)), base_url=BASE) as client:
        told = client.get(f"{API}/galleries").json()["galleries"]
        assert [each["name"] for each in told] == ["gallery", "gallery-2"]
        assert [each["default"] for each in told] == [True, False]
        names = [{c["name"] for c in client.get(f"{each['url']}/cameras").json()["cameras"]} for each in told]
        assert "Gate" in names[0]
        assert "Garden" in names[1]
        assert {c["name"] for c in client.get(f"{API}/cameras").json()["cameras"]} == names[0]
        (entry, *_) = client.get(f"{told[1]['url']}/tracklets?camera=Garden").json()["tracklets"]
        assert entry["thumbnail"].startswith(told[1]["url"])
        assert client.get(entry["thumbnail"]).status_code == 200
        assert client.get(f"{API}/galleries/gallery-2/tracklets/{entry['id']}").json()["camera"] == "Garden"


@pytest.mark.slow
@pytest.mark.parametrize("host", ["cams.example", "127.0.0.1:7860"])  # some proxies pass on the one that was asked for
@pytest.mark.parametrize("prefix", ["", "/reid"])  # some take the path off again
def test_behind_a_proxy_under_a_path(service: SearchService, prefix: str, host: str) -> None:
    link = OneTimeLink()
    app = build_app(service, link, public="https://cams.example/reid")
    with TestClient(app, base_url="http://127.0.0.1", follow_redirects=False) as client:
        client.headers["Host"] = host
        assert client.get(f"{prefix}/healthz").status_code == 200
        assert client.get(f"{prefix}{API}/cameras").status_code == 403
        entered = client.get(f"{prefix}/?token={link.token}")
        assert entered.headers["location"] == "/reid/"
        assert "Path=/reid" in entered.headers["set-cookie"]
        assert "Secure" in entered.headers["set-cookie"]
        cookie = {"Cookie": entered.headers["set-cookie"].partition(";")[0]}
        ours, others = ({"Origin": origin} for origin in ("https://cams.example", "https://evil.example"))
        told = client.get(f"{prefix}{API}/tracklets", headers=cookie | ours).json()["tracklets"][0]
        assert told["thumbnail"].startswith(f"/reid{API}/crops/")
        own_path = told["thumbnail"] if prefix else told["thumbnail"].removeprefix("/reid")
        assert client.get(own_path, headers=cookie).headers["content-type"] == "image/webp"
        described = client.get(f"{prefix}{API}/openapi.json", headers=cookie).json()
        assert described["servers"] == [{"url": f"/reid{API}"}]
        assert client.post(f"{prefix}{API}/search", headers=cookie | others, json={}).status_code == 403
    with pytest.raises(UserError, match="--behind-proxy"):
        build_app(service, public="cams.example")


def test_every_route_asks_who_it_is(client: TestClient) -> None:
    for noun in NOUNS:
        for route in noun.router.routes:
            assert isinstance(route, APIRoute)
            hints = route.endpoint.__annotations__.values()
            assert any(getattr(hint, "__origin__", None) is Desk for hint in hints), route.path


def limited(service: SearchService, asker: Asker) -> TestClient:
    return TestClient(build_app(service, asker=asker), base_url=BASE)


@pytest.mark.slow
def test_who_may_see_one_camera_sees_nothing_of_others(service: SearchService) -> None:
    every = TestClient(build_app(service), base_url=BASE)
    hidden = [entry for entry in every.get(f"{API}/tracklets").json()["tracklets"] if entry["camera"] != "Hall"]
    client = limited(service, Asker("guard", "viewer", frozenset({"Hall"})))
    assert {c["name"] for c in client.get(f"{API}/cameras").json()["cameras"]} == {"Hall"}
    assert {video["camera"] for video in client.get(f"{API}/videos").json()["videos"]} == {"Hall"}
    assert {entry["camera"] for entry in client.get(f"{API}/tracklets").json()["tracklets"]} == {"Hall"}
    assert {hit["camera"] for hit in found(client)["hits"]} == {"Hall"}
    for entry in hidden:
        for path in (entry["url"], entry["thumbnail"], entry["clip_url"], f"{API}/videos/{entry['video']}"):
            assert client.get(path).status_code == 404
        assert client.post(f"{API}/search", json={"tracklets": [entry["id"]]}).status_code == 404
    assert client.post(f"{API}/search", json={"cameras": ["Gate"]}).status_code == 422
    assert client.post(f"{API}/identities", json={"name": "x"}).status_code == 403
    assert client.post(f"{API}/jobs", json={"kind": "backup"}).status_code == 403


def test_who_may_see_no_camera_finds_nobody(service: SearchService) -> None:
    client = limited(service, Asker("guard", "viewer", frozenset({"no longer there"})))
    answer = found(client)
    assert answer["hits"] == []
    assert client.get(f"{API}/search/{answer['search']}").json()["hits"] == []
    assert client.get(f"{API}/tracklets").json()["tracklets"] == []


def test_who_may_see_a_time_sees_nothing_of_others(service: SearchService) -> None:
    client = limited(service, Asker("guard", before=START + timedelta(seconds=30)))
    assert {hit["camera"] for hit in found(client, before="2030-01-01T00:00:00Z")["hits"]} == {"Gate"}
    assert {entry["camera"] for entry in client.get(f"{API}/tracklets").json()["tracklets"]} == {"Gate"}


def test_ready_and_figures(client: TestClient) -> None:
    assert client.get("/readyz").json() == {"status": "ready"}
    client.get(f"{API}/cameras")
    text = client.get("/metrics").text
    assert 'reidapp_requests_total{method="GET",route="cameras",status="200"} 1.0' in text
    assert 'reidapp_gallery_tracklets{gallery="gallery"} 6.0' in text
    assert HOSTILE not in text


def test_a_database_that_fails_is_said_and_methods_are_few(
    client: TestClient, service: SearchService, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.request("INVENTED", f"{API}/cameras")

    def fails() -> None:
        raise OperationalError("SELECT", {}, Exception("/secret/gallery.db"))

    monkeypatch.setattr(service.gallery, "summary", fails)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "secret" not in answer.text
    text = client.get("/metrics").text
    assert 'reidapp_gallery_up{gallery="gallery"} 0.0' in text
    assert 'method="other"' in text
    assert "INVENTED" not in text


def test_pictures_are_not_decoded_where_all_requests_are_served(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    crops, where = SearchService.crops, []

    def seen(service: SearchService, parts: Any) -> Any:
        where.append(asyncio._get_running_loop())
        return crops(service, parts)

    monkeypatch.setattr(SearchService, "crops", seen)
    assert client.post(f"{API}/queries", content=png(query_crop("red"))).status_code == 200
    assert where == [None]


def test_figures_take_the_link(service: SearchService) -> None:
    with TestClient(build_app(service, OneTimeLink()), base_url=BASE) as client:
        assert client.get("/metrics").status_code == 403
        assert client.get("/readyz").status_code == 200
        refused = client.get(f"{API}/cameras")
        assert refused.status_code == 403
        assert "link" in refused.json()["error"]


@pytest.mark.slow
def test_a_case_is_exported_by_a_job_that_tells_its_progress(tmp_path: Path) -> None:
    jobs = Jobs()
    with live(build_app(make_service(tmp_path), jobs=jobs)) as url, httpx.Client(base_url=url) as client:
        entries = client.get(f"{API}/tracklets?camera=Gate").json()["tracklets"]
        client.post(f"{API}/cases", json={"name": "coat", "note": "who was it"})
        hits = [{"tracklet": entry["id"], "verdict": "yes", "note": "=1+1"} for entry in entries]
        case = client.post(f"{API}/cases/coat/hits", json={"hits": hits}).json()
        assert [hit["tracklet"] for hit in case["hits"]] == [entry["id"] for entry in entries]
        job = client.post(f"{API}/cases/coat/exports", json={}).json()
        events = list(follow(client, job["events_url"]))
        assert [event["state"] for event in events][-1] == "done", events[-1]
        assert any(event["total"] == 2 for event in events)
        archive = client.get(f"{API}/exports/{job['id']}")
        assert archive.headers["content-type"] == "application/zip"
        assert events[-1]["result"]["clips"] == 2
        assert events[-1]["result"]["blurred"]
        assert client.post(f"{job['url']}/cancel").status_code == 422
        assert client.post(f"{job['url']}/retry").status_code == 422
    jobs.close()


def test_only_allowed_folders_are_indexed(own: TestClient, tmp_path: Path) -> None:
    for folder in ("relative", "/etc", f"{tmp_path}/../..", f"{tmp_path}/none"):
        answer = own.post(f"{API}/jobs", json={"kind": "index", "folder": folder})
        assert answer.status_code == 422
        assert answer.json()["error"].startswith("folder ")
    for change in ({"detector": "yolox:/d.onnx"}, {"detector": "../d"}, {"zone": "../x"}, {"sampling": "--x"}):
        wanted = {"kind": "index", "folder": str(tmp_path), **change}
        assert own.post(f"{API}/jobs", json=wanted).status_code == 422
    assert own.post(f"{API}/jobs", json={"kind": "reembed", "model": "/etc/passwd"}).status_code == 404
    plan = own.post(f"{API}/footage-plans", json={"folder": str(tmp_path)})
    assert len(plan.json()["plan"]["files"]) == len(FOOTAGE)


def test_a_folder_is_planned_in_part(own: TestClient, tmp_path: Path) -> None:
    def plan(**wanted: Any) -> httpx.Response:
        return own.post(f"{API}/footage-plans", json={"folder": str(tmp_path), **wanted})

    some = plan(limit=1, probe=True).json()
    assert (some["files"], some["left_out"], len(some["plan"]["files"])) == (len(FOOTAGE), 0, 1)
    assert some["plan"]["files"][0]["codec"] == "h264"
    assert sum(camera["files"] for camera in some["plan"]["cameras"]) == len(FOOTAGE)
    unfit = plan(limit=2, template="{camera}/{start}").json()
    assert (unfit["files"], unfit["left_out"], len(unfit["plan"]["skipped"])) == (0, len(FOOTAGE), 2)
    assert "give a limit" in plan(probe=True).json()["error"]
    assert 'unknown time zone "Mars"' in plan(zone="Mars").json()["error"]
    told = own.get(f"{API}/storage").json()
    assert (told["footage_s"], told["per_hour"], told["hours_left"]) == (14 * len(FOOTAGE), None, None)


@pytest.mark.slow
def test_models_and_calibration(client: TestClient) -> None:
    (model,) = client.get(f"{API}/models").json()["models"]
    assert model["active"]
    assert model["coverage"] == 1
    assert model["provider"] == "numpy"
    assert client.get(f"{API}/calibration").json() == {"calibration": None, "reliability": []}


def test_the_server_says_what_an_asker_is() -> None:
    asker = Asker("guard", "investigator")
    assert asker.is_at_least("viewer")
    assert not asker.is_at_least("admin")
    assert asker.sees_all
    assert not replace(asker, cameras=frozenset()).sees_all
