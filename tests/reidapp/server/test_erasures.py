"""Erasing by the API: what would go, a job that does and proves it, and what is left to say so."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from reidapp.gallery.cases import Cases, NewCaseHit
from reidapp.gallery.identities import Identities
from reidapp.server.access_folder import VARIABLE, AccessFolder
from reidapp.server.app import build_app
from reidapp.server.askers import Asker
from reidapp.server.audit import Audit
from reidapp.server.jobs import Jobs
from reidapp.server.service import SearchService
from tests.small_gallery import make_service, png, query_crop

API, NAME = "/api/v1", "Änne Kowalska"


@pytest.fixture
def service(tmp_path: Path) -> SearchService:
    return make_service(tmp_path)


@pytest.fixture
def client(service: SearchService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    folder = AccessFolder(tmp_path / "access")
    monkeypatch.setenv(VARIABLE, str(folder.path))  # as `serve` does
    app = build_app(service, asker=Asker("me", id="a0"), audit=Audit(folder))
    with TestClient(app, base_url="http://127.0.0.1:7860") as client:
        yield client
    app.state.jobs.close()


def tracklets_of(service: SearchService, camera: str) -> list[str]:
    return [each.id for each in service.gallery.tracklets() if each.camera == camera]


def done(client: TestClient, job: dict) -> dict:
    while job["state"] in ("queued", "running"):
        version = client.app.state.jobs.get(job["id"]).version  # type: ignore[attr-defined]
        client.app.state.jobs.wait(job["id"], version, 5)  # type: ignore[attr-defined]
        job = client.get(job["url"]).json()
    return job


@pytest.mark.slow
def test_a_person_is_erased_and_that_is_proven(client: TestClient, service: SearchService, tmp_path: Path) -> None:
    mine, gallery = tracklets_of(service, "Gate"), service.gallery
    Identities(gallery, "me").new(NAME, mine)
    Cases(gallery, "me").new(NAME)
    Cases(gallery, "me").add(NAME, [NewCaseHit(mine[0])])
    search = client.post(f"{API}/search", json={"identity": NAME, "purpose": f"{NAME} asks for it"})
    assert search.status_code == 200, search.text
    wanted = {"identity": NAME}
    plan = client.post(f"{API}/erasure-plans", json=wanted).json()
    assert (plan["tracklets"], plan["identities"], plan["texts"], plan["cameras"]) == (2, 1, 1, ["Gate"])
    assert tracklets_of(service, "Gate") == mine

    begun = client.post(f"{API}/erasures", json=wanted)
    assert begun.status_code == 202, begun.text
    assert NAME not in begun.text
    job = done(client, begun.json())
    assert job["state"] == "done", job
    assert job["result"]["proof"] == job["result"]["proof"] | {"absent": True, "found": []}
    assert tracklets_of(service, "Gate") == []
    assert len(tracklets_of(service, "Hall")) == 2
    (stone,) = client.get(f"{API}/erasures").json()["erasures"]
    assert (stone["kind"], stone["counts"]["tracklets"], bool(stone["ended"])) == ("identity", 2, True)
    told = client.get(f"{API}/audit").json()["entries"]
    assert [e["about"]["purpose"] for e in told if e["action"] == "search"] == ["(erased)"]
    assert {"what": "identity", "job": job["id"]} in [e["about"] for e in told if e["action"] == "erased"]
    assert client.post(f"{API}/audit/verify", json={}).json()["broken"] is None
    for file in tmp_path.rglob("*"):
        if file.is_file() and file.suffix != ".mp4":
            assert NAME.encode() not in file.read_bytes(), file


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        ({}, 422),
        ({"identity": "Nobody"}, 404),
        ({"tracklets": ["0" * 16]}, 404),
        ({"camera": "Gat"}, 404),
        ({"before": "2026-03-02T10:00:00"}, 422),
        ({"before": "1999-01-01T00:00:00Z"}, 404),
    ],
)
def test_what_is_wrong_is_said(client: TestClient, wanted: dict, status: int) -> None:
    answer = client.post(f"{API}/erasures", json=wanted)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]
    assert client.get(f"{API}/erasures").json() == {"erasures": []}


@pytest.mark.slow
def test_exports_pictures_and_searches_of_the_last_minutes_are_forgotten(
    service: SearchService, tmp_path: Path
) -> None:
    jobs = Jobs(command=("true",))
    app = build_app(service, asker=Asker("me", id="a0"), jobs=jobs)
    with TestClient(app, base_url="http://127.0.0.1:7860") as client:
        export = jobs.begin("export", service.gallery.path, "me", {"case": NAME}, [])
        while not jobs.get(export.id).over:
            jobs.wait(export.id, jobs.get(export.id).version, 5)
        query = client.post(f"{API}/queries", content=png(query_crop("red"))).json()
        wanted = {"tracklets": tracklets_of(service, "Hall")[:1]}
        assert client.post(f"{API}/erasures", json=wanted).status_code == 202
        assert NAME not in client.get(f"{API}/jobs").text
        assert client.get(f"{API}/queries/{query['id']}").status_code == 404
    jobs.close()
