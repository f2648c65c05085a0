"""Signing in by the form, sessions and keys, over the running application."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from reidapp.server.access_folder import AccessFolder
from reidapp.server.app import build_app
from reidapp.server.audit import Audit
from reidapp.server.service import SearchService
from reidapp.server.sign_in import Limits, Sessions, Throttle, UserDoor, _inside, _network
from reidapp.server.users import Users

BASE, API = "https://cams.example", "/api/v1"
OURS = {"Origin": BASE}
WORDS = "seven green bottles"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def users(tmp_path: Path, clock: Clock) -> Users:
    users = Users(AccessFolder(tmp_path / "access"), clock=clock)
    users.add("ann", WORDS, role="admin")
    return users


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def door(users: Users, clock: Clock) -> UserDoor:
    door = UserDoor(users, Sessions(users, users.folder.secret("session.key")), Audit(users.folder))
    door.limits = Limits(5, 3, 8, clock)
    return door


@pytest.fixture
def client(service: SearchService, door: UserDoor) -> Iterator[TestClient]:
    app = build_app(service, door=door, users=door.users, audit=door.audit, any_host=True)
    with TestClient(app, base_url=BASE, follow_redirects=False, headers=OURS) as client:
        yield client


def sign_in(client: TestClient, name: str = "ann", password: str = WORDS, **more: str) -> int:
    return client.post("/sign-in", data={"name": name, "password": password, **more}).status_code


def test_nothing_answers_before_signing_in(client: TestClient) -> None:
    refused = client.get(f"{API}/cameras")
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert "Sign in" in refused.json()["error"]
    assert client.get("/metrics").status_code == 401
    assert client.get("/healthz").status_code == 200
    page = client.get("/browse?x=1", headers={"Accept": "text/html"})
    assert (page.status_code, page.headers["location"]) == (303, "/sign-in?next=%2Fbrowse%3Fx%3D1")


def test_a_session_begins_ends_and_cannot_be_forged(client: TestClient, users: Users) -> None:
    assert sign_in(client, password="wrong words here") == 401
    entered = client.post("/sign-in", data={"name": "ann", "password": WORDS, "next": "/browse"})
    assert (entered.status_code, entered.headers["location"]) == (303, "/browse")
    said = entered.headers["set-cookie"].lower()
    assert all(word in said for word in ("httponly", "secure", "samesite=lax", "path=/"))
    assert client.get(f"{API}/me").json()["name"] == "ann"
    name, value = next(iter(client.cookies.items()))
    parts = value.split(".")
    for forged in ("", "x", ".".join([*parts[:3], "9999999999", parts[4]]), value[:-1], f"{value}0", "é"):
        cookie = {"Cookie": f"{name}={forged}".encode()}
        client.cookies.clear()
        assert client.get(f"{API}/me", headers=cookie).status_code == 401  # type: ignore[arg-type]
    stolen = {"Cookie": f"{name}={value}"}
    assert client.get(f"{API}/me", headers=stolen).status_code == 200
    out = client.post("/sign-out", headers=stolen)
    assert (out.status_code, out.headers["location"]) == (303, "/sign-in")
    assert client.get(f"{API}/me", headers=stolen).status_code == 401


def test_sessions_end_by_time_and_by_another_password(client: TestClient, users: Users, clock: Clock) -> None:
    sign_in(client)
    assert client.get(f"{API}/me").status_code == 200
    clock.now += 13 * 3600
    assert client.get(f"{API}/me").status_code == 401
    sign_in(client)
    assert client.get(f"{API}/me").status_code == 200
    users.change_password("ann", WORDS + " more")
    assert client.get(f"{API}/me").status_code == 401


def test_a_clock_that_is_set_back_brings_no_session_back(client: TestClient, door: UserDoor, clock: Clock) -> None:
    sign_in(client)
    old = dict(client.cookies)
    clock.now += 13 * 3600
    assert client.get(f"{API}/me").status_code == 401
    clock.now -= 13 * 3600
    assert client.get(f"{API}/me").status_code == 401
    assert sign_in(client) == 303  # and who signs in now gets in
    assert client.get(f"{API}/me").status_code == 200
    # The next process knows it too.
    later = Sessions(Users(door.users.folder, clock=clock), door.users.folder.secret("session.key"))
    assert [later.account(value) for value in old.values()] == [None]


def test_who_has_signed_out_stays_so_when_the_clock_is_set_back(users: Users, clock: Clock) -> None:
    secret = users.folder.secret("session.key")
    sessions = Sessions(users, secret)
    ended = sessions.begin(users.named("user", "ann"))
    sessions.end(ended)
    clock.now += 14 * 3600
    sessions.end(sessions.begin(users.named("user", "ann")))  # forgets those that have expired
    clock.now -= 14 * 3600
    for each in (sessions, Sessions(Users(users.folder, clock=clock), secret)):
        assert each.account(ended) is None


def test_who_changes_the_own_password_signs_in_again(client: TestClient, door: UserDoor) -> None:
    sign_in(client)
    wrong = client.post(f"{API}/me/password", json={"password": "not this one", "new": WORDS + " more"})
    assert wrong.status_code == 422
    done = client.post(f"{API}/me/password", json={"password": WORDS, "new": WORDS + " more"})
    assert done.status_code == 200
    assert door.audit
    assert [entry.action for entry in door.audit.last(3)] == ["change of rights", "sign-in failed", "sign-in"]
    assert client.get(f"{API}/me").status_code == 401
    assert sign_in(client, password=WORDS + " more") == 303


@pytest.mark.parametrize("headers", [{}, {"Origin": ""}, {"Sec-Fetch-Site": "cross-site"}])
def test_a_session_alone_sends_nothing_that_changes(
    service: SearchService, door: UserDoor, headers: dict[str, str]
) -> None:
    app = build_app(service, door=door, users=door.users, any_host=True)
    with TestClient(app, base_url=BASE, follow_redirects=False) as client:
        assert client.post("/sign-in", data={"name": "ann", "password": WORDS}).status_code == 403
        sign_in_headers = {"Origin": BASE}
        client.post("/sign-in", data={"name": "ann", "password": WORDS}, headers=sign_in_headers)
        assert client.get(f"{API}/me").status_code == 200
        assert client.post(f"{API}/identities", json={"name": "x"}, headers=headers).status_code == 403
        assert (
            client.post(f"{API}/identities", json={"name": "x"}, headers={"Origin": "https://evil"}).status_code == 403
        )
        same = client.post(f"{API}/identity-actions/undo", json={}, headers={"Sec-Fetch-Site": "same-origin"})
        assert same.status_code in (200, 422)


def test_a_key_lets_programs_in_without_a_page(service: SearchService, door: UserDoor) -> None:
    _, key = door.users.add_key("recorder", role="viewer", cameras=["Hall"])
    app = build_app(service, door=door, users=door.users, any_host=True)
    with TestClient(app, base_url=BASE, follow_redirects=False) as client:
        said = {"Authorization": f"Bearer {key}"}
        told = client.get(f"{API}/me", headers=said).json()
        assert (told["name"], told["cameras"], told["signs_in"]) == ("recorder", ["Hall"], False)
        assert client.post(f"{API}/search", json={"tracklets": []}, headers=said).status_code == 422
        assert client.post(f"{API}/identities", json={"name": "x"}, headers=said).status_code == 403
        assert client.get(f"{API}/me", headers={"Authorization": f"Bearer {key}x"}).status_code == 401
        assert client.get(f"{API}/me", headers={"Authorization": "Basic YTpi"}).status_code == 401


def test_guessing_is_slowed_down_by_name_and_by_address(client: TestClient, door: UserDoor, clock: Clock) -> None:
    for _ in range(3):
        assert sign_in(client, password="wrong words here") == 401
    late = client.post("/sign-in", data={"name": "ann", "password": WORDS})
    assert late.status_code == 429
    assert int(late.headers["retry-after"]) == 900
    assert "15 min" in late.text
    assert sign_in(client, "bob", "wrong words here") == 401
    assert client.post("/sign-in", data={"name": "cat", "password": "wrong words"}).status_code == 429  # the address
    clock.now += 901
    assert sign_in(client) == 303
    for _ in range(20):
        assert sign_in(client) == 303  # who succeeds is not slowed down


def test_others_cannot_keep_somebody_out(door: UserDoor, clock: Clock) -> None:
    def tries(address: str, password: str = "wrong words here") -> bool:
        account, wait_s = door.sign_in("ann", password, address)
        return account is not None or wait_s > 0

    assert door.sign_in("ann", WORDS, "10.0.0.1")[0]
    assert [tries("10.0.0.66") for _ in range(4)] == [False, False, False, True]
    for number in range(70, 75):  # somebody with many addresses
        tries(f"10.0.0.{number}")
    account, wait_s = door.sign_in("ann", WORDS, "10.0.0.99")  # from where nobody knows ann
    assert account is None
    assert wait_s == 900
    assert door.sign_in("ann", WORDS, "10.0.0.1")[0]
    clock.now += 901
    assert door.sign_in("ann", WORDS, "10.0.0.99")[0]


@pytest.mark.slow
def test_behind_a_proxy_the_address_is_the_one_that_the_proxy_says(service: SearchService, users: Users) -> None:
    def statuses(public: str | None, *forwarded: str) -> list[int]:
        door = UserDoor(users, Sessions(users, b"secret"))
        door.limits = Limits(address=1)
        app = build_app(service, door=door, users=users, any_host=True, public=public)
        with TestClient(app, base_url=BASE, follow_redirects=False, headers=OURS) as client:
            data = {"name": "ann", "password": "wrong words here"}
            said = [client.post("/sign-in", data=data, headers={"X-Forwarded-For": each}) for each in forwarded]
            return [answer.status_code for answer in said]

    assert statuses(BASE, "10.0.0.1", "10.0.0.2:4711", "[2001:db8::1]:80") == [401, 401, 401]
    assert statuses(BASE, "10.0.0.1, 10.0.0.3", "10.0.0.2, 10.0.0.3") == [401, 429]  # the last, not what anybody writes
    assert statuses(BASE, "unknown", "") == [401, 429]  # the proxy's own
    assert statuses(None, "10.0.0.1", "10.0.0.2") == [401, 429]


def test_an_attempt_counts_from_its_beginning() -> None:
    clock = Clock()
    throttle = Throttle(2, 60, kept=2, clock=clock)
    assert [throttle.begin("a") for _ in range(3)] == [0, 0, 60]
    clock.now += 20
    assert throttle.begin("a") == 40
    throttle.take_back("a")
    assert throttle.begin("a") == 0
    for other in ("b", "c"):
        throttle.begin(other)
    assert throttle.begin("a") == 0  # forgotten, as more than two are
    assert _network("2001:db8::1") == _network("2001:db8::ffff") == "2001:db8::/64"
    assert _network("10.0.0.1") == "10.0.0.1"


def test_the_page_is_small_needs_no_script_and_speaks_two_languages(client: TestClient) -> None:
    page = client.get("/sign-in", headers={"Accept-Language": "zh-CN,zh;q=0.9"})
    assert '<html lang="zh">' in page.text
    assert "登录" in page.text
    assert "<script" not in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["cache-control"] == "no-store"
    english = client.get("/sign-in?language=en", headers={"Accept-Language": "zh"})
    assert "Sign in" in english.text
    wrong = client.post("/sign-in", data={"name": '"><b>x', "password": "y", "next": '/"><b>'})
    assert "<b>" not in wrong.text
    assert re.search(r'role="alert">The name or the password is wrong', wrong.text)


@pytest.mark.parametrize(
    "next_", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:1", "/a\r\nb", ""]
)
def test_it_leads_nowhere_else(client: TestClient, next_: str) -> None:
    assert _inside(next_) == ""
    entered = client.post("/sign-in", data={"name": "ann", "password": WORDS, "next": next_})
    assert entered.headers["location"] == "/"


def test_a_large_form_is_refused(client: TestClient) -> None:
    assert client.post("/sign-in", content=b"name=" + b"x" * 20_000).status_code == 413
    assert client.post("/sign-in", content=b"&".join([b"name=x"] * 100)).status_code == 400


@pytest.mark.parametrize("host", ["[::1]", "[::1]:7860", "cams.example", "\xb2:\xb2"])
def test_a_cookie_has_a_name_at_any_host(client: TestClient, host: str) -> None:
    name = {"Host": host.encode("latin-1"), "Origin": f"https://{host}".encode("latin-1")}
    entered = client.post("/sign-in", data={"name": "ann", "password": WORDS}, headers=name)  # type: ignore[arg-type]
    assert entered.status_code == 303
    assert re.match(r"reidapp-\d+=", entered.headers["set-cookie"])


def test_what_is_done_stands_in_the_log(client: TestClient, door: UserDoor) -> None:
    sign_in(client, password="wrong words here")
    sign_in(client, "nobody at all", "wrong words here")
    sign_in(client)
    client.post(f"{API}/users", json={"name": "bob", "password": WORDS, "role": "viewer"})
    assert client.patch(f"{API}/users/bob", json={"role": "investigator"}).json()["role"] == "investigator"
    assert client.patch(f"{API}/users/ann", json={"role": "viewer"}).status_code == 422  # nobody their own
    client.request("DELETE", f"{API}/users/bob")
    key = client.post(f"{API}/keys", json={"name": "recorder", "days": 3}).json()
    assert key["key"].startswith("reidapp_")
    assert "key" not in client.get(f"{API}/keys").json()["keys"][0]
    client.request("DELETE", f"{API}/keys/recorder")
    client.post("/sign-out")
    assert door.audit
    done = [(entry.action, entry.about.get("what")) for entry in reversed(door.audit.last())]
    assert done == [
        ("sign-in failed", None),
        ("sign-in failed", None),
        ("sign-in", None),
        ("change of rights", "new user"),
        ("change of rights", "user"),
        ("change of rights", "user removed"),
        ("change of rights", "new key"),
        ("change of rights", "key revoked"),
        ("sign-out", None),
    ]
    ann = door.users.named("user", "ann")
    by = {entry.by for entry in door.audit.last()}
    assert by == {ann.id, ""}
    assert b"testclient" not in (door.users.folder.path / "audit.db").read_bytes()  # the address is hashed
