import asyncio
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from reidapp.errors import UserError
from reidapp.server.app import build_app
from reidapp.server.security import OneTimeLink, host_name, origin_of
from reidapp.server.service import SearchService

BASE = "http://127.0.0.1:7860"


@pytest.fixture
def app(service: SearchService) -> FastAPI:
    app = build_app(service)
    mounted = FastAPI()

    @mounted.post("/run")
    def run() -> str:
        return "ran"

    app.mount("/page", mounted)  # as Gradio is
    return app


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, base_url=BASE) as client:
        yield client


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "", "10.0.0.7:7860"])
def test_other_host_names_are_refused(client: TestClient, host: str) -> None:
    answer = client.post("/page/run", headers={"Host": host})
    assert answer.status_code == 403
    assert "127.0.0.1" in answer.text


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:7860", "localhost:7860", "LOCALHOST", "[::1]:7860"])
def test_loopback_names_are_served(client: TestClient, host: str) -> None:
    assert client.post("/page/run", headers={"Host": host}).json() == "ran"


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "https://127.0.0.1:7860", "http://127.0.0.1"]
)
@pytest.mark.parametrize("method", ["POST", "GET", "OPTIONS"])
def test_other_pages_are_refused(client: TestClient, origin: str, method: str) -> None:
    answer = client.request(method, "/page/run", headers={"Origin": origin})
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


def test_own_page_is_served_and_told_to_load_nothing_from_elsewhere(client: TestClient) -> None:
    answer = client.post("/page/run", headers={"Origin": BASE})
    assert answer.json() == "ran"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "http" not in policy
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_host_name() -> None:
    assert host_name("[::1]") == "[::1]"
    assert host_name("[::1]:80") == "[::1]"
    assert host_name("localhost") == "localhost"


def test_link_lets_in_once(service: SearchService) -> None:
    announced: list[str] = []
    link = OneTimeLink(announced.append)
    first = link.token
    app = build_app(service, link)

    @app.get("/private")
    def private() -> str:
        return "seen"

    with TestClient(app, base_url=BASE, follow_redirects=False) as client:
        refused = client.get("/private")
        assert refused.status_code == 403
        assert "reidapp serve" in refused.text
        assert client.get("/healthz").status_code == 200
        assert client.get("/private?token=wrong").status_code == 403
        assert client.get("/private?token=%C3%A9").status_code == 403

        entered = client.get(f"/private?x=1&token={first}")
        assert entered.status_code == 303
        assert entered.headers["location"] == "/private?x=1"
        cookie = entered.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        assert first not in cookie
        assert client.get("/private").json() == "seen"

        assert announced == [link.token]
        assert announced != [first]
        client.cookies.clear()
        assert client.get(f"/private?token={first}").status_code == 403
        assert client.get(f"/private?token={announced[0]}").status_code == 303


def test_wrong_session_is_refused(service: SearchService) -> None:
    with TestClient(build_app(service, OneTimeLink()), base_url=BASE) as client:
        for cookie in ("reidapp-7860=guess", "reidapp-7860=", "reidapp-7860=\x01é", "=;;="):
            assert client.get("/api/v1/crops/x", headers={"Cookie": cookie.encode()}).status_code == 403


def test_websockets_are_guarded_too(app: FastAPI) -> None:
    sent: list[dict] = []

    async def send(message: dict) -> None:
        sent.append(message)

    async def receive() -> dict:
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "path": "/", "query_string": b"", "headers": [(b"host", b"evil.example")]}
    asyncio.run(app.build_middleware_stack()({**scope, "app": app}, receive, send))  # type: ignore[arg-type]
    assert sent[0]["type"] in ("websocket.close", "websocket.http.response.start")


def test_a_public_address_is_as_browsers_send_it() -> None:
    assert origin_of("https://Cams.example") == "https://cams.example"
    assert origin_of("HTTPS://cams.example:443/reid") == "https://cams.example"
    assert origin_of("http://cams.example:443") == "http://cams.example:443"
    assert origin_of("http://[::1]:80") == "http://[::1]"
    for address in ("cams.example", "ftp://cams.example", "https://", "https://x:y", "https://[", "https://a@b"):
        with pytest.raises(UserError, match="--behind-proxy"):
            origin_of(address)


def directives(policy: str) -> dict[str, set[str]]:
    """{directive: what it allows}."""
    return {name: set(allowed) for name, *allowed in (part.split() for part in policy.split(";"))}


@pytest.mark.slow
def test_answers_of_the_api_run_nothing_and_load_nothing_from_elsewhere(service: SearchService) -> None:
    with TestClient(build_app(service), base_url=BASE) as client:
        entry = client.get("/api/v1/tracklets").json()["tracklets"][0]
        video = f"/api/v1/videos/{entry['video']}"
        paths = {entry["thumbnail"], entry["clip_url"], f"{video}/file", f"{video}/frame?at_s=2", "/api/v1/cameras"}
        answers = [client.get(path) for path in sorted(paths)]
        types = {answer.headers["content-type"] for answer in answers if answer.status_code == 200}
        assert types == {"image/webp", "video/mp4", "image/jpeg", "application/json"}
        for answer in [*answers, client.get("/api/v1/crops/none"), client.get("/api/v1/nothing")]:
            allowed = directives(answer.headers["content-security-policy"])
            assert allowed.pop("default-src") == {"'none'"}  # scripts too, since nothing else is said of them
            assert allowed["frame-ancestors"] == allowed["base-uri"] == allowed["form-action"] == {"'none'"}
            assert not [
                name for name in allowed if name.startswith(("script", "connect", "object", "worker", "frame-src"))
            ]
            assert set().union(*allowed.values()) <= {"'none'", "'self'", "'unsafe-inline'"}
            assert allowed["style-src"] == {"'unsafe-inline'"}  # of the browser's own viewer
            assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_page_asks_no_server_but_its_own(client: TestClient) -> None:
    allowed = directives(client.post("/page/run", headers={"Origin": BASE}).headers["content-security-policy"])
    assert allowed["connect-src"] == {"'self'", "data:", "blob:"}
    assert allowed["default-src"] == allowed["form-action"] == {"'self'"}
    assert allowed["object-src"] == allowed["frame-ancestors"] == {"'none'"}
    assert set().union(*allowed.values()) <= {"'self'", "'none'", "data:", "blob:", "'unsafe-inline'", "'unsafe-eval'"}
