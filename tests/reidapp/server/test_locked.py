"""Another process keeps a database to itself: searching goes on, writing is put off by 503 with Retry-After."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from reidapp.gallery import sqlite
from reidapp.server import access_folder
from reidapp.server.access_folder import AccessFolder
from reidapp.server.app import build_app
from reidapp.server.audit import Audit
from reidapp.server.sign_in import Sessions, UserDoor
from reidapp.server.users import Users
from tests.locking import kept
from tests.small_gallery import make_service, png, query_crop

API = "/api/v1"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_LOCK_PATIENCE_S", 0.2)
    monkeypatch.setattr(access_folder, "_LOCK_PATIENCE_S", 0.2)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    app = build_app(make_service(tmp_path), audit=Audit(AccessFolder(tmp_path / "access")))
    with TestClient(app, base_url="http://127.0.0.1", headers={"Origin": "http://127.0.0.1"}) as client:
        yield client


def searched(client: TestClient) -> int:
    asked = client.post(f"{API}/queries", content=png(query_crop("red")))
    assert asked.status_code == 200, asked.text
    return client.post(f"{API}/search", json={"pictures": [{"id": asked.json()["id"]}]}).status_code


@pytest.mark.slow
def test_writing_is_put_off_and_searching_goes_on(client: TestClient, tmp_path: Path) -> None:
    with kept(tmp_path / "gallery/gallery.db"):
        refused = client.post(f"{API}/identities", json={"name": "Ann"})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert refused.json()["error"].startswith("gallery/gallery.db: another process has kept the database to itself")
        assert searched(client) == 200
        assert client.get(f"{API}/identities").json()["identities"] == []
    assert client.post(f"{API}/identities", json={"name": "Ann"}).status_code == 201


def test_what_cannot_be_written_down_is_put_off(client: TestClient, tmp_path: Path) -> None:
    assert searched(client) == 200
    with kept(tmp_path / "access/audit.db"):
        assert searched(client) == 503
    assert searched(client) == 200
    assert Audit(AccessFolder(tmp_path / "access")).verify().broken is None


@pytest.mark.slow
def test_nobody_gets_in_whom_the_list_cannot_name(tmp_path: Path) -> None:
    folder = AccessFolder(tmp_path / "access")
    users = Users(folder)
    _, key = users.add_key("recorder", role="viewer")
    door = UserDoor(users, Sessions(users, folder.secret("session.key")), Audit(folder))
    app = build_app(make_service(tmp_path), door=door, users=users, audit=door.audit, any_host=True)
    with TestClient(app, base_url="https://cams.example", headers={"Authorization": f"Bearer {key}"}) as client:
        with kept(folder.path / "users.db", "EXCLUSIVE"):
            refused = client.get(f"{API}/cameras")
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
            assert refused.json() == {"error": "The list of users cannot be read just now; try again in a moment."}
            assert client.get("/healthz").status_code == 200
        assert client.get(f"{API}/cameras").status_code == 200
