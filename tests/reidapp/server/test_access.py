"""Who may do what, over every route that the application has; and what users of other cameras and times never see."""

import json
import re
import zipfile
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.routing import Mount

from reidapp.files import BusyError
from reidapp.gallery.calibration import Calibration, Point
from reidapp.gallery.case_export import Part, export_case
from reidapp.gallery.cases import Cases, NewCaseHit
from reidapp.gallery.identities import Identities
from reidapp.server.access_folder import AccessFolder
from reidapp.server.app import build_app
from reidapp.server.askers import Asker
from reidapp.server.audit import Audit
from reidapp.server.job_commands import export_command, export_file
from reidapp.server.jobs import Jobs
from reidapp.server.routes import models
from reidapp.server.service import SearchService
from reidapp.server.sign_in import Sessions, UserDoor
from reidapp.server.users import Users
from tests.small_gallery import HOSTILE, START, make_service, png, query_crop

pytestmark = pytest.mark.slow

DOCS = Path(__file__).resolve().parents[3] / "docs" / "access.md"
BASE, API = "http://127.0.0.1:7860", "/api/v1"
ASKERS = {
    "viewer": ("viewer", None),
    "investigator": ("investigator", None),
    "admin": ("admin", None),
    "admin of a camera": ("admin", ["Hall"]),
}
MAY = {
    "signed in": {"viewer", "investigator", "admin", "admin of a camera"},
    "viewer": {"viewer", "investigator", "admin", "admin of a camera"},
    "investigator": {"investigator", "admin", "admin of a camera"},
    "admin": {"admin"},
}
VALUES = {"name": "x", "number": "0", "query_id": "x", "search_id": "x", "job_id": "0" * 32, "gallery": "gallery"}


def walk(routes: Iterable[Any]) -> Iterator[Any]:
    """All routes, also those of routers that are included."""
    for route in routes:
        if hasattr(route, "effective_candidates"):
            yield from walk(route.effective_candidates())
        elif not isinstance(route, Mount):
            yield route


def calls(app: FastAPI) -> list[str]:
    """``GET /api/v1/cameras`` and all others, as routes have them."""
    api = next(route for route in app.routes if isinstance(route, Mount) and route.path == API)
    found = [(API, route) for route in walk(api.app.routes)] + [("", route) for route in walk(app.routes)]
    return [
        f"{method} {prefix}{route.path.replace(':path}', '}')}"
        for prefix, route in found
        for method in sorted(route.methods - {"HEAD"})
    ]


def table() -> dict[str, str]:
    """{call: least role}, as the documentation says it."""
    return dict(re.findall(r"^\| `([A-Z]+ /\S+)` \| ([a-z ]+) \|$", DOCS.read_text(), re.MULTILINE))


def filled(path: str, **values: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: (values | VALUES).get(found[1], "0123456789abcdef"), path)


@pytest.fixture(scope="module")
def signed_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, dict[str, str]]]:
    """A server with users, and a key for each kind of asker."""
    folder = tmp_path_factory.mktemp("access")
    users = Users(AccessFolder(folder / "access"))
    keys = {name: users.add_key(name, role=role, cameras=cameras)[1] for name, (role, cameras) in ASKERS.items()}  # type: ignore[arg-type]
    door = UserDoor(users, Sessions(users, users.folder.secret("session.key")))
    app = build_app(make_service(folder), door=door, users=users, audit=Audit(users.folder))
    from ui.page import mount

    mount(app, app.state.galleries)
    with TestClient(app, base_url=BASE, follow_redirects=False) as client:
        yield client, keys
    app.state.jobs.close()


def test_every_route_is_in_the_table(signed_in: tuple[TestClient, dict[str, str]]) -> None:
    client, _ = signed_in
    of_galleries = f"{API}/galleries/{{gallery}}"
    own = {call.replace(of_galleries, API) for call in calls(client.app)}  # type: ignore[arg-type]
    assert own == set(table())


@pytest.mark.parametrize("asker", [None, *ASKERS])
def test_each_role_may_do_what_the_table_says(signed_in: tuple[TestClient, dict[str, str]], asker: str | None) -> None:
    client, keys = signed_in
    headers = {"Authorization": f"Bearer {keys[asker]}"} if asker else {}
    wrong = []
    for call in calls(client.app):  # type: ignore[arg-type]
        method, path = call.split()
        least = table()[call.replace("/galleries/{gallery}", "")]
        if least == "anybody" or path == "/sign-out":
            continue
        status = client.request(method, filled(path), headers=headers).status_code
        limited = path == "/metrics" and asker == "admin of a camera"
        refused = 401 if asker is None else 403 if limited or asker not in MAY[least] else None
        if (status in (401, 403) or status >= 500) if refused is None else status != refused:
            wrong.append(f"{call}: {status}, not {refused or 'let in'}")
    assert not wrong, "\n".join(wrong)


def test_the_page_and_gradios_routes_need_somebody_and_lead_nowhere(
    signed_in: tuple[TestClient, dict[str, str]],
) -> None:
    client, keys = signed_in
    page = client.app.routes[-1]  # type: ignore[attr-defined]
    assert isinstance(page, Mount)
    paths = {re.sub(r"\{[^}]*\}", "x", route.path) for route in walk(page.routes)}
    assert len(paths) > 60
    assert {"/gradio_api/queue/join", "/gradio_api/upload", "/gradio_api/file=x", "/gradio_api/queue/data"} <= paths
    admin = {"Authorization": f"Bearer {keys['admin']}"}
    manifest = client.get("/manifest.json").json()  # browsers ask for it without a cookie
    assert (manifest.keys(), manifest["name"]) == ({"name", "icons", "start_url", "display"}, "reidapp")
    for path in sorted(
        paths - {"/manifest.json"} | {"/", "/ui/pages/search.js", "/ui/texts/en.json", "/ui/", "/ui/pages/"}
    ):
        for method in ("GET", "POST", "HEAD"):
            assert client.request(method, path).status_code == 401, path
    for path in ("/gradio_api/upload", "/gradio_api/queue/join", "/gradio_api/run/x", "/gradio_api/call/x", "/login"):
        assert client.post(path, headers=admin).status_code == 404, path
    for path in ("/gradio_api/file=/etc/passwd", "/gradio_api/queue/data", "/monitoring", "/gradio_api/proxy=http://x"):
        assert client.get(path, headers=admin).status_code == 404, path
    for path in ("/ui/", "/ui/pages/", "/ui/texts"):
        assert client.get(path, headers=admin).status_code == 404, path
    assert client.get("/", headers=admin).status_code == 200
    assert "/access/" not in client.get("/config", headers=admin).text  # where the galleries are


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SearchService, Jobs]]:
    jobs = Jobs(command=("true",))
    yield make_service(tmp_path_factory.mktemp("shared")), jobs
    jobs.close()


GATE, HALL = Asker("gate", "investigator", frozenset({"Gate"})), Asker("hall", "investigator", frozenset({"Hall"}))
ALL = Asker("all")
SPAN = Asker("span", "investigator", None, START + timedelta(seconds=7), START + timedelta(seconds=10))


def client_of(shared: tuple[SearchService, Jobs], asker: Asker) -> TestClient:
    return TestClient(build_app(shared[0], asker=asker, jobs=shared[1]), base_url=BASE)


@pytest.fixture(scope="module")
def secrets(shared: tuple[SearchService, Jobs]) -> dict[str, str]:
    """What the one who may see Gate must not: {what: word}. The one of Hall has made something of everything."""
    service, jobs = shared
    gallery = service.gallery
    by_camera = {camera: [t for t in gallery.tracklets() if t.camera == camera] for camera in ("Gate", "Hall")}
    gate, hall = by_camera["Gate"][0], by_camera["Hall"][0]
    client = client_of(shared, HALL)
    picture = client.post(f"{API}/queries", content=png(query_crop("red"))).json()["id"]
    search = client.post(f"{API}/search", json={"pictures": [{"id": picture}]}).json()["search"]
    client.post(f"{API}/saved-searches", json={"name": "saved by hall", "search": search}).raise_for_status()
    client.post(f"{API}/identities", json={"name": "Hilda", "tracklets": [hall.id]}).raise_for_status()
    client.post(f"{API}/cases", json={"name": "case of hall", "note": "noted by hall"}).raise_for_status()
    client.post(f"{API}/cases/case of hall/hits", json={"hits": [{"tracklet": hall.id}]}).raise_for_status()
    Identities(gallery, "all").new("Both", [gate.id, by_camera["Hall"][1].id])
    Cases(gallery, "all").new("case of both")
    hits = [NewCaseHit(gate.id), NewCaseHit(hall.id, note="seen in the hall")]
    Cases(gallery, "all").add("case of both", hits)
    job = jobs.begin("export", gallery.path, "hall", {"case": "case of hall", "heads": "shown"}, ["of hall"])
    found = {"job": job.id, "picture": picture, "search": search, "hostile": HOSTILE}
    found |= {word: word for word in ("Hall", "Hilda", "saved by hall", "case of hall", "noted by hall", "in the hall")}
    for number, tracklet in enumerate(t for t in gallery.tracklets() if t.camera != "Gate"):
        found |= {f"tracklet {number}": tracklet.id, f"crop {number}": tracklet.crops[0].id}
        found |= {f"video {number}": tracklet.video.id, f"file {number}": tracklet.video.path.name}
    return found


def test_nothing_of_other_cameras_is_in_any_answer(shared: tuple[SearchService, Jobs], secrets: dict[str, str]) -> None:
    client, gallery = client_of(shared, GATE), shared[0].gallery
    own = next(t for t in gallery.tracklets() if t.camera == "Gate")
    names = ["Gate", "Hall", HOSTILE, "Hilda", "Both", "saved by hall", "case of hall", "case of both"]
    asked = [{"name": name} for name in names]
    asked += [
        {"tracklet_id": own.id, "video_id": own.video.id, "crop_id": own.crops[0].id},
        {"tracklet_id": secrets["tracklet 0"], "video_id": secrets["video 0"], "crop_id": secrets["crop 0"]},
        {"query_id": secrets["picture"], "search_id": secrets["search"], "job_id": secrets["job"]},
    ]
    leaks, answered = [], 0
    for call in calls(client.app):  # type: ignore[arg-type]
        method, path = call.split()
        if method != "GET" or not path.startswith(API) or "{gallery}" in path:
            continue
        for values in asked if "{" in path else [{}]:
            url = re.sub(r"\{(\w+)\}", lambda found, v=values: {**VALUES, **v}.get(found[1], "0" * 16), path)  # type: ignore[misc]
            answer = client.get(url)
            assert answer.status_code < 500, url
            answered += answer.status_code == 200
            echoed = json.dumps(url)
            told = answer.content.decode("latin-1") + json.dumps(dict(answer.headers))
            if answer.headers["content-type"] == "application/json":
                told = json.dumps(answer.json(), ensure_ascii=False)
            leaks += [f"{url}: {what}" for what, word in secrets.items() if word in told and word not in echoed]
    assert not leaks, "\n".join(leaks)
    assert answered > 20


def test_counts_are_of_what_may_be_seen(shared: tuple[SearchService, Jobs], secrets: dict[str, str]) -> None:
    client = client_of(shared, GATE)
    (facts,) = client.get(f"{API}/galleries").json()["galleries"]
    assert [facts[key] for key in ("cameras", "videos", "tracklets", "crops", "unfinished")] == [1, 1, 2, None, None]
    (case,) = client.get(f"{API}/cases").json()["cases"]
    assert (case["name"], case["hits"]) == ("case of both", 1)
    (person,) = client.get(f"{API}/identities").json()["identities"]
    assert (person["name"], person["yes"]) == ("Both", 1)
    assert client.get(f"{API}/identity-actions").json() == {"actions": []}
    assert client.get(f"{API}/saved-searches").json() == {"searches": []}
    assert client.get(f"{API}/jobs").json() == {"jobs": []}
    assert client.get("/metrics").status_code == 403
    assert client.get(f"{API}/models").json()["models"][0]["crops"] is None


def test_how_many_pairs_of_all_p_match_stands_on_is_for_who_sees_all(
    shared: tuple[SearchService, Jobs], monkeypatch: pytest.MonkeyPatch
) -> None:
    points = (Point(0.2, 0.1, 4711.0), Point(0.9, 1.0, 42.0))
    known = Calibration("answers", "2026-03-02T09:30:00Z", 6, 3, 42, 4711, 1.0, 0.0, None, None, points)
    monkeypatch.setattr(models, "current", lambda gallery, model_id: known)
    told = client_of(shared, GATE).get(f"{API}/calibration")
    assert told.json()["calibration"]["pairs"] is None
    assert [point["right"] for point in told.json()["reliability"]] == [0.1, 1.0]
    assert "4711" not in told.text
    assert client_of(shared, ALL).get(f"{API}/calibration").json()["calibration"]["pairs"]["others"] == 4711


def test_a_frame_is_of_the_time_that_may_be_seen(shared: tuple[SearchService, Jobs]) -> None:
    video = next(t.video for t in shared[0].gallery.tracklets() if t.camera == "Gate")
    short = Asker("short", "viewer", None, video.start + timedelta(seconds=7), video.start + timedelta(seconds=7.06))
    frame = f"{API}/videos/{video.id}/frame?at_s="
    client = client_of(shared, short)
    assert client.get(f"{frame}7.0").status_code == 200
    assert client.get(f"{frame}7.05").status_code == 404  # the next picture is of 7.1 s
    assert client.get(f"{frame}7.1").status_code == 404
    assert client_of(shared, ALL).get(f"{frame}7.05").status_code == 200


def test_what_is_also_others_is_not_changed(shared: tuple[SearchService, Jobs], secrets: dict[str, str]) -> None:
    client, hidden = client_of(shared, GATE), secrets["tracklet 0"]
    refused = [
        client.delete(f"{API}/identities/Both"),
        client.patch(f"{API}/identities/Both", json={"name": "x"}),
        client.delete(f"{API}/cases/case of both"),
        client.patch(f"{API}/cases/case of both", json={"note": "x"}),
    ]
    assert [answer.status_code for answer in refused] == [403] * 4
    gone = [
        client.delete(f"{API}/identities/Hilda"),
        client.delete(f"{API}/cases/case of hall"),
        client.delete(f"{API}/saved-searches/saved by hall"),
        client.post(f"{API}/cases/case of both/hits", json={"hits": [{"tracklet": hidden}]}),
        client.post(f"{API}/identities/Both/merge", json={"into": "Hilda"}),
        client.post(f"{API}/search", json={"saved": "saved by hall"}),
        client.post(f"{API}/search", json={"identity": "Hilda"}),
        client.post(f"{API}/search", json={"pictures": [{"id": secrets["picture"]}]}),
        client.post(f"{API}/search/{secrets['search']}/feedback", json={}),
        client.post(f"{API}/saved-searches", json={"name": "mine", "search": secrets["search"]}),
    ]
    assert [answer.status_code for answer in gone] in ([404] * 10, [404] * 4 + [403] + [404] * 5)
    for answer in [*refused, *gone]:
        said, asked = answer.json()["error"], unquote(f"{answer.request.url}") + answer.request.content.decode()
        assert not [word for word in secrets.values() if word in said and word not in asked]
    undone = client.post(f"{API}/identity-actions/undo", json={})
    assert undone.status_code == 422
    assert "not yours" in undone.json()["error"]


def test_a_search_by_a_name_that_is_also_others_shows_and_counts_its_own(
    shared: tuple[SearchService, Jobs], secrets: dict[str, str]
) -> None:
    client = client_of(shared, GATE)
    answer = client.post(f"{API}/search", json={"identity": "Both"})
    assert {hit["camera"] for hit in answer.json()["hits"]} == {"Gate"}
    assert not [word for word in secrets.values() if word in answer.text]


def test_a_search_by_a_name_asks_with_what_may_be_seen_of_it(
    shared: tuple[SearchService, Jobs], secrets: dict[str, str]
) -> None:
    client = client_of(shared, GATE)

    def scores(**asked: Any) -> dict[str, float]:
        hits = client.post(f"{API}/search", json=asked).json()["hits"]
        return {hit["tracklet"]: hit["score"] for hit in hits}

    (seen,) = client.get(f"{API}/identities/Both").json()["tracklets"]
    assert scores(identity="Both") == scores(tracklets=[seen["tracklet"]]) != {}


def test_an_archive_has_what_its_exporter_may_see(
    shared: tuple[SearchService, Jobs], secrets: dict[str, str], tmp_path: Path
) -> None:
    service, jobs = shared
    client, gallery = client_of(shared, GATE), service.gallery
    begun = client.post(f"{API}/cases/case of both/exports", json={"heads": "shown"}).json()
    job = jobs.get(begun["id"])
    assert "--camera=Gate" in job.command
    export_file(gallery, job.id).write_bytes(b"PK")
    assert client.get(f"{API}/exports/{job.id}").status_code == 200
    assert client_of(shared, HALL).get(f"{API}/exports/{job.id}").status_code == 404
    other = client_of(shared, Asker("gate", "investigator", frozenset({"Hall"})))
    assert other.get(f"{API}/exports/{job.id}").status_code == 404  # made when more could be seen
    assert client_of(shared, ALL).get(f"{API}/exports/{job.id}").status_code == 200
    assert client.post(f"{API}/cases/case of hall/exports", json={}).status_code == 404
    command = export_command(gallery, "a", "c", "b", True, Part(None, SPAN.after, SPAN.before))
    assert any(word.startswith("--after=2026-03-02T09:30:07") for word in command)

    export_case(gallery, "case of both", tmp_path / "a.zip", "gate", show_heads=True, part=Part(["Gate"]))
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        told = " ".join(archive.namelist()) + "".join(
            archive.read(name).decode() for name in archive.namelist() if not name.endswith((".mp4", ".jpg"))
        )
        assert json.loads(archive.read("case.json"))["case"]["hits"] == 1
    assert not [word for word in secrets.values() if word in told]


def test_who_may_see_a_time_sees_the_part_inside(shared: tuple[SearchService, Jobs], secrets: dict[str, str]) -> None:
    client, begins = client_of(shared, SPAN), START + timedelta(seconds=7)
    (camera,) = client.get(f"{API}/cameras").json()["cameras"]
    assert (camera["name"], camera["videos"], camera["tracklets"]) == ("Gate", 1, 1)
    assert (camera["first"], camera["last"]) == ("2026-03-02T09:30:07.000Z", "2026-03-02T09:30:10.000Z")
    (video,) = client.get(f"{API}/videos").json()["videos"]
    assert (video["tracklets"], video["indexed_minutes"]) == (1, 0.05)
    assert [(each["start"], each["seconds"]) for each in video["indexed"]] == [("2026-03-02T09:30:07.000Z", 3.0)]
    assert client.get(video["file_url"]).status_code == 403
    assert [client.get(f"{video['url']}/frame?at_s={at}").status_code for at in (2, 8, 12)] == [404, 200, 404]
    assert client.get(f"{video['url']}/clip?start_s=0&length_s=5").status_code == 404
    assert client.get(f"{video['url']}/clip?start_s=0&length_s=14").headers["clip-start"] == "7.000"

    (entry,) = client.get(f"{API}/tracklets").json()["tracklets"]
    assert (entry["start"], entry["end"]) == (camera["first"], camera["last"])
    assert client.get(entry["thumbnail"]).status_code == 200
    told = client.get(entry["url"]).json()
    assert {7 <= point["time_s"] <= 10 for point in told["path"]} == {True}
    assert client.get(entry["clip_url"] + "?around_s=30").headers["clip-start"] == "7.000"
    picture = client.post(f"{API}/queries", content=png(query_crop("green"))).json()["id"]
    (hit,) = client.post(f"{API}/search", json={"pictures": [{"id": picture}]}).json()["hits"]
    assert begins.isoformat()[:19] <= hit["start"][:19]
    assert hit["best_s"] == 9.0

    late = client_of(
        shared, Asker("late", "viewer", None, START + timedelta(seconds=10), START + timedelta(seconds=12))
    )
    (entry,) = late.get(f"{API}/tracklets").json()["tracklets"]  # whose best shot was earlier
    assert entry["crop"] is None
    crop = next(t for t in shared[0].gallery.tracklets() if t.id == entry["id"]).crops[0].id
    assert late.get(f"{API}/crops/{crop}").status_code == 404


def test_rights_that_shrink_count_for_a_search_that_is_kept(shared: tuple[SearchService, Jobs]) -> None:
    wide = client_of(shared, Asker("ann", "viewer", frozenset({"Gate", "Hall"})))
    picture = wide.post(f"{API}/queries", content=png(query_crop("red"))).json()["id"]
    search = wide.post(f"{API}/search", json={"pictures": [{"id": picture}]}).json()["search"]
    assert {hit["camera"] for hit in wide.get(f"{API}/search/{search}").json()["hits"]} == {"Gate", "Hall"}
    narrow = client_of(shared, Asker("ann", "viewer", frozenset({"Hall"})))
    answer = narrow.get(f"{API}/search/{search}")  # its cameras were said; one of them is not there any more
    assert answer.status_code == 422 or {hit["camera"] for hit in answer.json()["hits"]} == {"Hall"}


def test_searches_and_views_stand_in_the_log_and_a_purpose_is_demanded(service: SearchService, tmp_path: Path) -> None:
    users = Users(AccessFolder(tmp_path / "access"))
    audit, who = Audit(users.folder), users.of_system("root")
    app = build_app(service, asker=who, users=users, audit=audit, demand_purpose=True)
    with TestClient(app, base_url=BASE) as client:
        picture = client.post(f"{API}/queries", content=png(query_crop("red"))).json()["id"]
        asked: dict[str, Any] = {"pictures": [{"id": picture}]}
        refused = client.post(f"{API}/search", json=asked)
        assert refused.status_code == 422
        assert "purpose" in refused.json()["error"]
        found = client.post(f"{API}/search", json={**asked, "purpose": "case 12"}).json()
        entry = client.get(f"{API}/tracklets?camera=Hall").json()["tracklets"][0]
        for _ in range(3):
            client.get(f"{API}/videos/{entry['video']}/file", headers={"Range": "bytes=0-99"})
        client.get(entry["clip_url"])
        told = client.get(f"{API}/audit").json()["entries"]
        assert client.post(f"{API}/audit/verify", json={}).json()["broken"] is None
        head = client.get(f"{API}/audit/head").json()["head"]
        assert client.post(f"{API}/audit/verify", json={"head": head}).json()["rows"] == 2
    assert [(each["action"], each["name"]) for each in told] == [("view", "root"), ("search", "root")]
    assert told[0]["about"] == {"video": entry["video"]}
    assert told[1]["about"] == {"purpose": "case 12", "search": found["search"]}


def test_who_leafs_through_best_shots_and_saved_pictures_stands_in_the_log(tmp_path: Path) -> None:
    service = make_service(tmp_path)
    audit = Audit(AccessFolder(tmp_path / "access"))
    ann, bob = (build_app(service, asker=Asker(name, "admin", id=name), audit=audit) for name in ("ann", "bob"))
    with TestClient(ann, base_url=BASE) as first, TestClient(bob, base_url=BASE) as second:
        for camera in ("Hall", "Gate"):
            for entry in first.get(f"{API}/tracklets?camera={camera}").json()["tracklets"]:
                assert first.get(entry["thumbnail"]).status_code == 200
        assert second.get(entry["thumbnail"]).status_code == 200
        assert second.get(f"{API}/crops/{'0' * 16}").status_code == 404
        picture = first.post(f"{API}/queries", content=png(query_crop("red"))).json()["id"]
        search = first.post(f"{API}/search", json={"pictures": [{"id": picture}]}).json()["search"]
        saved = first.post(f"{API}/saved-searches", json={"name": "Ann's", "search": search}).json()
        for _ in range(2):
            assert second.get(saved["pictures"][0]).status_code == 200
    told = [(entry.by, entry.action, entry.about) for entry in reversed(audit.last())]

    def shots(camera: str) -> dict[str, str]:
        return {"what": "best shots", "camera": audit.opaque(camera), "day": f"{START:%Y-%m-%d}"}

    pictures = {"what": "saved search", "name": audit.opaque("Ann's")}
    assert told == [
        ("ann", "view", shots("Hall")),
        ("ann", "view", shots("Gate")),
        ("bob", "view", shots("Gate")),
        ("ann", "search", {"search": search}),
        ("bob", "view", pictures),
    ]


def test_what_is_taken_out_of_a_case_stands_in_the_log(tmp_path: Path) -> None:
    audit = Audit(AccessFolder(tmp_path / "access"))
    app = build_app(make_service(tmp_path), asker=Asker("ann", "admin", id="ann"), audit=audit)
    with TestClient(app, base_url=BASE) as client:
        tracklet = client.get(f"{API}/tracklets").json()["tracklets"][0]["id"]
        client.post(f"{API}/cases", json={"name": "12"})
        client.post(f"{API}/cases/12/hits", json={"hits": [{"tracklet": tracklet}]})
        assert client.delete(f"{API}/cases/12/hits/{tracklet}").json()["hits"] == []
    (entry,) = audit.last()
    assert (entry.by, entry.action) == ("ann", "delete")
    assert entry.about == {"what": "case hit", "name": audit.opaque("12"), "tracklet": tracklet}


def test_an_error_does_not_say_where_a_gallery_is(
    shared: tuple[SearchService, Jobs], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, _ = shared

    def busy() -> None:
        raise BusyError(f"{service.gallery.path}: another process writes")

    monkeypatch.setattr(service.gallery, "cameras", busy)
    answer = client_of(shared, ALL).get(f"{API}/cameras")
    assert (answer.status_code, answer.json()["error"]) == (409, "gallery: another process writes")


def test_a_case_that_is_renamed_keeps_its_archives_and_another_of_its_name_has_none(
    shared: tuple[SearchService, Jobs],
) -> None:
    client, tracklet = client_of(shared, ALL), shared[0].gallery.tracklets()[0].id
    first = client.post(f"{API}/cases", json={"name": "coat"}).json()
    client.post(f"{API}/cases/coat/hits", json={"hits": [{"tracklet": tracklet}]})
    job = client.post(f"{API}/cases/coat/exports", json={}).json()
    renamed = client.patch(f"{API}/cases/coat", json={"name": "hat"}).json()
    again = client.post(f"{API}/cases", json={"name": "coat"}).json()
    assert job["asked"]["case_id"] == first["id"] == renamed["id"] != again["id"]
    listed = {each["name"]: each["id"] for each in client.get(f"{API}/cases").json()["cases"]}
    assert (listed["hat"], listed["coat"]) == (first["id"], again["id"])


def test_best_shots_of_cases_and_names_are_those_of_the_time_that_may_be_seen(
    shared: tuple[SearchService, Jobs], tmp_path: Path
) -> None:
    own = make_service(tmp_path), shared[1]  # in which nobody has a name yet
    gallery = own[0].gallery
    green = next(t for t in gallery.tracklets() if t.camera == "Gate" and t.crops[0].time_s == 9.0)
    Cases(gallery, "all").new("case of a time")
    Cases(gallery, "all").add("case of a time", [NewCaseHit(green.id, crop=green.crops[0].id)])
    Identities(gallery, "all").new("Greta", [green.id])
    for until_s, crop in ((10, green.crops[0].id), (8, None)):
        span = Asker("span", "investigator", None, START + timedelta(seconds=6), START + timedelta(seconds=until_s))
        client = client_of(own, span)
        (hit,) = client.get(f"{API}/cases/case of a time").json()["hits"]
        (named,) = client.get(f"{API}/identities/Greta").json()["tracklets"]
        assert hit["crop"] == named["crop"] == crop
        assert client.get(f"{API}/crops/{green.crops[0].id}").status_code == (200 if crop else 404)
